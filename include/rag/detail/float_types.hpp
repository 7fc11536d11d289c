// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_FLOAT_TYPES_HPP
#define RAG_DETAIL_FLOAT_TYPES_HPP
#include <rag/version.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

RAG_BEGIN
namespace detail {

/// How the floats of a weight are written in its file.
enum class FloatType : unsigned char { f32, f16, bf16 };

constexpr std::size_t float_bytes(FloatType type) { return type == FloatType::f32 ? 4 : 2; }

/// The value of an IEEE half: its exponent is moved by a multiplication, which is right for subnormal halves too.
inline float from_half(std::uint16_t half) {
  const std::uint32_t size = half & 0x7FFFu, sign = (half & 0x8000u) << 16;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(std::bit_cast<float>(size << 13) * 0x1p112f);
  return std::bit_cast<float>(sign | (size >= 0x7C00u ? bits | 0x7F800000u : bits));  // infinity and NaN stay such
}

/// Reads `count` floats from bytes of any alignment.
RAG_LAZY void read_floats(const char* bytes, FloatType type, std::size_t count, float* to) {
  if (type == FloatType::f32) return static_cast<void>(std::memcpy(to, bytes, count * sizeof(float)));
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t half;
    std::memcpy(&half, bytes + 2 * i, 2);
    to[i] = type == FloatType::f16 ? from_half(half) : std::bit_cast<float>(std::uint32_t{half} << 16);
  }
}

/// The floats of a tensor: a view into its file.
struct WeightView {
  std::string_view bytes;
  FloatType type = FloatType::f32;
};

}  // namespace detail
RAG_END
#endif
