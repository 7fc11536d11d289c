// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_GEMM_HPP
#define RAG_DETAIL_GEMM_HPP
#include <rag/detail/cpu.hpp>
#include <rag/detail/eigen.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

// y = x w + bias in fp32, w packed once. Every element of y is one chain of fused multiply-adds that begins at
// the bias and goes through the depth in order, so a row's bits depend neither on the rows beside it nor on
// whether AVX2 or AVX-512 ran. (The portable kernel keeps the order too, without the fusing.)

RAG_BEGIN
namespace detail {

struct AlignedDelete {
  void operator()(void* memory) const { ::operator delete(memory, std::align_val_t(64)); }
};
/// Numbers on a 64-byte boundary, not initialised.
template <class T>
using Aligned = std::unique_ptr<T[], AlignedDelete>;
using AlignedFloats = Aligned<float>;
template <class T>
Aligned<T> aligned(std::size_t count) {
  return Aligned<T>(static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(64))));
}
RAG_LAZY AlignedFloats aligned_floats(std::size_t count) { return aligned<float>(count); }

/// Columns of w that stand side by side in a panel: two AVX-512 registers, twice two of AVX2.
inline constexpr std::size_t panel_columns = 32;
/// How far ahead of its use a row of a panel is asked for where one call reads it once, in rows: the processor's own
/// prefetching stops at each page, and a short question is as fast as memory gives the weights (1.6 ms against 0.95 ms on
/// a Zen 5).
inline constexpr std::size_t prefetch_rows = 128;
alignas(64) inline constexpr float no_bias[panel_columns] = {};

constexpr std::size_t padded(std::size_t columns) {
  return (columns + panel_columns - 1) / panel_columns * panel_columns;
}

using Four = float __attribute__((vector_size(16)));

using FourBits = std::uint32_t __attribute__((vector_size(16)));

/// All ones where a float is NaN or infinity.
inline FourBits spoilt(Four floats) {
  constexpr std::uint32_t exponent = 0x7F800000;
  return (FourBits)(((FourBits)floats & exponent) == exponent);
}

inline Four load_four(const char* bytes) {
  Four four;
  std::memcpy(&four, bytes, sizeof four);
  return four;
}

/// Element i of row j becomes element j of row i.
inline void transpose(Four (&row)[4]) {
  const Four a = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5), b = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
  const Four c = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7), d = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
  row[0] = __builtin_shufflevector(a, b, 0, 1, 4, 5), row[1] = __builtin_shufflevector(a, b, 2, 3, 6, 7);
  row[2] = __builtin_shufflevector(c, d, 0, 1, 4, 5), row[3] = __builtin_shufflevector(c, d, 2, 3, 6, 7);
}

/// Packs up to 32 columns of w, each given as `depth` floats in a row of bytes (of any alignment), into one panel:
/// panel[k * 32 + j] is element k of column j, 0 for the columns that are not there. False: a NaN or infinity.
RAG_LAZY bool pack_panel(const char* columns, std::size_t stride, std::size_t count, std::size_t depth, float* panel) {
  const std::size_t fours = count / 4 * 4, whole = depth / 4 * 4;
  FourBits bad = {};
  for (std::size_t j = 0; j < fours; j += 4)
    for (std::size_t k = 0; k < whole; k += 4) {
      Four row[4];
      for (std::size_t i = 0; i < 4; ++i) row[i] = load_four(columns + (j + i) * stride + k * sizeof(float));
      for (const Four& four : row) bad |= spoilt(four);
      transpose(row);
      for (std::size_t i = 0; i < 4; ++i) std::memcpy(panel + (k + i) * panel_columns + j, &row[i], sizeof(Four));
    }
  bool finite = (bad[0] | bad[1] | bad[2] | bad[3]) == 0;
  for (std::size_t k = 0; k < depth; ++k, panel += panel_columns) {
    for (std::size_t j = k < whole ? fours : 0; j < count; ++j) {
      std::uint32_t bits;
      std::memcpy(&bits, columns + j * stride + k * sizeof(float), sizeof bits);
      finite &= (bits & 0x7FFFFFFF) < 0x7F800000;
      panel[j] = std::bit_cast<float>(bits);
    }
    std::fill(panel + count, panel + panel_columns, 0.0f);
  }
  return finite;
}

