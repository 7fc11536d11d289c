// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_FORWARD_HPP
#define RAG_DETAIL_FORWARD_HPP
#include <rag/detail/row_math.hpp>
#include <rag/detail/transformer_weights.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <span>

// The layers of a transformer in fp32: attention and two products, with a LayerNorm after each residual sum.

RAG_BEGIN
namespace detail {

/// Memory of one forward pass, kept for the next.
struct TransformerScratch {
  AlignedFloats hidden, update;                          // of a token: hidden_size floats
  AlignedFloats context, wide;                           // hidden_size; the widest of a layer
  AlignedFloats keys, values, scores;                    // of one head of one sequence; some_queries rows of scores
  Aligned<Bf16> states16, wide16, qkv16, context16;      // the same where products are of bf16
  Aligned<Bf16> keys16, values16, shares16;
  Aligned<std::int16_t> whole;                           // what products of int16 take: rows of hidden or of the widest
  AlignedFloats scales;                                  // of those rows
  std::size_t tokens = 0, length = 0;                    // what there is room for
};

/// One pass over the sequences of a unit, their states in scratch.hidden.
struct ForwardPass {
  const TransformerConfig& config;
  const TransformerWeights& weights;
  Isa isa;
  std::span<const std::size_t> lengths;
  TransformerScratch& scratch;
  std::size_t rows;  ///< the sum of the lengths
  Precision precision;

  std::size_t head_size() const { return config.hidden / config.heads; }
};

/// The queries whose scores are held at a time: they stay in the first cache. A multiple of what a kernel does at once.
constexpr std::size_t some_queries(Isa isa) { return isa == Isa::amx ? 64 : 56; }

/// Adds the model's bias for each distance of a key from a query: `count` queries from `first` on, `length` keys.
inline void add_distance_bias(const ForwardPass& pass, std::size_t head, std::size_t first, std::size_t count, std::size_t length,
                              float* scores, std::size_t stride) {
  const std::size_t middle = pass.config.positions - 1;
  const float* bias = pass.weights.distance_bias.get() + head * (2 * middle + 1) + middle - first;
  for (std::size_t i = 0; i < count; ++i, --bias, scores += stride)
    for (std::size_t j = 0; j < length; ++j) scores[j] += bias[j];
}

/// context = softmax((q kᵀ + bias) / sqrt(size)) v, for one head of the sequence of `length` tokens from row `begin` on.
RAG_LAZY void attend(const ForwardPass& pass, std::size_t begin, std::size_t length, std::size_t head) {
  const TransformerScratch& scratch = pass.scratch;
  const std::size_t hidden = pass.config.hidden, size = pass.head_size(), stride = 3 * hidden, row = padded(length);
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
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  const RowMath math = row_math(pass.isa);
  for (std::size_t first = 0, count; first < length; first += count) {
    count = std::min(some_queries(pass.isa), length - first);
    gemm(pass.isa, query + first * stride, stride, count, {keys, nullptr, size, row}, scores, row);
    if (pass.weights.distance_bias) add_distance_bias(pass, head, first, count, length, scores, row);
    for (std::size_t i = 0; i < count; ++i) math.softmax(scores + i * row, length, scale);
    gemm(pass.isa, scores, row, count, {values, nullptr, length, size},
         scratch.context.get() + (begin + first) * hidden + head * size, hidden);
  }
}

RAG_LAZY void add_norm(const ForwardPass& pass, const LayerNorm& norm) {
  const std::size_t hidden = pass.config.hidden;
  const RowMath math = row_math(pass.isa);
  for (std::size_t row = 0; row < pass.rows; ++row)
    math.add_norm(pass.scratch.hidden.get() + row * hidden, pass.scratch.update.get() + row * hidden, hidden, norm.scale.get(),
                  norm.shift.get(), pass.config.epsilon);
}

RAG_LAZY void activate(const ForwardPass& pass, float* x, std::size_t size) {
  const RowMath math = row_math(pass.isa);
  if (pass.config.activation == Activation::gelu) math.gelu(x, size);
  else if (pass.config.activation == Activation::gelu_tanh) math.gelu_tanh(x, size);
  else for (std::size_t i = 0; i < size; ++i) x[i] = std::max(x[i], 0.0f);
}

/// Products of the same rows: y = x w + bias for x of `depth` floats a row, in fp32 or int16.
RAG_LAZY class BasicRowProducts {
 public:
  BasicRowProducts(const ForwardPass& pass, const float* x, std::size_t depth) : pass_(pass), x_(x), depth_(depth) {
#if RAG_X86
    if (pass.precision != Precision::int16) return;
    for (std::size_t row = 0; row < pass.rows; ++row)
      pass.scratch.scales[row] = to_int16_row(x + row * depth, depth, pass.scratch.whole.get() + row * depth);
#endif
  }
  void put(const Linear& linear, float* y, std::size_t y_stride) const {
#if RAG_X86
    if (pass_.precision == Precision::int16)
      return gemm_int16(pass_.scratch.whole.get(), pass_.scratch.scales.get(), pass_.rows, linear.int16_view(), y, y_stride);
#endif
    gemm(pass_.isa, x_, depth_, pass_.rows, linear.view(), y, y_stride);
  }

 private:
  const ForwardPass& pass_;
  const float* x_;
  std::size_t depth_;
};
using RowProducts = BasicRowProducts<>;

/// A layer with products in fp32 or int16; attention is in fp32.
RAG_LAZY void forward_layer(const ForwardPass& pass, const TransformerLayer& layer) {
  const TransformerScratch& scratch = pass.scratch;
  const std::size_t hidden = pass.config.hidden, intermediate = pass.config.intermediate;
  float *x = scratch.hidden.get(), *update = scratch.update.get(), *wide = scratch.wide.get();
  const RowProducts inputs(pass, x, hidden);
  inputs.put(layer.query, wide, 3 * hidden);
  inputs.put(layer.key, wide + hidden, 3 * hidden);
  inputs.put(layer.value, wide + 2 * hidden, 3 * hidden);
  std::size_t begin = 0;
  for (const std::size_t length : pass.lengths) {
    for (std::size_t head = 0; head < pass.config.heads; ++head) attend(pass, begin, length, head);
    begin += length;
  }
  RowProducts(pass, scratch.context.get(), hidden).put(layer.context, update, hidden);
  add_norm(pass, layer.attention_norm);
  RowProducts(pass, x, hidden).put(layer.up, wide, intermediate);
  activate(pass, wide, pass.rows * intermediate);
  RowProducts(pass, wide, intermediate).put(layer.down, update, hidden);
  add_norm(pass, layer.output_norm);
}

}  // namespace detail
RAG_END
#endif
