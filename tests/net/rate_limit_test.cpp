// SPDX-License-Identifier: MIT
#include <rag/net/rate_limit.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

static_assert(rag::Transport<rag::RateLimit<rag::AnyTransport>>);

namespace {

using std::chrono::milliseconds;
using Time = std::chrono::steady_clock::time_point;

/// Time passes only by sleeping.
struct Clock {
  std::mutex mutex;
  Time time{};
  rag::RateLimitOptions options(std::size_t requests, milliseconds per) {
    return {requests, per, [this] { const std::lock_guard lock(mutex); return time; },
            [this](std::chrono::steady_clock::duration wait) { const std::lock_guard lock(mutex); time += wait; }};
  }
};

const rag::AnyTransport fine = [](const rag::Request&) { return rag::Response{200, {}, "fine"}; };

}  // namespace

TEST_CASE("No span has more requests than allowed, and none waits without need") {
  Clock clock;
  std::vector<milliseconds> begins;
  const rag::AnyTransport service = [&](const rag::Request&) {
    begins.push_back(std::chrono::duration_cast<milliseconds>(clock.time.time_since_epoch()));
    return rag::Response{200, {}, {}};
  };
  const rag::RateLimit limited{service, clock.options(3, milliseconds(1000))};
  for (int i = 0; i < 4; ++i) limited({.url = "https://a.example/"});
  clock.time += milliseconds(400);
  for (int i = 0; i < 4; ++i) limited({.url = "https://a.example/"});
  const std::vector<int> wanted = {0, 0, 0, 1000, 1400, 1400, 2000, 2400};
  REQUIRE(begins.size() == wanted.size());
  for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(begins[i].count() == wanted[i]);
  for (std::size_t i = 3; i < begins.size(); ++i) CHECK((begins[i] - begins[i - 3]).count() >= 1000);
}

TEST_CASE("Copies share the count, from several threads") {
  Clock clock;
  std::vector<std::chrono::steady_clock::duration> waits;
  std::mutex mutex;
  rag::RateLimitOptions options = clock.options(10, milliseconds(1000));
  options.sleep = [&](std::chrono::steady_clock::duration wait) {
    const std::lock_guard lock(mutex);
    waits.push_back(wait);
  };
  const rag::RateLimit first{fine, options};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([copy = first] {
      for (int j = 0; j < 10; ++j) copy({.url = "https://a.example/"});
    });
  for (std::thread& thread : threads) thread.join();
  std::sort(waits.begin(), waits.end());
  REQUIRE(waits.size() == 30);  // the clock stands still: ten at once, ten after each second
  for (std::size_t i = 0; i < 30; ++i) CHECK(waits[i] == milliseconds(1000 * static_cast<int>(i / 10 + 1)));
}

TEST_CASE("A limit that lets nothing through is refused") {
  CHECK_THROWS_AS(rag::RateLimit(fine, rag::RateLimitOptions{.requests = 0}), rag::Error);
  CHECK_THROWS_AS(rag::RateLimit(fine, rag::RateLimitOptions{.per = milliseconds(0)}), rag::Error);
  CHECK_THROWS_AS(rag::RateLimit(fine, rag::RateLimitOptions{.now = {}}), rag::Error);
}
