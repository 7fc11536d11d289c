// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_BERT_HPP
#define RAG_DETAIL_BERT_HPP
#include <rag/detail/gemm.hpp>
#include <rag/detail/json.hpp>
#include <rag/detail/mapped_file.hpp>
#include <rag/detail/parallel.hpp>
#include <rag/detail/row_math.hpp>
#include <rag/detail/safetensors.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The encoder of BERT (Devlin et al. 2018), forward only, in fp32: LayerNorm after each residual sum, GELU with erf.

RAG_BEGIN
namespace detail {

/// The sizes of a model, as its config.json says them.
struct BertConfig {
  std::size_t hidden = 0, layers = 0, heads = 0, intermediate = 0, vocabulary = 0, positions = 0, types = 0;
  float epsilon = 0;
};

// A template, so that none of the many operators of a Json is looked at before it is called.
template <class AnyJson>
BertConfig read_bert_config(const AnyJson& json, const std::string& who) {
  const auto wrong = [&](Errc code, const std::string& text) { return Error(code, who + ": config.json: " + text); };
  if (!json.is_object()) throw wrong(Errc::invalid_format, "an object wanted");
  const auto size = [&](const char* key) {
    const auto found = json.find(key);
    constexpr std::uint64_t most = 1 << 24;
    if (found == json.end() || !found->is_number_unsigned() || *found == 0u || *found > most)
      throw wrong(Errc::invalid_format, std::string(key) + ": a whole number from 1 to 2^24 wanted");
    return found->template get<std::size_t>();
  };
  // A key that is not there has the value that BERT had from the first.
  const auto only = [&](const char* key, const char* wanted) {
    const auto found = json.find(key);
    if (found != json.end() && *found != wanted)
      throw wrong(Errc::unsupported, std::string(key) + ": '" + wanted + "' wanted, " + found->dump().substr(0, 40) + " given");
  };
  only("model_type", "bert");
  only("hidden_act", "gelu");
  only("position_embedding_type", "absolute");
  BertConfig config{size("hidden_size"),       size("num_hidden_layers"),       size("num_attention_heads"),
                    size("intermediate_size"), size("vocab_size"),              size("max_position_embeddings"),
                    size("type_vocab_size"),   json.contains("layer_norm_eps") ? 0.0f : 1e-12f};
  if (config.hidden % config.heads != 0)
    throw wrong(Errc::invalid_format, "num_attention_heads: " + std::to_string(config.heads) +
                                          " do not divide hidden_size " + std::to_string(config.hidden));
  if (config.epsilon == 0) {
    const AnyJson& epsilon = json["layer_norm_eps"];
    if (!epsilon.is_number() || !(epsilon > 0.0) || !(epsilon < 1.0))
      throw wrong(Errc::invalid_format, "layer_norm_eps: a number between 0 and 1 wanted");
    config.epsilon = epsilon.template get<float>();
  }
  return config;
}

/// Finds tensors by name, with "bert." before it or not, and checks what they are.
RAG_LAZY class BasicBertTensors {
 public:
  BasicBertTensors(Tensors tensors, std::string who) : tensors_(std::move(tensors)), who_(std::move(who)) {
    if (tensors_.contains("bert.embeddings.word_embeddings.weight")) prefix_ = "bert.";
  }

  /// The bytes of a tensor of floats of that shape.
  std::string_view find(const std::string& name, const std::vector<std::size_t>& shape) const {
    const auto found = tensors_.find(prefix_ + name);
    if (found == tensors_.end()) throw Error(Errc::invalid_format, who_ + ": there is no tensor " + prefix_ + name);
    const Tensor& tensor = found->second;
    if (tensor.type != "F32")
      throw Error(Errc::unsupported, who_ + ": tensor " + found->first + ": F32 wanted, " + tensor.type + " given");
    if (tensor.shape != shape)
      throw Error(Errc::invalid_format, who_ + ": tensor " + found->first + ": " + written(shape) +
                                            " wanted by config.json, " + written(tensor.shape) + " given");
    return tensor.bytes;
  }
  /// A copy of a tensor of one axis, padded with 0 to whole panels.
  AlignedFloats vector(const std::string& name, std::size_t size) const {
    const std::string_view bytes = find(name, {size});
    AlignedFloats floats = aligned_floats(padded(size));
    std::fill(floats.get(), floats.get() + padded(size), 0.0f);
    std::memcpy(floats.get(), bytes.data(), bytes.size());
    if (!std::all_of(floats.get(), floats.get() + size, [](float value) { return std::isfinite(value); }))
      throw not_finite(name);
    return floats;
  }
  Error not_finite(const std::string& name) const {
    return Error(Errc::invalid_format, who_ + ": tensor " + prefix_ + name + " holds NaN or infinity");
  }

 private:
  static std::string written(const std::vector<std::size_t>& shape) {
    std::string text;
    for (const std::size_t extent : shape) text += (text.empty() ? "" : " x ") + std::to_string(extent);
    return text.empty() ? "a single value" : text;
  }

  Tensors tensors_;
  std::string prefix_, who_;
};
using BertTensors = BasicBertTensors<>;

struct Linear {
  std::size_t depth = 0, columns = 0;
  AlignedFloats panels, bias;

