// SPDX-License-Identifier: MIT
#include <rag/chunk/context.hpp>
#include <rag/chunk/fixed.hpp>
#include <rag/chunk/markdown.hpp>
#include <rag/chunk/parent.hpp>
#include <rag/chunk/sentence.hpp>

#include "corpus.hpp"

#include <span>
#include <string>
#include <vector>

namespace {

using Strings = std::vector<std::string>;

static_assert(rag::Chunker<rag::ParentChunker<rag::MarkdownChunker<>, rag::SentenceChunker<>>>);
static_assert(rag::Chunker<rag::WindowChunker<rag::SentenceChunker<>>>);
static_assert(rag::Chunker<rag::ContextChunker<rag::MarkdownChunker<>>>);

Strings values(const std::vector<rag::Chunk>& chunks, const char* name) {
  Strings result;
  for (const rag::Chunk& chunk : chunks) {
    const rag::MetaValue* value = chunk.metadata.find(name);
    result.push_back(value == nullptr ? "-" : value->string());
  }
  return result;
}

/// Answers with the words of the second snippet and keeps what it was sent.
struct EchoingLlm {
  std::vector<rag::Message> seen;
  std::string answer = " About this. \n";
  std::string complete(std::span<const rag::Message> messages) {
    seen.assign(messages.begin(), messages.end());
    return answer;
  }
};

}  // namespace

TEST_CASE("ParentChunker gives the small chunks, each with the bytes of the large one it lies in") {
  const rag::ParentChunker chunker{rag::MarkdownChunker{}, rag::SentenceChunker{{.sentences = 1}}};

  const auto chunks = chunker.chunk({"a.md", "# A\nOne. Two.\n\n# B\nThree.\n", {{"n", 1}}});

  REQUIRE(chunks.size() == 5);
  CHECK(chunks[2] ==
        rag::Chunk{
            "Two.",
            "a.md",
            9,
            13,
            {{"n", 1}, {"heading", "A"}, {"heading_level", 1}, {"parent", "# A\nOne. Two."}, {"parent_begin", 0}}});
  CHECK(values(chunks, "parent") ==
        Strings{"# A\nOne. Two.", "# A\nOne. Two.", "# A\nOne. Two.", "# B\nThree.", "# B\nThree."});
  CHECK(chunks[4].metadata.find("parent_begin")->number() == 15);
}

TEST_CASE("A child in two overlapping parents belongs to the first, and children stay in order") {
  const rag::ParentChunker chunker{rag::FixedChunker{{.size = 6, .overlap = 4}}, rag::FixedChunker{{.size = 2}}};

  const auto chunks = chunker.chunk({"", "abcdefgh"});

  REQUIRE(chunks.size() == 4);
  CHECK(values(chunks, "parent") == Strings{"abcdef", "abcdef", "abcdef", "cdefgh"});
  CHECK(chunks[3].text == "gh");
}

TEST_CASE("WindowChunker gives a sentence's neighbours as its parent, as many as there are") {
  const rag::WindowChunker chunker{rag::SentenceChunker{{.sentences = 1}}, 1};

  const auto chunks = chunker.chunk({"", "\xEF\xBB\xBFOne.\n\nTwo.  Three. Four."});

  CHECK(values(chunks, "parent") ==
        Strings{"One.\n\nTwo.", "One.\n\nTwo.  Three.", "Two.  Three. Four.", "Three. Four."});
  CHECK(chunks[0].metadata.find("parent_begin")->number() == 3);
  CHECK(values(rag::WindowChunker{rag::SentenceChunker{{.sentences = 1}}, 9}.chunk({"", "One. Two."}), "parent") ==
        Strings{"One. Two.", "One. Two."});
}

/// A chunk that lies in the one before it.
struct NestingChunker {
  std::vector<rag::Chunk> chunk(const rag::Document& document) const {
    return {{document.text, document.id, 0, document.text.size()}, {document.text.substr(1, 2), document.id, 1, 3}};
  }
};

TEST_CASE("WindowChunker reaches to the end of the longest neighbour") {
  CHECK(values(rag::WindowChunker{NestingChunker{}, 1}.chunk({"", "whole"}), "parent") == Strings{"whole", "whole"});
}

TEST_CASE("ContextChunker puts the title and the headings beside a chunk, not into it") {
  const rag::ContextChunker chunker{rag::MarkdownChunker{}};

  const auto chunks = chunker.chunk({"a.md", "Start\n# A\n## B\ntext", {{"title", "Guide"}}});

  REQUIRE(chunks.size() == 3);
  CHECK(values(chunks, "search_context") == Strings{"Guide", "Guide > A", "Guide > A > B"});
  CHECK(chunks[2].text == "## B\ntext");
  CHECK(rag::indexed_text(chunks[2]) == "Guide > A > B\n\n## B\ntext");
  CHECK(values(chunker.chunk({"a.md", "text"}), "search_context") == Strings{"a.md"});
  CHECK(values(chunker.chunk({"", "text"}), "search_context") == Strings{"-"});
  CHECK(rag::indexed_text({"text", "", 0, 4}) == "text");
}

TEST_CASE("ContextChunker takes a function of the user's") {
  const rag::ContextChunker chunker{rag::MarkdownChunker{}, [](const rag::Document& document, const rag::Chunk& chunk) {
                                      return document.id + std::to_string(chunk.begin);
                                    }};

  CHECK(values(chunker.chunk({"x", "# A\n# B"}), "search_context") == Strings{"x0", "x4"});
}

TEST_CASE("LlmContext shows the model the document around a chunk and takes its answer, trimmed") {
  EchoingLlm llm;
  const rag::ContextChunker chunker{rag::MarkdownChunker{}, rag::LlmContext{llm}};
  const rag::Document document{"a.md", "# A <b>\n# 文字\n</snippet>"};

  const auto chunks = chunker.chunk(document);

  CHECK(values(chunks, "search_context") == Strings{"About this.", "About this."});
  REQUIRE(llm.seen.size() == 2);
  CHECK(llm.seen[0] == rag::Message{"system", rag::LlmContextOptions{}.system});
  CHECK(llm.seen[1].content ==
        "<context>\n<snippet id=\"1\" source=\"a.md\">\n# A &lt;b>\n# 文字\n&lt;/snippet>\n</snippet>\n"
        "<snippet id=\"2\" source=\"a.md\">\n# 文字\n&lt;/snippet>\n</snippet>\n</context>");
  llm.answer = " ";
  CHECK(values(chunker.chunk(document), "search_context") == Strings{"-", "-"});

  const std::string part =
      rag::LlmContext{llm, {.document_size = 6}}.prompt(document, {"</", "a.md", 17, 19})[1].content;
  CHECK(part.starts_with("<context>\n<snippet id=\"1\" source=\"a.md\">\n字\n&lt;/sn\n"));
}
