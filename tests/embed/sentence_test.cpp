// SPDX-License-Identifier: MIT
#include <rag/embed/sentence.hpp>

#include <rag/concepts.hpp>
#include <rag/detail/json.hpp>

#include <doctest/doctest.h>

#include "laws/embedder.hpp"
#include "models/expected.hpp"
#include "paths.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

using rag::Errc;
using rag::detail::Isa;
using rag::detail::Json;
using rag::detail::SentenceEncoder;

static_assert(rag::QueryEmbedder<rag::SentenceEmbedder>);
static_assert(rag::TokenCounter<rag::SentenceEmbedder>);
static_assert(rag::NamedEmbedder<rag::SentenceEmbedder>);
static_assert(std::is_nothrow_move_constructible_v<rag::SentenceEmbedder>);
static_assert(std::is_copy_constructible_v<rag::SentenceEmbedder>);

namespace {

constexpr const char* made[] = {"bert_mean", "bert_prompts", "bert_dense", "distilbert",
                               "mpnet",     "xlm_roberta",  "albert",     "albert_groups"};

/// A copy of a made model that may be spoilt.
struct Copy {
  tests::TemporaryFolder folder;

  explicit Copy(const std::string& name) {
    std::filesystem::copy(tests::made_model(name), folder.path(), std::filesystem::copy_options::recursive);
  }
  std::string path() const { return folder.path().string(); }
  void write(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories((folder / name).parent_path());
    std::ofstream(folder / name, std::ios::binary) << text;
  }
  void change(const std::string& name, const std::function<void(Json&)>& change) const {
    Json json = rag::detail::parse_json(rag::detail::MappedFile((folder / name).string(), "T").bytes(), "T");
    change(json);
    write(name, json.dump());
  }
};

void check_refused(const Copy& model, Errc code, const std::string& why, const rag::SentenceEmbedderOptions& options = {}) {
  CAPTURE(why);
  try {
    rag::SentenceEmbedder(model.path(), options);
    FAIL_CHECK("it was taken");
  } catch (const rag::Error& error) {
    const std::string text = error.what();
    CAPTURE(text);
    CHECK(error.code() == code);
    CHECK(text.starts_with("SentenceEmbedder: "));
    CHECK(text.find(why) != std::string::npos);
  }
}

/// The texts of expected.json live in the Json.
std::vector<std::string> texts_of(const tests::Expected& expected) { return expected.json["texts"].get<std::vector<std::string>>(); }

rag::Matrix embed(const SentenceEncoder& encoder, const std::vector<std::string>& texts) {
  return encoder.embed(std::vector<std::string_view>(texts.begin(), texts.end()));
}

double length_of(std::span<const float> row) { return std::sqrt(std::inner_product(row.begin(), row.end(), row.begin(), 0.0)); }

}  // namespace

TEST_CASE("every family gives the vectors that sentence-transformers gives, on every instruction set") {
  for (const char* name : made) {
    CAPTURE(std::string(name));
    const tests::Expected expected(name);
    const std::vector<std::string> texts = texts_of(expected);
    const std::vector<float> documents = expected.values("documents"), queries = expected.values("queries");
    for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
      if (isa > rag::detail::best_isa()) continue;
      CAPTURE(rag::detail::name_of(isa));
      const SentenceEncoder encoder(expected.folder, {.threads = 2}, isa);
      CHECK(encoder.max_tokens() == expected.json["max_tokens"].get<std::size_t>());
      const std::size_t columns = encoder.dimension();
      REQUIRE(columns == expected.shape("documents")[1]);

      const rag::Matrix vectors = embed(encoder, texts);

      CHECK(tests::largest_difference({vectors.data(), texts.size() * columns}, documents) < 2e-5);
      for (std::size_t i = 0; i < texts.size(); ++i) {
        CAPTURE(i);
        CHECK(tests::largest_difference(encoder.embed_query(texts[i]), std::span(queries).subspan(i * columns, columns)) < 2e-5);
      }
    }
  }
}

TEST_CASE("the made models keep the laws of an embedder") {
  for (const char* name : {"bert_prompts", "bert_dense", "distilbert", "mpnet", "xlm_roberta", "albert"}) {
    CAPTURE(std::string(name));
    rag::SentenceEmbedder embedder(tests::made_model(name).string(), {.threads = 2});
    laws::check_embedder(embedder);
  }
}

TEST_CASE("a question without a prompt of its own is embedded as a passage, bit for bit") {
  for (const char* name : {"bert_mean", "bert_dense", "distilbert"}) {
    CAPTURE(std::string(name));
    const rag::SentenceEmbedder embedder(tests::made_model(name).string());
    const std::string_view text = "how is data stored ?";
    CHECK(std::ranges::equal(embedder.embed_query(text), embedder.embed(std::span(&text, 1)).row(0)));
  }
}

