// SPDX-License-Identifier: MIT
#include <rag/net/https.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "../laws/transport.hpp"
#include "exchange.hpp"
#include "server.hpp"

static_assert(rag::Transport<rag::AnyTransport>);
static_assert(rag::Transport<rag::HttpsTransport>);
static_assert(rag::Transport<const rag::HttpsTransport>);
static_assert(std::is_constructible_v<rag::AnyTransport, rag::HttpsTransport>);
static_assert(!rag::Transport<rag::HttpsOptions>);

namespace {

using namespace std::chrono_literals;
using Outcome = tests::Exchanged;
using tests::try_send;

/// What a server that sends these bytes makes of a plain request.
Outcome meet(const std::string& bytes, rag::HttpsOptions options = {.deadline = 2s}) {
  tests::Server server(tests::always(bytes));
  return try_send({.url = server.url(), .body = "x"}, options);
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("HttpsTransport keeps the laws of a transport") {
  tests::Server server(tests::echo);
  rag::HttpsTransport transport;

  laws::check_transport(transport, server.url(""));
}

TEST_CASE("HttpsTransport sends method, target, headers and body as they are, and asks for a plain body") {
  std::string seen;
  {
    tests::Server server([&](tests::Peer& peer) {
      seen = peer.read_request();
      peer.write(tests::answer(200, "ok"));
    });
    const Outcome outcome = try_send({.url = server.url("/v1/a%20b?c=d"), .headers = {{"X-A", "b c"}}, .method = "GET"});
    CHECK(outcome.response.body == "ok");
  }

  CHECK(seen.starts_with("GET /v1/a%20b?c=d HTTP/1.1\r\n"));
  CHECK(contains(seen, "X-A: b c\r\n"));
  CHECK(contains(seen, "Accept-Encoding: identity\r\n"));
}

TEST_CASE("HttpsTransport uses one connection again, and a new one after the server has closed it") {
  tests::Server patient(tests::echo);
  tests::Server hasty([](tests::Peer& peer) {
    peer.read_request();
    peer.write(tests::answer(200, "x"));
  });
  const rag::HttpsTransport transport;
  const rag::HttpsTransport copy = transport;

  for (int i = 0; i < 3; ++i) {
    CAPTURE(i);
    CHECK((i % 2 ? copy : transport)({.url = patient.url("/200"), .body = "x"}).body == "x");
    CHECK(transport({.url = hasty.url()}).body == "x");
    hasty.wait_for_end();
  }

  CHECK(patient.connections() == 1);
  CHECK(hasty.connections() == 3);
}

TEST_CASE("A kept connection that ends just when it is used again costs a GET nothing; a POST is not sent twice") {
  tests::Server server([](tests::Peer& peer) {
    peer.read_request();
    peer.write(tests::answer(200, "x"));
    peer.read_request();
  });
  const rag::HttpsTransport transport;

  for (int i = 0; i < 3; ++i) CHECK(transport({.url = server.url(), .method = "GET"}).body == "x");
  CHECK(server.connections() == 3);

  const Outcome outcome = try_send({.url = server.url(), .body = "x"}, transport);
  CHECK(outcome.code == rag::Errc::transport);
  CHECK(server.connections() == 3);
}

TEST_CASE("A GET on a kept connection is repeated once, and never after a part of an answer") {
  std::atomic<int> count = 0;
  tests::Server ends([&](tests::Peer& peer) {
    if (count++ > 0) return;
    peer.read_request();
    peer.write(tests::answer(200, "x"));
    peer.read_request();
  });
  tests::Server breaks([](tests::Peer& peer) {
    peer.read_request();
    peer.write(tests::answer(200, "x"));
    peer.read_request();
    peer.write("HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\nab");
  });
  for (tests::Server* server : {&ends, &breaks}) {
    const rag::HttpsTransport transport;
    CHECK(transport({.url = server->url(), .method = "GET"}).body == "x");
    CHECK(try_send({.url = server->url(), .method = "GET"}, transport).code == rag::Errc::transport);
    CHECK(server->connections() == (server == &ends ? 2u : 1u));
  }
}

TEST_CASE("HttpsTransport serves several threads at once") {
  tests::Server server(tests::echo);
  const rag::HttpsTransport transport;
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;

  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 10; ++i) {
        const std::string body = std::to_string(t * 100 + i);
        right += transport({.url = server.url("/200"), .body = body}).body == body;
      }
    });
  for (std::thread& thread : threads) thread.join();

  CHECK(right == 40);
  CHECK(server.connections() <= 4);
}

