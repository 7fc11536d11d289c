// SPDX-License-Identifier: MIT
#include <rag/embed/minilm.hpp>

#include <rag/concepts.hpp>
#include <rag/detail/json.hpp>

#include <doctest/doctest.h>

#include "embed/faq.hpp"
#include "embed/tiny_bert.hpp"
#include "laws/embedder.hpp"
#include "paths.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <numeric>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

static_assert(rag::Embedder<rag::MiniLmEmbedder>);
static_assert(rag::TokenCounter<rag::MiniLmEmbedder>);
static_assert(rag::NamedEmbedder<rag::MiniLmEmbedder>);
static_assert(std::is_same_v<rag::MiniLmEmbedder, rag::SentenceEmbedder>);
static_assert(std::is_nothrow_move_constructible_v<rag::MiniLmEmbedder>);
static_assert(std::is_copy_constructible_v<rag::MiniLmEmbedder>);

namespace {

struct NoDimension {
  rag::Matrix embed(std::span<const std::string_view> texts) const { return {texts.size(), 1}; }
};
static_assert(!rag::Embedder<NoDimension>);

/// A model folder that may be spoilt.
struct TinyFolder {
  tests::TemporaryFolder folder;
  tests::TinyBert bert;

  TinyFolder() {
    bert.draw();
    bert.write(folder.path());
  }
  std::string path() const { return folder.path().string(); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(folder / name, std::ios::binary) << text; }
  void remove(const std::string& name) const { std::filesystem::remove(folder / name); }
};

void check_refused(const TinyFolder& model, rag::Errc code, const std::string& why, const rag::MiniLmOptions& options = {}) {
  CAPTURE(why);
  try {
    rag::MiniLmEmbedder(model.path(), options);
    FAIL_CHECK("it was taken");
  } catch (const rag::Error& error) {
    const std::string text = error.what();
    CAPTURE(text);
    CHECK(error.code() == code);
    CHECK(text.find(why) != std::string::npos);
  }
}

rag::Matrix embed(const rag::MiniLmEmbedder& embedder, const std::vector<std::string_view>& texts) { return embedder.embed(texts); }

}  // namespace

TEST_CASE("a tiny model's rows are the normalised mean of its last states") {
  const TinyFolder model;
  const rag::MiniLmEmbedder embedder(model.path());

  const rag::Matrix vectors = embed(embedder, {"How is data stored in Milvus?"});

  const auto states = model.bert.forward({2, 10, 11, 7, 8, 9, 12, 6, 13, 3});
  std::vector<double> mean(32);
  for (const auto& row : states)
    for (std::size_t i = 0; i < 32; ++i) mean[i] += row[i];
  const double length = std::sqrt(std::inner_product(mean.begin(), mean.end(), mean.begin(), 0.0));
  CHECK(vectors.columns() == 32);
  double worst = 0;
  for (std::size_t i = 0; i < 32; ++i) worst = std::max(worst, std::abs(double(vectors.row(0)[i]) - mean[i] / length));
  CHECK(worst < 2e-6);
}

TEST_CASE("the tiny model keeps the laws of an embedder, on one thread and on many") {
  const TinyFolder model;
  for (const std::size_t threads : {1u, 3u}) {
    CAPTURE(threads);
    rag::MiniLmEmbedder embedder(model.path(), {.threads = threads});
    laws::check_embedder(embedder);
  }
}

TEST_CASE("neither threads nor neighbours nor other callers change a bit of a row") {
  const TinyFolder model;
  const rag::MiniLmEmbedder one(model.path(), {.threads = 1}), many(model.path(), {.threads = 7});
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < 90; ++i) {
    std::string text = "water";
    for (std::size_t j = 0; j < i * 13 % 20; ++j) text += " w" + std::to_string(20 + (i + j * j) % 20);
    texts.push_back(text);
  }
  const std::vector<std::string_view> views(texts.begin(), texts.end());

  const rag::Matrix wanted = one.embed(views);

  CHECK(many.embed(views) == wanted);
  rag::Matrix found[4];
  std::vector<std::thread> callers;
  for (rag::Matrix& matrix : found) callers.emplace_back([&] { matrix = many.embed(views); });
  for (std::thread& caller : callers) caller.join();
  for (const rag::Matrix& matrix : found) CHECK(matrix == wanted);
}

