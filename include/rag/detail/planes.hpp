// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PLANES_HPP
#define RAG_DETAIL_PLANES_HPP
#include <rag/detail/cpu.hpp>

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

// Rows in 4 and in 8 bits, read before fp32. A row x is written as s c + e: whole numbers c, a scale s that is fitted so
// that e is orthogonal to c, and the rest e. Beside the numbers stand s, |s c| and |e|, the lengths rounded up. What they
// prove of a score: docs/search.md.

RAG_BEGIN
namespace detail {

inline constexpr std::size_t block_rows = 16;

/// A row shorter than this has no numbers: all of it is rest. So no scale is subnormal.
inline constexpr double shortest_coded = 0x1p-100;

/// The head of a row in the 8-bit plane.
struct EightHead {
  float scale, length, rest;
  std::int32_t offset;  ///< -128 x the sum of the numbers, for kernels that multiply them with a query + 128
};

/// Where the planes of `capacity` rows (a multiple of 16) lie in one area, which begins at a multiple of 64 bytes.
///   4 bits: blocks of 16 rows; in each, 64 bytes hold dimensions 8 j … 8 j + 7: byte 4 r + t has dimension 8 j + t of row r
///           in its lower half and 8 j + 4 + t in its upper half, as number + 8. Heads: 16 scales, 16 lengths, 16 rests a block.
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
  constexpr std::array<std::pair<std::size_t, std::size_t>, 4> ranges(std::size_t first, std::size_t last) const {
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

/// The least float that is not below `value`.
inline float rounded_up(double value) {
  const float nearest = static_cast<float>(value);
  return static_cast<double>(nearest) < value ? std::nextafter(nearest, std::numeric_limits<float>::infinity()) : nearest;
}

/// A row on its way into the planes: floats, and the numbers found for them, filled up with 0 to a multiple of 64.
RAG_LAZY struct BasicRowCoder {
  struct Head {
    float scale = 0, length = 0, rest = 0;
  };
  struct Sums {  // of the row and its numbers
    double product = 0, squares = 0;
  };
  static constexpr std::size_t lanes = 16;

  explicit BasicRowCoder(std::size_t columns)
      : dimension(columns), floats((columns + 63) / 64 * 64), numbers(floats.size()) {}

  /// Takes a row; finds its squared length and its largest element.
  void take(const float* row) {
    std::memcpy(floats.data(), row, dimension * sizeof(float));
    double sum[lanes] = {};
    float most[lanes] = {};
    for (std::size_t i = 0; i < floats.size(); i += lanes)
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        const float value = floats[i + lane], size = std::fabs(value);
        sum[lane] += static_cast<double>(value) * static_cast<double>(value);
        most[lane] = size > most[lane] ? size : most[lane];
      }
    squares = 0, largest = 0;
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      squares += sum[lane];
      largest = most[lane] > largest ? most[lane] : largest;
    }
  }

  bool coded() const { return squares >= shortest_coded * shortest_coded; }