/// Bytes that a kernel asks for on the way, `step` a turn: what is needed after this panel, or further on in it.
struct Ahead {
  const char* bytes;
  std::size_t step;
};

/// y[r][0 .. 32) = bias + x[r] panel, for a fixed number of rows.
using PanelKernel = void (*)(const float* x, std::size_t x_stride, const float* panel, std::size_t depth,
                             const float* bias, float* y, std::size_t y_stride, Ahead ahead);

#if RAG_X86
template <std::size_t Rows>
__attribute__((target("avx512f"))) void panel_avx512(const float* x, std::size_t x_stride, const float* panel,
                                                     std::size_t depth, const float* bias, float* y,
                                                     std::size_t y_stride, Ahead ahead) {
  __m512 sum[Rows][2];
  RAG_UNROLL
  for (std::size_t r = 0; r < Rows; ++r) sum[r][0] = _mm512_loadu_ps(bias), sum[r][1] = _mm512_loadu_ps(bias + 16);
  for (std::size_t k = 0; k < depth; ++k) {
    _mm_prefetch(ahead.bytes, _MM_HINT_T0);
    _mm_prefetch(ahead.bytes + 64, _MM_HINT_T0);
    ahead.bytes += ahead.step;
    const __m512 left = _mm512_load_ps(panel + k * 32), right = _mm512_load_ps(panel + k * 32 + 16);
    RAG_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
      const __m512 value = _mm512_set1_ps(x[r * x_stride + k]);
      sum[r][0] = _mm512_fmadd_ps(value, left, sum[r][0]);
      sum[r][1] = _mm512_fmadd_ps(value, right, sum[r][1]);
    }
  }
  RAG_UNROLL
  for (std::size_t r = 0; r < Rows; ++r) {
    _mm512_storeu_ps(y + r * y_stride, sum[r][0]);
    _mm512_storeu_ps(y + r * y_stride + 16, sum[r][1]);
  }
}

template <std::size_t Rows>
__attribute__((target("avx2,fma"))) void panel_avx2(const float* x, std::size_t x_stride, const float* panel,
                                                    std::size_t depth, const float* bias, float* y,
                                                    std::size_t y_stride, Ahead ahead) {
  for (std::size_t half = 0; half < 32; half += 16) {
    const char* next = ahead.bytes + half * sizeof(float);
    __m256 sum[Rows][2];
    RAG_UNROLL
    for (std::size_t r = 0; r < Rows; ++r)
      sum[r][0] = _mm256_loadu_ps(bias + half), sum[r][1] = _mm256_loadu_ps(bias + half + 8);
    for (std::size_t k = 0; k < depth; ++k) {
      _mm_prefetch(next, _MM_HINT_T0);
      next += ahead.step;
      const __m256 left = _mm256_load_ps(panel + k * 32 + half), right = _mm256_load_ps(panel + k * 32 + half + 8);
      RAG_UNROLL
      for (std::size_t r = 0; r < Rows; ++r) {
        const __m256 value = _mm256_set1_ps(x[r * x_stride + k]);
        sum[r][0] = _mm256_fmadd_ps(value, left, sum[r][0]);
        sum[r][1] = _mm256_fmadd_ps(value, right, sum[r][1]);
      }
    }
    RAG_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) {
      _mm256_storeu_ps(y + r * y_stride + half, sum[r][0]);
      _mm256_storeu_ps(y + r * y_stride + half + 8, sum[r][1]);
    }
  }
}
#endif

template <std::size_t Rows, int Width = 8>
void panel_portable(const float* x, std::size_t x_stride, const float* panel, std::size_t depth, const float* bias,
                    float* y, std::size_t y_stride, Ahead) {
  using Lanes = Eigen::Array<float, Width, 1>;
  for (std::size_t part = 0; part < 32; part += Width) {
    Lanes sum[Rows];
    RAG_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) sum[r] = Eigen::Map<const Lanes>(bias + part);
    for (std::size_t k = 0; k < depth; ++k) {
      const Eigen::Map<const Lanes, Eigen::Aligned16> columns(panel + k * 32 + part);
      RAG_UNROLL
      for (std::size_t r = 0; r < Rows; ++r) sum[r] += x[r * x_stride + k] * columns;
    }
    RAG_UNROLL
    for (std::size_t r = 0; r < Rows; ++r) Eigen::Map<Lanes>(y + r * y_stride + part) = sum[r];
  }
}

