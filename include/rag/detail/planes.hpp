// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PLANES_HPP
#define RAG_DETAIL_PLANES_HPP
#include <rag/detail/row_coder.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

// Rows in 4 and in 8 bits, read before fp32. A row x is written as s c + e: whole numbers c, a scale s that
// is fitted so that e is orthogonal to c, and the rest e. Beside the numbers stand s, |s c| and |e|, the
// lengths rounded up. What they prove of a score: docs/search.md.

RAG_BEGIN
namespace detail {

inline constexpr std::size_t block_rows = 16;

/// Rows of a store from which on a search reads planes. Measured at 384 columns: from 512 rows on they take a half to a
/// third of the time of fp32 with AVX2 and AVX-512 (0.04 against 0.08 ms for 1,024 rows that lie in the caches), while
/// the portable kernels need a store that the caches do not hold.
inline constexpr std::size_t fewest_planed = 1024, fewest_planed_portable = 4096;

/// The head of a row in the 8-bit plane.
struct EightHead {
  float scale, length, rest;
  std::int32_t offset;  ///< -128 x the sum of the numbers, for kernels that multiply them with a query + 128
};

/// Where the planes of `capacity` rows (a multiple of 16) lie in one area, which begins at a multiple of 64
/// bytes.
///   4 bits: blocks of 16 rows; in each, 64 bytes hold dimensions 8 j … 8 j + 7: byte 4 r + t has dimension
///           8 j + t of row r in its lower half and 8 j + 4 + t in its upper half, as number + 8.
///           Heads: 16 scales, 16 lengths, 16 rests a block.
///   8 bits: row after row, each filled up to a multiple of 64 bytes; heads: an EightHead a row.
struct PlaneLayout {
  constexpr PlaneLayout(std::size_t dimension_of_rows, std::size_t capacity_in_rows)
      : dimension(dimension_of_rows),
        capacity(capacity_in_rows),
        four_bytes((dimension + 7) / 8 * 64),
        eight_bytes((dimension + 63) / 64 * 64),
        four_heads(capacity / block_rows * four_bytes),
        eight(four_heads + capacity / block_rows * four_head_bytes),
        eight_heads(eight + capacity * eight_bytes) {}

  /// Bytes of the area.
  constexpr std::size_t size() const { return eight_heads + capacity * sizeof(EightHead); }

  /// The bytes [begin, end) that hold the planes of the blocks [first, last).
  constexpr std::array<std::pair<std::size_t, std::size_t>, 4> ranges(std::size_t first,
                                                                      std::size_t last) const {
    const auto range = [&](std::size_t from, std::size_t stride) {
      return std::pair(from + first * stride, from + last * stride);
    };
    return {range(0, four_bytes), range(four_heads, four_head_bytes), range(eight, block_rows * eight_bytes),
            range(eight_heads, block_rows * sizeof(EightHead))};
  }

  static constexpr std::size_t four_head_bytes = 3 * block_rows * sizeof(float);

  std::size_t dimension, capacity;
  std::size_t four_bytes;                      ///< of a block
  std::size_t eight_bytes;                     ///< of a row
  std::size_t four_heads, eight, eight_heads;  ///< where these begin; the 4-bit plane begins at 0
};

/// Writes the planes of the blocks [first, last) of an area. `rows`: those of the blocks, 16 each, without
/// gaps.
RAG_LAZY void quantise_blocks(const PlaneLayout& layout, const float* rows, std::size_t first,
                              std::size_t last, std::byte* area) {
  RowCoder coder(layout.dimension);
  for (std::size_t block = first; block < last; ++block)
    for (std::size_t r = 0; r < block_rows; ++r, rows += layout.dimension) {
      coder.take(rows);
      const std::size_t row = block * block_rows + r;

      const auto eight = coder.code_eight();
      std::memcpy(area + layout.eight + row * layout.eight_bytes, coder.numbers().data(), layout.eight_bytes);
      const EightHead eight_head = {eight.scale, eight.length, eight.rest, -128 * eight.sum};
      std::memcpy(area + layout.eight_heads + row * sizeof eight_head, &eight_head, sizeof eight_head);

      const auto four = coder.code_four();
      std::byte* to = area + block * layout.four_bytes + 4 * r;
      for (std::size_t i = 0; 8 * i < layout.dimension; ++i, to += 64) {
        std::uint8_t packed[4];
        const std::int8_t* numbers = coder.numbers().data() + 8 * i;
        for (std::size_t t = 0; t < 4; ++t)
          packed[t] = static_cast<std::uint8_t>((numbers[t] + 8) | (numbers[4 + t] + 8) << 4);
        std::memcpy(to, packed, 4);
      }
      std::byte* heads = area + layout.four_heads + block * PlaneLayout::four_head_bytes + 4 * r;
      std::memcpy(heads, &four.scale, 4), std::memcpy(heads + 64, &four.length, 4),
          std::memcpy(heads + 128, &four.rest, 4);
    }
}

}  // namespace detail
RAG_END
#endif
