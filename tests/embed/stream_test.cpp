// SPDX-License-Identifier: MIT
#include <rag/embed/stream.hpp>

#include <rag/embed/hashing.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::vector<std::string> some_texts(std::size_t count) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) texts.push_back("text " + std::to_string(i * i) + " of " + std::to_string(i));
  return texts;
}

struct ShortEmbedder {
  std::size_t dimension() const { return 2; }
  rag::Matrix embed(std::span<const std::string_view> texts) const { return {texts.size() - 1, 2}; }
};

}  // namespace

TEST_CASE("a stream of batches gives the rows of one call, in order, whatever the batch") {
  const std::vector<std::string> texts = some_texts(23);
  rag::HashingEmbedder embedder;
  const rag::Matrix wanted = embedder.embed(std::vector<std::string_view>(texts.begin(), texts.end()));
  for (const std::size_t batch : {1u, 2u, 22u, 23u, 24u, 1000u}) {
    CAPTURE(batch);
    std::size_t at = 0, batches = 0, taken = 0;
    const auto next = [&]() -> std::optional<std::string> {
      if (at == texts.size()) return std::nullopt;
      return texts[at++];
    };
    const std::size_t total = rag::embed_stream(embedder, next, [&](std::span<const std::string> some, const rag::Matrix& vectors) {
      CHECK(some.size() <= batch);
      CHECK(at <= taken + batch);
      for (std::size_t i = 0; i < some.size(); ++i, ++taken) {
        CHECK(some[i] == texts[taken]);
        CHECK(std::ranges::equal(vectors.row(i), wanted.row(taken)));
      }
      ++batches;
    }, batch);
    CHECK(total == 23);
    CHECK(taken == 23);
    CHECK(batches == (23 + batch - 1) / batch);
  }
}

TEST_CASE("a stream without texts calls no sink, and what is thrown ends it") {
  rag::HashingEmbedder embedder;
  const auto none = []() -> std::optional<std::string> { return std::nullopt; };
  const auto forever = []() -> std::optional<std::string> { return "again"; };
  std::size_t calls = 0;
  const auto count = [&](std::span<const std::string>, const rag::Matrix&) { ++calls; };
  CHECK(rag::embed_stream(embedder, none, count) == 0);
  CHECK(calls == 0);
  const auto third = [&](std::span<const std::string>, const rag::Matrix&) {
    if (++calls == 3) throw std::runtime_error("full");
  };
  CHECK_THROWS_WITH_AS(rag::embed_stream(embedder, forever, third, 2), "full", std::runtime_error);
  CHECK(calls == 3);
  CHECK_THROWS_AS(rag::embed_stream(embedder, none, count, 0), rag::Error);
  ShortEmbedder wrong;
  CHECK_THROWS_AS(rag::embed_stream(wrong, forever, count, 4), rag::Error);
}
