// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TRANSFORMER_WEIGHTS_HPP
#define RAG_DETAIL_TRANSFORMER_WEIGHTS_HPP
#include <rag/detail/mapped_file.hpp>
#include <rag/detail/model_tensors.hpp>
#include <rag/detail/parallel.hpp>
#include <rag/detail/transformer_config.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

// The tensors of each family of the BERT kind, found by their names, checked and brought into one form.

RAG_BEGIN
namespace detail {

struct LayerNorm {
  AlignedFloats scale, shift;
};

struct TransformerLayer {
  Linear query, key, value, context, up, down;
  LayerNorm attention_norm, output_norm;
};

struct TransformerWeights {
  WeightView words;             ///< vocabulary x embedding, in the file: only the rows in use are read
  AlignedFloats places, types;  ///< a row of `embedding` floats for each row of positions, each type; types may be null
  LayerNorm embedding_norm;
  Linear expand;                         ///< from `embedding` to `hidden` floats; depth 0: they are the same
  std::vector<TransformerLayer> layers;  ///< those that differ: config.group_of(i)
  /// For each head, a bias for each distance from -(positions - 1) to positions - 1 of key to query, to be added to
  /// the products of the two before they are scaled by 1 / sqrt(size of a head). Null: none.
  AlignedFloats distance_bias;
};

/// What a family calls its tensors.
struct TensorNames {
  const char *prefix, *layer, *inner, *query, *key, *value, *context, *attention_norm, *up, *down, *output_norm;
};

constexpr TensorNames tensor_names(Family family) {
  constexpr TensorNames bert{"bert.",
                             "encoder.layer.",
                             ".",
                             "attention.self.query",
                             "attention.self.key",
                             "attention.self.value",
                             "attention.output.dense",
                             "attention.output.LayerNorm",
                             "intermediate.dense",
                             "output.dense",
                             "output.LayerNorm"};
  TensorNames names = bert;
  switch (family) {
    case Family::bert: break;
    case Family::roberta: names.prefix = "roberta."; break;
    case Family::mpnet:
      names.prefix = "mpnet.";
      names.query = "attention.attn.q", names.key = "attention.attn.k", names.value = "attention.attn.v";
      names.context = "attention.attn.o", names.attention_norm = "attention.LayerNorm";
      break;
    case Family::distilbert:
      return {"distilbert.",       "transformer.layer.", ".",        "attention.q_lin", "attention.k_lin",  "attention.v_lin",
              "attention.out_lin", "sa_layer_norm",      "ffn.lin1", "ffn.lin2",        "output_layer_norm"};
    case Family::albert:
      return {"albert.",           "encoder.albert_layer_groups.", ".albert_layers.0.", "attention.query",
              "attention.key",     "attention.value",              "attention.dense",   "attention.LayerNorm",
              "ffn",               "ffn_output",                   "full_layer_layer_norm"};
  }
  return names;
}

/// The bucket of a distance from a query to a key (Raffel et al. 2020, as MPNet has it): half of the buckets are for
/// keys to the right; of each half, half are single distances and the rest grow with the logarithm up to 128.
inline std::size_t distance_bucket(std::ptrdiff_t distance, std::size_t buckets) {
  const std::size_t half = buckets / 2, exact = half / 2, away = static_cast<std::size_t>(std::abs(distance));
  const std::size_t first = distance > 0 ? half : 0;
  if (away < exact) return first + away;
  const float share = std::log(static_cast<float>(away) / static_cast<float>(exact)) /
                      static_cast<float>(std::log(128.0 / static_cast<double>(exact)));
  const float step = share * static_cast<float>(half - exact);
  return first + std::min(exact + static_cast<std::size_t>(std::max(step, 0.0f)), half - 1);
}

RAG_LAZY class BasicTransformerLoader {
 public:
  /// Packs on `threads` threads (0: all). The bytes of `file` must outlive what is loaded.
  BasicTransformerLoader(const MappedFile& file, const TransformerConfig& config, const std::string& who, Precision precision)
      : file_(file),
        config_(config),
        precision_(precision),
        names_(tensor_names(config.family)),
        tensors_(read_safetensors(file.bytes(), who), who, names_.prefix, "embeddings.word_embeddings.weight") {}

  TransformerWeights load(std::size_t threads) {
    load_embeddings();
    for (std::size_t i = 0; i < config_.groups; ++i) load_layer(i);
    if (config_.buckets != 0) load_distances();
    place();
    parallel_for(threads, jobs_.size(), [&] { return [&](std::size_t i) { pack(jobs_[i]); }; });
    return std::move(weights_);
  }

 private:
  /// A matrix to be packed.
  struct Job {
    std::string name;
    WeightView weight;
    std::size_t layer;
    Linear TransformerLayer::*linear;
  };

  void load_embeddings() {
    const std::size_t width = config_.embedding;
    weights_.words = tensors_.find("embeddings.word_embeddings.weight", {config_.vocabulary, width});
    weights_.places = tensors_.matrix("embeddings.position_embeddings.weight", config_.first_position + config_.positions, width);
    if (config_.types != 0) weights_.types = tensors_.matrix("embeddings.token_type_embeddings.weight", config_.types, width);
    weights_.embedding_norm = load_norm("embeddings.LayerNorm", width);
    if (config_.family == Family::albert)
      weights_.expand = tensors_.linear("encoder.embedding_hidden_mapping_in", width, config_.hidden);
  }

  LayerNorm load_norm(const std::string& name, std::size_t width) const {
    // Files made from TensorFlow's keep its names.
    const bool old = tensors_.contains(name + ".gamma") && !tensors_.contains(name + ".weight");
    return {tensors_.vector(name + (old ? ".gamma" : ".weight"), width), tensors_.vector(name + (old ? ".beta" : ".bias"), width)};
  }

  /// Checks the tensors of layer i, copies the small ones and notes the matrices as jobs.
  void load_layer(std::size_t i) {
    const std::string prefix = names_.layer + std::to_string(i) + names_.inner;
    const std::size_t hidden = config_.hidden, intermediate = config_.intermediate;
    TransformerLayer& layer = weights_.layers.emplace_back();
    const auto linear = [&](const char* part, Linear TransformerLayer::*to, std::size_t depth, std::size_t columns) {
      const std::string name = prefix + part;
      jobs_.push_back({name + ".weight", tensors_.find(name + ".weight", {columns, depth}), i, to});
      layer.*to = {depth, columns, {}, tensors_.vector(name + ".bias", columns)};
    };
    linear(names_.query, &TransformerLayer::query, hidden, hidden);
    linear(names_.key, &TransformerLayer::key, hidden, hidden);
    linear(names_.value, &TransformerLayer::value, hidden, hidden);
    linear(names_.context, &TransformerLayer::context, hidden, hidden);
    linear(names_.up, &TransformerLayer::up, hidden, intermediate);
    linear(names_.down, &TransformerLayer::down, intermediate, hidden);
    layer.attention_norm = load_norm(prefix + names_.attention_norm, hidden);
    layer.output_norm = load_norm(prefix + names_.output_norm, hidden);
  }

  void load_distances() {
    const AlignedFloats table = tensors_.matrix("encoder.relative_attention_bias.weight", config_.buckets, config_.heads);
    const std::size_t distances = 2 * config_.positions - 1;
    weights_.distance_bias = aligned_floats(config_.heads * distances);
    const float unscaled = std::sqrt(static_cast<float>(config_.hidden / config_.heads));
    for (std::size_t i = 0; i < distances; ++i) {
      const std::size_t bucket = distance_bucket(static_cast<std::ptrdiff_t>(i) - static_cast<std::ptrdiff_t>(config_.positions - 1),
                                                 config_.buckets);
      for (std::size_t head = 0; head < config_.heads; ++head)
        weights_.distance_bias[head * distances + i] = unscaled * table[bucket * config_.heads + head];
    }
  }

  /// Gives all matrices their places in one piece of memory, in the order of their use. Of layers with few columns each
  /// may be small, and all of them too large.
  void place() {
    if (jobs_.empty()) return;
    const auto bytes = [&](const Linear& linear) { return packed_bytes(linear.depth, linear.columns, precision_); };
    std::size_t size = 0;
    for (const Job& job : jobs_) size += bytes(weights_.layers[job.layer].*job.linear);
    tensors_.check_packed(jobs_[0].name, size, file_.bytes().size());
    const std::shared_ptr<std::byte> memory = weight_memory(size);
    std::size_t at = 0;
    for (const Job& job : jobs_) {
      Linear& linear = weights_.layers[job.layer].*job.linear;
      linear.weights = std::shared_ptr<std::byte>(memory, memory.get() + at);
      at += bytes(linear);
    }
  }

  void pack(const Job& job) {
    if (!pack_linear(weights_.layers[job.layer].*job.linear, job.weight, precision_)) throw tensors_.not_finite(job.name);
    file_.release(job.weight.bytes);  // or the weights would be in memory twice
  }

  const MappedFile& file_;
  const TransformerConfig& config_;
  Precision precision_;
  TensorNames names_;
  ModelTensors tensors_;
  std::vector<Job> jobs_;
  TransformerWeights weights_;
};
using TransformerLoader = BasicTransformerLoader<>;

}  // namespace detail
RAG_END
#endif