/// The kernels of one instruction set: at[n - 1] does n rows. Every number of rows has its own, so that a short
/// question reads the weights once.
struct PanelKernels {
  const PanelKernel* at;
  std::size_t most_rows;
};

template <std::size_t... I>
struct PanelTables {
#if RAG_X86
  static constexpr PanelKernel avx512[] = {&panel_avx512<I + 1>...};
  static constexpr PanelKernel avx2[] = {&panel_avx2<I + 1>...};
#endif
  static constexpr PanelKernel portable[] = {&panel_portable<I + 1>...};
};
template <std::size_t... I>
constexpr PanelTables<I...> panel_tables(std::index_sequence<I...>) {
  return {};
}

// 14 x 2 of 32 registers hold sums with AVX-512, 6 x 2 of 16 with AVX2.
template <class Avx512 = std::make_index_sequence<14>, class Avx2 = std::make_index_sequence<6>,
          class Portable = std::make_index_sequence<4>>
PanelKernels panel_kernels(Isa isa) {
#if RAG_X86
  if (isa >= Isa::avx512) return {decltype(panel_tables(Avx512()))::avx512, Avx512::size()};
  if (isa == Isa::avx2) return {decltype(panel_tables(Avx2()))::avx2, Avx2::size()};
#endif
  static_cast<void>(isa);
  return {decltype(panel_tables(Portable()))::portable, Portable::size()};
}

/// A view of packed panels, with one bias a column, padded to whole panels.
struct PackedView {
  const float* panels;
  const float* bias;  ///< null: none
  std::size_t depth, columns;
  bool followed = false;  ///< what is needed next lies behind the last panel
};

/// y = x w + bias for `rows` rows. Rows of x and y stand x_stride and y_stride floats apart.
RAG_LAZY void gemm(Isa isa, const float* x, std::size_t x_stride, std::size_t rows, const PackedView& w, float* y,
                   std::size_t y_stride) {
  if (rows == 0) return;
  const PanelKernels kernels = panel_kernels(isa);
  const std::size_t blocks = (rows + kernels.most_rows - 1) / kernels.most_rows;
  // The panel stays in a cache; the next one is brought from memory meanwhile, a part of it with each block of rows.
  const std::size_t share = (panel_columns * sizeof(float) + blocks - 1) / blocks;
  alignas(64) float edge[14 * panel_columns];
  for (std::size_t column = 0; column < w.columns; column += panel_columns) {
    const float* panel = w.panels + column * w.depth;
    const float* bias = w.bias ? w.bias + column : no_bias;
    const std::size_t width = w.columns - column;
    const std::size_t step = width > panel_columns || w.followed ? share : 0;
    const float* after = panel + (step == 0 ? 0 : blocks == 1 ? prefetch_rows * panel_columns : w.depth * panel_columns);
    for (std::size_t block = 0, row = 0; block < blocks; ++block) {
      const std::size_t count = rows / blocks + (block < rows % blocks);
      const PanelKernel kernel = kernels.at[count - 1];
      const Ahead ahead{reinterpret_cast<const char*>(after) + block * w.depth * step, step};
      const float* from = x + row * x_stride;
      float* to = y + row * y_stride + column;
      if (width >= panel_columns) {
        kernel(from, x_stride, panel, w.depth, bias, to, y_stride, ahead);
      } else {
        kernel(from, x_stride, panel, w.depth, bias, edge, panel_columns, ahead);
        for (std::size_t r = 0; r < count; ++r)
          std::memcpy(to + r * y_stride, edge + r * panel_columns, width * sizeof(float));
      }
      row += count;
    }
  }
}

}  // namespace detail
RAG_END
#endif
