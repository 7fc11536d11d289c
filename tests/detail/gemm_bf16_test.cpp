// SPDX-License-Identifier: MIT
#include <rag/detail/gemm_bf16.hpp>
#include <rag/detail/row_math_bf16.hpp>

#include <doctest/doctest.h>

#include "detail/amx_emulator.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#if RAG_X86 && defined(__linux__)
using namespace rag::detail;

namespace {

/// Runs a test on AVX512-BF16 and on AMX, where the processor has no tiles with emulated ones.
void on_each_isa(const std::function<void(Isa)>& test) {
  if (machine_isa() < Isa::avx512_bf16) return static_cast<void>(std::puts("skipped: this processor has no AVX512-BF16"));
  for (const Isa isa : {Isa::avx512_bf16, Isa::amx}) {
    CAPTURE(name_of(isa));
    const bool emulated = isa > machine_isa();
    const auto emulator = emulated ? std::make_unique<tests::AmxEmulator>() : nullptr;
    test(isa);
    if (emulated) CHECK(tests::AmxEmulator::executed() > 0);
    if (emulated) CHECK_FALSE(tests::AmxEmulator::configured());
  }
}

/// x (rows x depth), w (depth x columns) and a bias, of numbers that bf16 holds.
struct Problem {
  std::size_t rows, depth, columns;
  Aligned<Bf16> x = aligned<Bf16>((rows + bf16_rows) * depth), panels = aligned<Bf16>(depth * columns);
  std::vector<float> w, bias;

  Problem(std::size_t r, std::size_t d, std::size_t c) : rows(r), depth(d), columns(c) {
    std::mt19937 random(3);
    std::uniform_real_distribution<float> uniform(-1, 1);
    std::generate_n(x.get(), (rows + bf16_rows) * depth, [&] { return to_bf16(uniform(random)); });
    for (std::size_t i = 0; i < depth * columns; ++i) w.push_back(from_bf16(to_bf16(uniform(random))));
    for (std::size_t i = 0; i < columns; ++i) bias.push_back(uniform(random));
    for (std::size_t column = 0; column < columns; column += panel_columns)
      CHECK(pack_panel_bf16(reinterpret_cast<const char*>(w.data() + column * depth), depth * 4, panel_columns, depth,
                            panels.get() + column * depth));
  }
  PackedBf16View view(bool with_bias = true) const { return {panels.get(), with_bias ? bias.data() : nullptr, depth, columns}; }
  double wanted(std::size_t row, std::size_t column, bool with_bias = true) const {
    double sum = with_bias ? double(bias[column]) : 0;
    for (std::size_t k = 0; k < depth; ++k) sum += double(from_bf16(x[row * depth + k])) * double(w[column * depth + k]);
    return sum;
  }
};

}  // namespace

TEST_CASE("bf16 rounds to the nearest, ties to even") {
  for (const float value : {0.0f, -0.0f, 1.0f, -3.5f, 0x1p-126f, 0x1p100f}) CHECK(from_bf16(to_bf16(value)) == value);
  CHECK(from_bf16(to_bf16(1 + 0x1p-8f)) == 1.0f);
  CHECK(from_bf16(to_bf16(1 + 3 * 0x1p-8f)) == 1 + 0x1p-6f);
  CHECK(from_bf16(to_bf16(1 + 0x1p-8f + 0x1p-20f)) == 1 + 0x1p-7f);
  CHECK(from_bf16(to_bf16(-1 - 0x1p-8f - 0x1p-20f)) == -1 - 0x1p-7f);
}

TEST_CASE("products of bf16 agree with double for every number of rows, and a row's bits do not depend on it") {
  on_each_isa([](Isa isa) {
    for (const auto& shape : {std::pair<std::size_t, std::size_t>{32, 32}, {64, 96}, {384, 64}}) {
      const std::size_t depth = shape.first, columns = shape.second;
      CAPTURE(depth);
      const Problem problem(70, depth, columns);
      std::vector<float> first(columns);
      for (const std::size_t rows : {1u, 2u, 13u, 14u, 15u, 16u, 17u, 31u, 32u, 33u, 48u, 49u, 70u}) {
        CAPTURE(rows);
        const auto y = aligned_floats((rows + bf16_rows) * columns);
        {
          const TileUse tiles(isa);
          gemm_bf16(isa, problem.x.get(), depth, rows, problem.view(), y.get(), columns);
        }
        double worst = 0;
        for (std::size_t row = 0; row < rows; ++row)
          for (std::size_t column = 0; column < columns; ++column)
            worst = std::max(worst, std::abs(double(y[row * columns + column]) - problem.wanted(row, column)));
        CHECK(worst < 1e-6 * double(depth));
        if (rows == 1) std::copy_n(y.get(), columns, first.begin());
        CHECK(std::equal(first.begin(), first.end(), y.get()));
      }
    }
  });
}

