// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_LAWS_RERANKER_HPP
#define RAG_TESTS_LAWS_RERANKER_HPP
#include <doctest/doctest.h>
#include <rag/concepts.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace laws {

/// The second and the last have one text.
inline std::vector<rag::Hit> reranker_hits() {
  const std::string texts[] = {"how is data stored ?", "water flows down .", "", "Wie groß ist das? 数据 🙂", "the logs of a segment",
                               "water flows down ."};
  std::vector<rag::Hit> hits;
  for (const std::string& text : texts) {
    const auto place = hits.size();
    hits.push_back({{text, "page", place * 100, place * 100 + text.size(), {{"place", place}}, static_cast<rag::Id>(place)},
                    1.0f / static_cast<float>(place + 1)});
  }
  return hits;
}

template <rag::Reranker R>
void check_reranker(R& reranker) {
  const std::vector<rag::Hit> hits = reranker_hits();
  for (const std::string_view question : {"how is data stored in milvus ?", "", "water"}) {
    CAPTURE(question.size());
    CHECK(reranker.rerank(question, {}).empty());
    for (std::size_t count = 1; count <= hits.size(); ++count) {
      CAPTURE(count);
      const auto some = std::span(hits).first(count);

      const std::vector<rag::Hit> found = reranker.rerank(question, some);

      REQUIRE(found.size() == count);
      CHECK(found == reranker.rerank(question, some));
      std::set<rag::Id> seen;
      for (std::size_t i = 0; i < count; ++i) {
        const auto id = static_cast<std::size_t>(found[i].chunk.id);
        REQUIRE(id < count);
        CHECK(found[i].chunk == hits[id].chunk);
        CHECK(seen.insert(found[i].chunk.id).second);
        CHECK(!std::isnan(found[i].score));
        if (i == 0) continue;
        CHECK(found[i - 1].score >= found[i].score);
        if (found[i - 1].score == found[i].score) CHECK(found[i - 1].chunk.id < found[i].chunk.id);
      }
    }
  }
}

}  // namespace laws

#endif
