// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_BF16_HPP
#define RAG_DETAIL_BF16_HPP
#include <rag/version.hpp>

#include <bit>
#include <cstdint>

RAG_BEGIN
namespace detail {

/// The upper half of a float: its sign, its exponent and 7 bits of its fraction.
using Bf16 = std::uint16_t;

/// Rounds to the nearest, ties to even. For finite numbers.
constexpr Bf16 to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<Bf16>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
constexpr float from_bf16(Bf16 value) { return std::bit_cast<float>(static_cast<std::uint32_t>(value) << 16); }

}  // namespace detail
RAG_END
#endif
