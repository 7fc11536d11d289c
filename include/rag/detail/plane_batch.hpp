// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PLANE_BATCH_HPP
#define RAG_DETAIL_PLANE_BATCH_HPP
#include <rag/detail/plane_eight.hpp>
#include <rag/detail/tiles.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

// Products of 8-bit rows with many queries at once on the tiles of AMX (Intel's instruction set reference:
// TDPBSUD). What AVX512-VNNI does is in plane_turned.hpp. Other processors gain nothing from it: there a chunk of
// rows stays near while one query after another looks at it.

RAG_BEGIN
namespace detail {

inline constexpr std::size_t group_queries = 32, run_rows = 96;

/// 32 queries side by side: 128 bytes hold the numbers + 128 of dimensions 4 j … 4 j + 3, query after query.
/// What is beyond the last query is 0 and wants nothing.
RAG_LAZY struct BasicQueryGroup {
  explicit BasicQueryGroup(std::size_t row_bytes) : numbers(row_bytes * group_queries / sizeof(Line)) {
    std::fill_n(cut, group_queries, std::numeric_limits<float>::infinity());
  }

  void set(std::size_t place, const QueryCode& code) {
    auto* to = reinterpret_cast<std::uint8_t*>(numbers.data()) + 4 * place;
    for (std::size_t i = 0; i < code.shifted.size(); i += 4, to += 4 * group_queries)
      std::memcpy(to, code.shifted.data() + i, 4);
    scale[place] = code.terms.scale;
    sway[place] = code.terms.sway;
    reach[place] = code.terms.reach + code.terms.margin;
  }

  /// Only rows that may have a score of `threshold` or more are wanted for a query.
  void set_threshold(std::size_t place, const BoundTerms& terms, float threshold) {
    cut[place] = cut_of(terms, threshold);
  }

  struct alignas(64) Line {
    std::uint64_t words[8];
  };

  std::vector<Line> numbers;
  alignas(64) float scale[group_queries] = {}, sway[group_queries] = {}, reach[group_queries] = {};
  alignas(64) float cut[group_queries];
};
using QueryGroup = BasicQueryGroup<>;

/// Up to 96 rows that follow one another, a multiple of 16.
struct RowRun {
  const std::byte* rows;
  std::size_t row_bytes, count;
  const EightHead* heads;
  const float* added;   ///< to the bound of each row
  const float* weight;  ///< of what it is compared with
};

#if RAG_X86
/// dots[32 i + j]: of row i and query j, with its numbers + 128. Tiles 0 to 3 hold the sums of two by two blocks of
/// 16 x 16, 4 and 5 the rows, 6 and 7 the queries. They must be configured: TileUse.
RAG_LAZY RAG_TARGET_AMX void batch_amx(const RowRun& run, const std::byte* queries, std::int32_t* dots) {
  constexpr std::size_t line =
      4 * group_queries;  // bytes of four dimensions of a group, and of a row of dots
  __asm__ volatile("" ::: "memory");
  for (std::size_t row = 0; row < run.count; row += 32) {
    const bool both = run.count - row > 16;
    const std::byte* rows = run.rows + row * run.row_bytes;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (std::size_t k = 0; k < run.row_bytes; k += 64) {
      _tile_loadd(6, queries + k * group_queries, line);
      _tile_loadd(7, queries + k * group_queries + 64, line);
      _tile_loadd(4, rows + k, run.row_bytes);
      _tile_dpbsud(0, 4, 6);
      _tile_dpbsud(1, 4, 7);
      if (!both) continue;
      _tile_loadd(5, rows + 16 * run.row_bytes + k, run.row_bytes);
      _tile_dpbsud(2, 5, 6);
      _tile_dpbsud(3, 5, 7);
    }
    std::int32_t* to = dots + row * group_queries;
    _tile_stored(0, to, line);
    _tile_stored(1, to + 16, line);
    if (!both) continue;
    _tile_stored(2, to + 16 * group_queries, line);
    _tile_stored(3, to + 16 * group_queries + 16, line);
  }
  __asm__ volatile("" ::: "memory");
}

/// wanted[i]: for which queries of the group row i may reach the threshold, a bit a query.
RAG_LAZY RAG_TARGET_AVX512 void batch_wanted(const RowRun& run, const QueryGroup& group,
                                             const std::int32_t* dots, std::uint32_t* wanted) {
  for (std::size_t i = 0; i < run.count; ++i) {
    const EightHead& head = run.heads[i];
    const __m512 scale = _mm512_set1_ps(head.scale), length = _mm512_set1_ps(head.length);
    const __m512 rest = _mm512_set1_ps(head.rest), added = _mm512_set1_ps(run.added[i]);
    const __m512 weight = _mm512_set1_ps(run.weight[i]);
    const auto half = [&](std::size_t at) RAG_TARGET_AVX512 __attribute__((always_inline)) {
      const __m512i dot =
          _mm512_add_epi32(_mm512_loadu_si512(dots + i * group_queries + at), _mm512_set1_epi32(head.offset));
      const __m512 product =
          _mm512_mul_ps(_mm512_maskz_cvtepi32_ps(0xFFFF, dot), _mm512_load_ps(group.scale + at));
      __m512 upper = _mm512_fmadd_ps(length, _mm512_load_ps(group.sway + at), added);
      upper = _mm512_fmadd_ps(rest, _mm512_load_ps(group.reach + at), upper);
      upper = _mm512_fmadd_ps(scale, product, upper);
      const __m512 cut = _mm512_mul_ps(weight, _mm512_load_ps(group.cut + at));
      return static_cast<std::uint32_t>(_mm512_cmp_ps_mask(upper, cut, _CMP_GE_OQ));
    };
    wanted[i] = half(0) | half(16) << 16;
  }
}
#endif

}  // namespace detail
RAG_END
#endif
