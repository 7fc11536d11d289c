// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_GEMM_INT16_HPP
#define RAG_DETAIL_GEMM_INT16_HPP
#include <rag/detail/gemm.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <utility>

// y = x w + bias with x and w in whole numbers of 16 bits and their sums in 32, on AVX512-VNNI (Intel's instruction set
// reference: VPDPWSSD). Rows of x are scaled by their largest number, columns of w so that no sum can overflow. The sums
// are exact: a row's bits depend neither on the rows beside it nor on their number.

RAG_BEGIN
namespace detail {

/// The largest number of a row of x becomes this one.
inline constexpr int int16_most = 8191;
/// So many products are summed up in 32 bits; then the sum goes to y.
inline constexpr std::size_t int16_depth = 384;
/// What the numbers of a column of w may add up to over that depth, without their signs.
inline constexpr int int16_budget = std::numeric_limits<std::int32_t>::max() / int16_most;

/// A view of packed panels: element k of column j of panel p is panels[(p * depth + k / 2 * 2) * 32 + 2 * j + k % 2].
struct PackedInt16View {
  const std::int16_t* panels;
  const float* scales;         ///< what 1 of each column stands for
  const float* bias;           ///< null: none
  std::size_t depth, columns;  ///< whole multiples of panel_columns
};

/// Eight floats times `scale`, rounded, ties to even: four pairs of neighbours, the first of each in its lower half. All
/// are below 2^15.
inline Four int16_pairs(Four first, Four second, float scale) {
  constexpr float shift = 12582912;  // 1.5 * 2^23: the lower half of a sum's bits is the whole number
  const Four a = first * scale + shift, b = second * scale + shift;
  const auto even = (FourBits)__builtin_shufflevector(a, b, 0, 2, 4, 6), odd = (FourBits)__builtin_shufflevector(a, b, 1, 3, 5, 7);
  return (Four)((even & 0xFFFF) | odd << 16);
}

/// The factor that takes a column of w to whole numbers.
RAG_LAZY float int16_factor(const char* column, std::size_t depth) {
  double largest = 0, heaviest = 0;
  for (std::size_t begin = 0; begin < depth; begin += int16_depth) {
    double sum = 0;
    for (std::size_t k = begin; k < std::min(depth, begin + int16_depth); ++k) {
      float value;
      std::memcpy(&value, column + k * sizeof(float), sizeof value);
      sum += std::abs(value);
      largest = std::max(largest, std::abs(static_cast<double>(value)));
    }
    heaviest = std::max(heaviest, sum);
  }
  if (largest == 0) return 0;
  // Rounding adds a half to each number at most.
  const double budget = int16_budget - static_cast<double>(int16_depth / 2 + 1);
  return static_cast<float>(std::min({32766 / largest, budget / heaviest, 1e38}));
}

/// Packs up to 32 columns of w, each `depth` floats (a multiple of 32) in a row of bytes of any alignment, into one panel;
/// as pack_panel(). scales: one for each of 32 columns.
RAG_LAZY bool pack_panel_int16(const char* columns, std::size_t stride, std::size_t count, std::size_t depth,
                               std::int16_t* panel, float* scales) {
  FourBits bad = {};
  float factors[panel_columns] = {};
  for (std::size_t j = 0; j < count; ++j) factors[j] = int16_factor(columns + j * stride, depth);
  for (std::size_t j = 0; j < panel_columns; ++j) scales[j] = factors[j] > 0 ? 1 / factors[j] : 0;
  for (std::size_t j = 0; j < panel_columns; j += 4)
    for (std::size_t k = 0; k < depth; k += 8) {
      Four row[4] = {};
      for (std::size_t i = 0; i < 4 && j + i < count; ++i) {
        const char* from = columns + (j + i) * stride + k * sizeof(float);
        const Four first = load_four(from), second = load_four(from + sizeof(Four));
        bad |= spoilt(first) | spoilt(second);
        row[i] = int16_pairs(first, second, factors[j + i]);
      }
      transpose(row);
      for (std::size_t i = 0; i < 4; ++i) std::memcpy(panel + (k + 2 * i) * panel_columns + 2 * j, &row[i], sizeof(Four));
    }
  return (bad[0] | bad[1] | bad[2] | bad[3]) == 0;
}

#if RAG_X86
#define RAG_INT16 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma")))

/// Rounds a row of x, a multiple of 32 floats, to whole numbers; gives what 1 stands for. Of a row with a NaN or infinity
/// that is one, too; a row of numbers below 1e-30 becomes 0.
RAG_INT16 inline float to_int16_row(const float* x, std::size_t size, std::int16_t* to) {
  const __m512i no_sign = _mm512_set1_epi32(0x7FFFFFFF);
  __m512i largest = _mm512_setzero_si512();  // by their bits floats without a sign are in order, NaNs last
  for (std::size_t i = 0; i < size; i += 16)
    largest = _mm512_maskz_max_epi32(0xFFFF, largest, _mm512_and_si512(no_sign, _mm512_loadu_si512(x + i)));
  alignas(64) std::int32_t sixteen[16];
  _mm512_store_si512(sixteen, largest);
  const auto most = std::bit_cast<float>(*std::max_element(sixteen, sixteen + 16));
  if (!(most >= 1e-30F)) {
    std::fill_n(to, size, std::int16_t{0});
    return most;  // small, or NaN
  }
  const __m512 factor = _mm512_set1_ps(int16_most / most);
  for (std::size_t i = 0; i < size; i += 16) {
    const __m512i whole = _mm512_maskz_cvtps_epi32(0xFFFF, _mm512_mul_ps(factor, _mm512_loadu_ps(x + i)));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), _mm512_maskz_cvtepi32_epi16(0xFFFF, whole));
  }
  return most / int16_most;
}

