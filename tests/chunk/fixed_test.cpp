// SPDX-License-Identifier: MIT
#include <rag/chunk/fixed.hpp>
#include <rag/chunk/tokens.hpp>
#include <rag/concepts.hpp>

#include "corpus.hpp"

#include <string>
#include <string_view>
#include <vector>

static_assert(rag::Chunker<rag::FixedChunker<>>);

namespace {

std::vector<std::string> texts(const std::vector<rag::Chunk>& chunks) {
  std::vector<std::string> result;
  for (const rag::Chunk& chunk : chunks) result.push_back(chunk.text);
  return result;
}

std::size_t count_bytes(std::string_view text) { return text.size(); }

/// Pieces of at most 3 bytes of a word, and 2 special tokens.
struct ToyEmbedder {
  std::size_t count_tokens(std::string_view text) const {
    std::size_t count = 2, run = 0;
    for (const char c : text) {
      run = c == ' ' ? 0 : run + 1;
      count += run % 3 == 1;
    }
    return count;
  }
  std::size_t max_tokens() const { return 5; }
};

}  // namespace

TEST_CASE("FixedChunker gives windows of the size, the last one shorter") {
  const rag::FixedChunker chunker{{.size = 4, .overlap = 1}};

  const auto chunks = chunker.chunk({"a.txt", "abcdefghi", {{"n", 1}}});

  REQUIRE(texts(chunks) == std::vector<std::string>{"abcd", "defg", "ghi"});
  CHECK(chunks[1] == rag::Chunk{"defg", "a.txt", 3, 7, {{"n", 1}}});
}

TEST_CASE("FixedChunker gives no last window that lies within the one before") {
  CHECK(texts(rag::FixedChunker{{.size = 4, .overlap = 3}}.chunk({"", "abcde"})) ==
        std::vector<std::string>{"abcd", "bcde"});
  CHECK(texts(rag::FixedChunker{{.size = 5, .overlap = 3}}.chunk({"", "abcde"})) == std::vector<std::string>{"abcde"});
}

TEST_CASE("FixedChunker counts code points and cuts between them") {
  CHECK(texts(rag::FixedChunker{{.size = 2}}.chunk({"", "é文😀a b"})) == std::vector<std::string>{"é文", "😀a", " b"});
}

TEST_CASE("FixedChunker leaves a byte order mark out") {
  const auto chunks = rag::FixedChunker{{.size = 2}}.chunk({"", "\xEF\xBB\xBF" "abc"});

  REQUIRE(chunks.size() == 2);
  CHECK(chunks[0].begin == 3);
  CHECK(chunks[0].text == "ab");
}

TEST_CASE("FixedChunker fills windows by another length, a too long character alone") {
  const rag::FixedChunker chunker{{.size = 3, .overlap = 1}, count_bytes};

  CHECK(texts(chunker.chunk({"", "abcd😀文é"})) == std::vector<std::string>{"abc", "cd", "😀", "文", "é"});
}

TEST_CASE("FixedChunker gives windows in an embedder's tokens, cut between characters") {
  const ToyEmbedder embedder;
  const rag::FixedChunker windows{{.size = 5, .overlap = 3}, rag::TokenLength{embedder}};

  // Two tokens are special: three pieces of three bytes a window, one of them shared.
  CHECK(texts(windows.chunk({"", "abc def ghi jkl"})) == std::vector<std::string>{"abc def ghi ", " ghi jkl"});
  CHECK(texts(windows.chunk({"", "文字列の話"})) == std::vector<std::string>{"文字列", "列の話"});
}

TEST_CASE("FixedChunker counts a few times what it takes, however long the text") {
  std::size_t counted = 0;
  const rag::FixedChunker chunker{
      {.size = 250, .overlap = 50}, [&](std::string_view text) { return counted += text.size(), text.size() / 4; }};
  const std::string text(1 << 20, 'a');

  const auto chunks = chunker.chunk({"", text});

  CHECK(chunks.size() > 1000);
  CHECK(counted < 30 * text.size());
}

TEST_CASE("FixedChunker refuses an overlap that is not less than the size") {
  CHECK_THROWS_WITH_AS(rag::FixedChunker({.size = 5, .overlap = 5}),
                       "FixedChunker: an overlap less than the size 5 wanted, 5 given", rag::Error);
  CHECK_THROWS_AS(rag::FixedChunker({.size = 0}), rag::Error);
}

TEST_CASE("FixedChunker keeps the laws, and its windows lie at exact steps") {
  for (const rag::FixedOptions options : {rag::FixedOptions{1, 0}, {200, 0}, {250, 125}, {7, 6}}) {
    CAPTURE(options.size);
    CAPTURE(options.overlap);
    const rag::FixedChunker chunker{options};
    tests::for_each_document([&](const rag::Document& document) {
      if (options.size < 100 && document.text.size() > 2000) return;
      laws::check_chunker(chunker, document);
      const auto chunks = chunker.chunk(document);
      if (rag::detail::invalid_utf8(document.text) != std::string::npos) return;
      CAPTURE(document.id);
      CHECK(tests::loses_only_white_space(document, chunks));
      const std::string_view text = document.text;
      std::size_t exact = 0;
      for (std::size_t i = 0; i + 1 < chunks.size(); ++i) {
        const std::string_view shared = text.substr(chunks[i + 1].begin, chunks[i].end - chunks[i + 1].begin);
        exact += rag::CodePointLength{}(chunks[i].text) == options.size &&
                 rag::CodePointLength{}(shared) == options.overlap;
      }
      CHECK(exact + 1 >= chunks.size());
    });
  }
}