  PackedView view() const { return {panels.get(), bias.get(), depth, columns}; }
};

struct LayerNorm {
  AlignedFloats scale, shift;
};

struct BertLayer {
  Linear query, key, value, context, up, down;
  LayerNorm attention_norm, output_norm;
};

/// Memory of one forward pass, kept for the next.
struct BertScratch {
  AlignedFloats hidden, update, context, wide;  // of a token each: hidden_size thrice, then max(3 hidden, intermediate)
  AlignedFloats keys, values, scores;           // of one head of one sequence
  std::size_t tokens = 0, length = 0;           // what there is room for
};

RAG_LAZY class BasicBertEncoder {
 public:
  /// Takes the mapped model.safetensors. The layers are packed here, on `threads` threads (0: all); the table of
  /// words stays in the file, and only the rows in use are read.
  BasicBertEncoder(MappedFile file, const BertConfig& config, const std::string& who, std::size_t threads, Isa isa = best_isa())
      : config_(config), isa_(isa), file_(std::move(file)) {
    const BertTensors tensors(read_safetensors(file_.bytes(), who), who);
    load_embeddings(tensors);
    std::vector<Job> jobs;
    for (std::size_t i = 0; i < config_.layers; ++i) load_layer(tensors, i, jobs);
    parallel_for(threads, jobs.size(), [&] { return [&](std::size_t i) { pack(tensors, jobs[i]); }; });
  }

  const BertConfig& config() const { return config_; }
  std::string_view file() const { return file_.bytes(); }
  void release(std::string_view part) const { file_.release(part); }

  /// The last hidden states, config().hidden floats a token. `tokens` holds sequences one after the other, the
  /// i-th of lengths[i] >= 1 tokens; each token is in [0, vocabulary), each length at most `positions`. What is
  /// given lies in the scratch. A sequence's floats do not depend on those beside it.
  const float* encode(std::span<const std::int32_t> tokens, std::span<const std::size_t> lengths, BertScratch& scratch) const {
    make_room(scratch, tokens.size(), lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end()));
    const std::size_t hidden = config_.hidden, rows = tokens.size();
    float *x = scratch.hidden.get(), *update = scratch.update.get(), *wide = scratch.wide.get();
    const RowMath math = row_math(isa_);
    embed(tokens, lengths, x);
    for (const BertLayer& layer : layers_) {
      gemm(isa_, x, hidden, rows, layer.query.view(), wide, 3 * hidden);
      gemm(isa_, x, hidden, rows, layer.key.view(), wide + hidden, 3 * hidden);
      gemm(isa_, x, hidden, rows, layer.value.view(), wide + 2 * hidden, 3 * hidden);
      std::size_t begin = 0;
      for (const std::size_t length : lengths) {
        for (std::size_t head = 0; head < config_.heads; ++head) attend(begin, length, head, scratch);
        begin += length;
      }
      gemm(isa_, scratch.context.get(), hidden, rows, layer.context.view(), update, hidden);
      add_norm(layer.attention_norm, x, update, rows);
      gemm(isa_, x, hidden, rows, layer.up.view(), wide, config_.intermediate);
      math.gelu(wide, rows * config_.intermediate);
      gemm(isa_, wide, config_.intermediate, rows, layer.down.view(), update, hidden);
      add_norm(layer.output_norm, x, update, rows);
    }
    return x;
  }

