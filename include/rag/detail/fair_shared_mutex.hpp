// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_FAIR_SHARED_MUTEX_HPP
#define RAG_DETAIL_FAIR_SHARED_MUTEX_HPP
#include <rag/version.hpp>

#include <mutex>
#include <shared_mutex>

RAG_BEGIN
namespace detail {

/// A std::shared_mutex that lets a writer in: while one waits, new readers wait behind him. glibc's own prefers readers,
/// and four that search without a pause would keep a writer out for seconds.
RAG_LAZY class BasicFairSharedMutex {
 public:
  void lock() {
    const std::lock_guard turn(turn_);
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }
  void lock_shared() {
    turn_.lock();
    turn_.unlock();
    mutex_.lock_shared();
  }
  void unlock_shared() { mutex_.unlock_shared(); }

 private:
  std::mutex turn_;
  std::shared_mutex mutex_;
};
using FairSharedMutex = BasicFairSharedMutex<>;

}  // namespace detail
RAG_END
#endif
