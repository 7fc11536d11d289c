// SPDX-License-Identifier: MIT
#include <rag/detail/bitmap.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <random>
#include <vector>

using rag::detail::Bitmap;

namespace {

void check_same(const Bitmap& bits, const std::vector<bool>& wanted) {
  REQUIRE(bits.size() == wanted.size());
  std::size_t ones = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    CAPTURE(i);
    CHECK(bits[i] == wanted[i]);
    ones += wanted[i];
  }
  CHECK(bits.count() == ones);  // bits beyond the size would count too
}

}  // namespace

TEST_CASE("a bitmap does what a vector of bool does at any size") {
  std::mt19937 random(1);
  for (const std::size_t size : {0u, 1u, 63u, 64u, 65u, 128u, 200u}) {
    CAPTURE(size);
    Bitmap a(size), b(size, true);
    std::vector<bool> x(size, false), y(size, true);
    for (std::size_t step = 0; step < 2 * size; ++step) {
      const std::size_t i = random() % size, j = random() % size;
      a.set(i), x[i] = true;
      b.reset(j), y[j] = false;
    }
    check_same(a, x);
    check_same(b, y);

    Bitmap both = a, either = a, other = a;
    both &= b, either |= b, other.flip();
    std::vector<bool> x_and_y(size), x_or_y(size), not_x(size);
    for (std::size_t i = 0; i < size; ++i) x_and_y[i] = x[i] && y[i], x_or_y[i] = x[i] || y[i], not_x[i] = !x[i];
    check_same(both, x_and_y);
    check_same(either, x_or_y);
    check_same(other, not_x);
  }
}

TEST_CASE("a bitmap that grows or shrinks keeps what stays and fills what comes") {
  for (const bool value : {false, true})
    for (const std::size_t from : {0u, 1u, 63u, 64u, 100u})
      for (const std::size_t to : {0u, 1u, 64u, 99u, 130u}) {
        CAPTURE(value);
        CAPTURE(from);
        CAPTURE(to);
        Bitmap bits(from, true);
        std::vector<bool> wanted(from, true);

        bits.resize(to, value), wanted.resize(to, value);

        check_same(bits, wanted);
      }
}
