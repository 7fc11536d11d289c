// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_ROW_MATH_HPP
#define RAG_DETAIL_ROW_MATH_HPP
#include <rag/detail/cpu.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

// What a transformer does to a row of floats besides multiplying it. One plain text, compiled for each
// instruction set: loops over 16 lanes, a fixed number, are what g++ vectorises at -O2. Sums are kept per lane and
// joined in one order, and either every multiply-add is fused or none is: AVX2 and AVX-512 give the same bits.

RAG_BEGIN
namespace detail {

inline constexpr std::size_t lanes = 16;

#define RAG_ALWAYS_INLINE inline __attribute__((always_inline))

template <bool Fused>
RAG_ALWAYS_INLINE float multiply_add(float a, float b, float c) {
  if constexpr (Fused) return __builtin_fmaf(a, b, c);
  else return a * b + c;
}

// Least and largest are taken of the bits as integers: g++ 12 makes branches of the same on floats and then does
// not vectorise the loop.
RAG_ALWAYS_INLINE float least(float x, float y) {  // of two that are >= 0
  return std::bit_cast<float>(std::min(std::bit_cast<std::int32_t>(x), std::bit_cast<std::int32_t>(y)));
}
/// An integer in the same order as the float; its own inverse, but for the type.
RAG_ALWAYS_INLINE std::int32_t ordered_bits(std::int32_t bits) { return bits ^ ((bits >> 31) & 0x7FFFFFFF); }

/// e^-x for x >= 0, to about 1e-7 of itself up to x = 87, where it stays.
template <bool Fused>
RAG_ALWAYS_INLINE float exp_minus(float x) {
  x = -least(x, 87.0f);
  const auto power = static_cast<std::int32_t>(x * 1.44269504f - 0.5f);
  const auto whole = static_cast<float>(power);
  // ln 2 in two parts: the product of the first with a small integer is exact.
  float rest = multiply_add<Fused>(whole, -0.693359375f, x);
  rest = multiply_add<Fused>(whole, 2.12194440e-4f, rest);
  float sum = 1.0f / 5040;  // Taylor's series: |rest| <= ln 2 / 2 leaves 5e-9
  sum = multiply_add<Fused>(sum, rest, 1.0f / 720);
  sum = multiply_add<Fused>(sum, rest, 1.0f / 120);
  sum = multiply_add<Fused>(sum, rest, 1.0f / 24);
  sum = multiply_add<Fused>(sum, rest, 1.0f / 6);
  sum = multiply_add<Fused>(sum, rest, 0.5f);
  sum = multiply_add<Fused>(sum, rest, 1.0f);
  sum = multiply_add<Fused>(sum, rest, 1.0f);
  return sum * std::bit_cast<float>((power + 127) << 23);
}

/// x/2 (1 + erf(x / sqrt 2)). erf is z P(z²) / Q(z²), fitted on [-4, 4] for the least largest error: 2.2e-8, with the
/// rounding of fp32 about 3e-7. Beyond, erf(4) is 1 to 1.6e-8.
template <bool Fused>
RAG_ALWAYS_INLINE float gelu_of(float x) {
  const float size = least(std::fabs(x) * 0.707106781f, 4.0f);
  const float z = std::copysign(size, x);
  const float t = z * z;
  float p = 1.97484079e-06f, q = 3.74809798e-05f;
  p = multiply_add<Fused>(p, t, 0.000288041464f), q = multiply_add<Fused>(q, t, 0.00121635539f);
  p = multiply_add<Fused>(p, t, 0.00400362203f), q = multiply_add<Fused>(q, t, 0.0154443708f);
  p = multiply_add<Fused>(p, t, 0.0534673989f), q = multiply_add<Fused>(q, t, 0.116476168f);
  p = multiply_add<Fused>(p, t, 0.19624834f), q = multiply_add<Fused>(q, t, 0.507251722f);
  p = multiply_add<Fused>(p, t, 1.12837898f), q = multiply_add<Fused>(q, t, 1.0f);
  const float half = 0.5f * x;
  return multiply_add<Fused>(half, z * p / q, half);
}

/// x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x³))), the form that the first programs computed; to about 1e-7 of x.
template <bool Fused>
RAG_ALWAYS_INLINE float gelu_tanh_of(float x) {
  const float inner = x * multiply_add<Fused>(0.0356774081f * x, x, 0.797884561f);
  const float power = exp_minus<Fused>(2.0f * std::fabs(inner));
  const float half = 0.5f * x;
  return multiply_add<Fused>(half, std::copysign((1.0f - power) / (1.0f + power), inner), half);
}

/// The sum of the lanes, in one fixed order. (Each loop of a constant length is a few instructions.)
RAG_ALWAYS_INLINE float join_lanes(float* lane) {
  for (std::size_t i = 0; i < 8; ++i) lane[i] += lane[i + 8];
  for (std::size_t i = 0; i < 4; ++i) lane[i] += lane[i + 4];
  return (lane[0] + lane[2]) + (lane[1] + lane[3]);
}

/// The largest of the lanes.
RAG_ALWAYS_INLINE std::int32_t largest_lane(std::int32_t* lane) {
  for (std::size_t i = 0; i < 8; ++i) lane[i] = std::max(lane[i], lane[i + 8]);
  for (std::size_t i = 0; i < 4; ++i) lane[i] = std::max(lane[i], lane[i + 4]);
  for (std::size_t i = 0; i < 2; ++i) lane[i] = std::max(lane[i], lane[i + 2]);
  const std::int32_t first = lane[0], second = lane[1];
  return first > second ? first : second;
}

template <bool Fused>
RAG_ALWAYS_INLINE void gelu_row(float* x, std::size_t size) {
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes)
    for (std::size_t j = 0; j < lanes; ++j) x[i + j] = gelu_of<Fused>(x[i + j]);
  for (; i < size; ++i) x[i] = gelu_of<Fused>(x[i]);
}