  /// numbers = the row / step, rounded and held within [least, most].
  void round(float step, float least, float most) {
    const float factor = 1 / step, magic = 0x1.8p23f;  // adding it rounds to a whole number
    for (std::size_t i = 0; i < floats.size(); i += lanes)
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        float value = floats[i + lane] * factor;
        value = value > most ? most : value;
        value = value < least ? least : value;
        numbers[i + lane] = static_cast<std::int8_t>(static_cast<std::int32_t>((value + magic) - magic));
      }
  }

  Sums sums() const {
    double product[lanes] = {};
    std::int32_t square[lanes] = {};  // at most 65,536 / 16 x 127^2
    for (std::size_t i = 0; i < floats.size(); i += lanes)
      for (std::size_t lane = 0; lane < lanes; ++lane) {
        const std::int32_t number = numbers[i + lane];
        product[lane] += static_cast<double>(floats[i + lane]) * static_cast<double>(number);
        square[lane] += number * number;
      }
    Sums all;
    for (std::size_t lane = 0; lane < lanes; ++lane) all.product += product[lane], all.squares += square[lane];
    return all;
  }

  /// The head for the numbers: the scale fits best, the lengths are rounded up.
  Head head() const {
    const Sums all = sums();
    Head head;
    head.scale = static_cast<float>(all.product / all.squares);
    const double scale = static_cast<double>(head.scale);
    head.length = rounded_up(scale * std::sqrt(all.squares) * (1 + 1e-14));
    // |x - s c|^2 from the sums. Each has a relative error of at most (dimension + 3) 2^-53, and none is above 1.1 |x|^2.
    const double slack = 8 * static_cast<double>(dimension + 8) * 0x1p-53 * squares;
    const double rest = squares - 2 * scale * all.product + scale * scale * all.squares + slack;
    head.rest = rounded_up(std::sqrt(rest > slack ? rest : slack) * (1 + 1e-14));
    return head;
  }

  /// Of a row that is too short for numbers.
  Head uncoded_head() const { return {0, 0, rounded_up(std::sqrt(squares * (1 + 1e-10)))}; }

  Head code_eight() {
    if (!coded()) return numbers.assign(numbers.size(), 0), uncoded_head();
    round(largest / 127, -127, 127);
    return head();
  }

  /// The step of the 4-bit numbers is chosen among a few: large elements may be cut for the good of the others.
  Head code_four() {
    if (!coded()) return numbers.assign(numbers.size(), 0), uncoded_head();
    const float spread = static_cast<float>(std::sqrt(squares / static_cast<double>(dimension)));
    float best_step = 0;
    double best = -1;
    for (const float step : {largest / 7, largest / 8, spread * 0.44f, spread * 0.38f, spread * 0.335f, spread * 0.29f}) {
      if (step > largest / 7 * 1.001f) continue;
      round(step, -8, 7);
      const Sums all = sums();
      const double kept = all.product * all.product / all.squares;  // |s c|^2
      if (kept > best) best = kept, best_step = step;
    }
    round(best_step, -8, 7);
    return head();
  }

  std::size_t dimension;
  std::vector<float> floats;
  std::vector<std::int8_t> numbers;
  double squares = 0;
  float largest = 0;
};
using RowCoder = BasicRowCoder<>;

/// Writes the planes of the blocks [first, last) of an area. `rows`: those of the blocks, 16 each, without gaps.
RAG_LAZY void quantise_blocks(const PlaneLayout& layout, const float* rows, std::size_t first, std::size_t last,
                              std::byte* area) {
  RowCoder coder(layout.dimension);
  for (std::size_t block = first; block < last; ++block)
    for (std::size_t r = 0; r < block_rows; ++r, rows += layout.dimension) {
      coder.take(rows);
      const std::size_t row = block * block_rows + r;

      const auto eight = coder.code_eight();
      std::memcpy(area + layout.eight + row * layout.eight_bytes, coder.numbers.data(), layout.eight_bytes);
      std::int32_t sum = 0;
      for (const std::int8_t number : coder.numbers) sum += number;
      const EightHead eight_head = {eight.scale, eight.length, eight.rest, -128 * sum};
      std::memcpy(area + layout.eight_heads + row * sizeof eight_head, &eight_head, sizeof eight_head);

      const auto four = coder.code_four();
      std::byte* to = area + block * layout.four_bytes + 4 * r;
      for (std::size_t i = 0; 8 * i < layout.dimension; ++i, to += 64) {
        std::uint8_t packed[4];
        for (std::size_t t = 0; t < 4; ++t)
          packed[t] = static_cast<std::uint8_t>((coder.numbers[8 * i + t] + 8) | (coder.numbers[8 * i + 4 + t] + 8) << 4);
        std::memcpy(to, packed, 4);
      }
      std::byte* heads = area + layout.four_heads + block * PlaneLayout::four_head_bytes + 4 * r;
      std::memcpy(heads, &four.scale, 4), std::memcpy(heads + 64, &four.length, 4), std::memcpy(heads + 128, &four.rest, 4);
    }
}

}  // namespace detail
RAG_END
#endif