TEST_CASE("A server that drips bytes meets the deadline, in the head and in the body") {
  for (const std::string start : {"HTTP/1.1 200 X\r\nX: ", "HTTP/1.1 200 X\r\nContent-Length: 100000\r\n\r\n",
                                  "HTTP/1.1 200 X\r\n\r\n"}) {
    CAPTURE(start);
    tests::Server server([&](tests::Peer& peer) {
      peer.read_request();
      peer.write(start);
      while (peer.pause(5) && peer.write("x")) {
      }
    });

    const Outcome outcome = try_send({.url = server.url()}, {.deadline = 100ms});

    CHECK(outcome.code == rag::Errc::timeout);
    CHECK(contains(outcome.text, "within 100 ms"));
    CHECK(outcome.time >= 99ms);
    CHECK(outcome.time < 1s);
  }
}

TEST_CASE("A silent server meets the idle timeout before the deadline") {
  for (const std::string start : {"", "HTTP/1.1 200 X\r\nContent-Length: 9\r\n\r\nhalf"}) {
    CAPTURE(start);
    tests::Server server([&](tests::Peer& peer) {
      peer.read_request();
      peer.write(start);
      peer.wait_for_close();
    });

    const Outcome outcome = try_send({.url = server.url()}, {.deadline = 5s, .idle_timeout = 50ms});

    CHECK(outcome.code == rag::Errc::timeout);
    CHECK(contains(outcome.text, "no byte for 50 ms"));
    CHECK(outcome.time < 2s);
  }
}

TEST_CASE("Bytes that keep coming, a stream's comments too, hold the idle timeout off") {
  tests::Server server([](tests::Peer& peer) {
    peer.read_request();
    peer.write("HTTP/1.1 200 X\r\nConnection: close\r\n\r\n");
    for (int i = 0; i < 12 && peer.pause(10); ++i) peer.write(": keep-alive\n\n");
    peer.write("data: x\n\n");
  });

  const Outcome outcome = try_send({.url = server.url()}, {.deadline = 5s, .idle_timeout = 80ms});

  CHECK_FALSE(outcome.failed);
  CHECK(outcome.response.body.ends_with("data: x\n\n"));
}

TEST_CASE("An answer beyond the limit is refused, told or counted, streamed or an error's body") {
  const std::string body(2000, 'x');
  std::string chunked = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (int i = 0; i < 20; ++i) chunked += "64\r\n" + std::string(100, 'x') + "\r\n";
  chunked += "0\r\n\r\n";
  for (const std::string& bytes : {tests::answer(200, body), tests::answer(500, body), "HTTP/1.1 200 X\r\n\r\n" + body,
                                   chunked, std::string("HTTP/1.1 200 X\r\nContent-Length: 99999999999999999999\r\n\r\n")}) {
    CAPTURE(bytes);
    const Outcome outcome = meet(bytes, {.deadline = 2s, .max_body = 1999});
    CHECK(outcome.code == rag::Errc::transport);
    CHECK(contains(outcome.text, "at most 1999 bytes"));
  }
  CHECK(meet(tests::answer(200, body), {.deadline = 2s, .max_body = 2000}).response.body == body);
  CHECK(meet(chunked, {.deadline = 2s, .max_body = 2000}).response.body == body);

  tests::Server server(tests::always(chunked));
  std::size_t received = 0;
  const auto receive = [&](std::string_view piece) { received += piece.size(); };
  CHECK(try_send({.url = server.url(), .receive = receive}, {.deadline = 2s, .max_body = 500}).failed);
  CHECK(received <= 500);
}

