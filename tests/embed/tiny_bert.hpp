// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_EMBED_TINY_BERT_HPP
#define RAG_TESTS_EMBED_TINY_BERT_HPP

// A BERT of random weights, small enough to be made by a test, and its forward pass by plain loops in double.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <vector>

namespace tests {

struct TinyTensor {
  std::vector<std::size_t> shape;
  std::vector<float> values;
};

struct TinyBert {
  std::size_t hidden = 32, layers = 2, heads = 4, intermediate = 48, vocabulary = 40, positions = 64;
  std::string prefix = "";
  std::map<std::string, TinyTensor> tensors = {};

  /// Draws all weights.
  void draw() {
    std::mt19937 random(17);
    const auto make = [&](const std::string& name, std::vector<std::size_t> shape, float middle, float spread) {
      std::uniform_real_distribution<float> uniform(middle - spread, middle + spread);
      std::size_t size = 1;
      for (const std::size_t extent : shape) size *= extent;
      std::vector<float> values(size);
      for (float& value : values) value = uniform(random);
      tensors[name] = {shape, values};
    };
    const auto linear = [&](const std::string& name, std::size_t to, std::size_t from) {
      make(name + ".weight", {to, from}, 0, 0.4f), make(name + ".bias", {to}, 0, 0.2f);
    };
    const auto norm = [&](const std::string& name) {
      make(name + ".weight", {hidden}, 1, 0.3f), make(name + ".bias", {hidden}, 0, 0.2f);
    };
    make("embeddings.word_embeddings.weight", {vocabulary, hidden}, 0, 1);
    make("embeddings.position_embeddings.weight", {positions, hidden}, 0, 0.3f);
    make("embeddings.token_type_embeddings.weight", {2, hidden}, 0, 0.3f);
    norm("embeddings.LayerNorm");
    for (std::size_t i = 0; i < layers; ++i) {
      const std::string layer = "encoder.layer." + std::to_string(i) + ".";
      for (const char* part : {"query", "key", "value"}) linear(layer + "attention.self." + part, hidden, hidden);
      linear(layer + "attention.output.dense", hidden, hidden), norm(layer + "attention.output.LayerNorm");
      linear(layer + "intermediate.dense", intermediate, hidden), linear(layer + "output.dense", hidden, intermediate);
      norm(layer + "output.LayerNorm");
    }
  }

  /// The bytes of model.safetensors. A first tensor of `shift` bytes moves the others off their alignment.
  std::string safetensors(std::size_t shift = 1, const std::string& type = "F32") const {
    std::string header = "{\"aside\":{\"dtype\":\"U8\",\"shape\":[" + std::to_string(shift) + "],\"data_offsets\":[0," +
                         std::to_string(shift) + "]}", data(shift, '\1');
    for (const auto& [name, tensor] : tensors) {
      const std::size_t begin = data.size();
      data.append(reinterpret_cast<const char*>(tensor.values.data()), 4 * tensor.values.size());
      std::string shape;
      for (const std::size_t extent : tensor.shape) shape += (shape.empty() ? "" : ",") + std::to_string(extent);
      header += ",\"" + prefix + name + "\":{\"dtype\":\"" + type + "\",\"shape\":[" + shape + "],\"data_offsets\":[" +
                std::to_string(begin) + "," + std::to_string(data.size()) + "]}";
    }
    header += "}";
    std::string length(8, '\0');
    for (std::size_t i = 0; i < 8; ++i) length[i] = static_cast<char>(header.size() >> 8 * i & 0xFF);
    return length + header + data;
  }

  std::string config() const {
    const auto field = [](const char* name, std::size_t value) { return std::string("\"") + name + "\": " + std::to_string(value) + ", "; };
    return "{" + field("hidden_size", hidden) + field("num_hidden_layers", layers) + field("num_attention_heads", heads) +
           field("intermediate_size", intermediate) + field("vocab_size", vocabulary) +
           field("max_position_embeddings", positions) + field("type_vocab_size", 2) +
           R"("model_type": "bert", "hidden_act": "gelu", "layer_norm_eps": 1e-12})";
  }

