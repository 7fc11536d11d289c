// SPDX-License-Identifier: MIT
#include <rag/detail/gemm_int16.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <random>
#include <vector>

#if RAG_X86
using namespace rag::detail;

namespace {

bool has_products() {
  if (has_vnni(best_isa())) return true;
  std::puts("skipped: this processor has no AVX512-VNNI");
  return false;
}

/// x (rows x depth) of numbers between -1 and 1, w (depth x columns) and a bias, and what the kernels take of them.
struct Problem {
  std::size_t rows, depth, columns;
  std::vector<float> x, w, bias;
  Aligned<std::int16_t> whole = aligned<std::int16_t>(rows * depth), panels = aligned<std::int16_t>(depth * columns);
  std::vector<float> x_scales, w_scales = std::vector<float>(columns);

  template <class Draw>
  Problem(std::size_t r, std::size_t d, std::size_t c, const Draw& draw) : rows(r), depth(d), columns(c) {
    for (std::size_t i = 0; i < rows * depth; ++i) x.push_back(draw());
    for (std::size_t i = 0; i < depth * columns; ++i) w.push_back(draw());
    for (std::size_t i = 0; i < columns; ++i) bias.push_back(draw());
    for (std::size_t row = 0; row < rows; ++row)
      x_scales.push_back(to_int16_row(x.data() + row * depth, depth, whole.get() + row * depth));
    for (std::size_t column = 0; column < columns; column += panel_columns)
      CHECK(pack_panel_int16(reinterpret_cast<const char*>(w.data() + column * depth), depth * 4, panel_columns, depth,
                             panels.get() + column * depth, w_scales.data() + column));
  }
  std::vector<float> product(std::size_t count, bool with_bias = true) const {
    std::vector<float> y(count * columns);
    gemm_int16(whole.get(), x_scales.data(), count, {panels.get(), w_scales.data(), with_bias ? bias.data() : nullptr, depth, columns},
               y.data(), columns);
    return y;
  }
  /// The product of the floats, and that of the whole numbers.
  double exact(std::size_t row, std::size_t column) const {
    double sum = double(bias[column]);
    for (std::size_t k = 0; k < depth; ++k) sum += double(x[row * depth + k]) * double(w[column * depth + k]);
    return sum;
  }
  double rounded(std::size_t row, std::size_t column, bool with_bias = true) const {
    std::int64_t sum = 0;
    const std::int16_t* panel = panels.get() + column / 32 * 32 * depth;
    for (std::size_t k = 0; k < depth; ++k)
      sum += std::int64_t{whole[row * depth + k]} * panel[k / 2 * 2 * 32 + 2 * (column % 32) + k % 2];
    return (with_bias ? double(bias[column]) : 0) + double(sum) * double(x_scales[row]) * double(w_scales[column]);
  }
};

}  // namespace

TEST_CASE("products of int16 agree with double for every number of rows, and a row's bits do not depend on it") {
  if (!has_products()) return;
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (const std::size_t depth : {32u, 384u, 416u, 1536u}) {
    CAPTURE(depth);
    const Problem problem(31, depth, 64, [&] { return uniform(random); });
    const std::vector<float> first = problem.product(1);
    for (const std::size_t rows : {1u, 2u, 7u, 13u, 14u, 15u, 28u, 29u, 31u}) {
      CAPTURE(rows);
      const std::vector<float> y = problem.product(rows), bare = problem.product(rows, false);
      double from_rounded = 0, from_exact = 0;
      for (std::size_t i = 0; i < y.size(); ++i) {
        const double wanted = problem.rounded(i / 64, i % 64), size = std::sqrt(double(depth));
        from_rounded = std::max(from_rounded, std::abs(double(y[i]) - wanted) / size);
        from_rounded = std::max(from_rounded, std::abs(double(bare[i]) - problem.rounded(i / 64, i % 64, false)) / size);
        from_exact = std::max(from_exact, std::abs(double(y[i]) - problem.exact(i / 64, i % 64)) / size);
      }
      CHECK(from_rounded < 5e-7);
      CHECK(from_exact < 2e-3);
      CHECK(std::equal(first.begin(), first.end(), y.begin()));
    }
  }
}

TEST_CASE("no sum of int16 overflows, whatever the numbers") {
  if (!has_products()) return;
  for (const float value : {1.0f, -1.0f, 3e-30f, 7e30f})
    for (const std::size_t depth : {384u, 1536u}) {
      const Problem problem(3, depth, 32, [&] { return value; });
      const double square = double(value) * double(value) * double(depth);
      if (square < 1e37)
        for (const float y : problem.product(3, false)) CHECK(double(y) == doctest::Approx(square).epsilon(1e-3));
    }
  std::mt19937 random(4);
  for (int round = 0; round < 20; ++round) {  // few large numbers among small ones, of signs that add up
    const Problem problem(5, 768, 32, [&] { return random() % 50 == 0 ? 1.0f : 1e-4f * float(random() % 100); });
    const std::vector<float> y = problem.product(5);
    for (std::size_t i = 0; i < y.size(); ++i) CHECK(double(y[i]) == doctest::Approx(problem.rounded(i / 32, i % 32)).epsilon(1e-5));
  }
}

TEST_CASE("packing for int16 tells of a NaN or infinity, and pads with 0") {
  std::vector<float> column(64, -2.0f);
  const auto panel = aligned<std::int16_t>(64 * panel_columns);
  std::vector<float> scales(panel_columns, 7);
  const auto pack = [&] { return pack_panel_int16(reinterpret_cast<const char*>(column.data()), 256, 1, 64, panel.get(), scales.data()); };
  CHECK(pack());
  CHECK(double(panel[0]) * double(scales[0]) == doctest::Approx(-2.0).epsilon(2e-4));  // half a step of 4,093
  for (std::size_t i = 0; i < 64 * panel_columns; ++i) CHECK(panel[i] == (i % 64 / 2 == 0 ? panel[0] : 0));
  for (std::size_t j = 1; j < panel_columns; ++j) CHECK(scales[j] == 0);
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    column[17] = bad;
    CHECK_FALSE(pack());
  }
  std::fill(column.begin(), column.end(), 1e-42f);
  CHECK(pack());
  CHECK(double(panel[0]) * double(scales[0]) < 1e-37);
  std::fill(column.begin(), column.end(), 0.0f);
  CHECK(pack());
  CHECK(std::all_of(panel.get(), panel.get() + 64 * panel_columns, [](std::int16_t value) { return value == 0; }));
}

TEST_CASE("a row of int16 keeps its largest number, and what is no number stays none") {
  if (!has_products()) return;
  std::vector<float> x(64, 0.25f);
  std::vector<std::int16_t> whole(64, 7);
  x[40] = -2;
  CHECK(to_int16_row(x.data(), 64, whole.data()) == doctest::Approx(2.0 / 8191));
  CHECK(whole[40] == -8191);
  CHECK(whole[0] == 1024);  // 1023.875
  for (const float bad : {std::nanf(""), -std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    x[40] = bad;
    const float scale = to_int16_row(x.data(), 64, whole.data());
    CHECK_FALSE(std::isfinite(scale));
    CHECK_FALSE(std::isfinite(static_cast<float>(whole[0]) * scale));
  }
  for (const float small : {0.0f, std::numeric_limits<float>::denorm_min(), 1e-36f}) {
    std::fill(x.begin(), x.end(), small);
    const float scale = to_int16_row(x.data(), 64, whole.data());
    CHECK(std::all_of(whole.begin(), whole.end(), [&](std::int16_t value) { return static_cast<float>(value) * scale == 0; }));
  }
}
#endif