TEST_CASE("a store gets each block of sums once, with the scale of its rows") {
  on_each_isa([](Isa isa) {
    const Problem problem(37, 64, 64);
    std::vector<float> scale(37);
    for (std::size_t i = 0; i < 37; ++i) scale[i] = 1 / float(i + 1);
    std::vector<Bf16> y(37 * 70, 7);
    {
      const TileUse tiles(isa);
      gemm_bf16(isa, problem.x.get(), 64, 37, problem.view(false), &store_bf16, scale.data(), y.data(), 70);
    }
    double worst = 0;
    for (std::size_t row = 0; row < 37; ++row) {
      for (std::size_t column = 0; column < 64; ++column) {
        const double wanted = problem.wanted(row, column, false) * double(scale[row]);
        worst = std::max(worst, std::abs(double(from_bf16(y[row * 70 + column])) - wanted) / (std::abs(wanted) + 1e-3));
      }
      for (std::size_t column = 64; column < 70; ++column) CHECK(y[row * 70 + column] == 7);
    }
    CHECK(worst < 0x1p-8);
  });
}

TEST_CASE("packing for bf16 tells of a NaN or infinity, and pads with 0") {
  std::vector<float> column(64, 1.0f);
  const auto panel = aligned<Bf16>(64 * panel_columns);
  const auto pack = [&] { return pack_panel_bf16(reinterpret_cast<const char*>(column.data()), 256, 1, 64, panel.get()); };
  CHECK(pack());
  for (std::size_t i = 0; i < 64 * panel_columns; ++i) CHECK(panel[i] == (i % 64 / 2 == 0 ? to_bf16(1) : 0));
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    column[17] = bad;
    CHECK_FALSE(pack());
  }
}

TEST_CASE("activations for bf16 are within 2e-4 of double") {
  if (machine_isa() < Isa::avx512_bf16) return;
  alignas(64) float block[32];
  for (float x = -12; x < 12; x += 0.01f) {
    CAPTURE(x);
    std::fill_n(block, 32, x);
    const auto active = [&](Bf16Store store) {
      Bf16 y[32];
      store(block, 1, nullptr, y, 32);
      return double(from_bf16(y[5]));
    };
    const double v = double(x), allowed = 2e-4 + std::abs(v) * 0x1p-8;
    CHECK(std::abs(active(&store_active_bf16<GeluBf16>) - v / 2 * (1 + std::erf(v / std::sqrt(2.0)))) < allowed);
    const double inner = std::sqrt(2 / 3.14159265358979) * (v + 0.044715 * v * v * v);
    CHECK(std::abs(active(&store_active_bf16<GeluTanhBf16>) - v / 2 * (1 + std::tanh(inner))) < allowed);
    CHECK(std::abs(active(&store_active_bf16<ReluBf16>) - std::max(v, 0.0)) < allowed);
  }
}

TEST_CASE("softmax for bf16 gives shares and one over their sum, and 0 where there is no key") {
  if (machine_isa() < Isa::avx512_bf16) return;
  std::mt19937 random(5);
  std::uniform_real_distribution<float> uniform(-9, 9);
  for (const std::size_t size : {1u, 7u, 15u, 16u, 17u, 31u, 32u, 33u, 190u, 256u}) {
    CAPTURE(size);
    std::vector<float> x(padded(size), 1e30f);
    std::generate_n(x.begin(), size, [&] { return uniform(random); });
    const std::vector<float> given = x;
    std::vector<Bf16> shares(padded(size), 7);
    const double inverse = double(softmax_bf16_row(x.data(), size, 0.5f, shares.data()));
    double total = 0;
    for (std::size_t i = 0; i < size; ++i) total += std::exp(double(given[i]) / 2);
    for (std::size_t i = 0; i < size; ++i)
      CHECK(std::abs(inverse * double(from_bf16(shares[i])) - std::exp(double(given[i]) / 2) / total) < 0x1p-8);
    for (std::size_t i = size; i < padded(size); ++i) CHECK(shares[i] == 0);
  }
}

TEST_CASE("keys and values are packed as the product wants them") {
  if (machine_isa() < Isa::avx512_bf16) return;
  std::vector<Bf16> rows(40 * 64);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<Bf16>(i + 1);
  for (const std::size_t count : {1u, 2u, 31u, 32u}) {
    const auto keys = aligned<Bf16>(64 * panel_columns), values = aligned<Bf16>(64 * panel_columns);
    pack_keys_bf16(rows.data(), 64, count, 64, keys.get());
    pack_values_bf16(rows.data() + 3, 64, count, values.get());
    for (std::size_t k = 0; k < 64; ++k)
      for (std::size_t j = 0; j < 32; ++j) CHECK(keys[k / 2 * 64 + 2 * j + k % 2] == (j < count ? rows[j * 64 + k] : 0));
    for (std::size_t k = 0; k < 32; ++k)
      for (std::size_t j = 0; j < 32; ++j) CHECK(values[k / 2 * 64 + 2 * j + k % 2] == (k < count ? rows[k * 64 + 3 + j] : 0));
  }
}
#endif
