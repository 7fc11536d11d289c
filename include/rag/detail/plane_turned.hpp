// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PLANE_TURNED_HPP
#define RAG_DETAIL_PLANE_TURNED_HPP
#include <rag/detail/plane_eight.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

// Products of 8-bit rows with many queries on AVX512-VNNI. 32 rows are turned first, so that 16 of them lie side by
// side as the 4-bit plane has them: then no sum crosses lanes, and no lane waits for a query that is not there.

#if RAG_X86

RAG_BEGIN
namespace detail {

inline constexpr std::size_t turned_rows = 2 * block_rows;

/// Lines of four bytes of 16 rows: byte 4 r + t of line j is byte 4 j + t of row r. `bytes`: of a row, a multiple
/// of 16.
RAG_LAZY RAG_TARGET_AVX512 void turn_block(const std::byte* const* rows, std::size_t bytes, std::byte* lines) {
  constexpr __mmask16 every32 = 0xFFFF;  // g++ 12 warns of the forms without a mask
  constexpr __mmask8 every64 = 0xFF;
  for (std::size_t i = 0; i < bytes; i += 16, lines += 256) {
    __m512i part[4];  // part[j]: 16 bytes of the rows j, 4 + j, 8 + j and 12 + j
    RAG_UNROLL
    for (std::size_t j = 0; j < 4; ++j) {
      const auto piece = [&](std::size_t r) RAG_TARGET_AVX512 __attribute__((always_inline)) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(rows[r] + i));
      };
      part[j] = _mm512_zextsi128_si512(piece(j));
      part[j] = _mm512_inserti32x4(part[j], piece(4 + j), 1);
      part[j] = _mm512_inserti32x4(part[j], piece(8 + j), 2);
      part[j] = _mm512_inserti32x4(part[j], piece(12 + j), 3);
    }
    const __m512i a = _mm512_maskz_unpacklo_epi32(every32, part[0], part[1]);
    const __m512i b = _mm512_maskz_unpackhi_epi32(every32, part[0], part[1]);
    const __m512i c = _mm512_maskz_unpacklo_epi32(every32, part[2], part[3]);
    const __m512i d = _mm512_maskz_unpackhi_epi32(every32, part[2], part[3]);
    _mm512_storeu_si512(lines, _mm512_maskz_unpacklo_epi64(every64, a, c));
    _mm512_storeu_si512(lines + 64, _mm512_maskz_unpackhi_epi64(every64, a, c));
    _mm512_storeu_si512(lines + 128, _mm512_maskz_unpacklo_epi64(every64, b, d));
    _mm512_storeu_si512(lines + 192, _mm512_maskz_unpackhi_epi64(every64, b, d));
  }
}

/// What 16 turned rows have beside their numbers; the first four lines are their turned heads.
struct TurnedBlock {
  alignas(64) float scale[block_rows];
  float length[block_rows], rest[block_rows];
  std::int32_t offset[block_rows];
  float added[block_rows];   ///< to the bound of each row
  float weight[block_rows];  ///< of what it is compared with
};
static_assert(sizeof(EightHead) == 16 && offsetof(EightHead, offset) == 12);

/// dots[32 j + i]: of row i and query j. `queries`: four numbers + 128 of each query, the next four of each, and so on.
template <std::size_t Queries>
RAG_TARGET_VNNI void turned_dots(const TurnedBlock* blocks, const std::byte* lines, std::size_t row_bytes,
                                 const std::byte* queries, std::int32_t* dots) {
  __m512i sums[Queries][2];
  RAG_UNROLL
  for (std::size_t j = 0; j < Queries; ++j)
    sums[j][0] = _mm512_load_si512(blocks[0].offset), sums[j][1] = _mm512_load_si512(blocks[1].offset);
  const std::byte* others = lines + block_rows * row_bytes;
  for (std::size_t i = 0; i < block_rows * row_bytes; i += 64, queries += 4 * Queries) {
    const __m512i left = _mm512_loadu_si512(lines + i), right = _mm512_loadu_si512(others + i);
    RAG_UNROLL
    for (std::size_t j = 0; j < Queries; ++j) {
      std::int32_t word;
      std::memcpy(&word, queries + 4 * j, 4);
      const __m512i numbers = _mm512_set1_epi32(word);
      sums[j][0] = _mm512_dpbusd_epi32(sums[j][0], numbers, left);
      sums[j][1] = _mm512_dpbusd_epi32(sums[j][1], numbers, right);
    }
  }
  RAG_UNROLL
  for (std::size_t j = 0; j < Queries; ++j) {
    _mm512_storeu_si512(dots + j * turned_rows, sums[j][0]);
    _mm512_storeu_si512(dots + j * turned_rows + block_rows, sums[j][1]);
  }
}

/// The factors of the bounds of queries that go together.
struct TurnedTerms {
  const float *scale, *sway, *reach, *cut;
};

/// wanted[j]: which of the 32 rows may reach the threshold of query j, a bit a row.
RAG_LAZY RAG_TARGET_AVX512 void turned_wanted(const TurnedBlock* blocks, const TurnedTerms& terms,
                                              const std::int32_t* dots, std::size_t queries,
                                              std::uint32_t* wanted) {
  const auto half = [&](std::size_t j, std::size_t h) RAG_TARGET_AVX512 __attribute__((always_inline)) {
    const TurnedBlock& rows = blocks[h];
    const __m512i dot = _mm512_loadu_si512(dots + j * turned_rows + h * block_rows);
    const __m512 product = _mm512_mul_ps(_mm512_maskz_cvtepi32_ps(0xFFFF, dot), _mm512_set1_ps(terms.scale[j]));
    __m512 upper =
        _mm512_fmadd_ps(_mm512_load_ps(rows.length), _mm512_set1_ps(terms.sway[j]), _mm512_load_ps(rows.added));
    upper = _mm512_fmadd_ps(_mm512_load_ps(rows.rest), _mm512_set1_ps(terms.reach[j]), upper);
    upper = _mm512_fmadd_ps(_mm512_load_ps(rows.scale), product, upper);
    const __m512 cut = _mm512_mul_ps(_mm512_load_ps(rows.weight), _mm512_set1_ps(terms.cut[j]));
    return static_cast<std::uint32_t>(_mm512_cmp_ps_mask(upper, cut, _CMP_GE_OQ));
  };
  for (std::size_t j = 0; j < queries; ++j) wanted[j] = half(j, 0) | half(j, 1) << block_rows;
}

}  // namespace detail
RAG_END
#endif
#endif
