// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PLANE_FOUR_HPP
#define RAG_DETAIL_PLANE_FOUR_HPP
#include <rag/detail/eigen.hpp>
#include <rag/detail/plane_query.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

// Upper bounds of scores from the 4-bit plane, 16 rows at a time. A kernel multiplies the numbers of a query
// with those of a block, which lie so that no sum crosses lanes, and turns the 16 products into bounds.

RAG_BEGIN
namespace detail {

/// What kernels take planes on; more than an Isa tells apart.
enum class PlaneKernel { portable, avx2, avx512, vnni, amx };

inline PlaneKernel plane_kernel(Isa isa) {
  if (has_amx_int8(isa)) return PlaneKernel::amx;
  if (has_vnni(isa)) return PlaneKernel::vnni;
  return isa >= Isa::avx512 ? PlaneKernel::avx512
         : isa == Isa::avx2 ? PlaneKernel::avx2
                            : PlaneKernel::portable;
}

/// A run of blocks and what to find in it.
struct FourRun {
  const std::byte* blocks;  ///< of the first block
  const std::byte* heads;
  const float* lengths;  ///< cosine: of the first row
  std::size_t block_bytes, count;
  const QueryCode* query;
  float threshold;
};

/// masks[i]: which rows of block i have an upper bound of `threshold` or more, a bit a row. uppers: the bounds.
using FourKernel = void (*)(const FourRun& run, std::uint16_t* masks, float* uppers);

RAG_LAZY void four_portable(const FourRun& run, std::uint16_t* masks, float* uppers) {
  using Lanes = Eigen::Array<float, block_rows, 1>;
  const BoundTerms& terms = run.query->terms;
  for (std::size_t block = 0; block < run.count; ++block) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(run.blocks + block * run.block_bytes);
    const std::int8_t* query = run.query->numbers.data();
    Eigen::Array<std::int32_t, block_rows, 1> dots;
    dots.setConstant(-8 * run.query->sum);
    for (std::size_t i = 0; i < run.block_bytes; i += 64, query += 8)
      for (std::size_t r = 0; r < block_rows; ++r) {
        std::int32_t sum = 0;
        for (std::size_t t = 0; t < 4; ++t) {
          const int both = bytes[i + 4 * r + t];
          sum += (both & 15) * query[t] + (both >> 4) * query[4 + t];
        }
        dots[static_cast<Eigen::Index>(r)] += sum;
      }
    const auto* heads = reinterpret_cast<const float*>(run.heads + block * PlaneLayout::four_head_bytes);
    const Lanes scale = Eigen::Map<const Lanes>(heads), length = Eigen::Map<const Lanes>(heads + block_rows),
                rest = Eigen::Map<const Lanes>(heads + 2 * block_rows);
    const Lanes middle = dots.cast<float>() * terms.scale * scale;
    const Lanes cosine =
        (length > 0).select(middle.abs() / length * terms.inverse - terms.near, Lanes::Zero()).max(0.0f);
    const Lanes across = (1.0f + 0x1p-19f - cosine.square()).max(0.0f).sqrt() * terms.reach + terms.margin;
    Lanes upper = middle + (terms.sway * length + across * rest + underflow_share);
    if (terms.metric == ScanMetric::l2)
      upper = 2.0f * upper - (length.square() + rest.square()) * terms.low_share - terms.squared_low;
    if (terms.metric == ScanMetric::cosine) {
      const Lanes divisor = Eigen::Map<const Lanes>(run.lengths + block * block_rows);
      upper = (divisor > 0).select(upper / divisor, Lanes::Zero());
    }
    Eigen::Map<Lanes>(uppers + block * block_rows) = upper;
    unsigned mask = 0;
    for (std::size_t r = 0; r < block_rows; ++r)
      mask |= static_cast<unsigned>(upper[static_cast<Eigen::Index>(r)] >= run.threshold) << r;
    masks[block] = static_cast<std::uint16_t>(mask);
  }
}

#if RAG_X86

