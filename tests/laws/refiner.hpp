// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_LAWS_REFINER_HPP
#define RAG_TESTS_LAWS_REFINER_HPP
#include <doctest/doctest.h>
#include <rag/concepts.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace laws {

inline const std::string refiner_text = "how is data stored? water flows down. Wie groß ist das? 数据 🙂 the logs";

/// Spans of one text under two names, some over each other, the best first, two of them with one score.
inline std::vector<rag::Hit> refiner_hits() {
  const std::pair<std::size_t, std::size_t> spans[] = {{20, 37}, {0, 19}, {12, 25}, {38, 56}, {20, 37}, {69, 77}};
  std::vector<rag::Hit> hits;
  for (const auto& [begin, end] : spans) {
    const auto place = hits.size();
    const std::string source = place % 3 == 2 ? "other" : "page";
    hits.push_back({{refiner_text.substr(begin, end - begin), source, begin, end, {{"place", place}}, static_cast<rag::Id>(place)},
                    place < 2 ? 9.0f : 8.0f / static_cast<float>(place)});
  }
  return hits;
}

template <rag::Refiner S>
void check_refiner(S& step) {
  CHECK(step.refine("water", {}, 3).empty());
  for (std::size_t count = 1; count <= refiner_hits().size(); ++count)
    for (const std::size_t k : {std::size_t{1}, std::size_t{3}, static_cast<std::size_t>(-1)}) {
      CAPTURE(count);
      CAPTURE(k);
      std::vector<rag::Hit> given = refiner_hits();
      given.resize(count);

      const std::vector<rag::Hit> found = step.refine("water", given, k);

      CHECK(found == step.refine("water", given, k));
      for (std::size_t i = 0; i < found.size(); ++i) {
        const rag::Chunk& chunk = found[i].chunk;
        CHECK(chunk.text == refiner_text.substr(chunk.begin, chunk.end - chunk.begin));
        const auto is_same = [&](const rag::Hit& hit) { return hit.chunk.id == chunk.id && hit.chunk.source == chunk.source; };
        CHECK(std::count_if(given.begin(), given.end(), is_same) == 1);
        CHECK(std::count_if(found.begin(), found.end(), is_same) == 1);
        if (i > 0) CHECK(found[i - 1].score >= found[i].score);
      }
    }
}

}  // namespace laws

#endif