 private:
  /// A matrix to be packed.
  struct Job {
    std::string name;
    std::string_view weight;
    std::size_t layer;
    Linear BertLayer::*linear;
  };

  void load_embeddings(const BertTensors& tensors) {
    const std::size_t hidden = config_.hidden;
    words_ = tensors.find("embeddings.word_embeddings.weight", {config_.vocabulary, hidden}).data();
    const std::string_view places = tensors.find("embeddings.position_embeddings.weight", {config_.positions, hidden});
    const std::string_view types = tensors.find("embeddings.token_type_embeddings.weight", {config_.types, hidden});
    places_ = aligned_floats(config_.positions * hidden);
    std::memcpy(places_.get(), places.data(), places.size());
    std::vector<float> type(hidden);  // all text is of the first type
    std::memcpy(type.data(), types.data(), hidden * sizeof(float));
    bool finite = true;
    for (std::size_t i = 0; i < config_.positions * hidden; ++i) finite &= std::isfinite(places_[i] += type[i % hidden]);
    if (!finite) throw tensors.not_finite("embeddings.position_embeddings.weight");
    embedding_norm_ = load_norm(tensors, "embeddings.LayerNorm");
  }

  LayerNorm load_norm(const BertTensors& tensors, const std::string& name) const {
    return {tensors.vector(name + ".weight", config_.hidden), tensors.vector(name + ".bias", config_.hidden)};
  }

  /// Checks the tensors of layer i, copies the small ones and notes the matrices as jobs.
  void load_layer(const BertTensors& tensors, std::size_t i, std::vector<Job>& jobs) {
    const std::string prefix = "encoder.layer." + std::to_string(i) + ".";
    const std::size_t hidden = config_.hidden, intermediate = config_.intermediate;
    BertLayer& layer = layers_.emplace_back();
    const auto linear = [&](const char* part, Linear BertLayer::*to, std::size_t depth, std::size_t columns) {
      const std::string name = prefix + part;
      // PyTorch keeps a row for each column of y.
      jobs.push_back({name + ".weight", tensors.find(name + ".weight", {columns, depth}), i, to});
      layer.*to = {depth, columns, {}, tensors.vector(name + ".bias", columns)};
    };
    linear("attention.self.query", &BertLayer::query, hidden, hidden);
    linear("attention.self.key", &BertLayer::key, hidden, hidden);
    linear("attention.self.value", &BertLayer::value, hidden, hidden);
    linear("attention.output.dense", &BertLayer::context, hidden, hidden);
    linear("intermediate.dense", &BertLayer::up, hidden, intermediate);
    linear("output.dense", &BertLayer::down, intermediate, hidden);
    layer.attention_norm = load_norm(tensors, prefix + "attention.output.LayerNorm");
    layer.output_norm = load_norm(tensors, prefix + "output.LayerNorm");
  }

  void pack(const BertTensors& tensors, const Job& job) {
    Linear& linear = layers_[job.layer].*job.linear;
    linear.panels = aligned_floats(linear.depth * padded(linear.columns));
    const std::size_t row = linear.depth * sizeof(float);
    for (std::size_t column = 0; column < linear.columns; column += panel_columns)
      if (!pack_panel(job.weight.data() + column * row, row, std::min(panel_columns, linear.columns - column), linear.depth,
                      linear.panels.get() + column * linear.depth))
        throw tensors.not_finite(job.name);
    file_.release(job.weight);  // or the weights would be in memory twice
  }

