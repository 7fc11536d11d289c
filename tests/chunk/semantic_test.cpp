// SPDX-License-Identifier: MIT
#include <rag/chunk/semantic.hpp>
#include <rag/embed/hashing.hpp>

#include "corpus.hpp"

#include <algorithm>
#include <cstddef>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Strings = std::vector<std::string>;

/// A direction a first letter, so a test can say which pieces are alike.
struct LetterEmbedder {
  std::size_t calls = 0;
  std::size_t dimension() const { return 26; }
  rag::Matrix embed(std::span<const std::string_view> texts) {
    ++calls;
    rag::Matrix vectors(texts.size(), 26);
    for (std::size_t i = 0; i < texts.size(); ++i) vectors.row(i)[static_cast<std::size_t>(texts[i][0] - 'a') % 26] = 1;
    return vectors;
  }
};

/// Rows given by a seed: nothing is like anything.
struct RandomEmbedder {
  std::size_t dimension() const { return 4; }
  rag::Matrix embed(std::span<const std::string_view> texts) const {
    rag::Matrix vectors(texts.size(), 4);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      std::mt19937 random(
          static_cast<unsigned>(texts[i].size() * 7919 + static_cast<unsigned char>(texts[i][0]) * 31 + i));
      for (float& value : vectors.row(i)) value = static_cast<float>(random() % 2001) / 1000 - 1;
    }
    return vectors;
  }
};

struct NoRows {
  std::size_t dimension() const { return 1; }
  rag::Matrix embed(std::span<const std::string_view>) const { return {0, 1}; }
};

static_assert(rag::Chunker<rag::SemanticChunker<LetterEmbedder>>);

Strings texts(const std::vector<rag::Chunk>& chunks) {
  Strings result;
  for (const rag::Chunk& chunk : chunks) result.push_back(chunk.text);
  return result;
}

/// The largest sum over all ways to cut, by trying every one.
double best_of_all(const rag::Matrix& vectors, std::size_t most, std::vector<std::size_t>& lengths) {
  const std::size_t n = vectors.rows();
  const auto similarity = [&](std::size_t a, std::size_t b) {
    double sum = 0;
    for (std::size_t j = 0; j < vectors.columns(); ++j)
      sum += static_cast<double>(vectors.row(a)[j]) * static_cast<double>(vectors.row(b)[j]);
    return sum;
  };
  double mean = 0;
  for (std::size_t a = 0; a < n; ++a)
    for (std::size_t b = a + 1; b < n; ++b)
      mean += similarity(a, b) / (static_cast<double>(n) * static_cast<double>(n - 1) / 2);
  double best = -1e300;
  for (unsigned cuts = 0; cuts < 1u << (n - 1); ++cuts) {
    std::vector<std::size_t> now;
    double sum = 0;
    for (std::size_t first = 0, last = 0; first < n; first = last) {
      for (last = first + 1; last < n && (cuts >> (last - 1) & 1) == 0;) ++last;
      now.push_back(last - first);
      for (std::size_t a = first; a < last; ++a)
        for (std::size_t b = a + 1; b < last; ++b) sum += similarity(a, b) - mean;
    }
    if (*std::max_element(now.begin(), now.end()) <= most && sum > best) best = sum, lengths = now;
  }
  return best;
}

}  // namespace

TEST_CASE("SemanticChunker puts neighbours together that are alike, at most size / piece of them") {
  LetterEmbedder embedder;
  const rag::SemanticChunker chunker{embedder, {.size = 15, .piece = 5}};

  const auto chunks = chunker.chunk({"a", "aaaa aaaa bbbb bbbb bbbb bbbb cccc", {{"n", 1}}});

  CHECK(texts(chunks) == Strings{"aaaa aaaa", "bbbb bbbb bbbb", "bbbb", "cccc"});
  CHECK(chunks[0] == rag::Chunk{"aaaa aaaa", "a", 0, 9, {{"n", 1}}});
  CHECK(embedder.calls == 1);
  CHECK(chunker.chunk({"", " \n "}).empty());
  CHECK(embedder.calls == 1);
}

TEST_CASE("SemanticChunker joins no pieces that are unlike, at the start of a text least of all") {
  LetterEmbedder embedder;

  CHECK(texts(rag::SemanticChunker{embedder, {.size = 25, .piece = 5}}.chunk({"", "aaaa bbbb cccc dddd eeee"})) ==
        Strings{"aaaa", "bbbb", "cccc", "dddd", "eeee"});
  CHECK(texts(rag::SemanticChunker{embedder, {.size = 25, .piece = 5}}.chunk({"", "aaaa aaaa"})) ==
        Strings{"aaaa", "aaaa"});
}

TEST_CASE("SemanticChunker keeps to the size where pieces do not add up") {
  LetterEmbedder embedder;
  const auto sum_of_squares = [](std::string_view text) { return text.size() * text.size(); };

  // Three pieces of 9 by their number, but two together are 49.
  CHECK(texts(rag::SemanticChunker{embedder, {.size = 30, .piece = 9}, sum_of_squares}.chunk({"", "aaa aaa bbb"})) ==
        Strings{"aaa", "aaa", "bbb"});
}

TEST_CASE("SemanticChunker puts size / piece pieces together at most, even where more would fit") {
  LetterEmbedder embedder;
  const rag::SemanticChunker two{embedder, {.size = 20, .piece = 10}};  // three pieces of 6 are 20
  CHECK(texts(two.chunk({"", "aaaaaa aaaaaa aaaaaa bbbbbb"})) == Strings{"aaaaaa aaaaaa", "aaaaaa", "bbbbbb"});
}

TEST_CASE("SemanticChunker finds the best of all ways to cut") {
  RandomEmbedder embedder;
  for (std::size_t n = 3; n <= 12; ++n) {
    CAPTURE(n);
    std::string text;
    std::vector<std::string> words;
    for (std::size_t i = 0; i < n; ++i)
      words.push_back(std::string(4, static_cast<char>('a' + i))), text += words.back() + ' ';
    const std::vector<std::string_view> views(words.begin(), words.end());
    std::vector<std::size_t> wanted, given;
    best_of_all(embedder.embed(views), 4, wanted);

    for (const rag::Chunk& chunk : rag::SemanticChunker{embedder, {.size = 20, .piece = 5}}.chunk({"", text}))
      given.push_back((chunk.text.size() + 1) / 5);

    CHECK(given == wanted);
  }
}

TEST_CASE("SemanticChunker refuses options and embedders that make no sense") {
  LetterEmbedder embedder;
  CHECK_THROWS_WITH_AS((rag::SemanticChunker{embedder, {.size = 5, .piece = 6}}),
                       "SemanticChunker: a piece of 1 to the size 5 wanted, 6 given", rag::Error);
  CHECK_THROWS_AS((rag::SemanticChunker{embedder, {.piece = 0}}), rag::Error);
  NoRows none;
  CHECK_THROWS_WITH_AS(rag::SemanticChunker{none}.chunk({"", "text"}),
                       "SemanticChunker: 1 rows wanted from the embedder, 0 given", rag::Error);
}