// The processor asks memory for the next lines by itself, but only within a page, and for fewer than it could have on
// the way: numbers a page ahead and heads eight blocks ahead are asked for with each that is read. 1 M rows of 384: 16.7
// instead of 24.6 ms, of which memory alone takes 15.

inline void prefetch_four(const std::byte* line) { prefetch_far(line + 4096); }

inline void prefetch_heads(const float* heads) {
  const auto* next = reinterpret_cast<const std::byte*>(heads) + 8 * PlaneLayout::four_head_bytes;
  for (std::size_t i = 0; i < PlaneLayout::four_head_bytes; i += 64) prefetch_far(next + i);
}

/// Upper bounds of eight rows; heads: of the first of them.
RAG_TARGET_AVX2 inline __m256 four_uppers_avx2(const BoundTerms& terms, __m256i dots, const float* heads,
                                               const float* lengths) {
  const __m256 zero = _mm256_setzero_ps();
  const __m256 scale = _mm256_loadu_ps(heads), length = _mm256_loadu_ps(heads + 16),
               rest = _mm256_loadu_ps(heads + 32);
  const __m256 middle =
      _mm256_mul_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(dots), _mm256_set1_ps(terms.scale)), scale);
  const __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), middle);
  __m256 cosine = _mm256_mul_ps(_mm256_div_ps(size, length), _mm256_set1_ps(terms.inverse));
  cosine = _mm256_max_ps(_mm256_sub_ps(cosine, _mm256_set1_ps(terms.near)), zero);  // 0 / 0 gives 0
  const __m256 left = _mm256_fnmadd_ps(cosine, cosine, _mm256_set1_ps(1.0f + 0x1p-19f));
  const __m256 across = _mm256_fmadd_ps(_mm256_sqrt_ps(_mm256_max_ps(left, zero)),
                                        _mm256_set1_ps(terms.reach), _mm256_set1_ps(terms.margin));
  __m256 around = _mm256_fmadd_ps(_mm256_set1_ps(terms.sway), length, _mm256_set1_ps(underflow_share));
  around = _mm256_fmadd_ps(across, rest, around);
  const __m256 upper = _mm256_add_ps(middle, around);
  if (terms.metric == ScanMetric::l2) {
    const __m256 squared = _mm256_fmadd_ps(length, length, _mm256_mul_ps(rest, rest));
    const __m256 lost =
        _mm256_fmadd_ps(squared, _mm256_set1_ps(terms.low_share), _mm256_set1_ps(terms.squared_low));
    return _mm256_sub_ps(_mm256_add_ps(upper, upper), lost);
  }
  if (terms.metric == ScanMetric::inner_product) return upper;
  const __m256 divisor = _mm256_loadu_ps(lengths);
  return _mm256_and_ps(_mm256_div_ps(upper, divisor), _mm256_cmp_ps(divisor, zero, _CMP_GT_OQ));
}

