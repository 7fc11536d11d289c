// SPDX-License-Identifier: MIT
#include <rag/detail/top_k.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <vector>

TEST_CASE("TopK keeps what a stable sort puts first") {
  std::mt19937 random(7);
  for (const std::size_t count : {0u, 1u, 2u, 9u, 100u, 1000u})
    for (const std::size_t k : {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{10}, std::size_t{1000},
                                std::numeric_limits<std::size_t>::max()}) {
      CAPTURE(count);
      CAPTURE(k);
      std::vector<rag::detail::Ranked> all;
      for (std::size_t i = 0; i < count; ++i) all.push_back({static_cast<float>(random() % 20), i});
      rag::detail::TopK top(k);
      auto shuffled = all;
      std::shuffle(shuffled.begin(), shuffled.end(), random);
      for (const auto& [score, place] : shuffled) top.offer(score, place);
      std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
      all.resize(std::min(all.size(), k));

      const auto best = top.sorted();

      REQUIRE(best.size() == all.size());
      for (std::size_t i = 0; i < best.size(); ++i) CHECK((best[i] == all[i]));
    }
}