TEST_CASE("An endless body ends at the limit, not at the deadline") {
  tests::Server server([](tests::Peer& peer) {
    peer.read_request();
    peer.write("HTTP/1.1 200 X\r\n\r\n");
    const std::string block(65536, 'x');
    while (peer.write(block)) {
    }
  });

  const Outcome outcome = try_send({.url = server.url()}, {.deadline = 30s, .max_body = 1 << 20});

  CHECK(outcome.code == rag::Errc::transport);
  CHECK(outcome.time < 10s);
}

TEST_CASE("A redirect is not followed, and only the other origin is named") {
  tests::Server target(tests::echo);
  for (const int status : {301, 302, 303, 307, 308}) {
    CAPTURE(status);
    const Outcome outcome =
        meet(tests::answer(status, "", "Location: " + target.url("/200?key=secret") + "\r\n"));
    CHECK(outcome.code == rag::Errc::transport);
    CHECK(contains(outcome.text, "redirects to http://127.0.0.1:" + std::to_string(target.port())));
    CHECK_FALSE(contains(outcome.text, "secret"));
  }
  CHECK(contains(meet(tests::answer(307, "", "Location: /elsewhere\r\n")).text, "another path"));
  CHECK(target.connections() == 0);
  CHECK(meet("HTTP/1.1 304 X\r\n\r\n").response.status == 304);
}

TEST_CASE("A truncated, reset or unclear answer is a transport error") {
  const std::vector<std::string> answers = {
      "",
      "HTTP/1.1 200 X\r\nContent-Le",
      "HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\nhalf",
      "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf",
      "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n-2\r\nxx",
      "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nxx",
      "HTTP/1.1 200 X\r\nContent-Length: abc\r\n\r\nx",
      "HTTP/1.1 200 X\r\nContent-Length: -1\r\n\r\nx",
      "HTTP/1.1 200 X\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
      "HTTP/1.1 200 X\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx",
      "HTTP/1.1 103 X\r\n\r\nHTTP/1.1 200 X\r\nContent-Length: 1\r\n\r\nx",
      std::string("\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x7f", 15),
      "garbage\r\n\r\n",
      "HTTP/1.1 abc X\r\n\r\n",
      "HTTP/1.1 200 X\r\nX: " + std::string(1 << 20, 'x') + "\r\n\r\n",
  };
  for (const std::string& bytes : answers) {
    CAPTURE(bytes.substr(0, 80));
    const Outcome outcome = meet(bytes);
    CHECK(outcome.failed);
    CHECK(outcome.code == rag::Errc::transport);
    CHECK(outcome.text.starts_with("HttpsTransport: http://127.0.0.1:"));
    CHECK(outcome.time < 1s);
  }

  tests::Server resetting([](tests::Peer& peer) {
    peer.read_request();
    peer.write("HTTP/1.1 200 X\r\nContent-Length: 10\r\n\r\nhalf");
    peer.reset_on_close();
  });
  CHECK(try_send({.url = resetting.url()}).code == rag::Errc::transport);
}

TEST_CASE("Equal lengths, many headers and a body without a length are accepted; too many headers are not") {
  CHECK(meet("HTTP/1.1 200 X\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx").response.body == "x");
  CHECK(meet("HTTP/1.1 200 X\r\n\r\nwhole").response.body == "whole");
  const auto many = [](int count) {
    std::string headers;
    for (int i = 0; i < count; ++i) headers += "X-" + std::to_string(i) + ": v\r\n";
    return "HTTP/1.1 200 X\r\nContent-Length: 1\r\n" + headers + "\r\nx";
  };
  CHECK(meet(many(90)).response.headers.size() == 91);
  CHECK(meet(many(5000)).code == rag::Errc::transport);
}

TEST_CASE("A header with a line end smuggled into it is left out") {
  const Outcome outcome = meet(tests::answer(200, "x", "X-A: a%0d%0aX-B: b\r\nX-C: c\r\n"));

  for (const auto& header : outcome.response.headers) {
    CAPTURE(header.first);
    CHECK(header.second.find_first_of("\r\n") == std::string::npos);
  }
  CHECK(outcome.response.body == "x");
}

TEST_CASE("A connection that nobody accepts is a transport error") {
  int port = 0;
  {
    tests::Server server(tests::echo);
    port = server.port();
  }

  const Outcome outcome = try_send({.url = "http://127.0.0.1:" + std::to_string(port)});

  CHECK(outcome.code == rag::Errc::transport);
}