  /// The last hidden states of one sequence, a row a token.
  std::vector<std::vector<double>> forward(const std::vector<std::int32_t>& tokens) const {
    using Vectors = std::vector<std::vector<double>>;
    const auto at = [&](const std::string& name, std::size_t i) { return double(tensors.at(name).values[i]); };
    const auto linear = [&](const Vectors& x, const std::string& name) {
      const std::size_t to = tensors.at(name + ".bias").values.size();
      Vectors y(x.size(), std::vector<double>(to));
      for (std::size_t row = 0; row < x.size(); ++row)
        for (std::size_t j = 0; j < to; ++j) {
          y[row][j] = at(name + ".bias", j);
          for (std::size_t k = 0; k < x[row].size(); ++k) y[row][j] += x[row][k] * at(name + ".weight", j * x[row].size() + k);
        }
      return y;
    };
    const auto norm = [&](Vectors& x, const Vectors& y, const std::string& name) {
      for (std::size_t row = 0; row < x.size(); ++row) {
        double mean = 0, variance = 0;
        for (std::size_t i = 0; i < hidden; ++i) mean += (x[row][i] += y[row][i]) / double(hidden);
        for (const double value : x[row]) variance += (value - mean) * (value - mean) / double(hidden);
        for (std::size_t i = 0; i < hidden; ++i)
          x[row][i] = (x[row][i] - mean) / std::sqrt(variance + 1e-12) * at(name + ".weight", i) + at(name + ".bias", i);
      }
    };
    const std::size_t count = tokens.size(), size = hidden / heads;
    Vectors x(count, std::vector<double>(hidden)), places = x;
    for (std::size_t row = 0; row < count; ++row)
      for (std::size_t i = 0; i < hidden; ++i) {
        x[row][i] = at("embeddings.word_embeddings.weight", static_cast<std::size_t>(tokens[row]) * hidden + i);
        places[row][i] = at("embeddings.position_embeddings.weight", row * hidden + i) + at("embeddings.token_type_embeddings.weight", i);
      }
    norm(x, places, "embeddings.LayerNorm");
    for (std::size_t l = 0; l < layers; ++l) {
      const std::string layer = "encoder.layer." + std::to_string(l) + ".";
      const Vectors query = linear(x, layer + "attention.self.query"), key = linear(x, layer + "attention.self.key"),
                 value = linear(x, layer + "attention.self.value");
      Vectors context(count, std::vector<double>(hidden));
      for (std::size_t head = 0; head < heads; ++head)
        for (std::size_t row = 0; row < count; ++row) {
          std::vector<double> share(count);
          double total = 0;
          for (std::size_t other = 0; other < count; ++other) {
            double score = 0;
            for (std::size_t i = head * size; i < (head + 1) * size; ++i) score += query[row][i] * key[other][i];
            total += share[other] = std::exp(score / std::sqrt(double(size)));
          }
          for (std::size_t other = 0; other < count; ++other)
            for (std::size_t i = head * size; i < (head + 1) * size; ++i) context[row][i] += share[other] / total * value[other][i];
        }
      norm(x, linear(context, layer + "attention.output.dense"), layer + "attention.output.LayerNorm");
      Vectors wide = linear(x, layer + "intermediate.dense");
      for (auto& row : wide)
        for (double& element : row) element *= 0.5 * (1 + std::erf(element / std::sqrt(2.0)));
      norm(x, linear(wide, layer + "output.dense"), layer + "output.LayerNorm");
    }
    return x;
  }

  /// The words of vocab.txt; line i is token i.
  std::vector<std::string> words() const {
    std::vector<std::string> words{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "water", "milvus", "data", "store", "##d",
                                   "how",   "is",    "in",    "?",     ".",      "said",  "a",      "more", "once",  "that"};
    while (words.size() < vocabulary) words.push_back("w" + std::to_string(words.size()));
    return words;
  }

  /// Writes a model folder as sentence-transformers lays it out.
  void write(const std::filesystem::path& folder) const {
    std::filesystem::create_directories(folder / "1_Pooling");
    const auto file = [&](const char* name, const std::string& text) { std::ofstream(folder / name, std::ios::binary) << text; };
    std::string vocabulary_text;
    for (const std::string& word : words()) vocabulary_text += word + "\n";
    file("vocab.txt", vocabulary_text);
    file("config.json", config());
    file("model.safetensors", safetensors());
    file("sentence_bert_config.json", R"({"max_seq_length": 16, "do_lower_case": false})");
    file("tokenizer_config.json", R"({"do_lower_case": true, "model_max_length": 48})");
    file("modules.json", R"([{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                             {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
                             {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"}])");
    file("1_Pooling/config.json", R"({"word_embedding_dimension": )" + std::to_string(hidden) +
                                      R"(, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true})");
  }
};

}  // namespace tests

#endif
