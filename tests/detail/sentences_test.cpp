// SPDX-License-Identifier: MIT
#include <rag/detail/sentences.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

/// The sentences, each after its heading, a line each.
std::string sentences(std::string_view text) {
  std::string result;
  for (const rag::detail::Sentence& sentence : rag::detail::split_sentences(text))
    result += (sentence.heading.empty() ? "" : sentence.heading + ": ") + sentence.text + "\n";
  return result;
}

}  // namespace

TEST_CASE("Sentences end at stops, not at decimals, abbreviations or initials") {
  CHECK(sentences("One. Two! \"Three.\" Four") == "One.\nTwo!\n\"Three.\"\nFour\n");
  CHECK(sentences("Version 2.6 is out. See www.a.org now.") == "Version 2.6 is out.\nSee www.a.org now.\n");
  CHECK(sentences("Some (e.g. MinIO, i.e. Storage) of Dr. J. Smith. End.") ==
        "Some (e.g. MinIO, i.e. Storage) of Dr. J. Smith.\nEnd.\n");
  CHECK(sentences("Wait... what follows goes on.") == "Wait... what follows goes on.\n");
  CHECK(sentences("数据存储在etcd。向量呢！好") == "数据存储在etcd。\n向量呢！\n好\n");
}

TEST_CASE("Lines of a paragraph are joined, items and paragraphs are not") {
  CHECK(sentences("one\ntwo.\nThree") == "one two.\nThree\n");
  CHECK(sentences("a.\r\n\r\nb\n\nc") == "a.\nb\nc\n");
  CHECK(sentences("Known:\n- one\n* two\n12. three\n> four") == "Known:\none\ntwo\nthree four\n");
}

TEST_CASE("Headings, questions and a title are no sentences but what the next ones stand under") {
  CHECK(sentences("# Data\nIt is kept.\n\n###\n\nWhere?\nIn etcd.") ==
        "Data: It is kept.\nWhere?: In etcd.\n");
  CHECK(sentences("Storage\n\nIn etcd.") == "Storage: In etcd.\n");
  CHECK(sentences("In etcd") == "In etcd\n");
  CHECK(sentences("在哪里？在这里。") == "在哪里？: 在这里。\n");
}

TEST_CASE("Code, tags, rules and table borders are left out, links become their words") {
  CHECK(sentences("Run:\n\n```\nrm -rf. Now.\n```\nDone.") == "Run:\nDone.\n");
  CHECK(sentences("~~~\nnever closed.") == "");
  CHECK(sentences("<div>\nIn.\n</div>\n---\n|---|\nOut.") == "In.\nOut.\n");
  CHECK(sentences("In [MinIO](https://min.io/) or ![logo](x.png)etcd [1]. <!-- no --> B (c)") ==
        "In MinIO or etcd [1].\nB (c)\n");
  CHECK(sentences("[open [a](b c) ](") == "[open [a](b c) ](\n");
}

TEST_CASE("Any bytes are read to the end") {
  const std::string bytes("\xff. \xE3\x80 \0.`[![<!--", 17);
  for (std::size_t size = 0; size <= bytes.size(); ++size) sentences(bytes.substr(0, size));
  CHECK(sentences("   \n\n \t ") == "");
  CHECK(sentences("...") == "...\n");
}