TEST_CASE("a text is cut at max_tokens, and count_tokens tells before") {
  const TinyFolder model;
  const rag::MiniLmEmbedder embedder(model.path());
  const std::string fits = "a a a a a a a a a a a a a a", longer = fits + " water";  // 14 words, 15 words

  CHECK(embedder.max_tokens() == 16);
  CHECK(embedder.count_tokens("") == 2);
  CHECK(embedder.count_tokens("stored") == 4);
  CHECK(embedder.count_tokens(fits) == 16);
  CHECK(embedder.count_tokens(longer) == 17);
  CHECK(std::ranges::equal(embed(embedder, {fits}).row(0), embed(embedder, {longer}).row(0)));

  const rag::MiniLmEmbedder longer_embedder(model.path(), {.max_tokens = 17});
  CHECK(longer_embedder.max_tokens() == 17);
  CHECK_FALSE(std::ranges::equal(embed(longer_embedder, {fits}).row(0), embed(longer_embedder, {longer}).row(0)));
  check_refused(model, rag::Errc::invalid_argument, "max_tokens from 3 to 64 wanted, 65 given", {.max_tokens = 65});
  check_refused(model, rag::Errc::invalid_argument, "max_tokens from 3 to 64 wanted, 2 given", {.max_tokens = 2});
  CHECK(rag::MiniLmEmbedder(model.path(), {.max_tokens = 64}).max_tokens() == 64);
}

TEST_CASE("the length comes from sentence_bert_config.json, then tokenizer_config.json, then the positions") {
  const TinyFolder model;
  const auto length = [&] { return rag::MiniLmEmbedder(model.path()).max_tokens(); };
  std::string vocabulary;
  for (const std::string& word : model.bert.words())
    vocabulary += (vocabulary.empty() ? "\"" : ", \"") + word + "\": " + std::to_string(std::count(vocabulary.begin(), vocabulary.end(), ':'));
  model.write("tokenizer.json", R"({"truncation": {"max_length": 5}, "padding": {"strategy": {"Fixed": 5}}, "normalizer": null,
    "pre_tokenizer": {"type": "WhitespaceSplit"}, "model": {"type": "WordPiece", "unk_token": "[UNK]", "vocab": {)" + vocabulary + "}}}");
  CHECK(length() == 16);
  model.write("sentence_bert_config.json", R"({"max_seq_length": null})");
  CHECK(length() == 48);
  model.remove("sentence_bert_config.json");
  CHECK(length() == 48);
  model.write("tokenizer_config.json", R"({"model_max_length": 1000000000000000019884624838656})");
  CHECK(length() == 64);
  model.remove("tokenizer_config.json");
  CHECK(length() == 64);
  model.write("sentence_bert_config.json", R"({"max_seq_length": 2})");
  check_refused(model, rag::Errc::invalid_format, "max_seq_length: at least 3 wanted");
}