  void make_room(BertScratch& scratch, std::size_t tokens, std::size_t length) const {
    const std::size_t hidden = config_.hidden, head = padded(hidden / config_.heads);
    if (tokens > scratch.tokens) {
      scratch.tokens = 0;
      scratch.hidden = aligned_floats(tokens * hidden);
      scratch.update = aligned_floats(tokens * hidden);
      scratch.context = aligned_floats(tokens * hidden);
      scratch.wide = aligned_floats(tokens * std::max(3 * hidden, config_.intermediate));
      scratch.tokens = tokens;
    }
    if (length > scratch.length) {
      scratch.length = 0;
      scratch.keys = aligned_floats(head * padded(length));
      scratch.values = aligned_floats(head * length);
      scratch.scores = aligned_floats(length * padded(length));
      scratch.length = length;
    }
  }

  void embed(std::span<const std::int32_t> tokens, std::span<const std::size_t> lengths, float* x) const {
    const std::size_t hidden = config_.hidden;
    std::size_t row = 0;
    for (const std::size_t length : lengths)
      for (std::size_t place = 0; place < length; ++place, ++row) {
        std::memcpy(x + row * hidden, words_ + static_cast<std::size_t>(tokens[row]) * hidden * sizeof(float),
                    hidden * sizeof(float));
        row_math(isa_).add_norm(x + row * hidden, places_.get() + place * hidden, hidden, embedding_norm_.scale.get(),
                                embedding_norm_.shift.get(), config_.epsilon);
      }
  }

  void add_norm(const LayerNorm& norm, float* x, const float* update, std::size_t rows) const {
    const std::size_t hidden = config_.hidden;
    for (std::size_t row = 0; row < rows; ++row)
      row_math(isa_).add_norm(x + row * hidden, update + row * hidden, hidden, norm.scale.get(), norm.shift.get(),
                              config_.epsilon);
  }

  /// context = softmax(q kᵀ / sqrt(size)) v, for one head of the sequence of `length` tokens from row `begin` on.
  void attend(std::size_t begin, std::size_t length, std::size_t head, const BertScratch& scratch) const {
    const std::size_t hidden = config_.hidden, size = hidden / config_.heads, stride = 3 * hidden, row = padded(length);
    const float* query = scratch.wide.get() + begin * stride + head * size;
    const float *key = query + hidden, *value = key + hidden;
    float *keys = scratch.keys.get(), *values = scratch.values.get(), *scores = scratch.scores.get();
    for (std::size_t column = 0; column < length; column += panel_columns)
      pack_panel(reinterpret_cast<const char*>(key + column * stride), stride * sizeof(float),
                 std::min(panel_columns, length - column), size, keys + column * size);
    for (std::size_t column = 0; column < size; column += panel_columns) {
      const std::size_t width = std::min(panel_columns, size - column);
      for (std::size_t i = 0; i < length; ++i) {
        float* to = values + column * length + i * panel_columns;
        std::memcpy(to, value + i * stride + column, width * sizeof(float));
        std::fill(to + width, to + panel_columns, 0.0f);
      }
    }
    gemm(isa_, query, stride, length, {keys, nullptr, size, row}, scores, row);
    const float scale = 1.0f / std::sqrt(static_cast<float>(size));
    for (std::size_t i = 0; i < length; ++i) row_math(isa_).softmax(scores + i * row, length, scale);
    gemm(isa_, scores, row, length, {values, nullptr, length, size}, scratch.context.get() + begin * hidden + head * size,
         hidden);
  }

  BertConfig config_;
  Isa isa_;
  MappedFile file_;
  const char* words_ = nullptr;  // in the file: vocabulary x hidden floats
  AlignedFloats places_;         // the embedding of each position, that of the token type added
  LayerNorm embedding_norm_;
  std::vector<BertLayer> layers_;
};
using BertEncoder = BasicBertEncoder<>;

}  // namespace detail
RAG_END
#endif
