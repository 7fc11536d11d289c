// SPDX-License-Identifier: MIT
#include "laws/llm.hpp"
#include "paths.hpp"

#include <rag/detail/citations.hpp>
#include <rag/llm/extractive.hpp>
#include <rag/prompt/qa.hpp>
#include <rag/retrieve/bm25.hpp>

#include <doctest/doctest.h>

#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace {

static_assert(rag::StreamingLlm<rag::ExtractiveLlm>);

/// Nearest that must not pass: it can't be asked without changing the messages.
struct Greedy {
  std::string complete(std::vector<rag::Message>& messages) { return messages.back().content; }
};
static_assert(!rag::Llm<Greedy>);

std::vector<rag::Message> prompt(const std::string& question, const std::vector<std::string>& texts) {
  std::vector<rag::Hit> hits;
  for (const std::string& text : texts) hits.push_back({{text, "a.md", 0, text.size()}, 1.0f});
  return rag::QaPrompter{}.prompt(question, hits);
}

std::string answer(const std::string& question, const std::vector<std::string>& texts) {
  return rag::ExtractiveLlm{}.complete(prompt(question, texts)).text;
}

const std::string nothing = "None of the passages answers this question.";

}  // namespace

TEST_CASE("ExtractiveLlm keeps the laws of an Llm") {
  rag::ExtractiveLlm llm;
  laws::check_llm(llm);
}

TEST_CASE("ExtractiveLlm answers with the sentences that share the question's words, each with its mark") {
  const std::vector<std::string> texts{"Birds fly south. The nightingale sings at night.",
                                       "Owls call. A nightingale eats insects."};

  CHECK(answer("Which bird sings at night?", texts) ==
        "Birds fly south. [1] The nightingale sings at night. [1]");
  CHECK(answer("What do nightingales eat?", texts) ==
        "The nightingale sings at night. [1] A nightingale eats insects. [2]");
}

TEST_CASE("ExtractiveLlm says so where nothing answers, and where there is no prompt to read") {
  CHECK(answer("What is the capital of France?", {"Birds fly south."}) == nothing);
  CHECK(answer("Which bird?", {}) == nothing);
  CHECK(answer("", {"Birds fly south."}) == nothing);
  const rag::Message bare{"user", "Which bird?"};
  CHECK(rag::ExtractiveLlm{}.complete({&bare, 1}) == "There are no passages to answer from.");
  CHECK(rag::ExtractiveLlm{}.complete({}) == "There are no passages to answer from.");
}

TEST_CASE("ExtractiveLlm answers from what stands under a question, not with the question") {
  CHECK(answer("How much does it cost?", {"How much does it cost?\n\nNothing. It is free.\n\n###"}) ==
        "Nothing. [1] It is free. [1]");
}

TEST_CASE("ExtractiveLlm does not say a thing twice") {
  CHECK(answer("Where is data stored?",
               {"Data is stored in etcd.", "The data is stored in etcd.", "Data is stored on disk, too."}) ==
        "Data is stored in etcd. [1] Data is stored on disk, too. [3]");
}

TEST_CASE("ExtractiveLlm's own marks are the only ones, whatever the documents hold") {
  const std::string parts[] = {"data ", "[1]", "[9]", "[",   "]",       "[[2]1]", "`",      "``",
                               "```",   ". ",  "\n",  "[2,", "stored ", "<",      "[7](x)", "1-9"};
  std::mt19937 random(5);
  for (int i = 0; i < 3000; ++i) {
    CAPTURE(i);
    std::vector<std::string> texts(2);
    for (std::string& text : texts)
      for (int j = 0; j < 12; ++j) text += parts[random() % std::size(parts)];
    rag::Answer given;
    given.text = answer("Where is data stored?", texts);
    given.sources.resize(2);
    const std::vector<rag::detail::CitationMark> marks = rag::detail::find_citations(given.text);

    rag::detail::resolve_citations(given);

    CHECK(given.unknown.empty());
    CHECK(given.cited.empty() == (given.text == nothing));
    CHECK(marks.size() <= 3);
    if (given.text != nothing) CHECK(marks.back().end == given.text.size());
  }
}

TEST_CASE("ExtractiveLlm streams a sentence a piece and stops when told") {
  const std::vector<rag::Message> messages =
      prompt("Where is data stored?", {"Data is stored in etcd. Stored on disk, data stays."});
  std::vector<std::string> pieces;

  const rag::Completion all =
      rag::ExtractiveLlm{}.stream(messages, [&](std::string_view piece) { pieces.emplace_back(piece); });
  const rag::Completion one = rag::ExtractiveLlm{}.stream(messages, [](std::string_view) { return false; });

  REQUIRE(pieces.size() == 2);
  CHECK(all.text == pieces[0] + pieces[1]);
  CHECK(all.finish_reason == "stop");
  CHECK(one.text == pieces[0]);
  CHECK(one.finish_reason == "cancelled");
}

TEST_CASE("ExtractiveLlm answers the tutorial's question from the FAQ") {
  const std::filesystem::path path = tests::data_folder() / "milvus-faq" / "product_faq.md";
  if (tests::skip_without(path)) return;
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  rag::Bm25 index;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find("# ", begin), text.size());
    const rag::Chunk chunk{text.substr(begin, end - begin), "product_faq.md", begin, end};
    index.add({&chunk, 1});
    begin = end + 2;
  }
  const std::string question = "How is data stored in milvus?";

  const std::string given =
      rag::ExtractiveLlm{}.complete(rag::QaPrompter{}.prompt(question, index.search(question, 3))).text;

  CAPTURE(given);
  for (const char* words : {"Inserted data", "persistent storage as incremental log. [1]",
                            "metadata that are stored in etcd. [1]"})
    CHECK(given.find(words) != std::string::npos);
  CHECK(given.find("https://") == std::string::npos);
}