template <bool Fused>
RAG_ALWAYS_INLINE void gelu_tanh_row(float* x, std::size_t size) {
  std::size_t i = 0;
  for (; i + lanes <= size; i += lanes)
    for (std::size_t j = 0; j < lanes; ++j) x[i + j] = gelu_tanh_of<Fused>(x[i + j]);
  for (; i < size; ++i) x[i] = gelu_tanh_of<Fused>(x[i]);
}

template <bool Fused>
RAG_ALWAYS_INLINE void softmax_row(float* x, std::size_t size, float scale) {
  const std::size_t whole = (size + lanes - 1) / lanes * lanes;
  // Those beyond take no part: e^-87 of the sum at most. (A whole vector is written: parts of one are read back late.)
  const auto rest = static_cast<std::int32_t>(size + lanes - whole);
  for (std::int32_t j = 0; j < static_cast<std::int32_t>(lanes); ++j) {
    const float value = x[whole - lanes + static_cast<std::size_t>(j)];
    x[whole - lanes + static_cast<std::size_t>(j)] = j < rest ? value : std::numeric_limits<float>::lowest();
  }
  std::int32_t high[lanes];
  std::fill(high, high + lanes, std::numeric_limits<std::int32_t>::min());
  for (std::size_t i = 0; i < whole; i += lanes)
    for (std::size_t j = 0; j < lanes; ++j)
      high[j] = std::max(high[j], ordered_bits(std::bit_cast<std::int32_t>(x[i + j])));
  const float top = std::bit_cast<float>(ordered_bits(largest_lane(high)));
  float sum[lanes] = {};
  for (std::size_t i = 0; i < whole; i += lanes)
    for (std::size_t j = 0; j < lanes; ++j) {
      const float value = exp_minus<Fused>((top - x[i + j]) * scale);
      x[i + j] = value;
      sum[j] += value;
    }
  const float inverse = 1.0f / join_lanes(sum);
  for (std::size_t i = 0; i < whole; i += lanes)
    for (std::size_t j = 0; j < lanes; ++j) x[i + j] *= inverse;
}

