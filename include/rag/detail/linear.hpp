// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_LINEAR_HPP
#define RAG_DETAIL_LINEAR_HPP
#include <rag/detail/float_types.hpp>
#include <rag/detail/gemm.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

RAG_BEGIN
namespace detail {

/// y = x w + bias, w packed for gemm().
struct Linear {
  std::size_t depth = 0, columns = 0;
  AlignedFloats panels = {}, bias = {};  // the bias padded to whole panels

  PackedView view() const { return {panels.get(), bias.get(), depth, columns}; }
};

/// Packs a weight as PyTorch keeps it, a row of `depth` floats for each column of y. False: a NaN or infinity.
RAG_LAZY bool pack_linear(Linear& linear, WeightView weight) {
  linear.panels = aligned_floats(linear.depth * padded(linear.columns));
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
    if (!pack_panel(from, linear.depth * sizeof(float), count, linear.depth, linear.panels.get() + column * linear.depth))
      return false;
  }
  return true;
}

}  // namespace detail
RAG_END
#endif
