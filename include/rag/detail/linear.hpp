// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_LINEAR_HPP
#define RAG_DETAIL_LINEAR_HPP
#include <rag/detail/float_types.hpp>
#include <rag/detail/gemm_bf16.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

RAG_BEGIN
namespace detail {

/// y = x w + bias, w packed for gemm() or for gemm_bf16().
struct Linear {
  std::size_t depth = 0, columns = 0;
  AlignedFloats panels = {}, bias = {};  // the bias padded to whole panels
  Aligned<Bf16> pairs = {};              // in the place of panels

  PackedView view() const { return {panels.get(), bias.get(), depth, columns}; }
  PackedBf16View bf16_view() const { return {pairs.get(), bias.get(), depth, columns}; }
};

/// Bytes of a packed weight: each panel has room for all of its columns, however few there are.
inline std::size_t packed_bytes(std::size_t depth, std::size_t columns, Precision precision = Precision::fp32) {
  return depth * padded(columns) * (precision == Precision::bf16 ? sizeof(Bf16) : sizeof(float));
}

/// Packs a weight as PyTorch keeps it, a row of `depth` floats for each column of y. False: a NaN or infinity.
RAG_LAZY bool pack_linear(Linear& linear, WeightView weight, Precision precision = Precision::fp32) {
  const bool bf16 = precision == Precision::bf16;
  if (bf16) linear.pairs = aligned<Bf16>(linear.depth * padded(linear.columns));
  else linear.panels = aligned_floats(linear.depth * padded(linear.columns));
  const std::size_t row = linear.depth * float_bytes(weight.type);
  std::vector<float> floats;
  if (weight.type != FloatType::f32) floats.resize(panel_columns * linear.depth);
  for (std::size_t column = 0; column < linear.columns; column += panel_columns) {
    const std::size_t count = std::min(panel_columns, linear.columns - column);
    const char* from = weight.bytes.data() + column * row;
    if (!floats.empty()) {
      read_floats(from, weight.type, count * linear.depth, floats.data());
      from = reinterpret_cast<const char*>(floats.data());
    }
    const std::size_t stride = linear.depth * sizeof(float), to = column * linear.depth;
    if (bf16 ? !pack_panel_bf16(from, stride, count, linear.depth, linear.pairs.get() + to)
             : !pack_panel(from, stride, count, linear.depth, linear.panels.get() + to))
      return false;
  }
  return true;
}

}  // namespace detail
RAG_END
#endif
