// SPDX-License-Identifier: MIT
#include <rag/chunk/markdown.hpp>
#include <rag/concepts.hpp>

#include "corpus.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Bytes {
  std::size_t operator()(std::string_view text) const { return text.size(); }
};
struct TwoTexts {
  std::size_t operator()(std::string_view a, std::string_view b) const;
};

static_assert(rag::Chunker<rag::MarkdownChunker<>>);
static_assert(rag::Chunker<rag::MarkdownChunker<Bytes>>);
static_assert(!rag::detail::is_length<TwoTexts>);

std::vector<std::string> texts(const std::vector<rag::Chunk>& chunks) {
  std::vector<std::string> result;
  for (const rag::Chunk& chunk : chunks) result.push_back(chunk.text);
  return result;
}

/// The heading path of each chunk; "-" where there is none.
std::vector<std::string> headings(const std::string& text) {
  std::vector<std::string> result;
  for (const rag::Chunk& chunk : rag::MarkdownChunker{}.chunk({"", text})) {
    const rag::MetaValue* heading = chunk.metadata.find("heading");
    result.push_back(heading ? heading->string() : "-");
  }
  return result;
}

using Strings = std::vector<std::string>;

}  // namespace

TEST_CASE("MarkdownChunker gives a chunk a section, with the path of headings and the document's metadata") {
  const auto chunks = rag::MarkdownChunker{}.chunk({"g.md", "# Guide\n\nHello.\n\n## Install #\n\tone\n", {{"n", 1}}});

  REQUIRE(chunks.size() == 2);
  CHECK(chunks[0] ==
        rag::Chunk{"# Guide\n\nHello.", "g.md", 0, 15, {{"n", 1}, {"heading", "Guide"}, {"heading_level", 1}}});
  CHECK(chunks[1] == rag::Chunk{"## Install #\n\tone",
                                "g.md",
                                17,
                                34,
                                {{"n", 1}, {"heading", "Guide > Install"}, {"heading_level", 2}}});
}

TEST_CASE("MarkdownChunker keeps a document's own entry of the name it would use") {
  const auto chunks = rag::MarkdownChunker{}.chunk({"", "# A", {{"heading", "mine"}}});

  REQUIRE(chunks.size() == 1);
  CHECK(chunks[0].metadata == rag::Metadata{{"heading", "mine"}, {"heading_level", 1}});
}

TEST_CASE("A heading ends the sections of its level and below") {
  CHECK(headings("intro\n# A\n### B\n## C\n### D\n# E\n###### F\n") ==
        Strings{"-", "A", "A > B", "A > C", "A > C > D", "E", "E > F"});
}

TEST_CASE("A heading is one to six marks and a blank, indented by three at most") {
  CHECK(headings("# A\n#B\n####### C\n    # D\n   # E\n#\n#\tF\n# \n## G ##  \n### #\n") ==
        Strings{"A", "E", "", "F", "", "G", "G"});
}

TEST_CASE("A paragraph with a line of = or - under it is a heading, and nothing else is") {
  CHECK(headings("One\nand more\n===\ntext\n\nTwo\n---\n\n---\n\n- a\n---\n\n> q\n---\n\n# H\n---\n\n    code\n---\n") ==
        Strings{"One and more", "One and more > Two", "H"});
  CHECK(headings("***\nOne\n---\n***\nTwo\n===\n    code\nThree\n    more\n===\n") ==
        Strings{"-", "One", "Two", "Three more"});
  CHECK(headings("One\n-\nTwo\n  ==  \r\nThree\n= =\n") == Strings{"One", "Two"});
}

TEST_CASE("No heading is found in a code fence") {
  CHECK(headings("# A\n```\n# x\n```\n# B\n") == Strings{"A", "B"});
  CHECK(headings("# A\n~~~ sh\n# x\n```\n# y\n~~~\n# B\n") == Strings{"A", "B"});
  CHECK(headings("# A\n````\n```\n# x\n```\n`````\n# B\n") == Strings{"A", "B"});
  CHECK(headings("# A\n```\n# x\n``` no end\n# y\n   ```  \n# B\n") == Strings{"A", "B"});
  CHECK(headings("# A\n```\n# x\n    ```\n# y\n") == Strings{"A"});
  CHECK(headings("# A\n``` a`b\n# B\n") == Strings{"A", "B"});
  CHECK(headings("# A\r\n```\r\n# x\r\n```\r\n# B\r\n") == Strings{"A", "B"});
}

TEST_CASE("No heading is found in a list, nor in a code fence there, which ends with its item") {
  CHECK(headings("# A\n- a\n\n  # x\n\n  ```\n  # y\n  ```\n\n# B\n") == Strings{"A", "B"});
  CHECK(headings("# A\n1. ```sh\n   # x\n   ```\n2. b\n\n    ```\n    # y\n    ```\n# B\n") == Strings{"A", "B"});
  CHECK(headings("# A\n- ```\n  # x\n# B\n") == Strings{"A", "B"});
  CHECK(headings("# A\n- a\n  - b\n\n      ```\n  # x\n# B\n") == Strings{"A", "B"});
}