template <bool Fused>
RAG_ALWAYS_INLINE void add_norm_row(float* __restrict x, const float* __restrict y, std::size_t size,
                                    const float* __restrict scale, const float* __restrict shift, float epsilon) {
  const std::size_t whole = size / lanes * lanes;
  float sum[lanes] = {}, square[lanes] = {};
  for (std::size_t i = 0; i < whole; i += lanes)
    for (std::size_t j = 0; j < lanes; ++j) sum[j] += x[i + j] += y[i + j];
  for (std::size_t i = whole; i < size; ++i) sum[i - whole] += x[i] += y[i];
  const float mean = join_lanes(sum) / static_cast<float>(size);
  for (std::size_t i = 0; i < whole; i += lanes)
    for (std::size_t j = 0; j < lanes; ++j) {
      const float centred = x[i + j] - mean;
      square[j] = multiply_add<Fused>(centred, centred, square[j]);
    }
  for (std::size_t i = whole; i < size; ++i)
    square[i - whole] = multiply_add<Fused>(x[i] - mean, x[i] - mean, square[i - whole]);
  const float inverse = 1.0f / std::sqrt(join_lanes(square) / static_cast<float>(size) + epsilon);
  for (std::size_t i = 0; i < whole; i += lanes)
    for (std::size_t j = 0; j < lanes; ++j)
      x[i + j] = multiply_add<Fused>((x[i + j] - mean) * inverse, scale[i + j], shift[i + j]);
  for (std::size_t i = whole; i < size; ++i)
    x[i] = multiply_add<Fused>((x[i] - mean) * inverse, scale[i], shift[i]);
}

inline void gelu_portable(float* x, std::size_t size) { gelu_row<false>(x, size); }
inline void gelu_tanh_portable(float* x, std::size_t size) { gelu_tanh_row<false>(x, size); }
inline void softmax_portable(float* x, std::size_t size, float scale) { softmax_row<false>(x, size, scale); }
inline void add_norm_portable(float* x, const float* y, std::size_t size, const float* scale, const float* shift,
                              float epsilon) {
  add_norm_row<false>(x, y, size, scale, shift, epsilon);
}

#if RAG_X86
#define RAG_AVX2 __attribute__((target("avx2,fma"))) inline
#define RAG_AVX512 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))) inline
RAG_AVX2 void gelu_avx2(float* x, std::size_t size) { gelu_row<true>(x, size); }
RAG_AVX512 void gelu_avx512(float* x, std::size_t size) { gelu_row<true>(x, size); }
RAG_AVX2 void gelu_tanh_avx2(float* x, std::size_t size) { gelu_tanh_row<true>(x, size); }
RAG_AVX512 void gelu_tanh_avx512(float* x, std::size_t size) { gelu_tanh_row<true>(x, size); }
RAG_AVX2 void softmax_avx2(float* x, std::size_t size, float scale) { softmax_row<true>(x, size, scale); }
RAG_AVX512 void softmax_avx512(float* x, std::size_t size, float scale) { softmax_row<true>(x, size, scale); }
RAG_AVX2 void add_norm_avx2(float* x, const float* y, std::size_t size, const float* scale, const float* shift,
                            float epsilon) {
  add_norm_row<true>(x, y, size, scale, shift, epsilon);
}
RAG_AVX512 void add_norm_avx512(float* x, const float* y, std::size_t size, const float* scale, const float* shift,
                                float epsilon) {
  add_norm_row<true>(x, y, size, scale, shift, epsilon);
}
#undef RAG_AVX2
#undef RAG_AVX512
#endif
#undef RAG_ALWAYS_INLINE

/// The functions of one instruction set.
struct RowMath {
  /// x = GELU(x), the form with erf.
  void (*gelu)(float* x, std::size_t size);
  /// x = GELU(x), the form with tanh.
  void (*gelu_tanh)(float* x, std::size_t size);
  /// x = softmax(scale x); scale > 0, size > 0. Reads and writes x up to a whole multiple of 16 floats.
  void (*softmax)(float* x, std::size_t size, float scale);
  /// x = LayerNorm(x + y). x and y do not overlap.
  void (*add_norm)(float* x, const float* y, std::size_t size, const float* scale, const float* shift, float epsilon);
};

inline RowMath row_math(Isa isa) {
#if RAG_X86
  if (isa >= Isa::avx512) return {gelu_avx512, gelu_tanh_avx512, softmax_avx512, add_norm_avx512};
  if (isa == Isa::avx2) return {gelu_avx2, gelu_tanh_avx2, softmax_avx2, add_norm_avx2};
#endif
  static_cast<void>(isa);
  return {gelu_portable, gelu_tanh_portable, softmax_portable, add_norm_portable};
}

}  // namespace detail
RAG_END
#endif
