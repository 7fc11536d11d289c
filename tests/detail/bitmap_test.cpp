// SPDX-License-Identifier: MIT
#include <rag/detail/bitmap.hpp>

#include <doctest/doctest.h>

#include <random>
#include <vector>

using rag::detail::Bitmap;

TEST_CASE("a bitmap is a vector of bools with whole words") {
  std::mt19937 random(1);
  for (const std::size_t size : {0u, 1u, 63u, 64u, 65u, 1000u}) {
    CAPTURE(size);
    for (const bool value : {false, true}) {
      Bitmap bits(size, value), other(size);
      std::vector<bool> naive(size, value), naive_other(size);
      for (std::size_t i = 0; i < size; ++i) {
        if (random() % 3 == 0) bits.set(i), naive[i] = true;
        if (random() % 3 == 0) bits.reset(i), naive[i] = false;
        if (random() % 2 == 0) other.set(i), naive_other[i] = true;
      }
      const auto check = [&] {
        REQUIRE(bits.size() == naive.size());
        std::size_t count = 0;
        std::vector<std::size_t> places, wanted;
        for (std::size_t i = 0; i < naive.size(); ++i) {
          CHECK(bits[i] == naive[i]);
          if (naive[i]) ++count, wanted.push_back(i);
        }
        bits.for_each([&](std::size_t i) { places.push_back(i); });
        CHECK(places == wanted);
        CHECK(bits.count() == count);
        CHECK(bits.none() == (count == 0));
        if (size % 64 != 0) CHECK((bits.words()[size / 64] >> (size % 64)) == 0);
      };

      check();
      bits.flip();
      naive.flip();
      check();
      bits |= other;
      for (std::size_t i = 0; i < size; ++i) naive[i] = naive[i] || naive_other[i];
      check();
      bits.flip();
      naive.flip();
      bits &= other;
      for (std::size_t i = 0; i < size; ++i) naive[i] = naive[i] && naive_other[i];
      check();
      for (const std::size_t changed : {size + 70, size / 2, size}) {
        bits.resize(changed, value);
        naive.resize(changed, value);
      }
      check();
      CHECK(bits == Bitmap(bits));
    }
  }
}
