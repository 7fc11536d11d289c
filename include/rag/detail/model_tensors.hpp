// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_MODEL_TENSORS_HPP
#define RAG_DETAIL_MODEL_TENSORS_HPP
#include <rag/detail/linear.hpp>
#include <rag/detail/safetensors.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// Finds tensors by name, with the family's prefix before it or not, and checks what they are.
RAG_LAZY class BasicModelTensors {
 public:
  /// The prefix counts where the tensor `probe` has it.
  BasicModelTensors(Tensors tensors, std::string who, const std::string& prefix = {}, const std::string& probe = {})
      : tensors_(std::move(tensors)), who_(std::move(who)) {
    if (tensors_.contains(prefix + probe)) prefix_ = prefix;
  }

  bool contains(const std::string& name) const { return tensors_.contains(prefix_ + name); }

  /// The floats of a tensor of that shape.
  WeightView find(const std::string& name, const std::vector<std::size_t>& shape) const {
    const auto found = tensors_.find(prefix_ + name);
    if (found == tensors_.end()) throw Error(Errc::invalid_format, who_ + ": there is no tensor " + prefix_ + name);
    const Tensor& tensor = found->second;
    if (tensor.type != "F32" && tensor.type != "F16" && tensor.type != "BF16")
      throw Error(Errc::unsupported, who_ + ": tensor " + found->first + ": F32, F16 or BF16 wanted, " + tensor.type + " given");
    if (tensor.shape != shape)
      throw Error(Errc::invalid_format, who_ + ": tensor " + found->first + ": " + written(shape) +
                                            " wanted by config.json, " + written(tensor.shape) + " given");
    return {tensor.bytes, tensor.type == "F32" ? FloatType::f32 : tensor.type == "F16" ? FloatType::f16 : FloatType::bf16};
  }

  /// A copy of a tensor of one axis, padded with 0 to whole panels.
  AlignedFloats vector(const std::string& name, std::size_t size) const {
    const WeightView weight = find(name, {size});
    AlignedFloats floats = aligned_floats(padded(size));
    std::fill(floats.get() + size, floats.get() + padded(size), 0.0f);
    read(name, weight, size, floats.get());
    return floats;
  }
  /// A copy of a tensor of two axes, row by row.
  AlignedFloats matrix(const std::string& name, std::size_t rows, std::size_t columns) const {
    const WeightView weight = find(name, {rows, columns});
    AlignedFloats floats = aligned_floats(rows * columns);
    read(name, weight, rows * columns, floats.get());
    return floats;
  }
  /// A PyTorch Linear, packed.
  Linear linear(const std::string& name, std::size_t depth, std::size_t columns, bool biased = true) const {
    const WeightView weight = find(name + ".weight", {columns, depth});
    check_packed(name + ".weight", packed_bytes(depth, columns), weight.bytes.size());
    Linear linear{depth, columns, {}, biased ? vector(name + ".bias", columns) : AlignedFloats()};
    if (!pack_linear(linear, weight)) throw not_finite(name + ".weight");
    return linear;
  }

  /// A matrix of few columns takes up to 16 times its room in the file: no model has large ones of such.
  void check_packed(const std::string& name, std::size_t packed, std::size_t in_file) const {
    if (packed > 3 * in_file + (1 << 20))
      throw Error(Errc::invalid_format, who_ + ": tensor " + prefix_ + name + ": of too few columns, it would take " +
                                            std::to_string(packed >> 20) + " MiB of memory");
  }

  Error not_finite(const std::string& name) const {
    return Error(Errc::invalid_format, who_ + ": tensor " + prefix_ + name + " holds NaN or infinity");
  }

 private:
  void read(const std::string& name, WeightView weight, std::size_t count, float* to) const {
    read_floats(weight.bytes.data(), weight.type, count, to);
    if (!std::all_of(to, to + count, [](float value) { return std::isfinite(value); })) throw not_finite(name);
  }
  static std::string written(const std::vector<std::size_t>& shape) {
    std::string text;
    for (const std::size_t extent : shape) text += (text.empty() ? "" : " x ") + std::to_string(extent);
    return text.empty() ? "a single value" : text;
  }

  Tensors tensors_;
  std::string prefix_, who_;
};
using ModelTensors = BasicModelTensors<>;

}  // namespace detail
RAG_END
#endif
