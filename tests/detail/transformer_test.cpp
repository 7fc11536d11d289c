// SPDX-License-Identifier: MIT
#include <rag/detail/transformer.hpp>

#include <doctest/doctest.h>

#include "embed/tiny_bert.hpp"
#include "models/expected.hpp"
#include "paths.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <vector>

using namespace rag::detail;

namespace {

Transformer load(const std::string& weights, const std::string& config, Isa isa = best_isa(), std::size_t threads = 1) {
  const tests::TemporaryFolder folder;
  std::ofstream(folder / "weights", std::ios::binary) << weights;
  return Transformer(MappedFile((folder / "weights").string(), "T"), read_transformer_config(parse_json(config, "T"), "T"), "T", threads, isa);
}

tests::TinyBert tiny(std::size_t hidden = 32, std::size_t heads = 4, std::size_t intermediate = 48) {
  tests::TinyBert bert{.hidden = hidden, .heads = heads, .intermediate = intermediate};
  bert.draw();
  return bert;
}

std::vector<std::int32_t> some_tokens(std::size_t count, std::size_t from = 0) {
  std::vector<std::int32_t> tokens(count);
  for (std::size_t i = 0; i < count; ++i) tokens[i] = static_cast<std::int32_t>((i * i + 7 * i + from) % 40);
  return tokens;
}

struct Refusal {
  rag::Errc code = rag::Errc::cancelled;
  std::string text;
};

Refusal refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const rag::Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

void check_refused(const tests::TinyBert& bert, rag::Errc code, const std::string& why) {
  const Refusal said = refusal([&] { load(bert.safetensors(), bert.config()); });
  CAPTURE(said.text);
  CHECK(said.code == code);
  CHECK(said.text.starts_with("T: "));
  CHECK(said.text.find(why) != std::string::npos);
}

}  // namespace

TEST_CASE("the encoder agrees with a forward pass in double, for any sizes and instruction set") {
  struct Sizes {
    std::size_t hidden, heads, intermediate;
  };
  for (const Sizes& sizes : {Sizes{32, 4, 48}, Sizes{20, 2, 35}, Sizes{96, 2, 64}, Sizes{6, 6, 1}}) {
    const std::size_t hidden = sizes.hidden;
    CAPTURE(hidden);
    const tests::TinyBert bert = tiny(hidden, sizes.heads, sizes.intermediate);
    std::vector<Transformer> encoders;
    for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512})
      if (isa <= best_isa()) encoders.push_back(load(bert.safetensors(), bert.config(), isa));
    for (const std::size_t length : {1u, 2u, 7u, 31u, 33u, 64u}) {
      CAPTURE(length);
      const std::vector<std::int32_t> tokens = some_tokens(length);
      const auto exact = bert.forward(tokens);
      for (std::size_t kind = 0; kind < encoders.size(); ++kind) {
        CAPTURE(kind);
        TransformerScratch scratch;

        const float* states = encoders[kind].encode(tokens, {}, std::span(&length, 1), scratch);

        double worst = 0;
        for (std::size_t row = 0; row < length; ++row)
          for (std::size_t i = 0; i < hidden; ++i) worst = std::max(worst, std::abs(double(states[row * hidden + i]) - exact[row][i]));
        CHECK(worst < 2e-5);
      }
    }
  }
}

TEST_CASE("a sequence has the same bits alone and among others") {
  const tests::TinyBert bert = tiny();
  const Transformer encoder = load(bert.safetensors(), bert.config());
  const std::vector<std::size_t> lengths{5, 1, 64, 17, 16, 2};
  std::vector<std::int32_t> all;
  for (const std::size_t length : lengths)
    for (const std::int32_t token : some_tokens(length, all.size())) all.push_back(token);
  TransformerScratch scratch;
  const float* states = encoder.encode(all, {}, lengths, scratch);
  const std::vector<float> together(states, states + all.size() * 32);

  std::size_t begin = 0;
  for (const std::size_t length : lengths) {
    CAPTURE(length);
    const float* alone = encoder.encode(std::span(all).subspan(begin, length), {}, std::span(&length, 1), scratch);
    CHECK(std::equal(alone, alone + length * 32, together.data() + begin * 32));
    begin += length;
  }
}

TEST_CASE("weights are read from any alignment, on any number of threads, with the prefix bert. or without") {
  tests::TinyBert bert = tiny();
  const std::vector<std::int32_t> tokens = some_tokens(9);
  const std::size_t length = 9;
  const auto states = [&](const Transformer& encoder) {
    TransformerScratch scratch;
    const float* found = encoder.encode(tokens, {}, std::span(&length, 1), scratch);
    return std::vector<float>(found, found + length * 32);
  };
  const std::vector<float> wanted = states(load(bert.safetensors(0), bert.config()));

  for (const std::size_t shift : {1u, 2u, 3u}) CHECK(states(load(bert.safetensors(shift), bert.config())) == wanted);
  for (const std::size_t threads : {0u, 2u, 5u}) CHECK(states(load(bert.safetensors(), bert.config(), best_isa(), threads)) == wanted);
  bert.prefix = "bert.";
  CHECK(states(load(bert.safetensors(), bert.config())) == wanted);
}

