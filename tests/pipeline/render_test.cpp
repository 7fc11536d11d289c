// SPDX-License-Identifier: MIT
#include <rag/detail/citations.hpp>
#include <rag/render.hpp>

#include <doctest/doctest.h>

using rag::detail::wrap;

TEST_CASE("escape_html leaves nothing that a browser would read as markup") {
  CHECK(rag::escape_html("<a href=\"x\">'&'</a>") == "&lt;a href=&quot;x&quot;&gt;&#39;&amp;&#39;&lt;/a&gt;");
  CHECK(rag::escape_html("") == "");
}

TEST_CASE("wrap breaks at spaces and cuts words that are too long") {
  CHECK(wrap("one two three", 7) == std::vector<std::string>{"one two", "three"});
  CHECK(wrap("one two three", 5) == std::vector<std::string>{"one", "two", "three"});
  CHECK(wrap("abcdefghij", 4) == std::vector<std::string>{"abcd", "efgh", "ij"});
  CHECK(wrap("a\n\nb\r\n", 4) == std::vector<std::string>{"a", "", "b"});
  CHECK(wrap("", 4).empty());
}

TEST_CASE("wrap never makes a line longer than asked and loses no word") {
  const std::string text = "Der Würfel fällt, 日本語のテキスト, и так далее: words of many lengths, supercalifragilistic.";
  for (std::size_t width = 1; width < 60; ++width) {
    CAPTURE(width);
    std::string joined;
    for (const std::string& line : wrap(text, width)) {
      CHECK(rag::detail::count_code_points(line) <= width);
      CHECK(rag::detail::invalid_utf8(line) == std::string::npos);
      joined += line;
    }
    std::string wanted = text;
    std::erase(wanted, ' ');
    std::erase(joined, ' ');
    CHECK(joined == wanted);
  }
}

TEST_CASE("side_by_side puts both answers into columns of one width") {
  rag::Comparison both;
  both.with_retrieval.text = "cited [1]";
  both.with_retrieval.sources.push_back({{"text", "a.md", 3, 7}});
  rag::detail::resolve_citations(both.with_retrieval);
  both.without_retrieval.text = "made up, and rather longer than the column is wide";

  const std::string text = rag::side_by_side(both, 60);

  CHECK(text.find("WITH RETRIEVAL               | WITHOUT RETRIEVAL\n") == 0);
  CHECK(text.find("cited [1]                    | made up, and rather longer\n") != std::string::npos);
  CHECK(text.find("                             | than the column is wide\n") != std::string::npos);
  CHECK(text.find("[1] a.md, bytes 3 to 7       |\n") != std::string::npos);
}

TEST_CASE("references names headings and bytes, and warns of marks that lead nowhere") {
  rag::Answer answer;
  answer.text = "One [2], [9] and [0]; two [1] and [3-1] [1";
  answer.sources.push_back({{"text", "a\x1b\n.md", 3, 7, {{"heading", "Top > Sub"}}}});
  answer.sources.push_back({{"text", "b.md", 10, 14, {{"heading", 7}}}});
  rag::detail::resolve_citations(answer);

  CHECK(rag::references(answer) ==
        "[2] b.md, bytes 10 to 14\n"
        "[1] a .md, Top > Sub, bytes 3 to 7\n"
        "No snippet has the number of [9], [0].\n"
        "Not readable as a mark: [3-1], [1\n");

  answer.text = "I do not know.";
  rag::detail::resolve_citations(answer);
  CHECK(rag::references(answer) == "No snippet is cited: nothing shows that this answer is true.\n");
}
