// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_LINEAR_HPP
#define RAG_DETAIL_LINEAR_HPP
#include <rag/detail/aligned_bytes.hpp>
#include <rag/detail/float_types.hpp>
#include <rag/detail/gemm_bf16.hpp>
#include <rag/detail/gemm_int16.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <vector>

RAG_BEGIN
namespace detail {

/// Memory for weights, which are read from end to end for every short question: huge pages make that 1.04 to 1.25 times
/// as fast.
RAG_LAZY std::shared_ptr<std::byte> weight_memory(std::size_t size) {
  const auto memory = std::make_shared<AlignedBytes>(size);
  return {memory, memory->get()};
}

/// y = x w + bias, w packed for gemm(), gemm_bf16() or gemm_int16().
struct Linear {
  std::size_t depth = 0, columns = 0;
  std::shared_ptr<std::byte> weights = {};  ///< panels of floats, or of pairs of Bf16 or whole numbers
  AlignedFloats bias = {};                  ///< padded to whole panels
  AlignedFloats scales = {};                ///< of whole numbers: what 1 of each column stands for, padded

  template <class T>
  T* panels() const {
    return reinterpret_cast<T*>(weights.get());
  }
  PackedView view() const { return {panels<float>(), bias.get(), depth, columns, true}; }
  PackedBf16View bf16_view() const { return {panels<Bf16>(), bias.get(), depth, columns}; }
  PackedInt16View int16_view() const { return {panels<std::int16_t>(), scales.get(), bias.get(), depth, columns}; }
};

/// Bytes of a packed weight: each panel has room for all of its columns, however few there are.
inline std::size_t packed_bytes(std::size_t depth, std::size_t columns, Precision precision = Precision::fp32) {
  return depth * padded(columns) * (precision == Precision::fp32 ? sizeof(float) : sizeof(Bf16));
}

/// Packs a weight as PyTorch keeps it, a row of `depth` floats for each column of y, where `linear.weights` is, or into
/// memory of its own. False: a NaN or infinity.
RAG_LAZY bool pack_linear(Linear& linear, WeightView weight, Precision precision = Precision::fp32) {
  if (!linear.weights) linear.weights = weight_memory(packed_bytes(linear.depth, linear.columns, precision));
  if (precision == Precision::int16) linear.scales = aligned_floats(padded(linear.columns));
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
    const bool finite =
        precision == Precision::fp32   ? pack_panel(from, stride, count, linear.depth, linear.panels<float>() + to)
        : precision == Precision::bf16 ? pack_panel_bf16(from, stride, count, linear.depth, linear.panels<Bf16>() + to)
                                       : pack_panel_int16(from, stride, count, linear.depth, linear.panels<std::int16_t>() + to,
                                                          linear.scales.get() + column);
    if (!finite) return false;
  }
  return true;
}

}  // namespace detail
RAG_END
#endif
