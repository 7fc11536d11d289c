// SPDX-License-Identifier: MIT
#include <rag/chunk/recursive.hpp>
#include <rag/concepts.hpp>

#include "corpus.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace {

std::vector<std::string> texts(const std::vector<rag::Chunk>& chunks) {
  std::vector<std::string> result;
  for (const rag::Chunk& chunk : chunks) result.push_back(chunk.text);
  return result;
}

/// Like a model's tokenizer: pieces of at most 3 bytes of a word, and 2 tokens around every text.
struct ToyTokens {
  std::size_t operator()(std::string_view text) const {
    std::size_t count = 2, run = 0;
    for (const char c : text) {
      run = c == ' ' || c == '\n' ? 0 : run + 1;
      count += run % 3 == 1;
    }
    return count;
  }
};

struct NotALength {
  std::string operator()(std::string_view text) const;
};

static_assert(rag::Chunker<rag::RecursiveChunker<>>);
static_assert(rag::Chunker<rag::RecursiveChunker<ToyTokens>>);
static_assert(rag::detail::is_length<ToyTokens>);
static_assert(!rag::detail::is_length<NotALength>);

const std::string english =
    "A river has a source.\n\nIt runs downhill. Where does it end? At the sea!\nSmall ones end in larger ones; some "
    "dry up on the way.\n\n  Deltas are flat, and lakes are deep.  \n\n\nNoSpacesInThisVeryLongWordAtAll";
const std::string chinese = "河流有源头。它向低处流，最后入海。有的河流很长、很宽！你见过吗？见过。";
const std::vector<std::string> plain = {"\n\n", "\n", " ", ""};
const std::vector<std::string> stops = {"\n\n", "\n", ".", "?", "!", " ", ""};
const std::vector<std::string> wide_stops = {"\n\n", "\n", "。", "！", "？", "，", "、", " ", ""};

}  // namespace

TEST_CASE("RecursiveChunker gives what langchain-text-splitters 1.1.3 gives") {
  struct Recorded {
    std::string text;
    std::vector<std::string> separators;
    std::size_t size, overlap;
    std::vector<std::string> chunks;
  };
  const Recorded recorded[] = {
    {english, plain, 40, 0,
       {"A river has a source.", "It runs downhill. Where does it end? At", "the sea!",
        "Small ones end in larger ones; some dry", "up on the way.", "Deltas are flat, and lakes are deep.",
        "NoSpacesInThisVeryLongWordAtAll"}},
    {english, plain, 40, 20,
       {"A river has a source.", "It runs downhill. Where does it end? At", "does it end? At the sea!",
        "Small ones end in larger ones; some dry", "ones; some dry up on the way.",
        "Deltas are flat, and lakes are deep.", "lakes are deep.", "NoSpacesInThisVeryLongWordAtAll"}},
    {english, stops, 30, 10,
       {"A river has a source.", "It runs downhill", ". Where does it end", "? At the sea!",
        "Small ones end in larger", "in larger ones; some dry up", "dry up on the way", ".",
        "Deltas are flat, and lakes", "and lakes are deep", ".", "NoSpacesInThisVeryLongWordAtA", "ongWordAtAll"}},
    {english, stops, 12, 4,
       {"A river has", "has a", "a source", ".", "It runs", "downhill", ". Where does", "it end", "? At the sea",
        "!", "Small ones", "end in", "in larger", "ones; some", "dry up on", "on the way", ".", "Deltas",
        "are flat,", "and lakes", "are deep", ".", "NoSpacesInT", "sInThisVeryL", "eryLongWordA", "ordAtAll"}},
    {chinese, wide_stops, 10, 4,
       {"河流有源头", "。它向低处流", "，最后入海", "。有的河流很长、很宽", "！你见过吗？见过", "。"}},
    {chinese, plain, 10, 3,
       {"河流有源头。它向低处", "向低处流，最后入海。", "入海。有的河流很长、", "很长、很宽！你见过吗", "见过吗？见过。"}},
  };
  for (const Recorded& entry : recorded) {
    CAPTURE(entry.text);
    CAPTURE(entry.size);
    CAPTURE(entry.separators.size());
    const rag::RecursiveChunker chunker{
        {.size = entry.size, .overlap = entry.overlap, .separators = entry.separators, .stops_close = false}};
    CHECK(texts(chunker.chunk({"", entry.text})) == entry.chunks);
  }
}

TEST_CASE("RecursiveChunker leaves a stop with its sentence") {
  CHECK(texts(rag::RecursiveChunker{{.size = 30}}.chunk({"", english})) ==
        std::vector<std::string>{"A river has a source.", "It runs downhill.", "Where does it end? At the sea!",
                                 "Small ones end in larger", "ones; some dry up on the way.",
                                 "Deltas are flat, and lakes", "are deep.", "NoSpacesInThisVeryLongWordAtA", "ll"});
  CHECK(texts(rag::RecursiveChunker{{.size = 10}}.chunk({"", chinese})) ==
        std::vector<std::string>{"河流有源头。", "它向低处流，", "最后入海。", "有的河流很长、很宽！", "你见过吗？见过。"});
}

TEST_CASE("RecursiveChunker knows the wide and the narrow stops, and words between zero-width spaces") {
  CHECK(texts(rag::RecursiveChunker{{.size = 4}}.chunk({"", "第一句．第二句｡第三句；四"})) ==
        std::vector<std::string>{"第一句．", "第二句｡", "第三句；", "四"});
  CHECK(texts(rag::RecursiveChunker{{.size = 6}}.chunk({"", "ខ្ញុំ\u200bចង់\u200bទៅ ផ្សារ"})) ==
        std::vector<std::string>{"ខ្ញុំ", "\u200bចង់", "\u200bទៅ", "ផ្សារ"});
}