RAG_LAZY RAG_TARGET_AVX2 void four_avx2(const FourRun& run, std::uint16_t* masks, float* uppers) {
  const __m256i low = _mm256_set1_epi8(15), ones = _mm256_set1_epi16(1);
  const __m256 threshold = _mm256_set1_ps(run.threshold);
  for (std::size_t block = 0; block < run.count; ++block) {
    const std::byte* bytes = run.blocks + block * run.block_bytes;
    const std::int8_t* query = run.query->numbers.data();
    __m256i sums[2] = {_mm256_set1_epi32(-8 * run.query->sum), _mm256_set1_epi32(-8 * run.query->sum)};
    for (std::size_t i = 0; i < run.block_bytes;) {
      // 16 bits hold eight products of pairs: 8 x 2 x 15 x 127 < 2^15.
      const std::size_t end = std::min(run.block_bytes, i + 4 * 64);
      __m256i part[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
      for (; i < end; i += 64, query += 8) {
        std::int32_t words[2];
        std::memcpy(words, query, 8);
        prefetch_four(bytes + i);
        const __m256i first = _mm256_set1_epi32(words[0]), second = _mm256_set1_epi32(words[1]);
        for (std::size_t half = 0; half < 2; ++half) {
          const __m256i both = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + i + 32 * half));
          const __m256i even = _mm256_maddubs_epi16(_mm256_and_si256(both, low), first);
          const __m256i odd = _mm256_maddubs_epi16(_mm256_and_si256(_mm256_srli_epi16(both, 4), low), second);
          part[half] = _mm256_add_epi16(part[half], _mm256_add_epi16(even, odd));
        }
      }
      for (std::size_t half = 0; half < 2; ++half)
        sums[half] = _mm256_add_epi32(sums[half], _mm256_madd_epi16(part[half], ones));
    }
    unsigned mask = 0;
    const auto* both_heads = reinterpret_cast<const float*>(run.heads + block * PlaneLayout::four_head_bytes);
    prefetch_heads(both_heads);
    for (std::size_t half = 0; half < 2; ++half) {
      const float* heads = both_heads + 8 * half;
      const float* lengths = run.lengths == nullptr ? nullptr : run.lengths + block * block_rows + 8 * half;
      const __m256 upper = four_uppers_avx2(run.query->terms, sums[half], heads, lengths);
      _mm256_storeu_ps(uppers + block * block_rows + 8 * half, upper);
      const int passed = _mm256_movemask_ps(_mm256_cmp_ps(upper, threshold, _CMP_GE_OQ));
      mask |= static_cast<unsigned>(passed) << (8 * half);
    }
    masks[block] = static_cast<std::uint16_t>(mask);
  }
}

RAG_TARGET_AVX512 inline __m512 four_uppers_avx512(const BoundTerms& terms, __m512i dots, const float* heads,
                                                   const float* lengths) {
  constexpr __mmask16 every = 0xFFFF;  // g++ 12 warns of the forms without a mask
  const __m512 zero = _mm512_setzero_ps();
  const __m512 scale = _mm512_loadu_ps(heads), length = _mm512_loadu_ps(heads + 16),
               rest = _mm512_loadu_ps(heads + 32);
  const __m512 middle =
      _mm512_mul_ps(_mm512_mul_ps(_mm512_maskz_cvtepi32_ps(every, dots), _mm512_set1_ps(terms.scale)), scale);
  __m512 cosine = _mm512_mul_ps(_mm512_div_ps(_mm512_abs_ps(middle), length), _mm512_set1_ps(terms.inverse));
  cosine =
      _mm512_maskz_max_ps(every, _mm512_sub_ps(cosine, _mm512_set1_ps(terms.near)), zero);  // 0 / 0 gives 0
  const __m512 left = _mm512_fnmadd_ps(cosine, cosine, _mm512_set1_ps(1.0f + 0x1p-19f));
  const __m512 across = _mm512_fmadd_ps(_mm512_maskz_sqrt_ps(every, _mm512_maskz_max_ps(every, left, zero)),
                                        _mm512_set1_ps(terms.reach), _mm512_set1_ps(terms.margin));
  __m512 around = _mm512_fmadd_ps(_mm512_set1_ps(terms.sway), length, _mm512_set1_ps(underflow_share));
  around = _mm512_fmadd_ps(across, rest, around);
  const __m512 upper = _mm512_add_ps(middle, around);
  if (terms.metric == ScanMetric::l2) {
    const __m512 squared = _mm512_fmadd_ps(length, length, _mm512_mul_ps(rest, rest));
    const __m512 lost =
        _mm512_fmadd_ps(squared, _mm512_set1_ps(terms.low_share), _mm512_set1_ps(terms.squared_low));
    return _mm512_sub_ps(_mm512_add_ps(upper, upper), lost);
  }
  if (terms.metric == ScanMetric::inner_product) return upper;
  const __m512 divisor = _mm512_loadu_ps(lengths);
  return _mm512_maskz_div_ps(_mm512_cmp_ps_mask(divisor, zero, _CMP_GT_OQ), upper, divisor);
}

