// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_CHUNK_CORPUS_HPP
#define RAG_TESTS_CHUNK_CORPUS_HPP

// Documents that every chunker is tried on, and checks that several of them share.

#include <doctest/doctest.h>
#include <rag/chunk/span.hpp>
#include <rag/document/read.hpp>

#include "laws/chunker.hpp"
#include "paths.hpp"

#include <cstddef>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace tests {

inline std::string repeat(std::string_view text, std::size_t count) {
  std::string result;
  while (count-- > 0) result += text;
  return result;
}

/// Hand-made documents, each awkward in one way.
inline std::vector<rag::Document> awkward_documents() {
  const std::vector<std::string> texts = {
      "",
      "x",
      " ",
      "\n",
      "\xEF\xBB\xBF",
      "\xEF\xBB\xBF# Title\nWith a byte order mark.\n",
      "# # # # ",
      "\n\n\n\n\n\n",
      " \t\r\n\f\v ",
      "\r\n\r\n# CRLF\r\n\r\nOne paragraph.\r\nTwo lines.\r\n\r\n## Next\r\nEnd",
      "old\rMac\rline ends",
      "数据如何存储？插入的数据存为增量日志。元数据存在别处！这样、那样，都可以。" + repeat("没有空格的长句子", 40) + "。",
      repeat("👩‍👩‍👧‍👦🇩🇪🤷🏽‍♀️", 30),
      repeat("e\u0301a\u0308o\u0303 ", 50),
      "\u00a0\u3000\u2003 wide white space \u00a0\u3000",
      repeat("a", 5000),
      repeat("word ", 1000),
      repeat("Sentence one. Is it two? Yes! ", 60),
      "# A\n```sh\n# no heading\n~~~\n```\n# B\n~~~~\n```\n~~~\n# no\n~~~~\n## C\n````\n```\n# no\n````\n",
      "# T\n\n| # | b |\n|---|---|\n# 1 | x |\n| # 2 | y |\n\n# U\n",
      "---\ntitle: front\n---\n\nText before.\n\n# One\n\n<!--\n# hidden\n-->\nTitle\n=====\ntext\n",
      "```\n# never closed\n\n# really",
      "- a\n  ```\n  # in a list\n  ```\n    # code\n\n# out\n",
      std::string("zero\0byte\n\n# here", 17),
      "\xFF\xFE not UTF-8 \x80\x80\x80\x80\x80 \xE3\x81 \xF0\x9F\x98 # \xC0\xAF\n\nend\xE3",
  };
  std::vector<rag::Document> documents;
  for (const std::string& text : texts)
    documents.push_back({"awkward " + std::to_string(documents.size()), text, {{"kind", "awkward"}, {"year", 2024}}});
  return documents;
}

/// Documents put together at random from what means something to a chunker.
inline std::vector<rag::Document> random_documents(std::size_t count) {
  const std::vector<std::string> parts = {
      "\n",     "\n\n",  "\r\n",   "# ",      "## H\n", "```\n",    "~~~~\n",     "|",        "|-|-|\n",  "===\n",  "---",
      "- ",     "1. ",   "    ",   "\t",      "> ",     "<!--",     "-->",       "<pre>",    "</pre>",  ". ",     "。",
      "word ",  "a",     "é",      "😀",      "e\u0301", "\u00a0",   "文字",      "x\n",      "Dr. ",    "? \"",   "！」",
      "\u200b", "{\n",   "}\n",    "// c\n",  ";",      "@d\n",     "else",      "  if (x)\n", "<p>",    "</p>",   "<b c='d'>",
      "<h2>",   "</h2>", "<li>",   "<td>",    "<",      "<script>", "</script>", "&amp;",    "U.S. "};
  std::mt19937 random(20240424);
  std::vector<rag::Document> documents;
  while (documents.size() < count) {
    rag::Document document{"random " + std::to_string(documents.size()), ""};
    for (std::size_t n = random() % 120; n > 0; --n) document.text += parts[random() % parts.size()];
    documents.push_back(document);
  }
  return documents;
}

/// Every file of the shared data, as raw text; none where the data is absent.
inline const std::vector<rag::Document>& data_documents() {
  static const std::vector<rag::Document> documents =
      skip_without(data_folder()) ? std::vector<rag::Document>{}
                                  : rag::read_directory(data_folder().string(), {.glob = "**"}).documents;
  return documents;
}

/// Is everything outside of the chunks white space or a leading byte order mark?
inline bool loses_only_white_space(const rag::Document& document, const std::vector<rag::Chunk>& chunks) {
  const std::string_view text = document.text;
  std::size_t seen = rag::detail::without_mark(text).begin;
  const auto blank = [&](std::size_t begin, std::size_t end) {
    return begin >= end || rag::detail::trim(text, {begin, end}).empty();
  };
  for (const rag::Chunk& chunk : chunks) {
    if (!blank(seen, chunk.begin)) return false;
    seen = std::max(seen, chunk.end);
  }
  return blank(seen, text.size());
}

/// Runs `check` on the hand-made documents, on random ones and on the shared data.
template <class Check>
void for_each_document(Check check) {
  for (const rag::Document& document : awkward_documents()) check(document);
  for (const rag::Document& document : random_documents(300)) check(document);
  for (const rag::Document& document : data_documents()) check(document);
}

}  // namespace tests

#endif
