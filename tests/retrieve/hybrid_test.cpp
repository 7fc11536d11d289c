// SPDX-License-Identifier: MIT
#include "laws/retriever.hpp"
#include "retrieve/toys.hpp"

#include <rag/retrieve/bm25.hpp>
#include <rag/retrieve/dense.hpp>
#include <rag/retrieve/hybrid.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace {

using Dense = rag::DenseRetriever<toys::LetterEmbedder, toys::ReplacingPlainStore>;
using PlainDense = rag::DenseRetriever<toys::LetterEmbedder, toys::PlainStore>;
static_assert(rag::ReplacingRetriever<rag::Hybrid<Dense, rag::Bm25>>);
static_assert(rag::Retriever<rag::Hybrid<rag::Bm25, PlainDense>>);
static_assert(!rag::ReplacingRetriever<rag::Hybrid<rag::Bm25, PlainDense>>);
static_assert(!rag::TokenCounter<rag::Hybrid<Dense, rag::Bm25>>);

/// Gives the ranking it was told, as many as asked for.
struct Ranking {
  std::vector<rag::Id> add(std::span<const rag::Chunk> chunks) { return std::vector<rag::Id>(chunks.size()); }
  std::vector<rag::Hit> search(std::string_view, std::size_t k) const {
    asked = k;
    std::vector<rag::Hit> hits;
    for (const rag::Id id : ids) {
      const auto begin = static_cast<std::size_t>(id) * 10;
      if (hits.size() < k)
        hits.push_back({{"text", "a", begin, begin + 4, {}, id}, 100.0f - static_cast<float>(hits.size())});
    }
    return hits;
  }
  std::vector<rag::Id> replace(std::string_view, std::span<const rag::Chunk> chunks) { return add(chunks); }
  std::vector<rag::Chunk> chunks(std::string_view) const { return {}; }

  std::vector<rag::Id> ids;
  mutable std::size_t asked = 0;
};
static_assert(rag::ReplacingRetriever<Ranking>);

/// Gives the hits it was told.
struct Scores {
  std::vector<rag::Id> add(std::span<const rag::Chunk> chunks) { return std::vector<rag::Id>(chunks.size()); }
  std::vector<rag::Hit> search(std::string_view, std::size_t k) const {
    std::vector<rag::Hit> found;
    for (const auto& [id, score] : hits) {
      const auto begin = static_cast<std::size_t>(id) * 10;
      if (found.size() < k) found.push_back({{"text", "a", begin, begin + 4, {}, id}, score});
    }
    return found;
  }
  std::vector<rag::Id> replace(std::string_view, std::span<const rag::Chunk> chunks) { return add(chunks); }
  std::vector<rag::Chunk> chunks(std::string_view) const { return {}; }

  std::vector<std::pair<rag::Id, float>> hits = {};
};

std::vector<rag::Id> ids_of(const std::vector<rag::Hit>& hits) {
  std::vector<rag::Id> ids;
  for (const rag::Hit& hit : hits) ids.push_back(hit.chunk.id);
  return ids;
}

/// Fails when it is told to.
struct Failing : rag::Bm25 {
  std::vector<rag::Id> add(std::span<const rag::Chunk> chunks) {
    if (fails) throw std::runtime_error("disk full");
    return rag::Bm25::add(chunks);
  }
  std::vector<rag::Id> replace(std::string_view source, std::span<const rag::Chunk> chunks) {
    if (fails) throw std::runtime_error("disk full");
    return rag::Bm25::replace(source, chunks);
  }
  bool fails = false;
};

std::vector<rag::Chunk> chunks_of(const std::string& source, std::initializer_list<const char*> texts) {
  std::vector<rag::Chunk> chunks;
  for (const char* text : texts) {
    const std::size_t begin = chunks.empty() ? 0 : chunks.back().end + 1;
    chunks.push_back({text, source, begin, begin + std::string(text).size()});
  }
  return chunks;
}

}  // namespace

TEST_CASE("Hybrid keeps the laws of a Retriever") {
  laws::check_retriever([] { return rag::Hybrid{Dense{{}, {}}, rag::Bm25{}}; });
  laws::check_retriever([] { return rag::Hybrid{rag::Bm25{}, PlainDense{{}, {}}}; });
}

TEST_CASE("Hybrid's score by ranks is the sum of weight / (rank constant + rank) over the legs") {
  const rag::HybridOptions options{.first_weight = 1, .second_weight = 2, .fusion = rag::Fusion::reciprocal_rank};
  rag::Hybrid hybrid{Ranking{{4, 1, 3}}, Ranking{{3, 7}}, options};

  const std::vector<rag::Hit> hits = hybrid.search("?", 10);

  CHECK(ids_of(hits) == std::vector<rag::Id>{3, 7, 4, 1});
  CHECK(hits[0].score == doctest::Approx(1.0 / 63 + 2.0 / 61));
  CHECK(hits[1].score == doctest::Approx(2.0 / 62));
  CHECK(hits[2].score == doctest::Approx(1.0 / 61));
  CHECK(ids_of(hybrid.search("?", 2)) == std::vector<rag::Id>{3, 7});
}

