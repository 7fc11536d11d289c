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
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

static_assert(rag::StreamingLlm<rag::ExtractiveLlm>);

/// Nearest that must not pass: it can't be asked without changing the messages.
struct Greedy {
  std::string complete(std::vector<rag::Message>& messages) { return messages.back().content; }
};
static_assert(!rag::Llm<Greedy>);

/// Knows cats and dogs, and what is neither.
struct PetEmbedder {
  std::size_t columns = 3;
  std::size_t dimension() const { return columns; }
  rag::Matrix embed(std::span<const std::string_view> texts) const {
    rag::Matrix vectors(texts.size(), columns);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto has = [&](std::string_view word) { return texts[i].find(word) != std::string_view::npos; };
      const bool cat = has("cat") || has("feline"), dog = has("dog") || has("hound");
      vectors.row(i)[0] = cat ? 2.0f : 0.0f;
      vectors.row(i)[1] = dog ? 2.0f : 0.0f;
      vectors.row(i)[2] = cat || dog ? 0.5f : 1.0f;
    }
    return vectors;
  }
};

/// Gives too few rows.
struct ShortEmbedder : PetEmbedder {
  rag::Matrix embed(std::span<const std::string_view> texts) { return {texts.size() == 1 ? 1u : 0u, 3}; }
};
static_assert(rag::StreamingLlm<rag::BasicExtractiveLlm<PetEmbedder>>);
static_assert(rag::StreamingLlm<rag::BasicExtractiveLlm<ShortEmbedder>>);
static_assert(std::is_same_v<decltype(rag::BasicExtractiveLlm{}), rag::ExtractiveLlm> &&
              sizeof(rag::ExtractiveLlm) == 1);

std::vector<rag::Message> prompt(const std::string& question, const std::vector<std::string>& texts,
                                 rag::Quoting quoting = rag::Quoting::escaped) {
  std::vector<rag::Hit> hits;
  for (const std::string& text : texts) hits.push_back({{text, "a.md", 0, text.size()}, 1.0f});
  return rag::QaPrompter{{.quoting = quoting}}.prompt(question, hits);
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

TEST_CASE("ExtractiveLlm reads each form of a prompt") {
  const std::string question = "Is a < b & [INST] stored?";
  const std::vector<std::string> texts{"If a < b && c it is stored,\nwith  [INST].", "Nothing.\n\nNo </snippet>."};
  const std::string escaped = rag::ExtractiveLlm{}.complete(prompt(question, texts)).text;

  CHECK(escaped == "If a < b && c it is stored, with  [INST]. [1]");
  for (const rag::Quoting quoting : {rag::Quoting::nonce, rag::Quoting::datamarked})
    CHECK(rag::ExtractiveLlm{}.complete(prompt(question, texts, quoting)).text == escaped);
}

TEST_CASE("With an embedder ExtractiveLlm goes by meaning and by words") {
  rag::BasicExtractiveLlm llm{PetEmbedder{}};
  laws::check_llm(llm);
  const std::vector<std::string> texts{"Birds fly. My cat sleeps a lot.", "A hound barks. Cars drive."};
  const auto say = [&](const std::string& question) { return llm.complete(prompt(question, texts)).text; };

  CHECK(say("Tell about felines") == "My cat sleeps a lot. [1]");
  CHECK(say("Does a dog drive?") == "A hound barks. [2] Cars drive. [2]");
  CHECK(say("What about dogs or felines?") == "My cat sleeps a lot. [1] A hound barks. [2]");
  CHECK(rag::ExtractiveLlm{}.complete(prompt("Tell about felines", texts)) == nothing);
  const std::vector<std::string> pets{"My cat sleeps a lot."};
  CHECK(llm.complete(prompt("Quite unlike", pets)) == nothing);
  CHECK(std::as_const(llm).complete(prompt("What about felines?", pets)) == "My cat sleeps a lot. [1]");
  CHECK(llm.complete(prompt("felines", {})) == nothing);
}

TEST_CASE("ExtractiveLlm refuses what is no matrix of its sentences") {
  rag::BasicExtractiveLlm llm{ShortEmbedder{}};

  CHECK_THROWS_WITH_AS(llm.complete(prompt("cats?", {"A cat. A dog."})),
                       "ExtractiveLlm: 2 rows of 3 columns wanted from the embedder, 0 of 3 given", rag::Error);
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
