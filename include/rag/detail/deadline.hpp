// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_DEADLINE_HPP
#define RAG_DETAIL_DEADLINE_HPP
#include <rag/version.hpp>

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

// What keeps a blocking HTTP library within bounds, from outside.

RAG_BEGIN
namespace detail {

/// Waits until the socket can be read or written (POLLIN, POLLOUT), or has ended; false after that time.
inline bool socket_is_ready(int socket, short what, std::chrono::milliseconds time) {
  pollfd waiting{socket, what, 0};
  int ready;
  while ((ready = ::poll(&waiting, 1, static_cast<int>(time.count()))) < 0 && errno == EINTR) {
  }
  return ready > 0;
}

/// Writing to a connection that the peer has reset raises SIGPIPE, which ends the process; the library under us
/// does write so when it closes a TLS session. The process's handler is not ours to change, so the signal is
/// blocked in this thread, and taken away if it came.
RAG_LAZY class BasicSigpipeShield {
 public:
  BasicSigpipeShield() {
    sigemptyset(&sigpipe_);
    sigaddset(&sigpipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &sigpipe_, &before_);
  }
  ~BasicSigpipeShield() {
    const timespec now{};
    if (!was_pending_)
      while (sigtimedwait(&sigpipe_, nullptr, &now) == -1 && errno == EINTR) {
      }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  BasicSigpipeShield(const BasicSigpipeShield&) = delete;
  BasicSigpipeShield& operator=(const BasicSigpipeShield&) = delete;

 private:
  sigset_t sigpipe_, before_;
  bool was_pending_;
};
using SigpipeShield = BasicSigpipeShield<>;

/// A second descriptor of a socket that another owns: it may be shut down from any thread at any time, since the
/// number cannot pass to another file meanwhile.
RAG_LAZY class BasicSocketHandle {
 public:
  BasicSocketHandle() = default;
  ~BasicSocketHandle() { watch(-1); }
  BasicSocketHandle(const BasicSocketHandle&) = delete;
  BasicSocketHandle& operator=(const BasicSocketHandle&) = delete;

  void watch(int socket) {
    const std::lock_guard lock(mutex_);
    if (copy_ >= 0) ::close(copy_);
    copy_ = socket >= 0 ? ::fcntl(socket, F_DUPFD_CLOEXEC, 0) : -1;
  }
  /// Whoever reads or writes the connection sees its end.
  void shut_down() {
    const std::lock_guard lock(mutex_);
    if (copy_ >= 0) ::shutdown(copy_, SHUT_RDWR);
  }

 private:
  std::mutex mutex_;
  int copy_ = -1;
};
using SocketHandle = BasicSocketHandle<>;

/// Shuts a connection down when its time is over, however slowly its bytes drip: the timeouts of the library
/// under us start anew with every byte. One thread an exchange.
RAG_LAZY class BasicDeadline {
 public:
  BasicDeadline(std::chrono::steady_clock::time_point end, SocketHandle& socket)
      : end_(end), thread_([this, &socket] { wait(socket); }) {}
  ~BasicDeadline() {
    {
      const std::lock_guard lock(mutex_);
      done_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  BasicDeadline(const BasicDeadline&) = delete;
  BasicDeadline& operator=(const BasicDeadline&) = delete;

  bool over() const { return std::chrono::steady_clock::now() >= end_; }

 private:
  void wait(SocketHandle& socket) {
    std::unique_lock lock(mutex_);
    // Again and again, since a library that tries several addresses opens one socket after another.
    for (auto next = end_; !wake_.wait_until(lock, next, [&] { return done_; });
         next = std::chrono::steady_clock::now() + std::chrono::milliseconds(5))
      socket.shut_down();
  }

  std::chrono::steady_clock::time_point end_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool done_ = false;
  std::thread thread_;
};
using Deadline = BasicDeadline<>;

}  // namespace detail
RAG_END
#endif