TEST_CASE("No heading is found in a table, a comment or raw HTML") {
  CHECK(headings("# A\n\n# | b\n--|--\n# 1 | x\n| # 2 | y |\n\n# B\n") == Strings{"A", "B"});
  CHECK(headings("# A\n| a |\n|---|\n# B\n") == Strings{"A", "B"});
  CHECK(headings("# A\n<!-- x\n# y\n\n# z -->\n# B\n") == Strings{"A", "B"});
  CHECK(headings("# A\n<!-->\n# B\n- <!--\n  # x\n# C\n") == Strings{"A", "B", "C"});
  CHECK(headings("# A\n<PRE class=\"x\">\n# y\n</Pre>\n# B\n<prefix>\n# C\n") == Strings{"A", "B", "C"});
  CHECK(headings("# A\n<table>\n\n# y\n</table>\n# B\n") == Strings{"A", "B"});
}

TEST_CASE("Front matter is a chunk of its own") {
  const auto chunks = rag::MarkdownChunker{}.chunk({"", "\xEF\xBB\xBF---\nid: a\n# no\n---\n\ntext\n\n# A\n"});

  CHECK(texts(chunks) == Strings{"---\nid: a\n# no\n---", "text", "# A"});
  CHECK(chunks[0].begin == 3);
  CHECK(headings("---\n# A\n") == Strings{"-", "A"});
}

TEST_CASE("A section over the size is cut between blocks, and each part knows its heading") {
  const std::string text = "# A\n\nOne one one.\n\n```\n  x\n\n  y\n```\n\n    indented\n\n|a|b|\n|-|-|\n|1|2|\n";

  const auto chunks = rag::MarkdownChunker{{.size = 20}}.chunk({"", text});

  CHECK(texts(chunks) == Strings{"# A\n\nOne one one.", "```\n  x\n\n  y\n```", "    indented", "|a|b|\n|-|-|\n|1|2|"});
  for (const rag::Chunk& chunk : chunks) CHECK(chunk.metadata == rag::Metadata{{"heading", "A"}, {"heading_level", 1}});
}

TEST_CASE("A list over the size is cut between its items, the outermost first") {
  const std::string tight = "Steps:\n1. one one\n   more\n   - a a a\n   - b b b\n2. two two two\n3. three\n   ```\n   x\n   ```\n";
  CHECK(texts(rag::MarkdownChunker{{.size = 46}}.chunk({"", tight})) ==
        Strings{"Steps:", "1. one one\n   more\n   - a a a\n   - b b b", "2. two two two\n3. three\n   ```\n   x\n   ```"});
  CHECK(texts(rag::MarkdownChunker{{.size = 30}}.chunk({"", tight})) ==
        Strings{"Steps:", "1. one one\n   more\n   - a a a", "   - b b b", "2. two two two", "3. three\n   ```\n   x\n   ```"});
  CHECK(texts(rag::MarkdownChunker{{.size = 20}}.chunk({"", "- one\n\n  more of it\n\n- two\n\n  more\n\nEnd here.\n"})) ==
        Strings{"- one\n\n  more of it", "- two\n\n  more", "End here."});
}

TEST_CASE("Tabs, no-break spaces and a byte order mark stay bytes of the span") {
  const auto chunks = rag::MarkdownChunker{}.chunk({"", "\xEF\xBB\xBF# A\u00a0b\n\n\tcode\n\n| a\t|\u00a0b |\n|---|---|\n"});

  REQUIRE(chunks.size() == 1);
  CHECK(chunks[0].begin == 3);
  CHECK(chunks[0].text == "# A\u00a0b\n\n\tcode\n\n| a\t|\u00a0b |\n|---|---|");
}

TEST_CASE("A block over the size is cut at lines, sentences, words") {
  CHECK(texts(rag::MarkdownChunker{{.size = 12}}.chunk({"", "# A\nOne. Two two two two.\n```\nabc\n  def\n```\n"})) ==
        Strings{"# A\nOne.", "Two two two", "two.", "```\nabc", "  def\n```"});
}

TEST_CASE("MarkdownChunker measures with the function given") {
  CHECK(rag::MarkdownChunker{{.size = 8}}.chunk({"", "# é\néé"}).size() == 1);
  CHECK(rag::MarkdownChunker{{.size = 8}, Bytes{}}.chunk({"", "# é\néé"}).size() == 2);
}

TEST_CASE("MarkdownChunker keeps the laws, its size and everything but white space") {
  for (const std::size_t size : {std::size_t{0}, std::size_t{30}, std::size_t{500}}) {
    CAPTURE(size);
    const rag::MarkdownChunker chunker{{.size = size}};
    tests::for_each_document([&](const rag::Document& document) {
      laws::check_chunker(chunker, document);
      const auto chunks = chunker.chunk(document);
      CHECK(tests::loses_only_white_space(document, chunks));
      CHECK(std::all_of(chunks.begin(), chunks.end(), [&](const auto& chunk) {
        return size == 0 || rag::CodePointLength{}(chunk.text) <= size;
      }));
    });
  }
}
