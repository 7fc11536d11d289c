// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PLANE_EIGHT_HPP
#define RAG_DETAIL_PLANE_EIGHT_HPP
#include <rag/detail/plane_four.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

// Products of whole numbers from the 8-bit plane: of listed rows with one query.

RAG_BEGIN
namespace detail {

/// The 8-bit plane of a segment.
struct EightPlane {
  const std::byte* rows;
  const EightHead* heads;
  std::size_t row_bytes;
};

/// dots[i]: of row list[i].
using EightKernel = void (*)(const EightPlane& plane, const std::uint32_t* list, std::size_t count,
                             const QueryCode& query, std::int32_t* dots);

RAG_LAZY void eight_portable(const EightPlane& plane, const std::uint32_t* list, std::size_t count,
                             const QueryCode& query, std::int32_t* dots) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto* row = reinterpret_cast<const std::int8_t*>(plane.rows + list[i] * plane.row_bytes);
    std::int32_t sums[16] = {};
    for (std::size_t j = 0; j < plane.row_bytes; j += 16)
      for (std::size_t lane = 0; lane < 16; ++lane) sums[lane] += row[j + lane] * query.numbers[j + lane];
    dots[i] = 0;
    for (const std::int32_t sum : sums) dots[i] += sum;
  }
}

#if RAG_X86
/// The rows come from anywhere: those that are next are asked for early, about a page ahead.
inline void prefetch_row(const EightPlane& plane, std::size_t row) {
  const std::byte* bytes = plane.rows + row * plane.row_bytes;
  for (std::size_t i = 0; i < plane.row_bytes; i += 64) prefetch(bytes + i);
  prefetch(plane.heads + row);
}
inline std::size_t prefetch_distance(const EightPlane& plane) {
  return std::clamp<std::size_t>(6144 / plane.row_bytes, 1, 24);
}

RAG_LAZY RAG_TARGET_AVX2 void eight_avx2(const EightPlane& plane, const std::uint32_t* list,
                                         std::size_t count, const QueryCode& query, std::int32_t* dots) {
  const __m256i ones = _mm256_set1_epi16(1);
  const std::size_t ahead = prefetch_distance(plane);
  for (std::size_t i = 0; i < std::min(ahead, count); ++i) prefetch_row(plane, list[i]);
  for (std::size_t i = 0; i < count; ++i) {
    if (i + ahead < count) prefetch_row(plane, list[i + ahead]);
    const std::byte* row = plane.rows + list[i] * plane.row_bytes;
    __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    for (std::size_t j = 0; j < plane.row_bytes; j += 64)
      for (std::size_t half = 0; half < 2; ++half) {
        const auto at = j + 32 * half;
        const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(row + at));
        const __m256i b = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(query.numbers.data() + at));
        // Both within +-127, so that a pair of products fits in 16 bits.
        const __m256i pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(b, a));
        sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(pairs, ones));
      }
    const __m256i eight = _mm256_add_epi32(sums[0], sums[1]);
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xB1));
    dots[i] = _mm_cvtsi128_si32(four);
  }
}

RAG_LAZY RAG_TARGET_VNNI void eight_vnni(const EightPlane& plane, const std::uint32_t* list,
                                         std::size_t count, const QueryCode& query, std::int32_t* dots) {
  const std::size_t ahead = prefetch_distance(plane);
  for (std::size_t i = 0; i < std::min(ahead, count); ++i) prefetch_row(plane, list[i]);
  for (std::size_t i = 0; i < count; ++i) {
    if (i + ahead < count) prefetch_row(plane, list[i + ahead]);
    const std::byte* row = plane.rows + list[i] * plane.row_bytes;
    __m512i sums[2] = {_mm512_setzero_si512(), _mm512_setzero_si512()};
    std::size_t j = 0;
    const auto step = [&](__m512i & sum, std::size_t at) RAG_TARGET_VNNI __attribute__((always_inline)) {
      sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(query.shifted.data() + at),
                                _mm512_loadu_si512(row + at));
    };
    for (; j + 128 <= plane.row_bytes; j += 128) step(sums[0], j), step(sums[1], j + 64);
    if (j < plane.row_bytes) step(sums[0], j);
    const __m512i all = _mm512_add_epi32(sums[0], sums[1]);
    const __m256i eight = _mm256_add_epi32(_mm512_maskz_extracti64x4_epi64(0xF, all, 0),
                                           _mm512_maskz_extracti64x4_epi64(0xF, all, 1));
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4E));
    four = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0xB1));
    dots[i] = _mm_cvtsi128_si32(four) + plane.heads[list[i]].offset;
  }
}
#endif

inline EightKernel eight_kernel(PlaneKernel kernel) {
#if RAG_X86
  if (kernel >= PlaneKernel::vnni) return &eight_vnni<>;
  if (kernel >= PlaneKernel::avx2) return &eight_avx2<>;
#endif
  (void)kernel;
  return &eight_portable<>;
}

}  // namespace detail
RAG_END
#endif
