// SPDX-License-Identifier: MIT
#include <rag/detail/dot.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

namespace {

using rag::detail::Isa;

std::vector<Isa> isas() {
  std::vector<Isa> all;
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512})
    if (isa <= rag::detail::best_isa()) all.push_back(isa);
  return all;
}

float dot(Isa isa, const float* x, const float* y, std::size_t size) {
  float sum = -1;
  rag::detail::scan_rows<rag::detail::RowOperation::dot>(x, 1, size, y, &sum, isa);
  return sum;
}

float squared_distance(Isa isa, const float* x, const float* y, std::size_t size) {
  float sum = -1;
  rag::detail::scan_rows<rag::detail::RowOperation::squared_distance>(x, 1, size, y, &sum, isa);
  return sum;
}

std::vector<float> random_floats(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

// The order of the header's comment, an element at a time. The products are rounded to float on their own because
// a double holds them exactly.
float in_order(const float* x, const float* y, std::size_t count, bool of_difference) {
  volatile float lanes[64] = {};
  for (std::size_t i = 0; i < count; ++i) {
    const volatile float a = of_difference ? x[i] - y[i] : x[i], b = of_difference ? a : y[i];
    const volatile float product = static_cast<float>(static_cast<double>(a) * static_cast<double>(b));
    lanes[i % 64] = lanes[i % 64] + product;
  }
  for (int i = 0; i < 16; ++i) lanes[i] = (lanes[i] + lanes[i + 16]) + (lanes[i + 32] + lanes[i + 48]);
  for (int half = 8; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lanes[i] = lanes[i] + lanes[i + half];
  return lanes[0];
}

constexpr std::size_t sizes[] = {0, 1, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 384, 1000, 4097};

}  // namespace

TEST_CASE("the kernels agree with a plain double loop at any size and alignment") {
  for (const Isa isa : isas())
    for (const std::size_t size : sizes)
      for (const std::size_t shift : {0u, 1u, 3u}) {
        CAPTURE(static_cast<int>(isa));
        CAPTURE(size);
        CAPTURE(shift);
        const auto a = random_floats(size + shift, 1), b = random_floats(size + shift, 2);
        const float *x = a.data() + shift, *y = b.data() + shift;
        double wanted = 0, distance = 0, scale = 1e-30;
        for (std::size_t i = 0; i < size; ++i) {
          const double p = x[i], q = y[i];
          wanted += p * q, distance += (p - q) * (p - q), scale += std::abs(p * q) + (p - q) * (p - q);
        }

        CHECK(std::abs(static_cast<double>(dot(isa, x, y, size)) - wanted) <= 2e-6 * scale);
        CHECK(std::abs(static_cast<double>(squared_distance(isa, x, y, size)) - distance) <=
              2e-6 * scale);
      }
}

TEST_CASE("every instruction set gives the bits of the documented order") {
  for (const Isa isa : isas())
    for (const std::size_t size : sizes) {
      CAPTURE(static_cast<int>(isa));
      CAPTURE(size);
      const auto x = random_floats(size, 3), y = random_floats(size, 4);

      CHECK(std::bit_cast<std::uint32_t>(dot(isa, x.data(), y.data(), size)) ==
            std::bit_cast<std::uint32_t>(in_order(x.data(), y.data(), size, false)));
      CHECK(std::bit_cast<std::uint32_t>(squared_distance(isa, x.data(), y.data(), size)) ==
            std::bit_cast<std::uint32_t>(in_order(x.data(), y.data(), size, true)));
    }
}

TEST_CASE("a product is rounded before it is added") {
  // Fused, the second product would leave its last bits in the sum.
  const float e = 1.0f + std::numeric_limits<float>::epsilon();
  for (const Isa isa : isas()) {
    CAPTURE(static_cast<int>(isa));
    std::vector<float> x(128, 0.0f), y(128, 0.0f);
    x[5] = -(e * e), y[5] = 1.0f, x[69] = e, y[69] = e;

    CHECK(dot(isa, x.data(), y.data(), 128) == 0.0f);
  }
}

TEST_CASE("a NaN anywhere, the last element too, makes the sum NaN") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Isa isa : isas())
    for (const std::size_t size : {1u, 9u, 384u, 4097u}) {
      CAPTURE(static_cast<int>(isa));
      CAPTURE(size);
      auto x = random_floats(size, 5);
      const auto y = random_floats(size, 6);
      x.back() = nan;

      CHECK(std::isnan(dot(isa, x.data(), y.data(), size)));
      CHECK(std::isnan(squared_distance(isa, x.data(), y.data(), size)));
    }
}

TEST_CASE("many rows at once give what each gives alone") {
  for (const Isa isa : isas())
    for (const std::size_t size : {1u, 8u, 100u, 384u}) {
      CAPTURE(static_cast<int>(isa));
      CAPTURE(size);
      const auto rows = random_floats(5 * size, 8), query = random_floats(size, 9);
      std::vector<float> sums(5);
      rag::detail::scan_rows<rag::detail::RowOperation::dot>(rows.data(), 5, size, query.data(), sums.data(), isa);

      for (std::size_t i = 0; i < 5; ++i) CHECK(sums[i] == dot(isa, rows.data() + i * size, query.data(), size));
    }
}

TEST_CASE("nothing is read past the last element") {
  // Vectors of their exact size: the address sanitizer watches their ends.
  for (const Isa isa : isas())
    for (std::size_t size = 1; size <= 130; ++size) {
      CAPTURE(size);
      const auto ones = std::vector<float>(size, 1.0f);
      CHECK(dot(isa, ones.data(), ones.data(), size) == static_cast<float>(size));
    }
}
