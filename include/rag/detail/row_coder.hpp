// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_ROW_CODER_HPP
#define RAG_DETAIL_ROW_CODER_HPP
#include <rag/detail/cpu.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

// Rounds a row to whole numbers and finds what they leave of it.

#if RAG_X86
#define RAG_TARGET_AVX2 __attribute__((target("avx2,fma")))
#define RAG_TARGET_AVX512 __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")))
#define RAG_TARGET_VNNI __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define RAG_TARGET_AMX __attribute__((target("amx-tile,amx-int8")))
#endif

RAG_BEGIN
namespace detail {

/// Of a row and its whole numbers.
struct CodeSums {
  double product = 0;        ///< row x numbers
  double squares = 0;        ///< of the numbers
  std::int32_t numbers = 0;  ///< of the numbers themselves
};

// Loops over rows that are filled up with 0 to a multiple of 64. Written in vectors of eight, so that one
// text serves each instruction set; sums of squares and products are in double.
struct RowLoops {
  using Floats = float __attribute__((vector_size(32)));
  using Ints = std::int32_t __attribute__((vector_size(32)));
  using Bytes = std::int8_t __attribute__((vector_size(8)));
  using Half = float __attribute__((vector_size(16)));
  using Doubles = double __attribute__((vector_size(32)));

  __attribute__((always_inline)) static inline void measure(const float* row, std::size_t size,
                                                            double& squares, float& largest) {
    Doubles sums[2] = {};
    Ints most = {};  // floats of one sign are in the order of their bits
    for (std::size_t i = 0; i < size; i += 8) {
      Half halves[2];
      Ints bits;
      std::memcpy(halves, row + i, 32), std::memcpy(&bits, row + i, 32);
      for (std::size_t h = 0; h < 2; ++h) {
        const Doubles value = __builtin_convertvector(halves[h], Doubles);
        sums[h] += value * value;
      }
      bits &= 0x7FFFFFFF;
      const Ints more = bits > most;
      most = (bits & more) | (most & ~more);
    }
    const Doubles all = sums[0] + sums[1];
    squares = (all[0] + all[1]) + (all[2] + all[3]);
    std::int32_t top = 0;
    for (std::size_t lane = 0; lane < 8; ++lane) top = most[lane] > top ? most[lane] : top;
    std::memcpy(&largest, &top, 4);
  }

  /// whole = values x factor, rounded and held within [least, most].
  __attribute__((always_inline)) static inline void round(const float* values, float factor, int least,
                                                          int most, Floats& floats, Ints& whole) {
    std::memcpy(&floats, values, 32);
    const Floats magic = floats * factor + 0x1.8p23f;  // its lowest bits are the rounded number
    std::memcpy(&whole, &magic, 32);
    whole -= 0x4B400000;
    const Ints above = whole > most;
    whole = (above & most) | (~above & whole);
    const Ints below = whole < least;
    whole = (below & least) | (~below & whole);
  }

  /// What numbers = row x factor would hold of the row: the square of the product of both / the squared
  /// numbers, about.
  __attribute__((always_inline)) static inline double kept(const float* row, std::size_t size, float factor,
                                                           int least, int most) {
    Floats products = {}, squares = {};
    for (std::size_t i = 0; i < size; i += 8) {
      Floats floats;
      Ints whole;
      round(row + i, factor, least, most, floats, whole);
      const Floats numbers = __builtin_convertvector(whole, Floats);
      products += numbers * floats, squares += numbers * numbers;
    }
    double product = 0, square = 0;
    for (std::size_t lane = 0; lane < 8; ++lane)
      product += static_cast<double>(products[lane]), square += static_cast<double>(squares[lane]);
    return product * product / square;
  }

  __attribute__((always_inline)) static inline void code(const float* row, std::size_t size, float factor,
                                                         int least, int most, std::int8_t* numbers) {
    for (std::size_t i = 0; i < size; i += 8) {
      Floats floats;
      Ints whole;
      round(row + i, factor, least, most, floats, whole);
      const Bytes bytes = __builtin_convertvector(whole, Bytes);
      std::memcpy(numbers + i, &bytes, 8);
    }
  }