TEST_CASE("prompts stand before the text: document, passage or corpus, query, or the default one") {
  const Copy model("bert_mean");
  const std::string file = "config_sentence_transformers.json";
  const SentenceEncoder plain(model.path());
  // Which prompts a file gives, as the vectors of texts that hold them show.
  const auto check = [&](const std::string& config, const std::string& document, const std::string& query) {
    CAPTURE(config);
    model.write(file, config);
    const SentenceEncoder encoder(model.path());
    CHECK(embed(encoder, {"water"}) == embed(plain, {document + "water"}));
    CHECK(encoder.embed_query("water") == plain.embed_query(query + "water"));
    CHECK(encoder.count_tokens("water") == plain.count_tokens(document + "water"));
  };
  check("{}", "", "");
  check(R"({"prompts": null, "default_prompt_name": null})", "", "");
  check(R"({"prompts": {"query": "query: ", "passage": "passage: "}})", "passage: ", "query: ");
  check(R"({"prompts": {"query": "", "corpus": "data ", "passage": "passage: ", "document": "index "}})", "index ", "");
  check(R"({"prompts": {"query": "query: ", "corpus": "data ", "passage": ""}})", "", "query: ");
  check(R"({"prompts": {"query": "query: ", "any": "data "}, "default_prompt_name": "any"})", "data ", "query: ");
  check(R"({"prompts": {"document": "", "any": "data "}, "default_prompt_name": "any"})", "", "data ");
  const auto refused = [&](const std::string& config, Errc code, const std::string& why) {
    model.write(file, config);
    check_refused(model, code, why);
  };
  refused(R"({"prompts": {"query": 3}})", Errc::invalid_format, "prompts: an object of texts wanted");
  refused(R"({"prompts": ["query: "]})", Errc::invalid_format, "prompts: an object of texts wanted");
  refused(R"({"prompts": {}, "default_prompt_name": "any"})", Errc::invalid_format, "default_prompt_name: one of prompts wanted");
  refused(R"({"truncate_dim": 0})", Errc::invalid_format, "truncate_dim");
  model.write("1_Pooling/config.json", R"({"pooling_mode": "mean", "include_prompt": false})");
  refused(R"({"prompts": {"query": "query: "}})", Errc::unsupported, "include_prompt false");
  model.write(file, R"({"prompts": {"query": ""}})");
  CHECK(rag::SentenceEmbedder(model.path()).dimension() == 12);
}

TEST_CASE("a shorter vector is the first columns, of length 1 again where the model normalises") {
  const std::string_view text = "data is stored in segments .";
  for (const char* name : {"bert_mean", "distilbert"}) {  // one with Normalize, one without
    CAPTURE(std::string(name));
    const std::string folder = tests::made_model(name).string();
    const rag::SentenceEmbedder all(folder), five(folder, {.dimension = 5});
    CHECK(five.dimension() == 5);
    const rag::Matrix whole = all.embed(std::span(&text, 1)), part = five.embed(std::span(&text, 1));
    const double length = name == std::string("distilbert") ? 1 : length_of(whole.row(0).first(5));
    for (std::size_t i = 0; i < 5; ++i)
      CHECK(double(part.row(0)[i]) == doctest::Approx(double(whole.row(0)[i]) / length).epsilon(1e-6));
    CHECK(all.name() != five.name());
  }
  CHECK(rag::SentenceEmbedder(tests::made_model("bert_dense").string()).dimension() == 7);  // as its file says
  CHECK(rag::SentenceEmbedder(tests::made_model("bert_dense").string(), {.dimension = 11}).dimension() == 11);
  check_refused(Copy("bert_dense"), Errc::invalid_argument, "dimension from 1 to 11 wanted, 12 given", {.dimension = 12});
}

TEST_CASE("modules that would change the vectors are refused by the field's name") {
  const auto refused = [](const std::string& file, const std::string& text, Errc code, const std::string& why) {
    const Copy model("bert_dense");
    model.write(file, text);
    check_refused(model, code, why);
  };
  const std::string dense = "2_Dense/config.json";
  refused(dense, R"({"in_features": 13, "out_features": 11})", Errc::invalid_format, "in_features: 12 wanted");
  refused(dense, R"({"in_features": 12})", Errc::invalid_format, "out_features");
  refused(dense, R"({"in_features": 12, "out_features": 16777216})", Errc::invalid_format, "linear.weight: 16777216 x 12 wanted");
  refused(dense, R"({"in_features": 12, "out_features": 11, "activation_function": "torch.nn.modules.activation.SiLU"})",
          Errc::unsupported, "activation_function");
  refused(dense, R"({"in_features": 12, "out_features": 11, "use_residual": true})", Errc::unsupported, "use_residual");
  refused(dense, R"({"in_features": 12, "out_features": 11, "module_input_name": "token_embeddings"})", Errc::unsupported, "module_input_name");
  refused("2_Dense/model.safetensors", "", Errc::invalid_format, "2_Dense/model.safetensors: 8 bytes");
  refused("3_Normalize/config.json", R"({"module_input_name": "token_embeddings"})", Errc::unsupported, "module_input_name");
  refused("modules.json", R"([{"path": "", "type": "custom_st.Transformer"}])", Errc::unsupported, "custom_st.Transformer met");
  refused("sentence_bert_config.json", R"({"transformer_task": "fill-mask"})", Errc::unsupported, "transformer_task");
  refused("sentence_bert_config.json", R"({"query_length": 32})", Errc::unsupported, "query_length");
  const std::string module = "sentence_transformers.models.";
  refused("modules.json", R"([{"path": ")" + std::string(300, 'a') + R"(", "type": ")" + module + R"(Transformer"}])",
          Errc::invalid_format, "a path of more than 255 bytes");
  refused("modules.json", R"([{"path": "", "type": ")" + module + std::string(1000, 'a') + R"("}])", Errc::unsupported,
          "aaa …");
  const std::string pooling = "1_Pooling/config.json";
  refused(pooling, R"({"pooling_mode": "weightedmean"})", Errc::unsupported, "pooling_mode: cls, max, mean");
  refused(pooling, R"({"pooling_mode": ["mean", "lasttoken"]})", Errc::unsupported, "pooling_mode: cls, max, mean");
  refused(pooling, R"({"pooling_mode_weightedmean_tokens": true})", Errc::unsupported, "pooling_mode_weightedmean_tokens");
  const Copy model("bert_dense");
  std::filesystem::remove(model.folder / "2_Dense/model.safetensors");
  check_refused(model, Errc::not_found, "2_Dense/model.safetensors is not there");
}