RAG_TARGET_AVX512 inline std::uint16_t finish_four_avx512(const FourRun& run, std::size_t block, __m512i dots,
                                                          float* uppers) {
  const auto* heads = reinterpret_cast<const float*>(run.heads + block * PlaneLayout::four_head_bytes);
  prefetch_heads(heads);
  const float* lengths = run.lengths == nullptr ? nullptr : run.lengths + block * block_rows;
  const __m512 upper = four_uppers_avx512(run.query->terms, dots, heads, lengths);
  _mm512_storeu_ps(uppers + block * block_rows, upper);
  return _mm512_cmp_ps_mask(upper, _mm512_set1_ps(run.threshold), _CMP_GE_OQ);
}

RAG_LAZY RAG_TARGET_AVX512 void four_avx512(const FourRun& run, std::uint16_t* masks, float* uppers) {
  const __m512i low = _mm512_set1_epi8(15), ones = _mm512_set1_epi16(1);
  for (std::size_t block = 0; block < run.count; ++block) {
    const std::byte* bytes = run.blocks + block * run.block_bytes;
    const std::int8_t* query = run.query->numbers.data();
    __m512i sums = _mm512_set1_epi32(-8 * run.query->sum);
    for (std::size_t i = 0; i < run.block_bytes;) {
      const std::size_t end = std::min(run.block_bytes, i + 4 * 64);  // as in four_avx2
      __m512i part = _mm512_setzero_si512();
      for (; i < end; i += 64, query += 8) {
        std::int32_t words[2];
        std::memcpy(words, query, 8);
        prefetch_four(bytes + i);
        const __m512i both = _mm512_loadu_si512(bytes + i);
        const __m512i even = _mm512_maddubs_epi16(_mm512_and_si512(both, low), _mm512_set1_epi32(words[0]));
        const __m512i odd = _mm512_maddubs_epi16(_mm512_and_si512(_mm512_srli_epi16(both, 4), low),
                                                 _mm512_set1_epi32(words[1]));
        part = _mm512_add_epi16(part, _mm512_add_epi16(even, odd));
      }
      sums = _mm512_add_epi32(sums, _mm512_madd_epi16(part, ones));
    }
    masks[block] = finish_four_avx512(run, block, sums, uppers);
  }
}

RAG_LAZY RAG_TARGET_VNNI void four_vnni(const FourRun& run, std::uint16_t* masks, float* uppers) {
  const __m512i low = _mm512_set1_epi8(15);
  for (std::size_t block = 0; block < run.count; ++block) {
    const std::byte* bytes = run.blocks + block * run.block_bytes;
    const std::int8_t* query = run.query->numbers.data();
    __m512i sums[4] = {_mm512_set1_epi32(-8 * run.query->sum), _mm512_setzero_si512(), _mm512_setzero_si512(),
                       _mm512_setzero_si512()};
    const auto step = [&](__m512i & even, __m512i & odd, std::size_t i) RAG_TARGET_VNNI
        __attribute__((always_inline)) {
      std::int32_t words[2];
      std::memcpy(words, query + i / 8, 8);
      prefetch_four(bytes + i);
      const __m512i both = _mm512_loadu_si512(bytes + i);
      even = _mm512_dpbusd_epi32(even, _mm512_and_si512(both, low), _mm512_set1_epi32(words[0]));
      odd = _mm512_dpbusd_epi32(odd, _mm512_and_si512(_mm512_srli_epi16(both, 4), low),
                                _mm512_set1_epi32(words[1]));
    };
    std::size_t i = 0;
    for (; i + 128 <= run.block_bytes; i += 128) step(sums[0], sums[1], i), step(sums[2], sums[3], i + 64);
    if (i < run.block_bytes) step(sums[0], sums[1], i);
    const __m512i all =
        _mm512_add_epi32(_mm512_add_epi32(sums[0], sums[1]), _mm512_add_epi32(sums[2], sums[3]));
    masks[block] = finish_four_avx512(run, block, all, uppers);
  }
}
#endif

inline FourKernel four_kernel(PlaneKernel kernel) {
#if RAG_X86
  if (kernel >= PlaneKernel::vnni) return &four_vnni<>;
  if (kernel == PlaneKernel::avx512) return &four_avx512<>;
  if (kernel == PlaneKernel::avx2) return &four_avx2<>;
#endif
  (void)kernel;
  return &four_portable<>;
}

}  // namespace detail
RAG_END
#endif
