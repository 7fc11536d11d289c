// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PLANE_FORMAT_HPP
#define RAG_DETAIL_PLANE_FORMAT_HPP
#include <rag/detail/planes.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

// The planes that a file keeps beside its rows. A collection says which format they are in: 0 is none, 1 is PlaneLayout.

RAG_BEGIN
namespace detail {

inline constexpr std::uint32_t newest_planes = 1;
inline constexpr std::size_t plane_block = block_rows;

using ByteRanges = std::array<std::pair<std::size_t, std::size_t>, 4>;

inline std::size_t planes_size(std::uint32_t format, std::size_t dimension, std::size_t capacity) {
  return format == 0 ? 0 : PlaneLayout(dimension, capacity).size();
}

/// The bytes of the planes of an extent's blocks [first, last).
inline ByteRanges planes_ranges(std::size_t dimension, std::size_t capacity, std::size_t first, std::size_t last) {
  return PlaneLayout(dimension, capacity).ranges(first, last);
}

/// The planes of `blocks` blocks, for an area of that many.
RAG_LAZY std::vector<std::byte> make_planes(std::size_t dimension, const float* rows, std::size_t blocks) {
  const PlaneLayout layout(dimension, blocks * block_rows);
  std::vector<std::byte> area(layout.size());
  quantise_blocks(layout, rows, 0, blocks, area.data());
  return area;
}

}  // namespace detail
RAG_END
#endif
