// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_GEMM_BF16_HPP
#define RAG_DETAIL_GEMM_BF16_HPP
#include <rag/detail/bf16.hpp>
#include <rag/detail/gemm.hpp>
#include <rag/detail/tiles.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

// y = x w + bias with x and w in bf16 and sums in fp32, on AVX512-BF16 or on the tiles of AMX (Intel's instruction set
// reference: VDPBF16PS, TDPBF16PS). A row's bits depend neither on the rows beside it nor on their number; the two
// instruction sets round their sums in different orders.

RAG_BEGIN
namespace detail {

/// Both multiply pairs of neighbours in the depth; a tile holds 32 of them.
inline constexpr std::size_t bf16_depth = 32;
/// Rows of a block of AMX. Buffers of x and of fp32 y hold whole blocks: rows beyond the last are read and written.
inline constexpr std::size_t bf16_rows = 32;

/// A view of packed panels: element k of column j of panel p is panels[(p * depth + k / 2 * 2) * 32 + 2 * j + k % 2].
struct PackedBf16View {
  const Bf16* panels;
  const float* bias;           ///< null: none
  std::size_t depth, columns;  ///< whole multiples of bf16_depth and of panel_columns
};

/// Rounds eight floats; gives four pairs of neighbours, the first of each in its lower half.
inline Four bf16_pairs(Four first, Four second) {
  const auto rounded = [](Four floats) {
    const auto bits = (FourBits)floats;
    return (Four)(bits + 0x7FFF + (bits >> 16 & 1));
  };
  const Four a = rounded(first), b = rounded(second);
  const auto even = (FourBits)__builtin_shufflevector(a, b, 0, 2, 4, 6), odd = (FourBits)__builtin_shufflevector(a, b, 1, 3, 5, 7);
  return (Four)(even >> 16 | (odd & 0xFFFF0000));
}

/// Packs up to 32 columns of w, each `depth` floats (a multiple of bf16_depth) in a row of bytes of any alignment, into one
/// panel; as pack_panel().
RAG_LAZY bool pack_panel_bf16(const char* columns, std::size_t stride, std::size_t count, std::size_t depth, Bf16* panel) {
  FourBits bad = {};
  for (std::size_t j = 0; j < panel_columns; j += 4)
    for (std::size_t k = 0; k < depth; k += 8) {
      Four row[4] = {};
      for (std::size_t i = 0; i < 4 && j + i < count; ++i) {
        const char* from = columns + (j + i) * stride + k * sizeof(float);
        const Four first = load_four(from), second = load_four(from + sizeof(Four));
        bad |= spoilt(first) | spoilt(second);
        row[i] = bf16_pairs(first, second);
      }
      transpose(row);
      for (std::size_t i = 0; i < 4; ++i) std::memcpy(panel + (k + 2 * i) * panel_columns + 2 * j, &row[i], sizeof(Four));
    }
  return (bad[0] | bad[1] | bad[2] | bad[3]) == 0;
}

/// y[r][0 .. 32) = bias + x[r] panel, for a fixed number of rows; strides in elements.
using Bf16Kernel = void (*)(const Bf16* x, std::size_t x_stride, const Bf16* panel, std::size_t depth, const float* bias,
                            float* y, std::size_t y_stride);

/// What becomes of a block of sums on its way to y: `count` rows of 32 floats, 32 apart; scale: one a row, or null.
using Bf16Store = void (*)(const float* block, std::size_t count, const float* scale, Bf16* y, std::size_t y_stride);

#if RAG_X86
#define RAG_BF16 __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")))
#define RAG_AMX __attribute__((target("amx-tile,amx-bf16")))

template <std::size_t Rows>
RAG_BF16 void panel_avx512_bf16(const Bf16* x, std::size_t x_stride, const Bf16* panel, std::size_t depth,
                                const float* bias, float* y, std::size_t y_stride) {
  __m512 sum[Rows][2];
  RAG_UNROLL
  for (std::size_t r = 0; r < Rows; ++r) sum[r][0] = _mm512_loadu_ps(bias), sum[r][1] = _mm512_loadu_ps(bias + 16);
  for (std::size_t k = 0; k < depth; k += 2) {
    const Bf16* pairs = panel + k * panel_columns;
    _mm_prefetch(reinterpret_cast<const char*>(pairs + prefetch_rows * 64), _MM_HINT_T0);
    _mm_prefetch(reinterpret_cast<const char*>(pairs + prefetch_rows * 64 + 32), _MM_HINT_T0);
    const auto left = (__m512bh)_mm512_load_si512(pairs), right = (__m512bh)_mm512_load_si512(pairs + 32);
    RAG_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
      int pair;
      __builtin_memcpy(&pair, x + r * x_stride + k, sizeof pair);
      const auto value = (__m512bh)_mm512_set1_epi32(pair);
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], left, value);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], right, value);
    }
  }
  RAG_UNROLL
  for (std::size_t r = 0; r < Rows; ++r) {
    _mm512_storeu_ps(y + r * y_stride, sum[r][0]);
    _mm512_storeu_ps(y + r * y_stride + 16, sum[r][1]);
  }
}

