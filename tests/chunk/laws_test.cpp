// SPDX-License-Identifier: MIT
#include <rag/chunk/code.hpp>
#include <rag/chunk/context.hpp>
#include <rag/chunk/fixed.hpp>
#include <rag/chunk/html.hpp>
#include <rag/chunk/markdown.hpp>
#include <rag/chunk/parent.hpp>
#include <rag/chunk/recursive.hpp>
#include <rag/chunk/semantic.hpp>
#include <rag/chunk/sentence.hpp>
#include <rag/chunk/separator.hpp>
#include <rag/chunk/tokens.hpp>
#include <rag/embed/hashing.hpp>

#include "corpus.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

// Every chunker on every document: files of the shared data, hand-made ones and 10,000 put together at random; under a
// sanitizer, which makes it ten times as slow, 500 and the small files.

namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RAG_TESTS_SANITIZED
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(RAG_TESTS_SANITIZED)
constexpr std::size_t generated = 500, largest_file = 8000;
#else
constexpr std::size_t generated = 10000, largest_file = 1u << 30;
#endif

/// Four bytes a token and two special ones.
struct ToyEmbedder {
  std::size_t count_tokens(std::string_view text) const { return text.size() / 4 + 2; }
  std::size_t max_tokens() const { return 64; }
};
const ToyEmbedder toy;
using Tokens = rag::TokenLength<ToyEmbedder>;
using CodePoints = rag::CodePointLength;

const std::vector<rag::Document>& documents() {
  static const std::vector<rag::Document> all = [] {
    std::vector<rag::Document> found = tests::awkward_documents();
    for (const rag::Document& document : tests::random_documents(generated)) found.push_back(document);
    for (const rag::Document& document : tests::data_documents())
      if (document.text.size() <= largest_file) found.push_back(document);
    return found;
  }();
  return all;
}

/// The laws, the size, and lost(document, chunks): is nothing lost but what may be?
template <class C, class Length, class Lost>
void check(const C& chunker, const Length& length, std::size_t size, Lost lost) {
  for (const rag::Document& document : documents()) {
    CAPTURE(document.id);
    laws::check_chunker(chunker, document);
    const std::vector<rag::Chunk> chunks = chunker.chunk(document);
    laws::check_size(chunks, length, size);
    CHECK(lost(document, chunks));
  }
}

/// Outside of the chunks are tags, comments, scripts and their like, and white space.
bool loses_only_tags(const rag::Document& document, const std::vector<rag::Chunk>& chunks) {
  std::string rest = document.text;
  for (const rag::Chunk& chunk : chunks)
    rest.replace(chunk.begin, chunk.end - chunk.begin, chunk.end - chunk.begin, '\1');
  std::size_t at = rest.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  const auto past = [&](std::string_view end) {
    const std::size_t found = rest.find(end, at);
    at = found == std::string::npos ? rest.size() : found + end.size();
  };
  const auto past_tag = [&] {
    for (bool quoted = false; at < rest.size() && (quoted || rest[at] != '>'); ++at)
      if (rest[at] == '"' && (quoted || rest[at - 1] == '=')) quoted = !quoted;
    ++at;
  };
  while (at < rest.size()) {
    const std::string_view here = std::string_view(rest).substr(at);
    const rag::detail::CodePoint point = rag::detail::decode_utf8(rest, at);
    if (here.starts_with("<!--"))
      at += 2, past("-->");
    else if (here.starts_with("<script"))
      past("</script"), past(">");
    else if (here.starts_with("<style"))
      past("</style"), past(">");
    else if (here.starts_with("<svg"))
      past("</svg"), past(">");
    else if (here.starts_with("<iframe"))
      past("</iframe"), past(">");
    else if (here.starts_with('<'))
      past_tag();
    else if (rest[at] == '\1' || rag::detail::is_space(point.value))
      at += point.length;
    else
      return false;
  }
  return true;
}

}  // namespace

TEST_CASE("Windows keep the laws on every document") {
  check(rag::FixedChunker{{.size = 300, .overlap = 100}}, CodePoints{}, 300, tests::loses_only_white_space);
  check(rag::FixedChunker{{.size = 64, .overlap = 16}, Tokens{toy}}, Tokens{toy}, 64, tests::loses_only_white_space);
}

TEST_CASE("RecursiveChunker and SentenceChunker keep the laws on every document") {
  check(rag::RecursiveChunker{{.size = 64, .overlap = 20}, Tokens{toy}}, Tokens{toy}, 64,
        tests::loses_only_white_space);
  check(rag::SentenceChunker{{.size = 250, .overlap = 1}}, CodePoints{}, 250, tests::loses_only_white_space);
  check(rag::SentenceChunker{{.size = 64}, Tokens{toy}}, Tokens{toy}, 64, tests::loses_only_white_space);
}

TEST_CASE("MarkdownChunker and CodeChunker keep the laws on every document") {
  check(rag::MarkdownChunker{{.size = 400}}, CodePoints{}, 400, tests::loses_only_white_space);
  check(rag::CodeChunker{{.size = 400}}, CodePoints{}, 400, tests::loses_only_white_space);
}

TEST_CASE("HtmlChunker keeps the laws on every document") {
  check(rag::HtmlChunker{{.size = 300}}, CodePoints{}, 300, loses_only_tags);
}

TEST_CASE("SemanticChunker keeps the laws on every document") {
  rag::HashingEmbedder<64> embedder;
  check(rag::SemanticChunker{embedder, {.size = 400, .piece = 100}}, CodePoints{}, 400, tests::loses_only_white_space);
}

TEST_CASE("Chunkers with a parent or a context keep the laws on every document, and so do the parents") {
  const rag::ContextChunker chunker{rag::ParentChunker{rag::MarkdownChunker{{.size = 800}},
                                                       rag::WindowChunker{rag::RecursiveChunker{{.size = 200}}, 1}}};
  check(chunker, CodePoints{}, 200, [](const rag::Document& document, const std::vector<rag::Chunk>& chunks) {
    for (const rag::Chunk& chunk : chunks) {
      const std::string& parent = chunk.metadata.find("parent")->string();
      const auto begin = static_cast<std::size_t>(chunk.metadata.find("parent_begin")->number());
      if (document.text.compare(begin, parent.size(), parent) != 0 || begin > chunk.begin ||
          begin + parent.size() < chunk.end)
        return false;
    }
    return tests::loses_only_white_space(document, chunks);
  });
}
