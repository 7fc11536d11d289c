// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PARALLEL_HPP
#define RAG_DETAIL_PARALLEL_HPP
#include <rag/version.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

RAG_BEGIN

/// A pool of the caller's own: calls work(0) … work(count - 1), side by side or not, and returns when all are done.
using Executor = std::function<void(std::size_t count, const std::function<void(std::size_t)>& work)>;

namespace detail {

/// How many threads `wanted` are; 0: as many as the machine runs at once.
inline std::size_t thread_count(std::size_t wanted) {
  return wanted != 0 ? wanted : std::max(1u, std::thread::hardware_concurrency());
}

/// Calls work() on `count` threads, this one among them, or `count` times in the executor. The first exception is thrown
/// here, after `stop` was called and all have ended.
template <class Work, class Stop>
void run_workers(std::size_t count, const Executor& executor, const Work& work, const Stop& stop) {
  std::exception_ptr problem;
  std::mutex problem_mutex;
  const auto run = [&](std::size_t) {
    try {
      work();
    } catch (...) {
      stop();
      const std::lock_guard lock(problem_mutex);
      if (!problem) problem = std::current_exception();
    }
  };
  if (executor) {
    executor(count, run);
  } else {
    std::vector<std::thread> threads;
    try {
      while (threads.size() + 1 < count) threads.emplace_back(run, threads.size() + 1);
    } catch (...) {  // no more threads to be had: those that are there do the work
    }
    run(0);
    for (std::thread& thread : threads) thread.join();
  }
  if (problem) std::rethrow_exception(problem);
}

/// Calls work(i) for each i in [0, count), on up to `threads` threads (0: all of the machine), this one among
/// them. `make_work` is called once on each thread and gives its `work`, which may hold scratch memory. The first
/// exception ends it all and is thrown here.
template <class MakeWork>
void parallel_for(std::size_t threads, std::size_t count, const MakeWork& make_work, const Executor& executor = {}) {
  std::atomic<std::size_t> next = 0;
  const auto run = [&] {
    auto work = make_work();
    for (std::size_t i; (i = next++) < count;) work(i);
  };
  run_workers(std::min(thread_count(threads), std::max<std::size_t>(count, 1)), executor, run, [&] { next = count; });
}

}  // namespace detail
RAG_END
#endif