/// sums[r][0 .. 32) = x[r] panel, for a fixed number of rows and at most int16_depth; x_stride in elements.
using Int16Kernel = void (*)(const std::int16_t* x, std::size_t x_stride, const std::int16_t* panel, std::size_t depth,
                             std::int32_t* sums);

template <std::size_t Rows>
RAG_INT16 void panel_int16(const std::int16_t* x, std::size_t x_stride, const std::int16_t* panel, std::size_t depth,
                           std::int32_t* sums) {
  __m512i sum[Rows][2];
  RAG_UNROLL
  for (std::size_t r = 0; r < Rows; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_si512();
  for (std::size_t k = 0; k < depth; k += 2) {
    const std::int16_t* pairs = panel + k * panel_columns;
    prefetch(pairs + prefetch_rows * 64), prefetch(pairs + prefetch_rows * 64 + 32);
    const __m512i left = _mm512_load_si512(pairs), right = _mm512_load_si512(pairs + 32);
    RAG_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
      int pair;
      __builtin_memcpy(&pair, x + r * x_stride + k, sizeof pair);
      const __m512i value = _mm512_set1_epi32(pair);
      sum[r][0] = _mm512_dpwssd_epi32(sum[r][0], left, value);
      sum[r][1] = _mm512_dpwssd_epi32(sum[r][1], right, value);
    }
  }
  RAG_UNROLL
  for (std::size_t r = 0; r < Rows; ++r) {
    _mm512_store_si512(sums + r * panel_columns, sum[r][0]);
    _mm512_store_si512(sums + r * panel_columns + 16, sum[r][1]);
  }
}

/// y[r][0 .. 32) = before[r] + sums[r] times both scales, for `count` rows; strides in elements.
RAG_INT16 inline void add_int16_sums(const std::int32_t* sums, std::size_t count, const float* x_scales, const float* w_scales,
                                     const float* before, std::size_t before_stride, float* y, std::size_t y_stride) {
  for (std::size_t half = 0; half < panel_columns; half += 16) {
    const __m512 columns = _mm512_loadu_ps(w_scales + half);
    for (std::size_t r = 0; r < count; ++r) {
      const __m512 sum = _mm512_maskz_cvtepi32_ps(0xFFFF, _mm512_load_si512(sums + r * panel_columns + half));
      const __m512 scale = _mm512_mul_ps(columns, _mm512_set1_ps(x_scales[r]));
      _mm512_storeu_ps(y + r * y_stride + half, _mm512_fmadd_ps(sum, scale, _mm512_loadu_ps(before + r * before_stride + half)));
    }
  }
}

template <std::size_t... I>
struct Int16Table {
  static constexpr Int16Kernel kernels[] = {&panel_int16<I + 1>...};
};
template <std::size_t... I>
constexpr Int16Table<I...> int16_table(std::index_sequence<I...>) {
  return {};
}

/// y = x w + bias in fp32. Needs AVX512-VNNI. Rows of x, each with its scale, lie without gaps.
template <class Table = std::make_index_sequence<14>>
void gemm_int16(const std::int16_t* x, const float* x_scales, std::size_t rows, const PackedInt16View& w, float* y,
                std::size_t y_stride) {
  constexpr auto& kernels = decltype(int16_table(Table()))::kernels;
  const std::size_t blocks = (rows + Table::size() - 1) / Table::size();
  alignas(64) std::int32_t sums[Table::size() * panel_columns];
  for (std::size_t column = 0; column < w.columns; column += panel_columns)
    for (std::size_t block = 0, row = 0; block < blocks; ++block) {
      const std::size_t count = rows / blocks + (block < rows % blocks);
      float* to = y + row * y_stride + column;
      for (std::size_t begin = 0; begin < w.depth; begin += int16_depth) {
        kernels[count - 1](x + row * w.depth + begin, w.depth, w.panels + column * w.depth + begin * panel_columns,
                           std::min(int16_depth, w.depth - begin), sums);
        const float* before = begin != 0 ? to : w.bias ? w.bias + column : no_bias;
        add_int16_sums(sums, count, x_scales + row, w.scales + column, before, begin != 0 ? y_stride : 0, to, y_stride);
      }
      row += count;
    }
}
#endif

}  // namespace detail
RAG_END
#endif
