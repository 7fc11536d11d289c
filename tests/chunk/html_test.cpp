// SPDX-License-Identifier: MIT
#include <rag/chunk/html.hpp>
#include <rag/concepts.hpp>

#include "corpus.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace {

using Strings = std::vector<std::string>;

static_assert(rag::Chunker<rag::HtmlChunker<>>);

Strings chunks(const std::string& text, std::size_t size = 1000) {
  Strings result;
  for (const rag::Chunk& chunk : rag::HtmlChunker{{.size = size}}.chunk({"", text})) result.push_back(chunk.text);
  return result;
}

}  // namespace

TEST_CASE("HtmlChunker gives a chunk a heading, with spans into the source and the path of headings") {
  const auto found = rag::HtmlChunker{}.chunk(
      {"a.html",
       "<!DOCTYPE html><title>T</title><H1 class=\"x\">A <i>b</i>\n c</H1><p>One.<p>Two.<h2>D &amp; E</h2>Three.",
       {{"n", 1}}});

  REQUIRE(found.size() == 3);
  CHECK(found[0] == rag::Chunk{"T", "a.html", 22, 23, {{"n", 1}}});
  CHECK(found[1].text == "A <i>b</i>\n c</H1><p>One.<p>Two.");
  CHECK(found[1].metadata == rag::Metadata{{"n", 1}, {"heading", "A b c"}, {"heading_level", 1}});
  CHECK(found[2].text == "D &amp; E</h2>Three.");
  CHECK(found[2].metadata == rag::Metadata{{"n", 1}, {"heading", "A b c > D &amp; E"}, {"heading_level", 2}});
}

TEST_CASE("HtmlChunker merges blocks up to the size; tags around them are left out") {
  CHECK(chunks("<ul>\n <li>one</li>\n <li>two</li>\n <li><a href='x'>three</a></li>\n</ul>\n", 22) ==
        Strings{"one</li>\n <li>two", "<a href='x'>three</a>"});
  CHECK(chunks("<table><tr><th>a<th>b<tr><td>c<td>d</table><div><img src=a.png></div>", 10) ==
        Strings{"a<th>b", "c<td>d"});
}

TEST_CASE("No chunk holds or crosses a script, a style or a comment") {
  CHECK(chunks("<p>One<script>if (a < b) '</p>';</script> two<STYLE>p { }</Style > three <!-- no\n--> "
               "four<svg><text>no</text></svg></p>") == Strings{"One", "two", "three", "four"});
  CHECK(chunks("One<svg/> two <script src='a'/> no </script> three <script>never closed <p>x") ==
        Strings{"One", "two", "three"});
  CHECK(chunks("a<!-->b<!-- never closed <p>x") == Strings{"a", "b"});
}

TEST_CASE("A tag ends at the > that no quoted value holds; what is no tag is text") {
  CHECK(chunks("<p title=\"a > b\" x='<p>'>One<p data-x=it's>Two", 4) == Strings{"One", "Two"});
  CHECK(chunks("1 < 2 <3 </ x <> done") == Strings{"1 < 2 <3 </ x <> done"});
  CHECK(chunks("text <a href=\"never closed <p>more") == Strings{"text <a href=\"never closed <p>more"});
  CHECK(chunks("<p>\u00a0</p><p>&nbsp;</p><div> </div>") == Strings{"&nbsp;"});
}

TEST_CASE("A block over the size is cut after sentences and between words, never within a tag") {
  CHECK(chunks("<p>One two. Three <a href=\"a b c\">four five</a> six seven</p>", 32) ==
        Strings{"One two.", "Three <a href=\"a b c\">four", "five</a> six seven"});
  CHECK(chunks("<p>河流有源头。它向低处流。</p>", 6) == Strings{"河流有源头。", "它向低处流。"});
}

TEST_CASE("HtmlChunker reads a text of nothing but open tags once") {
  const std::string hostile =
      tests::repeat("<a b=\"", 100001) + tests::repeat("<p", 100000) + tests::repeat("</script", 100000);

  CHECK(chunks(hostile, 100000000).size() == 1);
}

TEST_CASE("HtmlChunker refuses a size of 0") { CHECK_THROWS_AS(rag::HtmlChunker({.size = 0}), rag::Error); }