TEST_CASE("RecursiveChunker gives spans of the document, its id and its metadata") {
  const auto chunks = rag::RecursiveChunker{{.size = 8}}.chunk({"a", "\xEF\xBB\xBFone two\n\n three ", {{"n", 1}}});

  REQUIRE(chunks.size() == 2);
  CHECK(chunks[0] == rag::Chunk{"one two", "a", 3, 10, {{"n", 1}}});
  CHECK(chunks[1] == rag::Chunk{"three", "a", 13, 18, {{"n", 1}}});
}

TEST_CASE("RecursiveChunker leaves out all white space of Unicode around a chunk, and none within") {
  const rag::RecursiveChunker chunker{{.size = 20}};

  CHECK(texts(chunker.chunk({"", "\u00a0\u3000\u2003\u2029\x1f\tx\u3000\u00a0\ty \u0085\u202f\u1680\r\n"})) ==
        std::vector<std::string>{"x\u3000\u00a0\ty"});
  CHECK(texts(chunker.chunk({"", "\u200bzero width\u200b"})) == std::vector<std::string>{"\u200bzero width\u200b"});
}

TEST_CASE("RecursiveChunker takes CRLF for a line end") {
  const rag::RecursiveChunker chunker{{.size = 14, .separators = {"\n\n", " "}}};

  CHECK(texts(chunker.chunk({"", "one two three\r\n\r\nfour five\r\n\r\nsix"})) ==
        std::vector<std::string>{"one two three", "four five", "six"});
  CHECK(texts(chunker.chunk({"", "one two three\n\nfour five\n\nsix"})) ==
        std::vector<std::string>{"one two three", "four five", "six"});
}

TEST_CASE("RecursiveChunker leaves whole what no separator can cut") {
  CHECK(texts(rag::RecursiveChunker{{.size = 4, .separators = {"\n\n", "\n"}}}.chunk({"", "a\n\n too long \nb"})) ==
        std::vector<std::string>{"a", "too long", "b"});
}

TEST_CASE("RecursiveChunker merges by tokens up to the size, though tokens do not add up") {
  const rag::RecursiveChunker chunker{{.size = 6}, ToyTokens{}};

  CHECK(texts(chunker.chunk({"", "one two six ten abcdef gh i jklmnopqrstuvwxyz"})) ==
        std::vector<std::string>{"one two six ten", "abcdef gh i", "jklmnopqrstu", "vwxyz"});
}

TEST_CASE("RecursiveChunker takes a lambda that refers to its surroundings") {
  std::size_t calls = 0;
  const rag::RecursiveChunker chunker{{.size = 3}, [&](std::string_view text) { return ++calls, text.size(); }};

  CHECK(texts(chunker.chunk({"", "ab cd"})) == std::vector<std::string>{"ab", "cd"});
  CHECK(calls > 0);
}

TEST_CASE("RecursiveChunker refuses options that make no sense") {
  CHECK_THROWS_WITH_AS(rag::RecursiveChunker({.size = 5, .overlap = 6}),
                       "RecursiveChunker: an overlap of at most the size 5 wanted, 6 given", rag::Error);
  CHECK_THROWS_AS(rag::RecursiveChunker({.size = 0}), rag::Error);
  CHECK_THROWS_AS(rag::RecursiveChunker({.separators = {}}), rag::Error);
  CHECK_THROWS_AS(rag::RecursiveChunker({.separators = {"\xE3\x80"}}), rag::Error);
}

TEST_CASE("RecursiveChunker measures little more than it takes") {
  std::size_t measured = 0;
  const rag::RecursiveChunker chunker{
      {.size = 200, .overlap = 50}, [&](std::string_view text) { return measured += text.size(), text.size(); }};
  const std::string text(1 << 20, 'a');

  CHECK(chunker.chunk({"", text}).size() == 6991);
  CHECK(measured < 60 * text.size());
}

TEST_CASE("RecursiveChunker keeps the laws, its size and everything but white space") {
  for (const auto& options : {rag::RecursiveOptions{.size = 1}, rag::RecursiveOptions{.size = 40, .overlap = 20},
                              rag::RecursiveOptions{.size = 250}, rag::RecursiveOptions{}}) {
    CAPTURE(options.size);
    const rag::RecursiveChunker chunker{options};
    tests::for_each_document([&](const rag::Document& document) {
      if (options.size < 100 && document.text.size() > 2000) return;
      laws::check_chunker(chunker, document);
      const auto chunks = chunker.chunk(document);
      CHECK(tests::loses_only_white_space(document, chunks));
      CHECK(std::all_of(chunks.begin(), chunks.end(),
                        [&](const auto& chunk) { return rag::CodePointLength{}(chunk.text) <= options.size; }));
    });
  }
}

TEST_CASE("RecursiveChunker keeps the laws and its size in tokens") {
  const rag::RecursiveChunker chunker{{.size = 60, .overlap = 30}, ToyTokens{}};
  tests::for_each_document([&](const rag::Document& document) {
    laws::check_chunker(chunker, document);
    const auto chunks = chunker.chunk(document);
    CHECK(tests::loses_only_white_space(document, chunks));
    CHECK(std::all_of(chunks.begin(), chunks.end(), [](const auto& chunk) { return ToyTokens{}(chunk.text) <= 60; }));
  });
}
