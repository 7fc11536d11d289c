// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TRANSFORMER_HPP
#define RAG_DETAIL_TRANSFORMER_HPP
#include <rag/detail/gemm.hpp>
#include <rag/detail/mapped_file.hpp>
#include <rag/detail/row_math.hpp>
#include <rag/detail/transformer_config.hpp>
#include <rag/detail/transformer_weights.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

// The encoder of BERT (Devlin et al. 2018) and its family, forward only, in fp32: LayerNorm after each residual sum.

RAG_BEGIN
namespace detail {

/// Memory of one forward pass, kept for the next.
struct TransformerScratch {
  AlignedFloats hidden, update, context, wide;  // of a token each: hidden_size thrice, then the widest of a layer
  AlignedFloats keys, values, scores;           // of one head of one sequence
  std::size_t tokens = 0, length = 0;           // what there is room for
};

RAG_LAZY class BasicTransformer {
 public:
  static constexpr std::size_t all_layers = static_cast<std::size_t>(-1);

  /// Takes the mapped model.safetensors. The layers are packed here, on `threads` threads (0: all); the table of
  /// words stays in the file, and only the rows in use are read.
  BasicTransformer(MappedFile file, const TransformerConfig& config, const std::string& who, std::size_t threads, Isa isa = best_isa())
      : config_(config), isa_(isa), file_(std::move(file)), weights_(TransformerLoader(file_, config_, who).load(threads)) {}

  const TransformerConfig& config() const { return config_; }
  std::string_view file() const { return file_.bytes(); }
  void release(std::string_view part) const { file_.release(part); }

  /// The states after the last layer, or after the first `layers` of them: config().hidden floats a token. `tokens`
  /// holds sequences one after the other, the i-th of lengths[i] >= 1 tokens; each token is in [0, vocabulary), each
  /// length at most `positions`. `types` holds the type of each token, in [0, types); empty: all are of type 0. What
  /// is given lies in the scratch. A sequence's floats do not depend on those beside it.
  const float* encode(std::span<const std::int32_t> tokens, std::span<const std::int32_t> types, std::span<const std::size_t> lengths,
                      TransformerScratch& scratch, std::size_t layers = all_layers) const {
    make_room(scratch, tokens.size(), lengths.empty() ? 0 : *std::max_element(lengths.begin(), lengths.end()));
    const std::size_t hidden = config_.hidden, rows = tokens.size();
    float *x = scratch.hidden.get(), *update = scratch.update.get(), *wide = scratch.wide.get();
    const RowMath math = row_math(isa_);
    const bool expand = weights_.expand.depth != 0;
    embed(tokens, types, lengths, expand ? wide : x);
    if (expand) gemm(isa_, wide, config_.embedding, rows, weights_.expand.view(), x, hidden);
    for (std::size_t i = 0; i < std::min(layers, config_.layers); ++i) {
      const TransformerLayer& layer = weights_.layers[config_.group_of(i)];
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
      activate(math, wide, rows * config_.intermediate);
      gemm(isa_, wide, config_.intermediate, rows, layer.down.view(), update, hidden);
      add_norm(layer.output_norm, x, update, rows);
    }
    return x;
  }

 private:
  void make_room(TransformerScratch& scratch, std::size_t tokens, std::size_t length) const {
    const std::size_t hidden = config_.hidden, head = padded(hidden / config_.heads);
    if (tokens > scratch.tokens) {
      scratch.tokens = 0;
      scratch.hidden = aligned_floats(tokens * hidden);
      scratch.update = aligned_floats(tokens * hidden);
      scratch.context = aligned_floats(tokens * hidden);
      scratch.wide = aligned_floats(tokens * std::max({3 * hidden, config_.intermediate, config_.embedding}));
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

  /// x = LayerNorm(word + type + place), config_.embedding floats a token.
  void embed(std::span<const std::int32_t> tokens, std::span<const std::int32_t> types, std::span<const std::size_t> lengths,
             float* x) const {
    const std::size_t width = config_.embedding, bytes = width * float_bytes(weights_.words.type);
    const RowMath math = row_math(isa_);
    std::size_t row = 0;
    for (const std::size_t length : lengths)
      for (std::size_t i = 0, place = config_.first_position; i < length; ++i, ++row, x += width) {
        read_floats(weights_.words.bytes.data() + static_cast<std::size_t>(tokens[row]) * bytes, weights_.words.type, width, x);
        if (weights_.types) {
          const float* type = weights_.types.get() + (types.empty() ? 0 : static_cast<std::size_t>(types[row]) * width);
          for (std::size_t j = 0; j < width; ++j) x[j] += type[j];
        }
        const std::size_t at = tokens[row] == config_.pad ? config_.first_position - 1 : place++;
        math.add_norm(x, weights_.places.get() + at * width, width, weights_.embedding_norm.scale.get(),
                      weights_.embedding_norm.shift.get(), config_.epsilon);
      }
  }

  void activate(const RowMath& math, float* x, std::size_t size) const {
    if (config_.activation == Activation::gelu) math.gelu(x, size);
    else if (config_.activation == Activation::gelu_tanh) math.gelu_tanh(x, size);
    else for (std::size_t i = 0; i < size; ++i) x[i] = std::max(x[i], 0.0f);
  }

  void add_norm(const LayerNorm& norm, float* x, const float* update, std::size_t rows) const {
    const std::size_t hidden = config_.hidden;
    for (std::size_t row = 0; row < rows; ++row)
      row_math(isa_).add_norm(x + row * hidden, update + row * hidden, hidden, norm.scale.get(), norm.shift.get(),
                              config_.epsilon);
  }

  /// context = softmax((q kᵀ + bias) / sqrt(size)) v, for one head of the sequence of `length` tokens from row `begin` on.
  void attend(std::size_t begin, std::size_t length, std::size_t head, const TransformerScratch& scratch) const {
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
    if (weights_.distance_bias) add_distance_bias(head, length, scores, row);
    const float scale = 1.0f / std::sqrt(static_cast<float>(size));
    for (std::size_t i = 0; i < length; ++i) row_math(isa_).softmax(scores + i * row, length, scale);
    gemm(isa_, scores, row, length, {values, nullptr, length, size}, scratch.context.get() + begin * hidden + head * size,
         hidden);
  }

  /// scores: `length` rows, `stride` floats apart.
  void add_distance_bias(std::size_t head, std::size_t length, float* scores, std::size_t stride) const {
    const std::size_t middle = config_.positions - 1;
    const float* bias = weights_.distance_bias.get() + head * (2 * middle + 1) + middle;
    for (std::size_t i = 0; i < length; ++i, --bias, scores += stride)
      for (std::size_t j = 0; j < length; ++j) scores[j] += bias[j];
  }

  TransformerConfig config_;
  Isa isa_;
  MappedFile file_;
  TransformerWeights weights_;
};
using Transformer = BasicTransformer<>;

}  // namespace detail
RAG_END
#endif