TEST_CASE("Hybrid's score by default is the sum of the legs' shares of their best scores") {
  // The first leg has no more hits: its scores count from 0. The second has: they count from its third, 80.
  Scores first{{{4, 10.0f}, {1, 5.0f}}}, second{{{1, 100.0f}, {7, 90.0f}, {4, 80.0f}, {5, 70.0f}}};
  rag::Hybrid hybrid{first, second, {.depth = 3, .second_weight = 2}};

  const std::vector<rag::Hit> hits = hybrid.search("?", 3);

  CHECK(ids_of(hits) == std::vector<rag::Id>{4, 1, 7});
  CHECK(hits[0].score == doctest::Approx(1.0));
  CHECK(hits[1].score == doctest::Approx(0.5 + 2 * 0.2));
  CHECK(hits[2].score == doctest::Approx(2 * 0.1));
}

TEST_CASE("Hybrid lets a leg that can't tell its hits apart move little, and one of equal scores nothing") {
  const Scores flat{{{3, 0.71f}, {2, 0.70f}, {1, 0.69f}}}, even{{{3, 5.0f}, {2, 5.0f}, {1, 5.0f}}};
  const Scores sure{{{1, 9.0f}, {2, 5.0f}, {3, 1.0f}}};

  CHECK(ids_of(rag::Hybrid{flat, sure, {.depth = 3}}.search("?", 3)) == std::vector<rag::Id>{1, 2, 3});
  CHECK(ids_of(rag::Hybrid{even, sure, {.depth = 3}}.search("?", 3)) == std::vector<rag::Id>{1, 2, 3});
  CHECK(ids_of(rag::Hybrid{flat, even, {.depth = 3}}.search("?", 3)) == std::vector<rag::Id>{3, 2, 1});
}

TEST_CASE("Hybrid takes scores below 0 and those that are no numbers") {
  const float none = std::numeric_limits<float>::quiet_NaN(), endless = std::numeric_limits<float>::infinity();
  const Scores distances{{{1, -0.5f}, {2, -1.0f}, {3, -2.0f}}}, broken{{{3, endless}, {2, none}, {1, -endless}}};

  const std::vector<rag::Hit> hits = rag::Hybrid{distances, Scores{}}.search("?", 9);
  CHECK(ids_of(hits) == std::vector<rag::Id>{1, 2, 3});
  CHECK(hits[0].score == doctest::Approx(0.75));
  CHECK(hits[2].score == 0);
  const Scores mixed{{{1, 0.75f}, {2, 0.5f}, {3, -0.25f}}};
  CHECK(rag::Hybrid{mixed, Scores{}}.search("?", 9).at(0).score == 1);
  CHECK(rag::Hybrid{mixed, Scores{}}.search("?", 9).at(1).score == 0.75);
  CHECK(ids_of(rag::Hybrid{broken, distances}.search("?", 9)) == std::vector<rag::Id>{1, 2, 3});
}

TEST_CASE("Hybrid does not let one score that is none spoil the others of its leg") {
  const float none = std::numeric_limits<float>::quiet_NaN(), endless = std::numeric_limits<float>::infinity();
  const Scores first{{{7, endless}, {1, 4.0f}, {8, none}, {2, 2.0f}, {9, -endless}}};

  const std::vector<rag::Hit> hits = rag::Hybrid{first, Scores{}}.search("?", 9);

  CHECK(ids_of(hits) == std::vector<rag::Id>{1, 2, 7, 8, 9});
  CHECK(hits[0].score == 1);
  CHECK(hits[1].score == 0.5f);
  CHECK(hits[2].score == 0);
}

TEST_CASE("Hybrid takes no hit below a leg's least score, and what the others add stays the same") {
  const float none = std::numeric_limits<float>::quiet_NaN();
  const Scores first{{{1, 0.8f}, {2, 0.4f}, {5, none}, {3, 0.2f}}}, second{{{3, 20.0f}, {4, 10.0f}, {2, 5.0f}}};
  const auto found = [&](rag::HybridOptions options) { return rag::Hybrid{first, second, options}.search("?", 9); };

  CHECK(ids_of(found({})) == std::vector<rag::Id>{3, 1, 2, 4, 5});
  const std::vector<rag::Hit> hits = found({.first_at_least = 0.4f});
  CHECK(ids_of(hits) == std::vector<rag::Id>{1, 3, 2, 4});
  CHECK(hits[0].score == doctest::Approx(1));
  CHECK(hits[2].score == doctest::Approx(0.5 + 0.25));
  CHECK(ids_of(found({.first_at_least = 0.5f, .second_at_least = 10.0f})) == std::vector<rag::Id>{1, 3, 4});
  CHECK(ids_of(found({.fusion = rag::Fusion::reciprocal_rank, .first_at_least = 0.5f, .second_at_least = 20.0f})) ==
        std::vector<rag::Id>{1, 3});
  CHECK(found({.first_at_least = 2.0f, .second_at_least = 99.0f}).empty());
  CHECK_THROWS_AS(found({.second_at_least = none}), rag::Error);
}

