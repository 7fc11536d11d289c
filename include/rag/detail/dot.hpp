// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_DOT_HPP
#define RAG_DETAIL_DOT_HPP
#include <rag/detail/cpu.hpp>
#include <rag/detail/eigen.hpp>
#include <rag/version.hpp>

#include <algorithm>
#include <cstddef>

// Inner products and squared distances of fp32 rows with one query, the same bits on every instruction set.
//
// One order of summation: element i goes to lane i % 16 of accumulator (i / 16) % 4; at the end the accumulators
// are added as (0 + 1) + (2 + 3) and the 16 lanes fold in halves: 8, 4, 2, 1. A product is rounded before it is
// added: a compiler that may fuse both into one instruction (g++ does so by default, across intrinsics too, as soon
// as the target has it) would change bits, so each product passes through an empty asm statement. The loads are
// the bottleneck, not the extra addition. A lane beyond the end adds +0, which changes no sum that began at +0.

RAG_BEGIN
namespace detail {

enum class RowOperation { dot, squared_distance };

inline constexpr std::size_t dot_lanes = 16;

/// out[i] = operation(row i, query), on Eigen.
template <RowOperation operation, std::size_t lanes = dot_lanes>
void scan_rows_portable(const float* rows, std::size_t count, std::size_t dimension, const float* query, float* out) {
  using Lanes = Eigen::Array<float, lanes, 1>;
  for (std::size_t r = 0; r < count; ++r) {
    const float* row = rows + r * dimension;
    Lanes sums[4] = {Lanes::Zero(), Lanes::Zero(), Lanes::Zero(), Lanes::Zero()};
    const auto step = [&](Lanes& sum, const auto& a, const auto& b) {
      Lanes product;
      if constexpr (operation == RowOperation::dot) product = a * b;
      else product = (a - b).square();
#if defined(__GNUC__)
      asm volatile("" : : "r"(product.data()) : "memory");
#endif
      sum += product;
    };
    std::size_t i = 0, turn = 0;
    for (; i + lanes <= dimension; i += lanes, ++turn)
      step(sums[turn % 4], Eigen::Map<const Lanes>(row + i), Eigen::Map<const Lanes>(query + i));
    if (i < dimension) {
      Lanes a = Lanes::Zero(), b = Lanes::Zero();
      std::copy_n(row + i, dimension - i, a.data());
      std::copy_n(query + i, dimension - i, b.data());
      step(sums[turn % 4], a, b);
    }
    Lanes sum = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    for (std::size_t half = lanes / 2; half > 0; half /= 2)
      for (std::size_t lane = 0; lane < half; ++lane) sum.data()[lane] += sum.data()[lane + half];
    out[r] = sum.data()[0];
  }
}

#if RAG_X86

__attribute__((target("avx2"))) inline float fold(__m256 eight) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

template <RowOperation operation>
__attribute__((target("avx2"))) void scan_rows_avx2(const float* rows, std::size_t count, std::size_t dimension,
                                                    const float* query, float* out) {
  const __m256i places = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  for (std::size_t r = 0; r < count; ++r) {
    const float* row = rows + r * dimension;
    __m256 sums[8];
    for (__m256& sum : sums) sum = _mm256_setzero_ps();
    const auto step = [&](__m256& sum, __m256 a, __m256 b) __attribute__((target("avx2"), always_inline)) {
      if constexpr (operation == RowOperation::squared_distance) a = b = _mm256_sub_ps(a, b);
      __m256 product = _mm256_mul_ps(a, b);
      asm("" : "+x"(product));
      sum = _mm256_add_ps(sum, product);
    };
    std::size_t i = 0;
    for (; i + 64 <= dimension; i += 64)
      for (std::size_t part = 0; part < 8; ++part)
        step(sums[part], _mm256_loadu_ps(row + i + 8 * part), _mm256_loadu_ps(query + i + 8 * part));
    for (std::size_t part = 0; i < dimension; ++part, i += 8) {
      const auto left = static_cast<int>(std::min<std::size_t>(8, dimension - i));
      const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(left), places);
      step(sums[part], _mm256_maskload_ps(row + i, mask), _mm256_maskload_ps(query + i, mask));
    }
    const __m256 low = _mm256_add_ps(_mm256_add_ps(sums[0], sums[2]), _mm256_add_ps(sums[4], sums[6]));
    const __m256 high = _mm256_add_ps(_mm256_add_ps(sums[1], sums[3]), _mm256_add_ps(sums[5], sums[7]));
    out[r] = fold(_mm256_add_ps(low, high));
  }
}

template <RowOperation operation>
__attribute__((target("avx512f"))) void scan_rows_avx512(const float* rows, std::size_t count, std::size_t dimension,
                                                         const float* query, float* out) {
  for (std::size_t r = 0; r < count; ++r) {
    const float* row = rows + r * dimension;
    __m512 sums[4];
    for (__m512& sum : sums) sum = _mm512_setzero_ps();
    const auto step = [&](__m512& sum, __m512 a, __m512 b) __attribute__((target("avx512f"), always_inline)) {
      if constexpr (operation == RowOperation::squared_distance) a = b = _mm512_sub_ps(a, b);
      __m512 product = _mm512_mul_ps(a, b);
      asm("" : "+v"(product));
      sum = _mm512_add_ps(sum, product);
    };
    std::size_t i = 0;
    for (; i + 64 <= dimension; i += 64)
      for (std::size_t part = 0; part < 4; ++part)
        step(sums[part], _mm512_loadu_ps(row + i + 16 * part), _mm512_loadu_ps(query + i + 16 * part));
    for (std::size_t part = 0; i < dimension; ++part, i += 16) {
      const std::size_t left = std::min<std::size_t>(16, dimension - i);
      const auto mask = static_cast<__mmask16>((1u << left) - 1);
      step(sums[part], _mm512_maskz_loadu_ps(mask, row + i), _mm512_maskz_loadu_ps(mask, query + i));
    }
    const __m512 sum = _mm512_add_ps(_mm512_add_ps(sums[0], sums[1]), _mm512_add_ps(sums[2], sums[3]));
    alignas(64) float stored[dot_lanes];
    _mm512_store_ps(stored, sum);
    out[r] = fold(_mm256_add_ps(_mm256_load_ps(stored), _mm256_load_ps(stored + 8)));
  }
}

#endif

/// out[i] = operation(row i, query) for `count` rows of `dimension` floats without gaps. Time: one pass.
template <RowOperation operation>
void scan_rows(const float* rows, std::size_t count, std::size_t dimension, const float* query, float* out,
               Isa isa = best_isa()) {
#if RAG_X86
  if (isa >= Isa::avx512) return scan_rows_avx512<operation>(rows, count, dimension, query, out);
  if (isa == Isa::avx2) return scan_rows_avx2<operation>(rows, count, dimension, query, out);
#endif
  (void)isa;
  scan_rows_portable<operation>(rows, count, dimension, query, out);
}

}  // namespace detail
RAG_END
#endif
