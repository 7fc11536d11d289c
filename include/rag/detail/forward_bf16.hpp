// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_FORWARD_BF16_HPP
#define RAG_DETAIL_FORWARD_BF16_HPP
#include <rag/detail/forward.hpp>
#include <rag/detail/row_math_bf16.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>

// The layers with products of bf16: their inputs are rounded, while the residual sums, LayerNorm, softmax and what the
// products add up to stay in fp32. All of torch in bf16 has a cosine of 0.998 to fp32, this 0.9999 and more.

#if RAG_X86
RAG_BEGIN
namespace detail {

/// attend() with products of bf16.
RAG_LAZY void attend_bf16(const ForwardPass& pass, std::size_t begin, std::size_t length, std::size_t head) {
  const TransformerScratch& scratch = pass.scratch;
  const std::size_t hidden = pass.config.hidden, size = pass.head_size(), stride = 3 * hidden, row = padded(length);
  const Bf16* query = scratch.qkv16.get() + begin * stride + head * size;
  const Bf16 *key = query + hidden, *value = key + hidden;
  Bf16 *keys = scratch.keys16.get(), *values = scratch.values16.get(), *shares = scratch.shares16.get();
  float* scores = scratch.scores.get();
  for (std::size_t column = 0; column < length; column += panel_columns)
    pack_keys_bf16(key + column * stride, stride, std::min(panel_columns, length - column), size, keys + column * size);
  for (std::size_t column = 0; column < size; column += panel_columns)
    pack_values_bf16(value + column, stride, length, values + column * row);
  const float scale = 1.0f / std::sqrt(static_cast<float>(size));
  float inverse[some_queries(Isa::amx)];
  for (std::size_t first = 0, count; first < length; first += count) {
    count = std::min(some_queries(pass.isa), length - first);
    gemm_bf16(pass.isa, query + first * stride, stride, count, {keys, nullptr, size, row}, scores, row);
    if (pass.weights.distance_bias) add_distance_bias(pass, head, first, count, length, scores, row);
    for (std::size_t i = 0; i < count; ++i) inverse[i] = softmax_bf16_row(scores + i * row, length, scale, shares + i * row);
    gemm_bf16(pass.isa, shares, row, count, {values, nullptr, row, size}, &store_bf16, inverse,
              scratch.context16.get() + (begin + first) * hidden + head * size, hidden);
  }
}

RAG_LAZY void add_norm_bf16(const ForwardPass& pass, const LayerNorm& norm) {
  const std::size_t hidden = pass.config.hidden;
  for (std::size_t row = 0; row < pass.rows; ++row)
    add_norm_bf16_row(pass.scratch.hidden.get() + row * hidden, pass.scratch.update.get() + row * hidden, hidden,
                      norm.scale.get(), norm.shift.get(), pass.config.epsilon, pass.scratch.states16.get() + row * hidden);
}

RAG_LAZY void round_states(const ForwardPass& pass) {
  const std::size_t hidden = pass.config.hidden;
  for (std::size_t row = 0; row < pass.rows; ++row)
    to_bf16_row(pass.scratch.hidden.get() + row * hidden, hidden, pass.scratch.states16.get() + row * hidden);
}

/// forward_layer() with products of bf16. scratch.states16 holds scratch.hidden rounded, before and after.
RAG_LAZY void forward_layer_bf16(const ForwardPass& pass, const TransformerLayer& layer) {
  const TransformerScratch& scratch = pass.scratch;
  const std::size_t hidden = pass.config.hidden, intermediate = pass.config.intermediate, rows = pass.rows;
  const Activation activation = pass.config.activation;
  Bf16 *x = scratch.states16.get(), *qkv = scratch.qkv16.get(), *wide = scratch.wide16.get();
  const Linear* roles[] = {&layer.query, &layer.key, &layer.value};
  for (std::size_t i = 0; i < 3; ++i)
    gemm_bf16(pass.isa, x, hidden, rows, roles[i]->bf16_view(), &store_bf16, nullptr, qkv + i * hidden, 3 * hidden);
  std::size_t begin = 0;
  for (const std::size_t length : pass.lengths) {
    for (std::size_t head = 0; head < pass.config.heads; ++head) attend_bf16(pass, begin, length, head);
    begin += length;
  }
  gemm_bf16(pass.isa, scratch.context16.get(), hidden, rows, layer.context.bf16_view(), scratch.update.get(), hidden);
  add_norm_bf16(pass, layer.attention_norm);
  const Bf16Store store = activation == Activation::gelu        ? &store_active_bf16<GeluBf16>
                          : activation == Activation::gelu_tanh ? &store_active_bf16<GeluTanhBf16>
                                                                : &store_active_bf16<ReluBf16>;
  gemm_bf16(pass.isa, x, hidden, rows, layer.up.bf16_view(), store, nullptr, wide, intermediate);
  gemm_bf16(pass.isa, wide, intermediate, rows, layer.down.bf16_view(), scratch.update.get(), hidden);
  add_norm_bf16(pass, layer.output_norm);
}

}  // namespace detail
RAG_END
#endif
#endif
