// SPDX-License-Identifier: MIT
#include <rag/llm/echo.hpp>
#include <rag/pipeline.hpp>
#include <rag/retrieve/bm25.hpp>
#include <rag/retrieve/hybrid.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace {

struct LineChunker {
  std::vector<rag::Chunk> chunk(const rag::Document& document) const {
    std::vector<rag::Chunk> chunks;
    for (std::size_t begin = 0; begin < document.text.size();) {
      const std::size_t end = std::min(document.text.find('\n', begin), document.text.size());
      if (document.text.compare(begin, end - begin, "uncuttable") == 0)
        throw rag::Error(rag::Errc::invalid_format, "LineChunker: no");
      if (end > begin)
        chunks.push_back({document.text.substr(begin, end - begin), document.id, begin, end, document.metadata});
      begin = end + 1;
    }
    return chunks;
  }
};

// One column a vowel. Fails on a text that says so; reads ten characters.
struct VowelEmbedder {
  std::size_t dimension() const { return 5; }
  rag::Matrix embed(std::span<const std::string_view> texts) {
    rag::Matrix vectors(texts.size(), 5);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      if (texts[i] == "unembeddable") throw rag::Error(rag::Errc::transport, "VowelEmbedder: gone");
      for (std::size_t v = 0; v < 5; ++v)
        vectors.row(i)[v] = static_cast<float>(std::count(texts[i].begin(), texts[i].end(), "aeiou"[v]));
    }
    return vectors;
  }
  std::size_t count_tokens(std::string_view text) const { return text.size(); }
  std::size_t max_tokens() const { return 10; }
};

// The least that a Store is: no replace().
struct ListStore {
  std::vector<rag::Hit> rows;
  std::vector<std::vector<float>> vectors;
  std::vector<rag::Id> add(std::span<const rag::Chunk> chunks, const rag::Matrix& matrix) {
    std::vector<rag::Id> ids;
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      ids.push_back(static_cast<rag::Id>(rows.size()));
      rows.push_back({chunks[i], 0});
      vectors.emplace_back(matrix.row(i).begin(), matrix.row(i).end());
    }
    return ids;
  }
  std::vector<rag::Hit> search(std::span<const float> query, std::size_t k) const {
    std::vector<rag::Hit> hits = rows;
    for (std::size_t i = 0; i < hits.size(); ++i)
      for (std::size_t v = 0; v < query.size(); ++v) hits[i].score += query[v] * vectors[i][v];
    std::stable_sort(hits.begin(), hits.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
    hits.resize(std::min(k, hits.size()));
    return hits;
  }
  std::size_t size() const { return rows.size(); }
  std::size_t dimension() const { return 0; }
};

struct FixedLlm {
  std::string text;
  std::vector<std::vector<rag::Message>> seen = {};
  rag::Completion complete(std::span<const rag::Message> messages) {
    seen.emplace_back(messages.begin(), messages.end());
    rag::Completion completion = text;
    completion.finish_reason = "length";
    completion.usage = {7, 3};
    return completion;
  }
};

// Shows every hit as a line; has room for two.
struct PlainListPrompter {
  std::vector<rag::Message> prompt(std::string_view question, std::span<const rag::Hit> hits) const {
    std::string text(question);
    for (const rag::Hit& hit : hits) text += "\n" + hit.chunk.text;
    return {{"user", text}};
  }
  std::size_t fit(std::string_view, std::span<const rag::Hit> hits) const { return std::min<std::size_t>(2, hits.size()); }
};

struct CannotChunk {};

std::vector<std::string> texts(const std::vector<rag::Hit>& hits) {
  std::vector<std::string> found;
  for (const rag::Hit& hit : hits) found.push_back(hit.chunk.text);
  return found;
}

