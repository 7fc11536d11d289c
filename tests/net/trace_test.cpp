// SPDX-License-Identifier: MIT
#include <rag/net/trace.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr auto ignore = [](const rag::TraceEvent&) {};
static_assert(rag::Transport<rag::Trace<rag::AnyTransport, decltype(ignore)>>);

const rag::Request question{.url = "https://a.example/v1/chat?key=sk-canary-0123456789", .headers = {{"Authorization", "Bearer sk-canary-0123456789"}}, .body = "secret words"};

}  // namespace

TEST_CASE("An exchange is told without its secrets") {
  std::vector<rag::TraceEvent> events;
  const rag::AnyTransport service = [](const rag::Request&) { return rag::Response{404, {{"x", "y"}}, "sk-canary-0123456789"}; };
  const rag::Trace traced{service, [&](const rag::TraceEvent& event) { events.push_back(event); }};
  CHECK(traced(question).status == 404);
  REQUIRE(events.size() == 1);
  CHECK(events[0].method == "POST");
  CHECK(events[0].url == "https://a.example/v1/chat");
  CHECK(events[0].status == 404);
  CHECK(events[0].sent == 12);
  CHECK(events[0].received == 20);
  CHECK(events[0].first_byte.count() == 0);
  CHECK(events[0].error.empty());
}

TEST_CASE("A stream passes through, its first byte is timed") {
  rag::TraceEvent event;
  const rag::AnyTransport service = [](const rag::Request& request) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    CHECK(request.receive("one"));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    CHECK_FALSE(request.receive("two!"));
    return rag::Response{200, {}, {}};
  };
  const rag::Trace traced{service, [&](const rag::TraceEvent& seen) { event = seen; }};
  rag::Request streamed = question;
  std::string text;
  const auto receive = [&](std::string_view piece) { text += piece; return piece == "one"; };
  streamed.receive = receive;
  traced(streamed);
  CHECK(text == "onetwo!");
  CHECK(event.received == 7);
  CHECK(event.first_byte >= std::chrono::milliseconds(2));
  CHECK(event.time >= event.first_byte + std::chrono::milliseconds(2));
}

TEST_CASE("An Error is told and passes on; one of the callback is not told to it") {
  rag::TraceEvent event;
  const rag::AnyTransport broken = [](const rag::Request&) -> rag::Response { throw rag::Error(rag::Errc::timeout, "too late"); };
  const rag::Trace traced{broken, [&](const rag::TraceEvent& seen) { event = seen; }};
  CHECK_THROWS_WITH(traced(question), "too late");
  CHECK(event.status == 0);
  CHECK(event.error == "too late");

  int calls = 0;
  const rag::AnyTransport fine = [](const rag::Request&) { return rag::Response{200, {}, {}}; };
  const rag::Trace throwing{fine, [&](const rag::TraceEvent&) { ++calls; throw std::runtime_error("mine"); }};
  CHECK_THROWS_WITH(throwing(question), "mine");
  CHECK(calls == 1);
}
