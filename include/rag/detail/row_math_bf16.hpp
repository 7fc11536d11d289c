// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_ROW_MATH_BF16_HPP
#define RAG_DETAIL_ROW_MATH_BF16_HPP
#include <rag/detail/bf16.hpp>
#include <rag/detail/cpu.hpp>
#include <rag/detail/gemm_bf16.hpp>

#include <cstddef>
#include <cstdint>

// What a transformer does to rows between products of bf16. Sums, exponents and roots are taken in fp32; a result that
// is rounded to bf16 (to 2^-9 of itself) is not computed to more than 1e-4. Sizes are whole multiples of 32.

#if RAG_X86
RAG_BEGIN
namespace detail {

// With a mask of all lanes: g++ 12 warns of its own header's plain forms.
RAG_BF16 inline __m512 larger(__m512 x, __m512 y) { return _mm512_maskz_max_ps(0xFFFF, x, y); }
RAG_BF16 inline __m512 smaller(__m512 x, __m512 y) { return _mm512_maskz_min_ps(0xFFFF, x, y); }

template <class Join>
RAG_BF16 inline float joined(__m512 x, const Join& join) {
  float lane[16];
  _mm512_storeu_ps(lane, x);
  for (std::size_t width = 8; width > 0; width /= 2)
    for (std::size_t i = 0; i < width; ++i) lane[i] = join(lane[i], lane[i + width]);
  return lane[0];
}
RAG_BF16 inline float sum_of(__m512 x) { return joined(x, [](float a, float b) { return a + b; }); }
RAG_BF16 inline float largest_of(__m512 x) { return joined(x, [](float a, float b) { return a < b ? b : a; }); }

/// e^x for x <= 0, to 5e-5 of itself: 2^f by the first terms of its series, f within a half of 0.
RAG_BF16 inline __m512 exp_bf16(__m512 x) {
  const __m512 power = _mm512_mul_ps(x, _mm512_set1_ps(1.44269504f));
  const __m512 whole = _mm512_maskz_roundscale_ps(0xFFFF, power, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 rest = _mm512_sub_ps(power, whole);
  __m512 sum = _mm512_set1_ps(0.00961812911f);
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(0.0555041087f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(0.240226507f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(0.693147181f));
  sum = _mm512_fmadd_ps(sum, rest, _mm512_set1_ps(1.0f));
  return _mm512_maskz_scalef_ps(0xFFFF, sum, whole);
}

/// max(x, 0) - u Q(u), u = min(|x|, 3.8): Q is fitted so that the result is within 1.5e-4 of GELU with erf.
struct GeluBf16 {
  RAG_BF16 static __m512 of(__m512 x) {
    const __m512 u = smaller(_mm512_abs_ps(x), _mm512_set1_ps(3.8f));
    __m512 q = _mm512_set1_ps(-3.3706605e-05f);
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(-0.00020598092f));
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(0.0077236947f));
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(-0.052235373f));
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(0.133849f));
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(-0.040492182f));
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(-0.39001736f));
    q = _mm512_fmadd_ps(q, u, _mm512_set1_ps(0.5f));
    return _mm512_fnmadd_ps(u, q, larger(x, _mm512_setzero_ps()));
  }
};

/// x / (1 + e^(-2 y)), y = sqrt(2 / pi) (x + 0.044715 x³): GELU with tanh.
struct GeluTanhBf16 {
  RAG_BF16 static __m512 of(__m512 x) {
    const __m512 square = _mm512_mul_ps(x, x);
    const __m512 twice = _mm512_mul_ps(x, _mm512_fmadd_ps(square, _mm512_set1_ps(0.0713548163f), _mm512_set1_ps(1.59576912f)));
    // Of e^-|2y| only, which can't overflow: for y < 0 the share is e^(2y) / (1 + e^(2y)).
    const __m512 small = exp_bf16(_mm512_sub_ps(_mm512_setzero_ps(), _mm512_abs_ps(twice))), one = _mm512_set1_ps(1.0f);
    const __mmask16 negative = _mm512_cmp_ps_mask(twice, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_div_ps(_mm512_mul_ps(x, _mm512_mask_blend_ps(negative, one, small)), _mm512_add_ps(one, small));
  }
};

struct ReluBf16 {
  RAG_BF16 static __m512 of(__m512 x) { return larger(x, _mm512_setzero_ps()); }
};

/// A Bf16Store.
template <class Activate>
RAG_BF16 void store_active_bf16(const float* block, std::size_t count, const float*, Bf16* y, std::size_t y_stride) {
  for (std::size_t r = 0; r < count; ++r) {
    const __m512 left = Activate::of(_mm512_loadu_ps(block + r * panel_columns));
    const __m512 right = Activate::of(_mm512_loadu_ps(block + r * panel_columns + 16));
    _mm512_storeu_si512(y + r * y_stride, (__m512i)_mm512_cvtne2ps_pbh(right, left));
  }
}

RAG_BF16 inline void to_bf16_row(const float* x, std::size_t size, Bf16* y) {
  for (std::size_t i = 0; i < size; i += 32)
    _mm512_storeu_si512(y + i, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16), _mm512_loadu_ps(x + i)));
}