TEST_CASE("Hybrid orders equals by id") {
  rag::Hybrid hybrid{Ranking{{9, 5}}, Ranking{{2, 8}}};

  CHECK(ids_of(hybrid.search("?", 10)) == std::vector<rag::Id>{2, 9, 5, 8});
}

TEST_CASE("Hybrid asks each leg for depth hits, or k where that is more, and a leg of no weight for none") {
  rag::Hybrid hybrid{Ranking{{1}}, Ranking{{2}}, {.depth = 7, .second_weight = 0}};

  CHECK(ids_of(hybrid.search("?", 3)) == std::vector<rag::Id>{1});
  CHECK(hybrid.first().asked == 7);
  CHECK(hybrid.second().asked == 0);
  hybrid.search("?", 30);
  CHECK(hybrid.first().asked == 30);
  CHECK(hybrid.search("?", 0).empty());
}

TEST_CASE("Hybrid takes chunks without spans for different ones if their texts differ") {
  rag::Hybrid hybrid{Dense{{}, {}}, rag::Bm25{}};
  const rag::Chunk chunks[] = {{"red apple", "a"}, {"red plum", "a"}};
  hybrid.add(chunks);

  CHECK(hybrid.search("red", 5).size() == 2);
}

TEST_CASE("Hybrid gives both legs the ids of the first") {
  rag::Hybrid hybrid{Dense{{}, {}}, rag::Bm25{}};
  std::vector<rag::Chunk> chunks = chunks_of("a", {"one", "two"});
  chunks[0].id = 41;

  CHECK(hybrid.add(chunks) == std::vector<rag::Id>{41, 42});

  CHECK(hybrid.first().search("one", 1).at(0).chunk.id == 41);
  CHECK(hybrid.second().search("one", 1).at(0).chunk.id == 41);
}

TEST_CASE("Hybrid puts the first leg back when the second fails") {
  rag::Hybrid hybrid{Dense{{}, {}}, Failing{}};
  hybrid.add(chunks_of("a", {"red apple", "green plum"}));
  hybrid.add(chunks_of("b", {"blue sky"}));
  const std::vector<rag::Chunk> before = hybrid.chunks("a");
  hybrid.second().fails = true;

  CHECK_THROWS_WITH_AS(hybrid.add(chunks_of("a", {"yellow sun"})), "disk full", std::runtime_error);
  CHECK(hybrid.chunks("a") == before);
  CHECK_THROWS_WITH_AS(hybrid.add(chunks_of("new", {"yellow sun"})), "disk full", std::runtime_error);
  CHECK(hybrid.chunks("new").empty());
  CHECK_THROWS_WITH_AS(hybrid.replace("a", chunks_of("a", {"yellow sun"})), "disk full", std::runtime_error);
  CHECK(hybrid.chunks("a") == before);
  CHECK(hybrid.chunks("b").size() == 1);
  CHECK(hybrid.first().store().size() == hybrid.second().size());

  hybrid.second().fails = false;
  CHECK(hybrid.replace("a", chunks_of("a", {"yellow sun"})).size() == 1);
  CHECK(hybrid.second().chunks("a") == hybrid.chunks("a"));
}

TEST_CASE("Hybrid refuses weights that are no weights") {
  for (const double bad :
       {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    CAPTURE(bad);
    CHECK_THROWS_AS((rag::Hybrid{rag::Bm25{}, rag::Bm25{}, {.rank_constant = bad}}), rag::Error);
    CHECK_THROWS_AS((rag::Hybrid{rag::Bm25{}, rag::Bm25{}, {.second_weight = bad}}), rag::Error);
  }
}

TEST_CASE("a leg that names a chunk twice gives it one vote") {
  rag::Hybrid hybrid{Scores{.hits = {{1, 10}, {2, 9}, {1, 8}, {3, 0}}}, Scores{.hits = {{2, 1}}}, {.depth = 9}};
  const std::vector<rag::Hit> hits = hybrid.search("question", 9);
  CHECK(ids_of(hits) == std::vector<rag::Id>{2, 1, 3});
  CHECK(hits[1].score == 1.0F);
}