/// Tiles 0 to 3 hold the sums of two by two blocks of 16 x 16, 4 and 5 rows of x, 6 and 7 columns of w. The tiles must
/// be configured: TileUse.
template <std::size_t Rows>
RAG_AMX void panel_amx(const Bf16* x, std::size_t x_stride, const Bf16* panel, std::size_t depth, const float* bias,
                       float* y, std::size_t y_stride) {
  static_assert(Rows == 16 || Rows == 32);
  __asm__ volatile("" ::: "memory");  // x, panel and bias are written before the tiles are loaded
  _tile_loadd(0, bias, 0);            // one row, sixteen times
  _tile_loadd(1, bias + 16, 0);
  if constexpr (Rows == 32) {
    _tile_loadd(2, bias, 0);
    _tile_loadd(3, bias + 16, 0);
  }
  for (std::size_t k = 0; k < depth; k += bf16_depth) {
    const Bf16* pairs = panel + k * panel_columns;
    if constexpr (Rows == 16)
      for (std::size_t line = 0; line < bf16_depth; ++line)
        _mm_prefetch(reinterpret_cast<const char*>(pairs + prefetch_rows * 64 + line * 32), _MM_HINT_T0);
    _tile_loadd(6, pairs, 128);
    _tile_loadd(7, pairs + 32, 128);
    _tile_loadd(4, x + k, 2 * x_stride);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    if constexpr (Rows == 32) {
      _tile_loadd(5, x + 16 * x_stride + k, 2 * x_stride);
      _tile_dpbf16ps(2, 5, 6);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, y, 4 * y_stride);
  _tile_stored(1, y + 16, 4 * y_stride);
  if constexpr (Rows == 32) {
    _tile_stored(2, y + 16 * y_stride, 4 * y_stride);
    _tile_stored(3, y + 16 * y_stride + 16, 4 * y_stride);
  }
  __asm__ volatile("" ::: "memory");
}

RAG_BF16 inline void store_bf16(const float* block, std::size_t count, const float* scale, Bf16* y, std::size_t y_stride) {
  for (std::size_t r = 0; r < count; ++r) {
    const __m512 by = _mm512_set1_ps(scale ? scale[r] : 1.0f);
    const __m512 left = _mm512_mul_ps(by, _mm512_loadu_ps(block + r * panel_columns));
    const __m512 right = _mm512_mul_ps(by, _mm512_loadu_ps(block + r * panel_columns + 16));
    _mm512_storeu_si512(y + r * y_stride, (__m512i)_mm512_cvtne2ps_pbh(right, left));
  }
}

template <std::size_t... I>
struct Bf16Table {
  static constexpr Bf16Kernel kernels[] = {&panel_avx512_bf16<I + 1>...};
};
template <std::size_t... I>
constexpr Bf16Table<I...> bf16_table(std::index_sequence<I...>) {
  return {};
}
#endif

#if RAG_X86
/// Calls block(kernel, row, count) for the rows in blocks that the instruction set does at once, of about one size.
template <class Block, class Table = std::make_index_sequence<14>>
void for_bf16_blocks(Isa isa, std::size_t rows, const Block& block) {
  if (isa == Isa::amx) {
    for (std::size_t row = 0; row < rows; row += 32) {
      const std::size_t count = std::min<std::size_t>(32, rows - row);
      block(count > 16 ? &panel_amx<32> : &panel_amx<16>, row, count);
    }
    return;
  }
  const std::size_t blocks = (rows + 13) / 14;
  for (std::size_t i = 0, row = 0; i < blocks; ++i) {
    const std::size_t count = rows / blocks + (i < rows % blocks);
    block(decltype(bf16_table(Table()))::kernels[count - 1], row, count);
    row += count;
  }
}

/// y = x w + bias in fp32. Needs isa >= avx512_bf16 and a TileUse.
RAG_LAZY void gemm_bf16(Isa isa, const Bf16* x, std::size_t x_stride, std::size_t rows, const PackedBf16View& w, float* y,
                        std::size_t y_stride) {
  for (std::size_t column = 0; column < w.columns; column += panel_columns)
    for_bf16_blocks(isa, rows, [&](Bf16Kernel kernel, std::size_t row, std::size_t) {
      kernel(x + row * x_stride, x_stride, w.panels + column * w.depth, w.depth, w.bias ? w.bias + column : no_bias,
             y + row * y_stride + column, y_stride);
    });
}

/// y = store(x w + bias), block by block while it is near; scale: of each row, or null.
RAG_LAZY void gemm_bf16(Isa isa, const Bf16* x, std::size_t x_stride, std::size_t rows, const PackedBf16View& w,
                        Bf16Store store, const float* scale, Bf16* y, std::size_t y_stride) {
  alignas(64) float sums[bf16_rows * panel_columns];
  for (std::size_t column = 0; column < w.columns; column += panel_columns)
    for_bf16_blocks(isa, rows, [&](Bf16Kernel kernel, std::size_t row, std::size_t count) {
      kernel(x + row * x_stride, x_stride, w.panels + column * w.depth, w.depth, w.bias ? w.bias + column : no_bias, sums,
             panel_columns);
      store(sums, count, scale ? scale + row : nullptr, y + row * y_stride + column, y_stride);
    });
}
#endif

}  // namespace detail
RAG_END
#endif