  __attribute__((always_inline)) static inline void sum(const float* row, std::size_t size,
                                                        const std::int8_t* numbers, CodeSums& sums) {
    Doubles products[2] = {};
    Ints squares = {}, all = {};  // at most 65,536 / 8 x 127^2 in a lane
    for (std::size_t i = 0; i < size; i += 8) {
      Half halves[2];
      std::memcpy(halves, row + i, 32);
      Bytes bytes;
      std::memcpy(&bytes, numbers + i, 8);
      const Ints whole = __builtin_convertvector(bytes, Ints);
      squares += whole * whole, all += whole;
      using HalfInts = std::int32_t __attribute__((vector_size(16)));
      HalfInts parts[2];
      std::memcpy(parts, &whole, 32);
      for (std::size_t h = 0; h < 2; ++h)
        products[h] +=
            __builtin_convertvector(halves[h], Doubles) * __builtin_convertvector(parts[h], Doubles);
    }
    const Doubles product = products[0] + products[1];
    sums = {(product[0] + product[1]) + (product[2] + product[3]), 0, 0};
    for (std::size_t lane = 0; lane < 8; ++lane) sums.squares += squares[lane], sums.numbers += all[lane];
  }
};

/// The loops for an instruction set.
struct RowKernels {
  void (*measure)(const float* row, std::size_t size, double& squares, float& largest);
  double (*kept)(const float* row, std::size_t size, float factor, int least, int most);
  void (*code)(const float* row, std::size_t size, float factor, int least, int most, std::int8_t* numbers);
  void (*sum)(const float* row, std::size_t size, const std::int8_t* numbers, CodeSums& sums);
};

RAG_LAZY struct BasicPortableLoops {
  static void measure(const float* row, std::size_t size, double& squares, float& largest) {
    RowLoops::measure(row, size, squares, largest);
  }
  static double kept(const float* row, std::size_t size, float factor, int least, int most) {
    return RowLoops::kept(row, size, factor, least, most);
  }
  static void code(const float* row, std::size_t size, float factor, int least, int most,
                   std::int8_t* numbers) {
    RowLoops::code(row, size, factor, least, most, numbers);
  }
  static void sum(const float* row, std::size_t size, const std::int8_t* numbers, CodeSums& sums) {
    RowLoops::sum(row, size, numbers, sums);
  }
};

#if RAG_X86
RAG_LAZY struct BasicAvx2Loops {
  RAG_TARGET_AVX2 static void measure(const float* row, std::size_t size, double& squares, float& largest) {
    RowLoops::measure(row, size, squares, largest);
  }
  RAG_TARGET_AVX2 static double kept(const float* row, std::size_t size, float factor, int least, int most) {
    return RowLoops::kept(row, size, factor, least, most);
  }
  RAG_TARGET_AVX2 static void code(const float* row, std::size_t size, float factor, int least, int most,
                                   std::int8_t* numbers) {
    RowLoops::code(row, size, factor, least, most, numbers);
  }
  RAG_TARGET_AVX2 static void sum(const float* row, std::size_t size, const std::int8_t* numbers,
                                  CodeSums& sums) {
    RowLoops::sum(row, size, numbers, sums);
  }
};
#endif

RAG_LAZY RowKernels row_kernels(Isa isa) {
#if RAG_X86
  using Avx2 = BasicAvx2Loops<>;
  if (isa >= Isa::avx2) return {&Avx2::measure, &Avx2::kept, &Avx2::code, &Avx2::sum};
#endif
  (void)isa;
  using Portable = BasicPortableLoops<>;
  return {&Portable::measure, &Portable::kept, &Portable::code, &Portable::sum};
}

/// A row shorter than this has no numbers: all of it is rest. So no scale is subnormal.
inline constexpr double shortest_coded = 0x1p-100;

/// The least float that is not below `value`.
inline float rounded_up(double value) {
  const float nearest = static_cast<float>(value);
  return static_cast<double>(nearest) < value
             ? std::nextafter(nearest, std::numeric_limits<float>::infinity())
             : nearest;
}

/// Takes rows and finds whole numbers for them. What a head says holds for any numbers, so it does not matter
/// that instruction sets may round a few of them in another way.
RAG_LAZY class BasicRowCoder {
 public:
  struct Head {
    float scale = 0, length = 0, rest = 0;
    std::int32_t sum = 0;  ///< of the numbers
  };

  explicit BasicRowCoder(std::size_t dimension, Isa isa = best_isa())
      : kernels_(row_kernels(isa)),
        dimension_(dimension),
        floats_((dimension + 63) / 64 * 64),
        numbers_(floats_.size()) {}

  void take(const float* row) {
    std::memcpy(floats_.data(), row, dimension_ * sizeof(float));
    kernels_.measure(floats_.data(), floats_.size(), squares_, largest_);
  }

  /// Of the row: the squared length, and whether it is long enough for numbers.
  double squares() const { return squares_; }
  bool coded() const { return squares_ >= shortest_coded * shortest_coded; }

  /// Found by the last call of code_eight() or code_four(), filled up with 0 to a multiple of 64.
  const std::vector<std::int8_t>& numbers() const { return numbers_; }

  Head code_eight() {
    if (!coded()) return uncoded_head();
    kernels_.code(floats_.data(), floats_.size(), 127 / largest_, -127, 127, numbers_.data());
    return head();
  }

  /// The step of the 4-bit numbers is chosen among a few: large elements may be cut for the good of the
  /// others.
  Head code_four() {
    if (!coded()) return uncoded_head();
    const float spread = static_cast<float>(std::sqrt(squares_ / static_cast<double>(dimension_)));
    float best_step = largest_ / 7;
    double best = kept(best_step);
    for (const float share : {0.44f, 0.39f, 0.345f, 0.305f}) {
      const float step = share * spread;
      if (step >= largest_ / 7) continue;
      if (const double with = kept(step); with > best) best = with, best_step = step;
    }
    kernels_.code(floats_.data(), floats_.size(), 1 / best_step, -8, 7, numbers_.data());
    return head();
  }

 private:
  double kept(float step) const { return kernels_.kept(floats_.data(), floats_.size(), 1 / step, -8, 7); }

  /// The head for the numbers: the scale fits best, the lengths are rounded up.
  Head head() const {
    CodeSums sums;
    kernels_.sum(floats_.data(), floats_.size(), numbers_.data(), sums);
    Head head;
    head.scale = static_cast<float>(sums.product / sums.squares);
    head.sum = sums.numbers;
    const double scale = static_cast<double>(head.scale);
    head.length = rounded_up(scale * std::sqrt(sums.squares) * (1 + 1e-14));
    // |x - s c|^2 from the sums. Each has a relative error of at most (dimension + 3) 2^-53, and none is
    // above 1.1 |x|^2.
    const double slack = 8 * static_cast<double>(dimension_ + 8) * 0x1p-53 * squares_;
    const double rest = squares_ - 2 * scale * sums.product + scale * scale * sums.squares + slack;
    head.rest = rounded_up(std::sqrt(rest > slack ? rest : slack) * (1 + 1e-14));
    return head;
  }

  Head uncoded_head() {
    numbers_.assign(numbers_.size(), 0);
    return {0, 0, rounded_up(std::sqrt(squares_ * (1 + 1e-10))), 0};
  }

  RowKernels kernels_;
  std::size_t dimension_;
  std::vector<float> floats_;
  std::vector<std::int8_t> numbers_;
  double squares_ = 0;
  float largest_ = 0;
};
using RowCoder = BasicRowCoder<>;

}  // namespace detail
RAG_END
#endif
