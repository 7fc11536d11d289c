// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PARALLEL_HPP
#define RAG_DETAIL_PARALLEL_HPP
#include <rag/version.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

RAG_BEGIN
namespace detail {

/// Calls work(i) for each i in [0, count), on up to `threads` threads (0: all of the machine), this one among
/// them. `make_work` is called once on each thread and gives its `work`, which may hold scratch memory. The first
/// exception ends it all and is thrown here.
template <class MakeWork>
void parallel_for(std::size_t threads, std::size_t count, const MakeWork& make_work) {
  std::atomic<std::size_t> next = 0;
  std::exception_ptr problem;
  std::mutex problem_mutex;
  const auto run = [&] {
    try {
      auto work = make_work();
      for (std::size_t i; (i = next++) < count;) work(i);
    } catch (...) {
      next = count;
      const std::lock_guard lock(problem_mutex);
      if (!problem) problem = std::current_exception();
    }
  };
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  std::vector<std::thread> workers;
  try {
    while (workers.size() + 1 < std::min(threads, count)) workers.emplace_back(run);
  } catch (...) {  // no more threads to be had: those that are there do the work
  }
  run();
  for (std::thread& worker : workers) worker.join();
  if (problem) std::rethrow_exception(problem);
}

}  // namespace detail
RAG_END
#endif