std::string error_of(auto&& work) {
  try {
    work();
  } catch (const rag::Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace

static_assert(rag::Chunker<LineChunker> && !rag::Chunker<CannotChunk>);
static_assert(rag::TokenCounter<VowelEmbedder> && rag::Store<ListStore> && !rag::ReplacingStore<ListStore>);

TEST_CASE("Pipeline finds its parts by their types") {
  rag::Pipeline dense{LineChunker{}, VowelEmbedder{}, ListStore{}, rag::EchoLlm{}};
  rag::Pipeline by_words{LineChunker{}, rag::Bm25{}, rag::EchoLlm{}};
  rag::Pipeline own_prompter{LineChunker{}, rag::Bm25{}, rag::EchoLlm{}, PlainListPrompter{}};
  rag::Pipeline all_five{LineChunker{}, VowelEmbedder{}, ListStore{}, rag::EchoLlm{}, PlainListPrompter{}};

  using Dense = rag::DenseRetriever<VowelEmbedder, ListStore>;
  static_assert(std::is_same_v<decltype(dense), rag::Pipeline<LineChunker, Dense, rag::EchoLlm, rag::QaPrompter>>);
  static_assert(std::is_same_v<decltype(by_words), rag::Pipeline<LineChunker, rag::Bm25, rag::EchoLlm>>);
  static_assert(
      std::is_same_v<decltype(own_prompter), rag::Pipeline<LineChunker, rag::Bm25, rag::EchoLlm, PlainListPrompter>>);
  static_assert(std::is_same_v<decltype(all_five), rag::Pipeline<LineChunker, Dense, rag::EchoLlm, PlainListPrompter>>);
  CHECK(dense.add({"a", "one\ntwo"}) == rag::Added{1, 2, 0});
}

TEST_CASE("Pipeline::add reports progress in chunks, and metadata reaches the hits") {
  rag::Pipeline pipeline{LineChunker{}, rag::Bm25{}, rag::EchoLlm{}};
  const std::vector<rag::Document> documents{{"a", "red\ngreen", {{"year", 2024}}}, {"empty", ""}, {"b", "blue"}};
  std::vector<std::pair<std::size_t, std::size_t>> heard;

  const rag::Added added =
      pipeline.add(documents, [&](std::size_t done, std::size_t total) { heard.emplace_back(done, total); });

  CHECK(added == rag::Added{3, 3, 0});
  CHECK(heard == std::vector<std::pair<std::size_t, std::size_t>>{{0, 3}, {2, 3}, {3, 3}});
  CHECK(pipeline.search("green").at(0).chunk.metadata.find("year")->number() == 2024);
}

TEST_CASE("Pipeline::add replaces a document that is there already") {
  rag::Pipeline pipeline{LineChunker{}, rag::Bm25{}, rag::EchoLlm{}};
  pipeline.add({"a", "red apple\ngreen apple"});
  pipeline.add({"b", "apple pie"});

  pipeline.add({"a", "yellow apple"});
  CHECK(texts(pipeline.search("apple", 9)) == std::vector<std::string>{"apple pie", "yellow apple"});

  pipeline.erase("b");
  CHECK(texts(pipeline.search("apple", 9)) == std::vector<std::string>{"yellow apple"});
}

TEST_CASE("Pipeline::add adds a whole document or nothing of it, and says which one failed") {
  rag::Pipeline pipeline{LineChunker{}, VowelEmbedder{}, ListStore{}, rag::EchoLlm{}};
  const std::vector<rag::Document> documents{{"good", "aa"}, {"bad", "ee\nunembeddable"}, {"late", "ii"}};

  CHECK(error_of([&] { pipeline.add(documents); }) == "Pipeline::add: document 'bad': VowelEmbedder: gone");
  CHECK(texts(pipeline.search("a", 9)) == std::vector<std::string>{"aa"});

  CHECK(error_of([&] { pipeline.add({"c", "oo\nuncuttable"}); }) == "Pipeline::add: document 'c': LineChunker: no");
  CHECK(pipeline.search("a", 9).size() == 1);
}

TEST_CASE("Pipeline::add refuses two documents of one id before anything is added") {
  rag::Pipeline pipeline{LineChunker{}, rag::Bm25{}, rag::EchoLlm{}};
  const std::vector<rag::Document> documents{{"a", "one"}, {"b", "two"}, {"a", "three"}};

  CHECK(error_of([&] { pipeline.add(documents); }) == "Pipeline::add: two documents have the id 'a'");
  CHECK(pipeline.search("one").empty());
}

TEST_CASE("Pipeline::add counts the chunks that the embedder can't read to their end") {
  rag::Pipeline dense{LineChunker{}, VowelEmbedder{}, ListStore{}, rag::EchoLlm{}};
  CHECK(dense.add({"a", "0123456789\n0123456789a\nlonger than ten"}).cut == 2);
}

TEST_CASE("Pipeline::ask resolves citations against the snippets that the prompt had room for") {
  rag::Pipeline pipeline{LineChunker{}, rag::Bm25{}, FixedLlm{"It is so [2], and [3], and [2]."}, PlainListPrompter{}};
  pipeline.add({"a", "apple one\napple two\napple three"});

  const rag::Answer answer = pipeline.ask("apple", 3);

  CHECK(texts(answer.sources) == std::vector<std::string>{"apple one", "apple two"});
  CHECK(answer.cited == std::vector<std::size_t>{2});
  CHECK(answer.unknown == std::vector<std::size_t>{3});
  REQUIRE(answer.citations.size() == 3);
  CHECK(answer.citations[1] == rag::Citation{18, 21, {}, {3}});
  CHECK(answer.supported());
  CHECK(answer.finish_reason == "length");
  CHECK(answer.usage == rag::Usage{7, 3});
  CHECK(pipeline.llm().seen.at(0) == pipeline.prompt("apple", 3));
  CHECK(pipeline.llm().seen.at(0).at(0).content == "apple\napple one\napple two");
}

TEST_CASE("Pipeline::ask hands the text out while it is written, and a sink can stop it") {
  rag::Pipeline pipeline{LineChunker{}, rag::Bm25{}, FixedLlm{"abc"}};
  pipeline.add({"a", "apple"});
  std::string heard;

  const rag::Answer whole = pipeline.ask("apple", [&](std::string_view piece) { heard += piece; });
  CHECK(heard == "abc");
  CHECK(whole.text == "abc");

  CHECK(pipeline.ask("apple", [](std::string_view) { return false; }).finish_reason == "cancelled");
}

TEST_CASE("Pipeline::ask with nothing found still asks, and the prompt says that there is nothing") {
  rag::Pipeline pipeline{LineChunker{}, rag::Bm25{}, FixedLlm{"I do not know."}};

  const rag::Answer answer = pipeline.ask("apple");

  CHECK(answer.sources.empty());
  CHECK(!answer.supported());
  CHECK(pipeline.llm().seen.at(0).back().content.find("<context>\n</context>") != std::string::npos);
}

TEST_CASE("Pipeline::compare asks once with the snippets and once with the bare question") {
  rag::Pipeline pipeline{LineChunker{}, rag::Bm25{}, FixedLlm{"so [1]"}};
  pipeline.add({"a", "apple"});

  const rag::Comparison both = pipeline.compare("Which apple?");

  REQUIRE(pipeline.llm().seen.size() == 2);
  CHECK(pipeline.llm().seen[0] == pipeline.prompt("Which apple?"));
  CHECK(pipeline.llm().seen[1] == std::vector<rag::Message>{{"user", "Which apple?"}});
  CHECK(both.with_retrieval.cited == std::vector<std::size_t>{1});
  CHECK(both.without_retrieval.unknown == std::vector<std::size_t>{1});
}

TEST_CASE("Pipeline takes parts that can be moved but not copied") {
  struct MovableLlm {
    std::unique_ptr<std::string> text = std::make_unique<std::string>("moved");
    std::string complete(std::span<const rag::Message>) { return *text; }
  };
  rag::Pipeline pipeline{LineChunker{}, rag::Bm25{}, MovableLlm{}};

  CHECK(pipeline.ask("anything").text == "moved");
}
