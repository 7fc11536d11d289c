// SPDX-License-Identifier: MIT
#include <rag/detail/row_math.hpp>

#include <doctest/doctest.h>

#include "detail/isas.hpp"

#include <algorithm>
#include <cmath>
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

constexpr std::size_t sizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 384, 513, 1536};

}  // namespace

TEST_CASE("gelu is the form with erf, to 1e-6") {
  for (const Isa isa : isas()) {
    CAPTURE(static_cast<int>(isa));
    std::vector<float> x;
    for (int i = -8000; i <= 8000; ++i) x.push_back(static_cast<float>(i) / 1000);
    x.insert(x.end(), {0.0f, -0.0f, 1e-30f, 100, 1e20f, -100, -1e20f});
    std::vector<float> y = x;

    row_math(isa).gelu(y.data(), y.size());

    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double value = double(x[i]), exact = value / 2 * (1 + std::erf(value / std::sqrt(2.0)));
      worst = std::max(worst, std::abs(double(y[i]) - exact) / std::max(1.0, std::abs(value)));
    }
    CHECK(worst < 5e-7);
    float nan = std::numeric_limits<float>::quiet_NaN();
    row_math(isa).gelu(&nan, 1);
    CHECK(std::isnan(nan));
  }
}

TEST_CASE("gelu_tanh is the form with tanh, to 5e-7") {
  for (const Isa isa : isas()) {
    CAPTURE(static_cast<int>(isa));
    std::vector<float> x;
    for (int i = -8000; i <= 8000; ++i) x.push_back(static_cast<float>(i) / 1000);
    x.insert(x.end(), {0.0f, -0.0f, 1e-30f, 100, 1e20f, -100, -1e20f});
    std::vector<float> y = x;

    row_math(isa).gelu_tanh(y.data(), y.size());

    double worst = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double value = double(x[i]), inner = std::sqrt(2 / std::acos(-1.0)) * (value + 0.044715 * value * value * value);
      worst = std::max(worst, std::abs(double(y[i]) - value / 2 * (1 + std::tanh(inner))) / std::max(1.0, std::abs(value)));
    }
    CHECK(worst < 5e-7);
    float nan = std::numeric_limits<float>::quiet_NaN();
    row_math(isa).gelu_tanh(&nan, 1);
    CHECK(std::isnan(nan));
  }
}

TEST_CASE("softmax and the norm agree with double at awkward sizes") {
  for (const Isa isa : isas())
    for (const std::size_t size : sizes)
      for (const float width : {1.0f, 300.0f}) {
        CAPTURE(static_cast<int>(isa));
        CAPTURE(size);
        CAPTURE(width);
        const std::vector<float> x = random_floats(size, 8, width), y = random_floats(size, 9, width);
        const std::vector<float> scale = random_floats(size, 10), shift = random_floats(size, 11);
        std::vector<float> soft = x, norm = x;
        soft.resize((size + 15) / 16 * 16);

        row_math(isa).softmax(soft.data(), size, 0.25f);
        row_math(isa).add_norm(norm.data(), y.data(), size, scale.data(), shift.data(), 1e-6f);

        const double top = double(*std::max_element(x.begin(), x.end()));
        double total = 0, mean = 0, variance = 0, worst_soft = 0, worst_norm = 0;
        for (std::size_t i = 0; i < size; ++i) {
          total += std::exp((double(x[i]) - top) / 4);
          mean += (double(x[i]) + double(y[i])) / double(size);
        }
        for (std::size_t i = 0; i < size; ++i) variance += std::pow(double(x[i]) + double(y[i]) - mean, 2) / double(size);
        for (std::size_t i = 0; i < size; ++i) {
          const double share = std::exp((double(x[i]) - top) / 4) / total;
          worst_soft = std::max(worst_soft, std::abs(double(soft[i]) - share));
          const double normal = (double(x[i]) + double(y[i]) - mean) / std::sqrt(variance + 1e-6);
          worst_norm = std::max(worst_norm, std::abs(double(norm[i]) - (normal * double(scale[i]) + double(shift[i]))));
        }
        CHECK(worst_soft < 2e-6);
        CHECK(worst_norm < 2e-6);
      }
}

TEST_CASE("softmax finds the largest in whatever place, however far it is above the others") {
  for (const Isa isa : isas())
    for (const std::size_t size : {std::size_t{16}, std::size_t{21}, std::size_t{64}})
      for (std::size_t top = 0; top < size; ++top) {
        CAPTURE(static_cast<int>(isa));
        CAPTURE(top);
        std::vector<float> x(64, -1000);
        x[top] = 1000;
        row_math(isa).softmax(x.data(), size, 1);
        CHECK(x[top] == doctest::Approx(1));
        CHECK(std::count_if(x.begin(), x.begin() + std::ptrdiff_t(size), [](float share) { return share < 0 || share > 1e-30f; }) == 1);
      }
}

TEST_CASE("gelu, softmax and the norm give the same bits with AVX2 and AVX-512") {
  if (best_isa() < Isa::avx512) return;
  for (const std::size_t size : sizes) {
    CAPTURE(size);
    const std::vector<float> x = random_floats(size, 5, 6), y = random_floats(size, 6), scale = random_floats(size, 7);
    std::vector<float> results[2];
    for (const Isa isa : {Isa::avx2, Isa::avx512}) {
      const RowMath math = row_math(isa);
      std::vector<float> gelu = x, soft = x, norm = x;
      soft.resize((size + 15) / 16 * 16);
      math.gelu(gelu.data(), size), math.softmax(soft.data(), size, 0.5f);
      math.add_norm(norm.data(), y.data(), size, scale.data(), y.data(), 1e-5f);
      std::vector<float>& result = results[isa == Isa::avx512];
      for (const auto& part : {gelu, soft, norm}) result.insert(result.end(), part.begin(), part.end());
    }
    CHECK(results[0] == results[1]);
  }
}

