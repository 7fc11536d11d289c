// SPDX-License-Identifier: MIT
#ifndef RAG_NET_RATE_LIMIT_HPP
#define RAG_NET_RATE_LIMIT_HPP
#include <rag/net/http.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

RAG_BEGIN

/// At most `requests` begin within any span of `per`. A test gives its own clock.
struct RateLimitOptions {
  std::size_t requests = 60;
  std::chrono::milliseconds per{60'000};
  std::function<std::chrono::steady_clock::time_point()> now = [] { return std::chrono::steady_clock::now(); };
  std::function<void(std::chrono::steady_clock::duration)> sleep = [](std::chrono::steady_clock::duration time) { std::this_thread::sleep_for(time); };
};

/// A transport that waits where a request would be one too many for the service. Copies share the count; requests of
/// several threads begin in the order in which they asked. Put it inside a Retry, so that repeated requests count too.
///
///     rag::Retry transport{rag::RateLimit{rag::HttpsTransport{}, {.requests = 20}}};
template <class T>
class RateLimit {
 public:
  static_assert(Transport<T>, "rag::RateLimit: argument 1 is not a Transport, see rag/concepts.hpp");

  explicit RateLimit(T transport, RateLimitOptions options = {}) : transport_(std::move(transport)), state_(std::make_shared<State>(std::move(options))) {
    if (state_->options.requests == 0 || state_->options.per.count() <= 0 || !state_->options.now || !state_->options.sleep)
      throw Error(Errc::invalid_argument, "RateLimit: 1 request or more in 1 ms or more wanted, and functions for now and sleep");
  }

  Response operator()(const Request& request) const {
    if (const auto time = state_->wait(); time.count() > 0) state_->options.sleep(time);
    return transport_(request);
  }

 private:
  struct State {
    explicit State(RateLimitOptions given) : options(std::move(given)) {}

    /// How long the next request has to wait; it is counted from then on.
    std::chrono::steady_clock::duration wait() {
      const std::lock_guard lock(mutex);
      const auto now = options.now();
      auto begin = now;
      if (begins.size() == options.requests) {
        begin = std::max(now, begins.front() + options.per);
        begins.pop_front();
      }
      begins.push_back(begin);
      return begin - now;
    }

    RateLimitOptions options;
    std::mutex mutex;
    std::deque<std::chrono::steady_clock::time_point> begins;  // of the last requests
  };

  T transport_;
  std::shared_ptr<State> state_;
};

RAG_END
#endif