TEST_CASE("A callback may stop the answer, and what it throws comes out") {
  tests::Server server([](tests::Peer& peer) {
    peer.read_request();
    peer.write("HTTP/1.1 200 X\r\n\r\n");
    while (peer.write("piece")) {
    }
  });
  int calls = 0;
  const auto stop = [&](std::string_view) { return ++calls < 3; };
  const auto burst = [](std::string_view) { throw std::out_of_range("mine"); };

  const Outcome outcome = try_send({.url = server.url(), .receive = stop});

  CHECK(outcome.code == rag::Errc::cancelled);
  CHECK(calls == 3);
  CHECK_THROWS_AS(rag::HttpsTransport{}({.url = server.url(), .receive = burst}), std::out_of_range);
}

TEST_CASE("A request that would leak or break out of its lines is refused before any connection") {
  tests::Server server(tests::echo);
  const std::string here = server.url("/200");
  const std::string there = "http://192.0.2.1";  // kept for documentation, nobody is there
  const std::string key = "canary-key-12345";
  const std::vector<rag::Request> requests = {
      {.url = here, .headers = {{"Authorization", "Bearer " + key + "\n"}}},
      {.url = here, .headers = {{"X-A", "a\r\nX-B: b"}}},
      {.url = here, .headers = {{"X-A", std::string("a\0b", 3)}}},
      {.url = here, .headers = {{"X-A\r\nX-B", "b"}}},
      {.url = here, .headers = {{"", "b"}}},
      {.url = here, .headers = {{"content-length", "1"}}},
      {.url = here, .headers = {{"Host", "example.org"}}},
      {.url = here, .method = "DELETE\r\n"},
      {.url = there, .headers = {{"authorization", "Bearer " + key}}},
      {.url = there, .headers = {{"api-key", key}}},
      {.url = there, .headers = {{"X-Api-Key", key}}},
      {.url = "http://127.0.0.1.example.org", .headers = {{"Authorization", key}}},
      {.url = "http://localhost.example.org", .headers = {{"Authorization", key}}},
      {.url = "http://user:" + key + "@127.0.0.1"},
      {.url = "ftp://127.0.0.1"},
  };

  for (const rag::Request& request : requests) {
    CAPTURE(request.url);
    const Outcome outcome = try_send(request);
    CHECK(outcome.failed);
    CHECK(outcome.code == rag::Errc::invalid_argument);
    CHECK_FALSE(contains(outcome.text, key));
    CHECK(outcome.time < 50ms);
  }
  CHECK(server.connections() == 0);
  CHECK(try_send({.url = here, .headers = {{"Authorization", "Bearer " + key}}, .body = "x"}).response.body == "x");
}

TEST_CASE("Times of nothing are refused") {
  CHECK_THROWS_AS(rag::HttpsTransport({.deadline = 0ms}), rag::Error);
  CHECK_THROWS_AS(rag::HttpsTransport({.connect_timeout = -1ms}), rag::Error);
}

TEST_CASE("Request::head sees status and headers before the body, gets redirects, and may stop the answer") {
  tests::Server server(tests::always(tests::answer(200, "body", "X-A: b\r\n")));
  std::string order;
  const auto see = [&](const rag::Response& head) { order += std::to_string(head.status) + std::to_string(head.headers.size()) + " "; };
  const auto take = [&](std::string_view piece) { order += piece; };
  CHECK(!try_send({.url = server.url(), .method = "GET", .receive = take, .head = see}).failed);
  CHECK(order == "2002 body");

  const auto stop = [](const rag::Response&) { return false; };
  CHECK(try_send({.url = server.url(), .method = "GET", .head = stop}).code == rag::Errc::cancelled);

  tests::Server elsewhere(tests::always(tests::answer(302, "", "Location: https://example.com/\r\n")));
  CHECK(try_send({.url = elsewhere.url(), .method = "GET"}).code == rag::Errc::transport);
  const Outcome outcome = try_send({.url = elsewhere.url(), .method = "GET", .head = see});
  CHECK(!outcome.failed);
  CHECK(outcome.response.status == 302);
}