TEST_CASE("weights that do not fit the config are refused by the tensor's name") {
  using rag::Errc;
  const auto broken = [](const std::function<void(tests::TinyBert&)>& change) {
    tests::TinyBert bert = tiny();
    change(bert);
    return bert;
  };
  check_refused(broken([](auto& b) { b.tensors.erase("encoder.layer.1.output.dense.bias"); }), Errc::invalid_format,
                "no tensor encoder.layer.1.output.dense.bias");
  check_refused(broken([](auto& b) { b.tensors.erase("embeddings.LayerNorm.weight"); }), Errc::invalid_format,
                "no tensor embeddings.LayerNorm.weight");
  check_refused(broken([](auto& b) { b.layers = 3; }), Errc::invalid_format, "no tensor encoder.layer.2.");
  check_refused(broken([](auto& b) { b.layers = 1 << 24; }), Errc::invalid_format, "no tensor encoder.layer.2.");
  check_refused(broken([](auto& b) { b.vocabulary = 41; }), Errc::invalid_format,
                "word_embeddings.weight: 41 x 32 wanted by config.json, 40 x 32 given");
  check_refused(broken([](auto& b) { b.positions = 1 << 24; }), Errc::invalid_format, "position_embeddings.weight: 16777216 x 32");
  check_refused(broken([](auto& b) { b.intermediate = 47; }), Errc::invalid_format, "intermediate.dense.weight: 47 x 32");
  check_refused(broken([](auto& b) { b.tensors["encoder.layer.0.output.dense.bias"].shape = {4, 8}; }), Errc::invalid_format,
                "32 wanted by config.json, 4 x 8 given");
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
    for (const char* name : {"encoder.layer.1.attention.self.key.weight", "encoder.layer.0.output.dense.bias",
                             "embeddings.LayerNorm.weight", "embeddings.position_embeddings.weight"}) {
      CAPTURE(name);
      check_refused(broken([&](auto& b) { b.tensors[name].values.back() = bad; }), Errc::invalid_format,
                    std::string(name) + " holds NaN or infinity");
    }
  const tests::TinyBert bert = tiny();
  const Refusal said = refusal([&] { load(bert.safetensors(1, "I32"), bert.config()); });
  CHECK(said.code == Errc::unsupported);
  CHECK(said.text == "T: tensor embeddings.word_embeddings.weight: F32, F16 or BF16 wanted, I32 given");
}

TEST_CASE("matrices of few columns, which packed take many times their file, are refused") {
  tests::TinyBert bert{.hidden = 1, .heads = 1, .intermediate = 40'000};
  bert.draw();
  check_refused(bert, rag::Errc::invalid_format, "of too few columns, it would take 10 MiB of memory");
  bert = tests::TinyBert{.hidden = 1, .heads = 1, .intermediate = 48};
  bert.draw();
  CHECK(refusal([&] { load(bert.safetensors(), bert.config()); }).text == "");
}

TEST_CASE("a config of another kind is refused by the field's name") {
  const std::string good = tiny().config();
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string config = good;
    REQUIRE(config.find(from) != std::string::npos);
    config.replace(config.find(from), from.size(), to);
    return refusal([&] { read_transformer_config(parse_json(config, "T"), "T"); });
  };
  const auto check = [](const Refusal& said, rag::Errc code, const std::string& why) {
    CAPTURE(said.text);
    CHECK(said.code == code);
    CHECK(said.text.find(why) != std::string::npos);
  };
  using rag::Errc;
  CHECK(read_transformer_config(parse_json(good, "T"), "T").epsilon == 1e-12f);
  check(with("\"bert\"", "\"new\""), Errc::unsupported, "camembert or albert wanted, \"new\" given");
  check(with("\"gelu\"", "\"silu\""), Errc::unsupported, "hidden_act");
  check(with("\"gelu\"", "7"), Errc::unsupported, "hidden_act");
  check(with("\"model_type\"", "\"position_embedding_type\": \"relative_key\", \"model_type\""), Errc::unsupported, "position_embedding_type");
  for (const char* value : {"0", "-32", "32.0", "\"32\"", "16777217", "null"}) {
    CAPTURE(value);
    check(with("\"hidden_size\": 32", std::string("\"hidden_size\": ") + value), Errc::invalid_format, "hidden_size: a whole number");
  }
  check(with("\"hidden_size\": 32, ", ""), Errc::invalid_format, "hidden_size");
  check(with("\"hidden_size\": 32", "\"hidden_size\": 33"), Errc::invalid_format, "num_attention_heads: 4 do not divide");
  for (const char* value : {"0", "1", "-1e-12", "\"small\""}) {
    CAPTURE(value);
    check(with("1e-12", value), Errc::invalid_format, "layer_norm_eps");
  }
  check(refusal([] { read_transformer_config(parse_json("[]", "T"), "T"); }), Errc::invalid_format, "an object wanted");
}

TEST_CASE("after each layer every family has the states that transformers gives") {
  for (const char* name : {"bert_mean", "bert_prompts", "bert_dense", "distilbert", "mpnet", "xlm_roberta", "albert", "albert_groups"}) {
    CAPTURE(std::string(name));
    const tests::Expected expected(name);
    const MappedFile file(expected.folder + "/config.json", "T");
    const TransformerConfig config = read_transformer_config(parse_json(file.bytes(), "T"), "T");
    for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512}) {
      if (isa > best_isa()) continue;
      CAPTURE(name_of(isa));
      const Transformer transformer(MappedFile(expected.folder + "/model.safetensors", "T"), config, "T", 1, isa);
      TransformerScratch scratch;
      for (const std::size_t text : {0u, 2u}) {
        const auto ids = expected.json["ids"][text].get<std::vector<std::int32_t>>();
        const std::vector<float> states = expected.values("states." + std::to_string(text));
        const std::size_t size = ids.size() * config.hidden, count = ids.size();
        REQUIRE(states.size() == (config.layers + 1) * size);
        for (std::size_t layer = 0; layer <= config.layers; ++layer) {
          CAPTURE(layer);
          const float* found = transformer.encode(ids, {}, std::span(&count, 1), scratch, layer);
          CHECK(tests::largest_difference({found, size}, std::span(states).subspan(layer * size, size)) < 2e-5);
        }
      }
    }
  }
}
