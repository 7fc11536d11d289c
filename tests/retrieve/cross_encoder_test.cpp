// SPDX-License-Identifier: MIT
#include <rag/retrieve/cross_encoder.hpp>

#include <rag/concepts.hpp>

#include <doctest/doctest.h>

#include "laws/reranker.hpp"
#include "models/expected.hpp"
#include "paths.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <type_traits>
#include <vector>

using rag::Errc;
using rag::detail::Isa;
using rag::detail::Json;

static_assert(rag::Reranker<rag::CrossEncoder>);
static_assert(std::is_nothrow_move_constructible_v<rag::CrossEncoder>);
static_assert(std::is_copy_constructible_v<rag::CrossEncoder>);

namespace {

struct GivesChunks {
  std::vector<rag::Chunk> rerank(std::string_view, std::span<const rag::Hit>) const { return {}; }
};
static_assert(!rag::Reranker<GivesChunks>);

constexpr const char* made[] = {"cross_bert", "cross_distilbert", "cross_xlm_roberta", "cross_albert"};

struct Copy {
  tests::TemporaryFolder folder;

  explicit Copy(const std::string& name) {
    std::filesystem::copy(tests::made_model(name), folder.path(), std::filesystem::copy_options::recursive);
  }
  std::string path() const { return folder.path().string(); }
  void change(const std::string& name, const std::function<void(Json&)>& change) const {
    Json json = rag::detail::parse_json(rag::detail::MappedFile((folder / name).string(), "T").bytes(), "T");
    change(json);
    std::ofstream(folder / name, std::ios::binary) << json.dump();
  }
};

void check_refused(const Copy& model, Errc code, const std::string& why, const rag::CrossEncoderOptions& options = {}) {
  CAPTURE(why);
  try {
    rag::CrossEncoder(model.path(), options);
    FAIL_CHECK("it was taken");
  } catch (const rag::Error& error) {
    const std::string text = error.what();
    CAPTURE(text);
    CHECK(error.code() == code);
    CHECK(text.starts_with("CrossEncoder: "));
    CHECK(text.find(why) != std::string::npos);
  }
}

}  // namespace

TEST_CASE("a cross-encoder gives the logits that transformers gives, on every instruction set") {
  for (const char* name : made) {
    CAPTURE(std::string(name));
    const tests::Expected expected(name);
    for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
      if (isa > rag::detail::best_isa()) continue;
      CAPTURE(rag::detail::name_of(isa));
      const rag::detail::PairScorer scorer(expected.folder, {.threads = 2}, isa);
      CHECK(scorer.max_tokens() == expected.json["max_tokens"].get<std::size_t>());
      for (const Json& pair : expected.json["pairs"]) {
        const auto question = pair["question"].get<std::string>(), text = pair["text"].get<std::string>();
        CAPTURE(question);
        CAPTURE(text);
        const std::string_view view = text;
        const std::vector<float> found = scorer.scores(question, std::span(&view, 1));
        REQUIRE(found.size() == 1);
        CHECK(std::abs(double(found[0]) - pair["logit"].get<double>()) < 1e-4);
      }
    }
  }
}

TEST_CASE("the head and the token types give the logits of given ids, for every family") {
  for (const char* name : {"cross_bert", "cross_xlm_roberta", "cross_distilbert", "cross_albert"}) {
    CAPTURE(std::string(name));
    const tests::Expected expected(name);
    const rag::detail::MappedFile file(expected.folder + "/config.json", "T");
    const auto config = rag::detail::read_transformer_config(rag::detail::parse_json(file.bytes(), "T"), "T");
    for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
      if (isa > rag::detail::best_isa()) continue;
      const rag::detail::Transformer transformer(rag::detail::MappedFile(expected.folder + "/model.safetensors", "T"), config, "T", 1, isa);
      const rag::detail::PairHead head = rag::detail::read_pair_head(transformer.file(), config.family, config.hidden, "T");
      rag::detail::TransformerScratch scratch;
      std::vector<float> row;
      for (const Json& pair : expected.json["pairs"]) {
        const auto ids = pair["ids"].get<std::vector<std::int32_t>>(), types = pair["types"].get<std::vector<std::int32_t>>();
        const std::size_t length = ids.size();
        const auto kinds = config.types > 1 ? std::span(types) : std::span<const std::int32_t>();
        const float* states = transformer.encode(ids, kinds, std::span(&length, 1), scratch);
        CHECK(std::abs(double(head.apply(isa, states, row)) - pair["logit"].get<double>()) < 1e-4);
      }
    }
  }
}

TEST_CASE("the made cross-encoders keep the laws of a reranker") {
  for (const char* name : made)
    for (const bool sigmoid : {false, true}) {
      CAPTURE(std::string(name));
      rag::CrossEncoder reranker(tests::made_model(name).string(), {.threads = 2, .sigmoid = sigmoid});
      laws::check_reranker(reranker);
    }
}

TEST_CASE("hits come in the order of their logits, whatever stands beside them and on any number of threads") {
  const std::string folder = tests::made_model("cross_bert").string();
  const rag::CrossEncoder one(folder, {.threads = 1}), many(folder, {.threads = 5, .sigmoid = true});
  std::vector<rag::Hit> hits;
  for (std::size_t i = 0; i < 40; ++i) {
    std::string text = "data is stored";
    for (std::size_t j = 0; j < i * 13 % 20; ++j) text += j % 3 == 0 ? " water" : j % 3 == 1 ? " logs" : " segments";
    hits.push_back({{text, "page", 0, text.size(), {}, static_cast<rag::Id>(i)}, 0});
  }

  const std::vector<rag::Hit> found = one.rerank("how is data stored ?", hits), other = many.rerank("how is data stored ?", hits);

  REQUIRE(found.size() == hits.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    const std::string_view text = found[i].chunk.text;
    CHECK(found[i].score == one.scores("how is data stored ?", std::span(&text, 1))[0]);
    CHECK(other[i].chunk == found[i].chunk);
    CHECK(double(other[i].score) == doctest::Approx(1 / (1 + std::exp(-double(found[i].score)))));
  }
}

TEST_CASE("a model that is no cross-encoder of one label is refused by the field's name") {
  const auto refused = [](const char* key, const Json& value, Errc code, const std::string& why) {
    const Copy model("cross_bert");
    model.change("config.json", [&](Json& json) { json[key] = value; });
    check_refused(model, code, why);
  };
  refused("id2label", {{"0", "no"}, {"1", "yes"}}, Errc::unsupported, "id2label: one label wanted");
  refused("num_labels", 3, Errc::unsupported, "num_labels: 1 wanted, 3 given");
  refused("architectures", {"BertModel"}, Errc::unsupported, "architectures: one …ForSequenceClassification wanted");
  refused("model_type", "modernbert", Errc::unsupported, "model_type");
  refused("model_type", "roberta", Errc::invalid_format, "word_embeddings");
  const Copy model("cross_bert");
  model.change("config.json", [](Json& json) { json.erase("id2label"); });
  check_refused(model, Errc::unsupported, "id2label: one label wanted, none given");
  check_refused(Copy("cross_bert"), Errc::invalid_argument, "max_tokens from 5 to 48 wanted, 49 given", {.max_tokens = 49});
  check_refused(Copy("cross_bert"), Errc::invalid_argument, "max_tokens from 5 to 48 wanted, 4 given", {.max_tokens = 4});
  CHECK(rag::CrossEncoder(tests::made_model("cross_bert").string(), {.max_tokens = 5}).max_tokens() == 5);
  std::filesystem::remove(model.folder / "config.json");
  check_refused(model, Errc::not_found, "config.json is not there; a model folder");
}
