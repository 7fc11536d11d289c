// SPDX-License-Identifier: MIT
#include <rag/detail/gemm.hpp>

#include <doctest/doctest.h>

#include "detail/isas.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

using namespace rag::detail;

namespace {

using tests::isas;

std::vector<float> random_floats(std::size_t count, unsigned seed, float size = 1) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> uniform(-size, size);
  std::vector<float> floats(count);
  for (float& value : floats) value = uniform(random);
  return floats;
}

/// x and w are as PyTorch has them: w[column][k].
struct Problem {
  std::size_t rows, columns, depth;
  std::vector<float> x = random_floats(rows * depth, 1), w = random_floats(columns * depth, 2),
                     bias = random_floats(padded(columns), 3);

  AlignedFloats packed() const {
    AlignedFloats panels = aligned_floats(padded(columns) * depth);
    for (std::size_t column = 0; column < columns; column += panel_columns)
      CHECK(pack_panel(reinterpret_cast<const char*>(w.data() + column * depth), depth * sizeof(float),
                       std::min(panel_columns, columns - column), depth, panels.get() + column * depth));
    return panels;
  }
  /// Rows `y_stride` apart; what lies between stays 7.
  std::vector<float> run(Isa isa, std::size_t first, std::size_t count, std::size_t y_stride, bool biased = true) const {
    const AlignedFloats panels = packed();
    std::vector<float> y(count * y_stride, 7);
    gemm(isa, x.data() + first * depth, depth, count, {panels.get(), biased ? bias.data() : nullptr, depth, columns}, y.data(),
         y_stride);
    return y;
  }
  double exact(std::size_t row, std::size_t column, bool biased = true) const {
    double sum = biased ? double(bias[column]) : 0;
    for (std::size_t k = 0; k < depth; ++k) sum += double(x[row * depth + k]) * double(w[column * depth + k]);
    return sum;
  }
};

}  // namespace

TEST_CASE("gemm agrees with a double loop at every size, whatever the instruction set") {
  const std::size_t row_counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 29, 43};
  const std::size_t sizes[] = {1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 384};
  for (const Isa isa : isas())
    for (const std::size_t rows : row_counts)
      for (const std::size_t columns : sizes) {
        if (rows > 9 && columns == 384) continue;
        const std::size_t depth = sizes[(rows + columns) % std::size(sizes)];
        CAPTURE(static_cast<int>(isa));
        CAPTURE(rows);
        CAPTURE(columns);
        CAPTURE(depth);
        const Problem problem{rows, columns, depth};

        const std::vector<float> y = problem.run(isa, 0, rows, columns + 3);

        double worst = 0;
        for (std::size_t row = 0; row < rows; ++row)
          for (std::size_t column = 0; column < columns; ++column)
            worst = std::max(worst, std::abs(double(y[row * (columns + 3) + column]) - problem.exact(row, column)));
        CHECK(worst < 2e-7 * double(depth + 4));
        bool untouched = true;
        for (std::size_t row = 0; row < rows; ++row)
          for (std::size_t gap = 0; gap < 3; ++gap) untouched &= y[row * (columns + 3) + columns + gap] == 7;
        CHECK(untouched);
      }
}

TEST_CASE("gemm without a bias begins at 0, and no rows write nothing") {
  for (const Isa isa : isas()) {
    const Problem problem{3, 40, 17};

    const std::vector<float> y = problem.run(isa, 0, 3, 40, false);

    CHECK(y[2 * 40 + 39] == doctest::Approx(problem.exact(2, 39, false)).epsilon(1e-5));
    CHECK(problem.run(isa, 0, 0, 40).empty());
  }
}

TEST_CASE("a row of gemm has the same bits alone and among any others") {
  const Problem problem{37, 70, 100};
  for (const Isa isa : isas()) {
    CAPTURE(static_cast<int>(isa));
    const std::vector<float> together = problem.run(isa, 0, 37, 70);
    for (std::size_t count = 1; count <= 16; ++count)
      for (std::size_t first = 0; first + count <= 37; first += 5) {
        CAPTURE(count);
        CAPTURE(first);
        const std::vector<float> few = problem.run(isa, first, count, 70);
        CHECK(std::equal(few.begin(), few.end(), together.begin() + static_cast<std::ptrdiff_t>(first * 70)));
      }
  }
}

TEST_CASE("gemm gives the same bits with AVX2 and AVX-512") {
  if (best_isa() < Isa::avx512) return;
  const Problem problem{29, 90, 384};

  CHECK(problem.run(Isa::avx2, 0, 29, 90) == problem.run(Isa::avx512, 0, 29, 90));
}

TEST_CASE("a panel is packed from any alignment, and a NaN or infinity in it is told") {
  std::vector<float> floats = random_floats(32 * 5, 4);
  std::vector<char> bytes(floats.size() * 4 + 1);
  std::memcpy(bytes.data() + 1, floats.data(), floats.size() * 4);
  std::vector<float> panel(32 * 5);

  CHECK(pack_panel(bytes.data() + 1, 20, 32, 5, panel.data()));
  CHECK(panel[3 * 32 + 9] == floats[9 * 5 + 3]);

  for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::quiet_NaN()}) {
    floats[77] = bad;
    CHECK_FALSE(pack_panel(reinterpret_cast<const char*>(floats.data()), 20, 32, 5, panel.data()));
    CHECK(pack_panel(reinterpret_cast<const char*>(floats.data()), 20, 15, 5, panel.data()));  // columns 0 to 14
    for (std::size_t k = 0; k < 5; ++k)
      for (std::size_t j = 0; j < 32; ++j) CHECK(panel[k * 32 + j] == (j < 15 ? floats[j * 5 + k] : 0));
  }
  floats[77] = std::numeric_limits<float>::max();
  CHECK(pack_panel(reinterpret_cast<const char*>(floats.data()), 20, 32, 5, panel.data()));
}
