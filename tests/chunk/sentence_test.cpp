// SPDX-License-Identifier: MIT
#include <rag/chunk/sentence.hpp>
#include <rag/concepts.hpp>

#include "corpus.hpp"

#include <string>
#include <vector>

namespace {

using Strings = std::vector<std::string>;

static_assert(rag::Chunker<rag::SentenceChunker<>>);

Strings texts(const std::vector<rag::Chunk>& chunks) {
  Strings result;
  for (const rag::Chunk& chunk : chunks) result.push_back(chunk.text);
  return result;
}

Strings sentences(const std::string& text) { return texts(rag::SentenceChunker{{.sentences = 1}}.chunk({"", text})); }

}  // namespace

TEST_CASE("A sentence ends after its stop and what closes with it") {
  CHECK(sentences("One. Two!  Three?! (Four.) \"Five.\" Six… Seven") ==
        Strings{"One.", "Two!", "Three?!", "(Four.)", "\"Five.\"", "Six…", "Seven"});
  CHECK(sentences("\xEF\xBB\xBF A line\nthat goes on. **Bold.** Next.\n") ==
        Strings{"A line\nthat goes on.", "**Bold.**", "Next."});
  CHECK(sentences("هل هذا؟ نعم۔ यह है। वह है।") == Strings{"هل هذا؟", "نعم۔", "यह है।", "वह है।"});
}

TEST_CASE("A stop within a word, a number or before a small letter ends no sentence") {
  CHECK(sentences("See example.com/?a=b or v1.2.3 now. Pi is 3.14! Yes.") ==
        Strings{"See example.com/?a=b or v1.2.3 now.", "Pi is 3.14!", "Yes."});
  CHECK(sentences("\"Why?\" he asked. It cost 5 etc. (see below) and so on ... élan stays.") ==
        Strings{"\"Why?\" he asked.", "It cost 5 etc. (see below) and so on ... élan stays."});
  CHECK(sentences("Он пришёл. Потом ушёл... и всё.") == Strings{"Он пришёл.", "Потом ушёл... и всё."});
}

TEST_CASE("Abbreviations, initials and the number of an item end no sentence") {
  CHECK(
      sentences("Dr. No met Mrs. J. R. Smith, e.g. Alice (cf. Fig. 3, No. 5). She said no. They left the U.S. Army.") ==
      Strings{"Dr. No met Mrs. J. R. Smith, e.g. Alice (cf. Fig. 3, No. 5).", "She said no.",
              "They left the U.S. Army."});
  CHECK(sentences("3. The third. On Sept. 5 it was 30. Then 31.") ==
        Strings{"3. The third.", "On Sept. 5 it was 30.", "Then 31."});
  CHECK(sentences("Das ist z.B. Holz, d.h. Material. Nr. 7 fehlt.") ==
        Strings{"Das ist z.B. Holz, d.h. Material.", "Nr. 7 fehlt."});
}

TEST_CASE("Chinese and Japanese stops end a sentence without white space") {
  CHECK(sentences("河流有源头。它向低处流！你见过吗？见过。") ==
        Strings{"河流有源头。", "它向低处流！", "你见过吗？", "见过。"});
  CHECK(sentences("「行くぞ！」と言った。『本当？』、彼は答えた。３．１４だ．次｡") ==
        Strings{"「行くぞ！」", "と言った。", "『本当？』、彼は答えた。", "３．１４だ．", "次｡"});
  CHECK(sentences("They use Milvus.它很快。") == Strings{"They use Milvus.", "它很快。"});
}

TEST_CASE("Paragraphs and the blocks of Markdown end a sentence") {
  CHECK(sentences("No stop\n\nNext\r\n \r\nThird\nline\u2029Fourth") ==
        Strings{"No stop", "Next", "Third\nline", "Fourth"});
  CHECK(sentences("# Title\nText here\n- one\n- two. Two b.\n  2. three\n> quoted\n| a |\n```\ncode\n") ==
        Strings{"# Title", "Text here", "- one", "- two.", "Two b.", "2. three", "> quoted", "| a |", "```\ncode"});
  CHECK(sentences("5 - 3\n-2 is not a list, #1 is\n#2 no heading") ==
        Strings{"5 - 3\n-2 is not a list, #1 is\n#2 no heading"});
}

TEST_CASE("SentenceChunker packs whole sentences up to the size, the last ones again") {
  const std::string text = "One. Two two. Three. Four four four. Five.";

  CHECK(texts(rag::SentenceChunker{{.size = 20}}.chunk({"", text})) ==
        Strings{"One. Two two. Three.", "Four four four.", "Five."});
  CHECK(texts(rag::SentenceChunker{{.size = 24, .overlap = 1}}.chunk({"", text})) ==
        Strings{"One. Two two. Three.", "Three. Four four four.", "Four four four. Five."});
  CHECK(texts(rag::SentenceChunker{{.overlap = 1, .sentences = 2}}.chunk({"", text})) ==
        Strings{"One. Two two.", "Two two. Three.", "Three. Four four four.", "Four four four. Five."});
}

TEST_CASE("SentenceChunker cuts a sentence over the size at clauses and words") {
  const auto chunks = rag::SentenceChunker{{.size = 12}}.chunk({"a", "Hi. One two three four five. Ho.", {{"n", 1}}});

  CHECK(texts(chunks) == Strings{"Hi. One two", "three four", "five. Ho."});
  CHECK(chunks[1] == rag::Chunk{"three four", "a", 12, 22, {{"n", 1}}});
}

TEST_CASE("SentenceChunker refuses options that make no sense") {
  CHECK_THROWS_WITH_AS(rag::SentenceChunker({.overlap = 2, .sentences = 2}),
                       "SentenceChunker: an overlap less than the 2 sentences of a chunk wanted, 2 given", rag::Error);
  CHECK_THROWS_AS(rag::SentenceChunker({.size = 0}), rag::Error);
}
