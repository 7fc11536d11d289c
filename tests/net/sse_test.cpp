// SPDX-License-Identifier: MIT
#include <rag/net/sse.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using Events = std::vector<std::pair<std::string, std::string>>;

Events events_of(const std::vector<std::string_view>& pieces) {
  Events events;
  rag::SseParser parser;
  for (const std::string_view piece : pieces)
    parser.feed(piece, [&](const rag::ServerSentEvent& event) { return events.emplace_back(event.name, event.data), true; });
  return events;
}

struct Case {
  std::string_view bytes;
  Events events;
};

const Case cases[] = {
    {"data: a\n\ndata: b\n\n", {{"", "a"}, {"", "b"}}},
    {"data: a\r\n\r\ndata: b\r\n\r\n", {{"", "a"}, {"", "b"}}},
    {"data: a\r\rdata: b\r\r", {{"", "a"}, {"", "b"}}},
    {"data: a\r\ndata: b\r\n\r\n", {{"", "a\nb"}}},
    {"data: a\r\n\ndata: b\n\r\n", {{"", "a"}, {"", "b"}}},
    {"data:a\n\ndata:  b\n\n", {{"", "a"}, {"", " b"}}},
    {"data: a\ndata: b\ndata\ndata:\n\n", {{"", "a\nb\n\n"}}},
    {"data\n\n", {{"", ""}}},
    {": comment\n\n: PROCESSING\n:\n\ndata: a\n: inside\n\n:\n", {{"", "a"}}},
    {"event: delta\nid: 7\nretry: 10\nunknown: x\ndata: a\n\ndata: b\n\n", {{"delta", "a"}, {"", "b"}}},
    {"event: lost\n\ndata: a\n\n", {{"", "a"}}},
    {"\xEF\xBB\xBF" "data: a\n\n\xEF\xBB\xBF" "data: b\n\n", {{"", "a"}}},
    {"data: \xF0\x9F\x98\x80\xC3\xA9\n\n", {{"", "\xF0\x9F\x98\x80\xC3\xA9"}}},
    {"data: {\"a\": \"b:c\"}\n\n", {{"", "{\"a\": \"b:c\"}"}}},
    {"\n\n\r\n\rdata: a\n\n\n\n", {{"", "a"}}},
    {"data: whole\n\ndata: cut off\n", {{"", "whole"}}},
    {"", {}},
};

}  // namespace

TEST_CASE("A stream gives its events, wherever it is cut in two or in three") {
  for (const Case& one : cases) {
    const auto& bytes = one.bytes;
    CAPTURE(bytes);
    CHECK(events_of({bytes}) == one.events);
    for (std::size_t i = 0; i <= bytes.size(); ++i)
      for (std::size_t j = i; j <= bytes.size(); ++j) {
        CAPTURE(i);
        CAPTURE(j);
        if (events_of({bytes.substr(0, i), bytes.substr(i, j - i), bytes.substr(j)}) != one.events) FAIL_CHECK("other events");
      }
  }
}

TEST_CASE("A stream gives its events when it comes byte by byte") {
  for (const Case& one : cases) {
    const auto& bytes = one.bytes;
    CAPTURE(bytes);
    std::vector<std::string_view> pieces;
    for (std::size_t i = 0; i < bytes.size(); ++i) pieces.push_back(bytes.substr(i, 1));
    CHECK(events_of(pieces) == one.events);
  }
}

TEST_CASE("An event, a line or a comment beyond the limit is an error, and many events within it are none") {
  const auto take = [](const rag::ServerSentEvent&) { return true; };
  for (const std::string start : {"data: ", ": ", "", "event: ", "data: x\ndata: "}) {
    CAPTURE(start);
    rag::SseParser parser(100);
    parser.feed(start, take);
    CHECK_THROWS_AS(for (int i = 0; i < 11; ++i) parser.feed("0123456789", take), rag::Error);
  }
  rag::SseParser lines(100);
  CHECK_THROWS_AS(for (int i = 0; i < 30; ++i) lines.feed("data: abc\n", take), rag::Error);

  rag::SseParser parser(100);
  int count = 0;
  for (int i = 0; i < 100; ++i) parser.feed("data: 0123456789\n\n: comment\n\n", [&](const auto&) { return ++count > 0; });
  CHECK(count == 100);
}

TEST_CASE("A receiver that wants no more ends the feeding") {
  rag::SseParser parser;
  int count = 0;

  const bool more = parser.feed("data: a\n\ndata: b\n\ndata: c\n\n", [&](const auto&) { return ++count < 2; });

  CHECK_FALSE(more);
  CHECK(count == 2);
}