TEST_CASE("a config that this encoder would get wrong is refused by the field's name") {
  const auto refused = [](const char* name, const char* key, const Json& value, Errc code, const std::string& why) {
    CAPTURE(std::string(name));
    const Copy model(name);
    model.change("config.json", [&](Json& json) { json[key] = value; });
    check_refused(model, code, why);
  };
  for (const char* type : {"new", "nomic_bert", "modernbert", "gpt2", "deberta-v2"})
    refused("bert_mean", "model_type", type, Errc::unsupported, std::string("\"") + type + "\" given");
  refused("bert_mean", "position_embedding_type", "alibi", Errc::unsupported, "position_embedding_type: 'absolute' wanted");
  refused("bert_mean", "is_decoder", true, Errc::unsupported, "is_decoder: false wanted");
  refused("bert_mean", "auto_map", {{"AutoModel", "modeling.Model"}}, Errc::unsupported, "auto_map: none wanted");
  refused("bert_mean", "rope_theta", 10000, Errc::unsupported, "rope_theta: none wanted");
  refused("bert_mean", "pruned_heads", {{"1", {0}}}, Errc::unsupported, "pruned_heads: none wanted");
  refused("distilbert", "activation", "silu", Errc::unsupported, "activation: gelu");
  refused("distilbert", "n_heads", 5, Errc::invalid_format, "n_heads: 5 do not divide dim 12");
  refused("mpnet", "relative_attention_num_buckets", 64, Errc::unsupported, "relative_attention_num_buckets: 32 wanted");
  refused("xlm_roberta", "max_position_embeddings", 2, Errc::invalid_format, "more than 2 wanted");
  refused("xlm_roberta", "pad_token_id", -1, Errc::invalid_format, "pad_token_id");
  refused("albert", "inner_group_num", 2, Errc::unsupported, "inner_group_num: 1 wanted");
  refused("bert_mean", "max_position_embeddings", 2, Errc::invalid_format, "room for 3 tokens wanted, for 2 given");
  refused("xlm_roberta", "max_position_embeddings", 4, Errc::invalid_format, "room for 3 tokens wanted, for 2 given");
  refused("albert", "num_hidden_groups", 4, Errc::invalid_format, "num_hidden_groups: at most num_hidden_layers");
}

TEST_CASE("weights that are not in model.safetensors are asked for by that name") {
  const Copy model("bert_mean");
  std::filesystem::rename(model.folder / "model.safetensors", model.folder / "pytorch_model.bin");
  check_refused(model, Errc::unsupported, "model.safetensors wanted, pytorch_model.bin given");
}

TEST_CASE("dimension, prompts and dense layers are part of the name") {
  const Copy model("bert_dense");
  std::vector<std::string> names{rag::SentenceEmbedder(model.path()).name()};
  const auto add = [&] { names.push_back(rag::SentenceEmbedder(model.path()).name()); };
  model.change("config_sentence_transformers.json", [](Json& json) { json["truncate_dim"] = 6; }), add();
  model.change("config_sentence_transformers.json", [](Json& json) { json["prompts"]["query"] = "query: "; }), add();
  model.change("config_sentence_transformers.json", [](Json& json) { json["prompts"]["all"] = "index "; }), add();
  model.change("2_Dense/config.json", [](Json& json) { json["activation_function"] = "torch.nn.modules.linear.Identity"; }), add();
  model.change("config.json", [](Json& json) { json["hidden_act"] = "gelu"; }), add();
  std::fstream weights(model.folder / "2_Dense/model.safetensors", std::ios::in | std::ios::out | std::ios::binary);
  weights.seekp(-2, std::ios::end), weights.put('\1'), weights.close(), add();
  std::sort(names.begin(), names.end());
  CHECK(std::unique(names.begin(), names.end()) == names.end());
  CHECK(names.size() == 7);
}