TEST_CASE("pooling takes the first token where the model says so, and rows keep their length without Normalize") {
  const TinyFolder model;
  model.write("1_Pooling/config.json", R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
  model.write("modules.json", R"([{"path": "", "type": "Transformer"}, {"path": "1_Pooling", "type": "Pooling"}])");
  const rag::MiniLmEmbedder embedder(model.path());

  const rag::Matrix vectors = embed(embedder, {"water data"});

  const auto states = model.bert.forward({2, 5, 7, 3});
  for (std::size_t i = 0; i < 32; ++i) CHECK(double(vectors.row(0)[i]) == doctest::Approx(states[0][i]).epsilon(1e-4));
}

TEST_CASE("a missing file is named, and what a model folder looks like is said") {
  for (const char* name : {"config.json", "model.safetensors", "1_Pooling/config.json"}) {
    const TinyFolder model;
    model.remove(name);
    check_refused(model, rag::Errc::not_found, std::string("/") + name + " is not there; a model folder");
  }
  const TinyFolder model;
  model.remove("vocab.txt");
  check_refused(model, rag::Errc::not_found, "vocab.txt");
  std::filesystem::remove_all(model.folder.path());
  check_refused(model, rag::Errc::not_found, "/config.json is not there; a model folder");
}

TEST_CASE("a model of another kind is refused by the field's name") {
  const auto refused = [](const char* file, const char* text, rag::Errc code, const char* why) {
    const TinyFolder model;
    model.write(file, text);
    check_refused(model, code, why);
  };
  using rag::Errc;
  const char *pooling = "1_Pooling/config.json", *modules = "modules.json";
  refused(pooling, R"({"pooling_mode_mean_tokens": true, "pooling_mode_lasttoken": true})", Errc::unsupported, "pooling_mode_lasttoken");
  refused(pooling, R"({"pooling_mode": "lasttoken"})", Errc::unsupported, "pooling_mode:");
  refused(pooling, "[]", Errc::invalid_format, "an object wanted");
  refused(pooling, R"({"word_embedding_dimension": 31, "pooling_mode_mean_tokens": true})", Errc::invalid_format, "word_embedding_dimension: 32 wanted");
  refused(modules, "[]", Errc::invalid_format, "Transformer and Pooling wanted");
  refused(modules, "3", Errc::invalid_format, "modules");
  refused(modules, R"({"a": 1})", Errc::invalid_format, "an array of modules wanted");
  refused(modules, R"([{"path": "", "type": "Transformer"}])", Errc::invalid_format, "Transformer and Pooling wanted");
  refused(modules, R"([{"path": "", "type": "Transformer"}, {"path": "../1_Pooling", "type": "Pooling"}])", Errc::invalid_format, "leads out");
  refused(modules, R"([{"path": "", "type": "Transformer"}, {"path": "1_Pooling", "type": "Pooling"}, {"path": "2_Cnn", "type": "sentence_transformers.models.CNN"}])",
          Errc::unsupported, "CNN met");
  refused("config.json", "{", Errc::invalid_format, "config.json: not JSON");
  refused("config.json", "{}", Errc::invalid_format, "hidden_size");
  refused("model.safetensors", "no", Errc::invalid_format, "model.safetensors: 8 bytes wanted");

  TinyFolder model;
  model.bert.vocabulary = 41;  // one word more in vocab.txt than there are vectors
  std::string words;
  for (const std::string& word : model.bert.words()) words += word + "\n";
  model.write("vocab.txt", words);
  check_refused(model, Errc::invalid_format, "at most 40 tokens wanted by config.json, 41 given");
}

TEST_CASE("a NaN in the table of words is an error where the word is met") {
  TinyFolder model;
  model.bert.tensors["embeddings.word_embeddings.weight"].values[5 * 32 + 1] = std::nanf("");
  model.bert.write(model.folder.path());
  const rag::MiniLmEmbedder embedder(model.path(), {.threads = 2});

  CHECK(embed(embedder, {"data"}).rows() == 1);
  CHECK_THROWS_AS(embed(embedder, {"data", "water"}), rag::Error);
}

TEST_CASE("two models have one name only if all that decides the vectors is the same") {
  TinyFolder model;
  const auto name = [&](rag::MiniLmOptions options = {}) { return rag::MiniLmEmbedder(model.path(), options).name(); };
  const std::string first = name();
  std::vector<std::string> names{first};
  CHECK(first.starts_with(model.folder.path().filename().string() + "-16-"));
  CHECK(name({.threads = 2}) == first);
  CHECK(rag::MiniLmEmbedder(model.path() + "/").name() == first);
  names.push_back(name({.max_tokens = 15}));
  model.bert.tensors["embeddings.word_embeddings.weight"].values[1200] += 1e-3f;
  model.write("model.safetensors", model.bert.safetensors());
  names.push_back(name());
  model.write("1_Pooling/config.json", R"({"pooling_mode_cls_token": true})");
  names.push_back(name());
  model.write("modules.json", R"([{"path": "", "type": "Transformer"}, {"path": "1_Pooling", "type": "Pooling"}])");
  names.push_back(name());
  std::string words = tests::read_file(model.folder / "vocab.txt");
  model.write("vocab.txt", words.replace(words.find("w20"), 3, "x20"));
  names.push_back(name());
  std::sort(names.begin(), names.end());
  CHECK(std::unique(names.begin(), names.end()) == names.end());
}

TEST_CASE("all-MiniLM-L6-v2 finds the tutorial's chunks with the scores of the reference") {
  if (tests::skip_without(tests::model_folder() / "model.safetensors") || tests::skip_without(tests::data_folder() / "milvus-faq")) return;
  const rag::MiniLmEmbedder embedder(tests::model_folder().string());
  const std::vector<std::string> chunks = tests::faq_chunks();
  REQUIRE(chunks.size() == 72);
  const rag::Matrix vectors = embedder.embed(std::vector<std::string_view>(chunks.begin(), chunks.end()));
  CHECK(embedder.dimension() == 384);
  CHECK(embedder.max_tokens() == 256);
  CHECK(embedder.count_tokens(chunks[31]) == 271);
  CHECK(embedder.count_tokens(chunks[21]) == 281);

  for (const auto& question : tests::golden_questions()) {
    const std::string text = question["q"];
    CAPTURE(text);
    const rag::Matrix query = embed(embedder, {text});
    std::vector<std::pair<double, std::size_t>> ranks;
    for (std::size_t i = 0; i < chunks.size(); ++i) ranks.emplace_back(-tests::dot(query.row(0), vectors.row(i)), i);
    std::sort(ranks.begin(), ranks.end());
    for (std::size_t rank = 0; rank < question["top"].size(); ++rank) {
      CAPTURE(rank);
      const double score = question["top"][rank][1];
      CHECK(ranks[rank].second == question["top"][rank][0].get<std::size_t>());
      CHECK(std::abs(-ranks[rank].first - score) < 1e-5);
    }
  }
}

TEST_CASE("all-MiniLM-L6-v2 keeps the laws of an embedder") {
  if (tests::skip_without(tests::model_folder() / "model.safetensors")) return;
  rag::MiniLmEmbedder embedder(tests::model_folder().string());
  laws::check_embedder(embedder);
}
