// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_WORD_SUMS_HPP
#define RAG_DETAIL_WORD_SUMS_HPP
#include <rag/detail/cpu.hpp>
#include <rag/detail/slot_table.hpp>
#include <rag/detail/tf_table.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

RAG_BEGIN
namespace detail {

/// A word stands in the text of a slot, as often, and in a text as long, as TfTable has under tf.
struct Posting {
  Slot slot;
  std::uint32_t tf;
};

/// Sums of shares, for `width` slots from `first` on.
struct WordSums {
  static constexpr std::size_t max_width = 8192;

  Slot first;
  std::uint32_t width;
  float least;
  std::uint32_t rises;                              // how many places are in risen
  std::array<float, max_width> sums;
  std::array<std::uint32_t, max_width + 16> risen;  // the places whose sums rose to least; kernels write 16 at once
};

#if RAG_X86
/// add_shares() for blocks of 16 postings that lie in the window; parts: of all numbers.
RAG_LAZY __attribute__((target("avx512f"))) const Posting* add_blocks_avx512(const Posting* at, const Posting* end,
                                                                             float weight, const float* parts,
                                                                             WordSums& to) {
  const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odds = _mm512_add_epi32(evens, _mm512_set1_epi32(1)), first = _mm512_set1_epi32(static_cast<int>(to.first));
  const __m512 weights = _mm512_set1_ps(weight), least = _mm512_set1_ps(to.least), zero = _mm512_setzero_ps();
  const auto gather = [&](__m512i at_places, const float* from) __attribute__((target("avx512f"), always_inline)) {
    return _mm512_mask_i32gather_ps(zero, 0xFFFF, at_places, from, 4);
  };
  float* const sums = to.sums.data();
  std::uint32_t* risen = to.risen.data() + to.rises;
  for (; end - at >= 16 && at[15].slot - to.first < to.width; at += 16) {
    prefetch(at + 128), prefetch(at + 136);
    const __m512i low = _mm512_loadu_si512(at), high = _mm512_loadu_si512(at + 8);
    const __m512i places = _mm512_sub_epi32(_mm512_permutex2var_epi32(low, evens, high), first);
    const __m512i tf = _mm512_permutex2var_epi32(low, odds, high);
    __m512 shares = _mm512_mul_ps(weights, gather(tf, parts));
    asm("" : "+v"(shares));  // not one operation with the sum: it rounds otherwise
    const __m512 before = gather(places, sums), after = _mm512_add_ps(before, shares);
    _mm512_i32scatter_ps(sums, places, after, 4);
    const __mmask16 high_now = _mm512_cmp_ps_mask(after, least, _CMP_GE_OQ);
    if (const __mmask16 rose = _mm512_mask_cmp_ps_mask(high_now, before, least, _CMP_LT_OQ)) {
      _mm512_storeu_si512(risen, _mm512_maskz_compress_epi32(rose, places));
      risen += __builtin_popcount(rose);
    }
  }
  to.rises = static_cast<std::uint32_t>(risen - to.risen.data());
  return at;
}
#endif

/// Adds the shares of a word of that weight to the sums of its slots, from the posting `at` on as far as the window goes,
/// and gives the first posting behind it. None is before the window. The sums have the same bits on each Isa.
RAG_LAZY const Posting* add_shares(const Posting* at, const Posting* end, float weight, const TfTable& tf, WordSums& to,
                                   Isa isa) {
  const std::span<const float> parts = tf.cached_parts();
#if RAG_X86
  if (isa >= Isa::avx512 && tf.size() == parts.size()) at = add_blocks_avx512(at, end, weight, parts.data(), to);
#else
  static_cast<void>(isa);
#endif
  float* const sums = to.sums.data();
  std::uint32_t* risen = to.risen.data() + to.rises;
  const Slot first = to.first;
  const std::uint32_t width = to.width;
  const float least = to.least;
  for (; at != end; ++at) {
    const Slot place = at->slot - first;
    if (place >= width) break;
    const float before = sums[place];
    const float sum = before + weight * (at->tf < parts.size() ? parts[at->tf] : tf.part(at->tf));
    sums[place] = sum;
    if (sum >= least) {
      *risen = place;
      risen += before < least;
    }
  }
  to.rises = static_cast<std::uint32_t>(risen - to.risen.data());
  return at;
}

}  // namespace detail
RAG_END
#endif
