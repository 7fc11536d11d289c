// SPDX-License-Identifier: MIT
#include <rag/chunk/separator.hpp>
#include <rag/concepts.hpp>

#include "corpus.hpp"

#include <string>
#include <vector>

static_assert(rag::Chunker<rag::SeparatorChunker>);

namespace {

struct ChunksOfText {  // the nearest miss: takes the text, not the document
  std::vector<rag::Chunk> chunk(const std::string& text) const;
};
static_assert(!rag::Chunker<ChunksOfText>);

struct Forgetful {  // changes while it chunks
  std::vector<rag::Chunk> chunk(const rag::Document& document);
};
static_assert(!rag::Chunker<Forgetful>);

/// The document again, put together from the chunks; a gap of n separators is n - 1 empty pieces.
std::string joined(const rag::Document& document, const std::vector<rag::Chunk>& chunks, const std::string& separator) {
  std::string text;
  const auto fill = [&](std::size_t end) {
    while (text.size() < end) text += separator;
  };
  for (const rag::Chunk& chunk : chunks) {
    fill(chunk.begin);
    text += chunk.text;
  }
  fill(document.text.size());
  return text;
}

}  // namespace

TEST_CASE("SeparatorChunker gives what stands between separators, byte for byte") {
  const rag::SeparatorChunker chunker{"# "};

  const auto chunks = chunker.chunk({"faq.md", "# One\n## Two ", {{"language", "en"}}});

  REQUIRE(chunks.size() == 2);
  CHECK(chunks[0] == rag::Chunk{"One\n#", "faq.md", 2, 7, {{"language", "en"}}});
  CHECK(chunks[1] == rag::Chunk{"Two ", "faq.md", 9, 13, {{"language", "en"}}});
}

TEST_CASE("SeparatorChunker finds separators from the left, without overlap, and skips empty pieces") {
  const auto chunks = rag::SeparatorChunker{"aa"}.chunk({"", "xaaaayaaaz"});

  REQUIRE(chunks.size() == 3);
  CHECK(chunks[0].text == "x");
  CHECK(chunks[1].text == "y");
  CHECK(chunks[2].text == "az");
}

TEST_CASE("SeparatorChunker keeps white space, blank pieces and a byte order mark") {
  const auto chunks = rag::SeparatorChunker{"\n"}.chunk({"", "\xEF\xBB\xBF a\r\n \nb"});

  REQUIRE(chunks.size() == 3);
  CHECK(chunks[0].text == "\xEF\xBB\xBF a\r");
  CHECK(chunks[1].text == " ");
  CHECK(chunks[2].text == "b");
}

TEST_CASE("SeparatorChunker refuses a separator that is empty or not UTF-8") {
  for (const char* separator : {"", "\x80", "\xE3\x80"}) {
    CAPTURE(separator);
    try {
      rag::SeparatorChunker chunker{separator};
      FAIL("no error");
    } catch (const rag::Error& error) {
      CHECK(error.code() == rag::Errc::invalid_argument);
    }
  }
}

TEST_CASE("SeparatorChunker keeps the laws and loses nothing but separators") {
  for (const std::string separator : {"# ", "\n\n", "。"}) {
    CAPTURE(separator);
    const rag::SeparatorChunker chunker{separator};
    tests::for_each_document([&](const rag::Document& document) {
      laws::check_chunker(chunker, document);
      CHECK(joined(document, chunker.chunk(document), separator) == document.text);
    });
  }
}

TEST_CASE("The four FAQ pages of the tutorial give 72 chunks") {
  const auto folder = tests::data_folder() / "milvus-faq";
  if (tests::skip_without(folder)) return;
  const rag::SeparatorChunker chunker{"# "};
  std::vector<std::string> names;
  std::vector<std::size_t> counts;

  for (const rag::Document& page : rag::read_directory(folder.string(), {.extensions = {".md"}}).documents) {
    names.push_back(page.id);
    counts.push_back(chunker.chunk(page).size());
  }

  CHECK(names == std::vector<std::string>{"operational_faq.md", "performance_faq.md", "product_faq.md",
                                          "troubleshooting.md"});
  CHECK(counts == std::vector<std::size_t>{19, 7, 33, 13});
}