/// x = LayerNorm(x + y), in fp32 and, for the next product, in bf16.
RAG_BF16 inline void add_norm_bf16_row(float* x, const float* y, std::size_t size, const float* scale, const float* shift,
                                       float epsilon, Bf16* rounded) {
  __m512 total = _mm512_setzero_ps(), square = total;
  for (std::size_t i = 0; i < size; i += 16) {
    const __m512 sum = _mm512_add_ps(_mm512_loadu_ps(x + i), _mm512_loadu_ps(y + i));
    _mm512_storeu_ps(x + i, sum);
    total = _mm512_add_ps(total, sum);
  }
  const __m512 mean = _mm512_set1_ps(sum_of(total) / static_cast<float>(size));
  for (std::size_t i = 0; i < size; i += 16) {
    const __m512 centred = _mm512_sub_ps(_mm512_loadu_ps(x + i), mean);
    square = _mm512_fmadd_ps(centred, centred, square);
  }
  const float variance = sum_of(square) / static_cast<float>(size);
  const __m512 inverse = _mm512_set1_ps(1.0f / __builtin_sqrtf(variance + epsilon));
  for (std::size_t i = 0; i < size; i += 32) {
    __m512 half[2];
    for (std::size_t j = 0; j < 2; ++j) {
      const std::size_t at = i + 16 * j;
      const __m512 unit = _mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + at), mean), inverse);
      half[j] = _mm512_fmadd_ps(unit, _mm512_loadu_ps(scale + at), _mm512_loadu_ps(shift + at));
      _mm512_storeu_ps(x + at, half[j]);
    }
    _mm512_storeu_si512(rounded + i, (__m512i)_mm512_cvtne2ps_pbh(half[1], half[0]));
  }
}

/// shares[i] = e^(scale (x[i] - max x)) for i < size, 0 up to a multiple of 32, which x has room for too; gives one
/// over their sum.
RAG_BF16 inline float softmax_bf16_row(float* x, std::size_t size, float scale, Bf16* shares) {
  const __m512 lowest = _mm512_set1_ps(-3.0e38f);
  const std::size_t whole = size / 16 * 16, end = padded(size);
  const auto tail = static_cast<__mmask16>((1u << (size - whole)) - 1);
  __m512 high = lowest;
  for (std::size_t i = 0; i < whole; i += 16) high = larger(high, _mm512_loadu_ps(x + i));
  for (std::size_t i = whole; i < end; i += 16) {
    const __m512 rest = _mm512_mask_blend_ps(i == whole ? tail : __mmask16{0}, lowest, _mm512_loadu_ps(x + i));
    _mm512_storeu_ps(x + i, rest);
    high = larger(high, rest);
  }
  const __m512 top = _mm512_set1_ps(largest_of(high)), by = _mm512_set1_ps(scale);
  __m512 sum = _mm512_setzero_ps();
  for (std::size_t i = 0; i < end; i += 32) {
    const __m512 left = exp_bf16(_mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i), top), by));
    const __m512 right = exp_bf16(_mm512_mul_ps(_mm512_sub_ps(_mm512_loadu_ps(x + i + 16), top), by));
    sum = _mm512_add_ps(sum, _mm512_add_ps(left, right));
    _mm512_storeu_si512(shares + i, (__m512i)_mm512_cvtne2ps_pbh(right, left));
  }
  return 1.0f / sum_of(sum);
}

/// Packs `count` <= 32 rows of keys, `size` elements each, as the columns of one panel.
RAG_BF16 inline void pack_keys_bf16(const Bf16* keys, std::size_t stride, std::size_t count, std::size_t size, Bf16* panel) {
  for (std::size_t j = 0; j < panel_columns; ++j)
    for (std::size_t k = 0; k < size; k += 2) {
      std::uint32_t pair = 0;
      if (j < count) __builtin_memcpy(&pair, keys + j * stride + k, sizeof pair);
      __builtin_memcpy(panel + k * panel_columns + 2 * j, &pair, sizeof pair);
    }
}

/// Packs 32 columns of `count` rows of values, and rows of 0 up to a multiple of bf16_depth.
RAG_BF16 inline void pack_values_bf16(const Bf16* values, std::size_t stride, std::size_t count, Bf16* panel) {
  alignas(64) constexpr Bf16 none[panel_columns] = {};
  for (std::size_t k = 0; k < padded(count); k += 2) {
    const Bf16 *even = k < count ? values + k * stride : none, *odd = k + 1 < count ? values + (k + 1) * stride : none;
    std::uint32_t pairs[panel_columns];
    for (std::size_t j = 0; j < panel_columns; ++j) pairs[j] = even[j] | static_cast<std::uint32_t>(odd[j]) << 16;
    __builtin_memcpy(panel + k * panel_columns, pairs, sizeof pairs);
  }
}

}  // namespace detail
RAG_END
#endif
#endif
