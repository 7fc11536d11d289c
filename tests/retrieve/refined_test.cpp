// SPDX-License-Identifier: MIT
#include <rag/embed/hashing.hpp>
#include <rag/llm/echo.hpp>
#include <rag/pipeline.hpp>
#include <rag/retrieve/at_least.hpp>
#include <rag/retrieve/bm25.hpp>
#include <rag/retrieve/dense.hpp>
#include <rag/retrieve/diverse.hpp>
#include <rag/retrieve/hybrid.hpp>
#include <rag/retrieve/merge_neighbours.hpp>
#include <rag/retrieve/most_per_source.hpp>
#include <rag/retrieve/parent.hpp>
#include <rag/retrieve/refined.hpp>
#include <rag/store/filter.hpp>
#include <rag/store/flat.hpp>

#include "laws/refiner.hpp"
#include "laws/retriever.hpp"
#include "pipeline/sync_fixture.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

constexpr float none = std::numeric_limits<float>::quiet_NaN(), endless = std::numeric_limits<float>::infinity();

/// Gives the hits that it was told.
struct Given {
  std::vector<rag::Id> add(std::span<const rag::Chunk> chunks) { return std::vector<rag::Id>(chunks.size()); }
  std::vector<rag::Hit> search(std::string_view, std::size_t k) {
    asked = k;
    return {hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(std::min(k, hits.size()))};
  }

  std::vector<rag::Hit> hits = {};
  std::size_t asked = 0;
};

/// A Reranker: the newest first.
struct ByAge {
  std::vector<rag::Hit> rerank(std::string_view, std::span<const rag::Hit> hits) const {
    std::vector<rag::Hit> best(hits.begin(), hits.end());
    for (rag::Hit& hit : best) hit.score = static_cast<float>(hit.chunk.id);
    std::stable_sort(best.begin(), best.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
    return best;
  }
};
static_assert(rag::Reranker<ByAge> && !rag::Refiner<ByAge>);

/// Takes the hits as a span, and notes how it was called.
struct Noting {
  std::vector<rag::Hit> refine(std::string_view question, std::span<const rag::Hit> hits, std::size_t k) {
    *note += std::string(question) + " " + std::to_string(hits.size()) + " " + std::to_string(k) + "; ";
    return {hits.begin(), hits.end()};
  }
  std::string* note;
};
static_assert(rag::Refiner<Noting>);

struct GivesChunks {
  std::vector<rag::Chunk> refine(std::string_view, std::vector<rag::Hit>, std::size_t) { return {}; }
};
static_assert(!rag::Refiner<GivesChunks> && !rag::Reranker<GivesChunks>);

static_assert(rag::Refiner<rag::AtLeast> && rag::Refiner<rag::MostPerSource> && rag::Refiner<rag::IntoParents> &&
              rag::Refiner<rag::Diverse<rag::HashingEmbedder<>>> && rag::Refiner<rag::MergeNeighbours<>>);

using Plain = rag::Refined<Given, ByAge>;
using Whole = rag::Refined<rag::Bm25, rag::MostPerSource, ByAge>;
static_assert(rag::Retriever<Plain> && !rag::ReplacingRetriever<Plain> && !rag::FilteringRetriever<Plain, rag::Filter>);
static_assert(rag::ReplacingRetriever<Whole> && rag::FilteringRetriever<Whole, rag::Filter> && !rag::TokenCounter<Whole>);
static_assert(std::is_same_v<decltype(rag::Refined{Given{}, ByAge{}}), Plain>);
static_assert(std::is_same_v<decltype(rag::Refined{Given{}, {.depth = 7}, ByAge{}}), Plain>);
static_assert(std::is_same_v<decltype(rag::Refined{Given{}, rag::RefinedOptions{7}, ByAge{}}), Plain>);
static_assert(std::is_same_v<decltype(rag::Refined{Given{}}), rag::Refined<Given>>);

rag::Hit hit(const std::string& text, const std::string& source, float score, rag::Id id) {
  const auto begin = static_cast<std::size_t>(id) * 100;
  return {{text, source, begin, begin + text.size(), {{"n", id}}, id}, score};
}

std::vector<rag::Id> ids(const std::vector<rag::Hit>& hits) {
  std::vector<rag::Id> found;
  for (const rag::Hit& hit : hits) found.push_back(hit.chunk.id);
  return found;
}
using Ids = std::vector<rag::Id>;

/// A vector of its own for each text, the same on every machine; "none" has no length.
struct RandomEmbedder {
  std::size_t dimension() const { return 5; }
  rag::Matrix embed(std::span<const std::string_view> texts) const {
    rag::Matrix vectors(texts.size(), 5);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      std::seed_seq seed(texts[i].begin(), texts[i].end());
      std::mt19937 random(seed);
      for (float& value : vectors.row(i))
        value = texts[i] == "none" ? 0 : static_cast<float>(random() % 2001) / 1000 - 1;
    }
    return vectors;
  }
};

/// The same picks by the formula, everything anew for each.
std::vector<rag::Hit> plain_mmr(const std::vector<rag::Hit>& hits, const std::vector<double>& scaled, double relevance) {
  const auto similarity = [](const rag::Hit& a, const rag::Hit& b) {
    const std::string_view texts[] = {a.chunk.text, b.chunk.text};
    const rag::Matrix rows = RandomEmbedder{}.embed(texts);
    double sums[3] = {};
    for (std::size_t i = 0; i < 5; ++i) {
      const double x = rows.row(0)[i], y = rows.row(1)[i];
      sums[0] += x * y, sums[1] += x * x, sums[2] += y * y;
    }
    return sums[1] == 0 || sums[2] == 0 ? 0.0 : std::max(0.0, sums[0] / std::sqrt(sums[1] * sums[2]));
  };
  std::vector<rag::Hit> picked;
  std::vector<bool> gone(hits.size());
  while (picked.size() < hits.size()) {
    std::size_t best = hits.size();
    double best_value = 0;
    for (std::size_t i = 0; i < hits.size(); ++i) {
      if (gone[i]) continue;
      double nearest = 0;
      for (const rag::Hit& other : picked) nearest = std::max(nearest, similarity(other, hits[i]));
      const double value = relevance * scaled[i] - (1 - relevance) * nearest;
      if (best == hits.size() || value > best_value) best = i, best_value = value;
    }
    gone[best] = true;
    picked.push_back({hits[best].chunk, static_cast<float>(best_value)});
  }
  return picked;
}

}  // namespace

TEST_CASE("Refined asks for depth hits, or k where that is more, and gives the first k after the last step") {
  Given given{{hit("a", "x", 9, 1), hit("b", "x", 8, 3), hit("c", "x", 7, 2)}};
  rag::Refined retriever{given, {.depth = 2}, ByAge{}};

  CHECK(ids(retriever.search("?", 1)) == Ids{3});
  CHECK(retriever.retriever().asked == 2);
  CHECK(ids(retriever.search("?", 3)) == Ids{3, 2, 1});
  CHECK(retriever.search("?", 3)[1].score == 2);
  CHECK(ids(retriever.search("?", static_cast<std::size_t>(-1))) == Ids{3, 2, 1});
  CHECK(retriever.retriever().asked == static_cast<std::size_t>(-1));
  CHECK(retriever.search("?", 0).empty());
  CHECK(ids(rag::Refined{given}.search("?", 2)) == Ids{1, 3});
}

TEST_CASE("Refined calls its steps in order, with the question and k, and none where nothing is left") {
  std::string note;
  Given given{{hit("a", "x", 9, 1), hit("b", "x", 8, 3), hit("c", "y", 7, 2)}};
  rag::Refined retriever{given, Noting{&note}, rag::MostPerSource{1}, Noting{&note}, rag::AtLeast{10}, Noting{&note}};

  CHECK(retriever.search("why", 5).empty());
  CHECK(note == "why 3 5; why 2 5; ");
  note.clear();
  retriever.retriever().hits.clear();
  CHECK(retriever.search("why", 5).empty());
  CHECK(note.empty());
}

TEST_CASE("Refined keeps the laws of the retriever within, with each step") {
  laws::check_retriever([] { return rag::Refined{rag::Bm25{}, rag::MostPerSource{3}}; });
  laws::check_retriever([] { return rag::Refined{rag::Bm25{}, rag::AtLeast{0}, rag::IntoParents{}}; });
  laws::check_retriever([] { return rag::Refined{rag::Bm25{}, rag::MergeNeighbours{}}; });
  laws::check_retriever([] { return rag::Refined{rag::Bm25{}, {.depth = 3}, ByAge{}}; });
  laws::check_retriever([] { return rag::Refined{rag::Bm25{}, rag::Diverse{rag::HashingEmbedder{}}}; });
  laws::check_retriever([] {
    return rag::Refined{rag::Hybrid{rag::DenseRetriever{rag::HashingEmbedder{}, rag::FlatStore{}}, rag::Bm25{}}, ByAge{},
                        rag::MostPerSource{3}, rag::MergeNeighbours{}};
  });
}

TEST_CASE("The steps keep the laws of a Refiner") {
  const auto check = [](auto step) { laws::check_refiner(step); };
  check(rag::AtLeast{2});
  check(rag::MostPerSource{2});
  check(rag::IntoParents{});
  check(rag::MergeNeighbours{});
  check(rag::MergeNeighbours{[](std::string_view, std::size_t begin, std::size_t end) {
    return laws::refiner_text.substr(begin, end - begin);
  }});
  check(rag::Diverse{rag::HashingEmbedder{}});
  check(rag::Diverse{RandomEmbedder{}, {.relevance = 0}});
}

TEST_CASE("Refined passes filters, replacements and listings to the retriever within, in a pipeline") {
  rag::Pipeline pipeline{rag::SeparatorChunker{"\n"}, rag::Refined{rag::Bm25{}, rag::MostPerSource{1}}, rag::EchoLlm{}};
  pipeline.add({"a", "red apple\nred plum"});
  pipeline.add({"b", "red sky"});

  CHECK(pipeline.search("red", 5).size() == 2);
  REQUIRE(pipeline.search("red", 5, rag::source() == "a").size() == 1);
  CHECK(pipeline.search("red", 5, rag::source() == "a")[0].chunk.source == "a");
  CHECK(pipeline.retriever().chunks("a").size() == 2);
  pipeline.erase("a");
  CHECK(pipeline.retriever().chunks("a").empty());
  CHECK(pipeline.retriever().retriever().size() == 1);
}

TEST_CASE("sync_folder finds the store and the embedder within a Refined, and evens its legs") {
  const tests::TemporaryFolder folder;
  tests::write_file(folder / "a.md", "one");
  tests::Strings noted;
  rag::DenseRetriever dense{tests::NotingEmbedder{&noted}, rag::FlatStore{}};
  rag::Refined retriever{rag::Hybrid{std::move(dense), rag::Bm25{}}, {.depth = 9}, ByAge{}};
  const auto added = [&] {
    const rag::SyncReport report = rag::sync_folder(rag::SeparatorChunker{"\n"}, retriever, folder.path().string());
    return std::pair(report.added + report.changed, report.unchanged);
  };

  CHECK(added() == std::pair<std::size_t, std::size_t>(1, 0));
  retriever.retriever().second().replace("a.md", {});
  CHECK(added() == std::pair<std::size_t, std::size_t>(0, 1));
  CHECK(retriever.retriever().second().chunks("a.md").size() == 1);
  retriever.retriever().first().embedder().model = "another";
  CHECK(added() == std::pair<std::size_t, std::size_t>(1, 0));
  CHECK(noted == tests::Strings{"one", "one"});
}

TEST_CASE("AtLeast keeps the hits of that score and above, in their order, and no NaN") {
  const std::vector<rag::Hit> hits = {hit("a", "x", endless, 1), hit("b", "x", 2, 2), hit("c", "x", none, 3),
                                      hit("d", "x", 1, 4), hit("e", "x", -endless, 5)};

  CHECK(ids(rag::AtLeast{1}.refine("?", hits, 1)) == Ids{1, 2, 4});
  CHECK(ids(rag::AtLeast{1.5f}.refine("?", hits, 9)) == Ids{1, 2});
  CHECK(ids(rag::AtLeast{-endless}.refine("?", hits, 9)) == Ids{1, 2, 4, 5});
  CHECK(rag::AtLeast{1}.refine("?", {}, 9).empty());
  CHECK_THROWS_WITH_AS(rag::AtLeast{none}, "AtLeast: a score wanted, NaN given", rag::Error);
}

TEST_CASE("MostPerSource keeps the first hits of each document, whatever their scores") {
  const std::vector<rag::Hit> hits = {hit("a", "x", 9, 1), hit("a", "x", 9, 2), hit("b", "y", none, 1),
                                      hit("c", "x", 7, 3), hit("d", "y", 6, 4)};

  CHECK(ids(rag::MostPerSource{1}.refine("?", hits, 9)) == Ids{1, 1});
  CHECK(ids(rag::MostPerSource{2}.refine("?", hits, 1)) == Ids{1, 2, 1, 4});
  CHECK(rag::MostPerSource{static_cast<std::size_t>(-1)}.refine("?", hits, 0).size() == 5);
  CHECK(rag::MostPerSource{1}.refine("?", {}, 9).empty());
  CHECK_THROWS_WITH_AS(rag::MostPerSource{0}, "MostPerSource: 1 hit or more wanted, 0 given", rag::Error);
}

TEST_CASE("IntoParents is into_parents as a step") {
  const auto child = [](std::size_t begin, float score) {
    return rag::Hit{{std::string("abcdef").substr(begin), "x", begin, 6, {{"parent", "abcdef"}, {"parent_begin", 0}}}, score};
  };
  rag::Refined retriever{Given{{child(2, 3), child(1, 2)}}, rag::IntoParents{}};

  const std::vector<rag::Hit> hits = retriever.search("?", 5);

  REQUIRE(hits.size() == 1);
  CHECK(hits[0] == rag::Hit{{"abcdef", "x", 0, 6}, 3});
}

TEST_CASE("Diverse puts what was said already behind what is new") {
  const std::vector<rag::Hit> hits = {hit("the cat sat on the mat", "x", 9, 1), hit("the cat sat on the mat", "y", 8.9f, 2),
                                      hit("ships sail over the sea", "x", 7, 3), hit("rain fell", "x", 1, 4)};
  const auto order = [&](double relevance) {
    return ids(rag::Diverse{rag::HashingEmbedder{}, {.relevance = relevance}}.refine("?", hits, 1));
  };

  CHECK(order(1) == Ids{1, 2, 3, 4});
  CHECK(order(0.7) == Ids{1, 3, 2, 4});
  CHECK(order(0.5) == Ids{1, 3, 4, 2});
  CHECK(rag::Diverse{rag::HashingEmbedder{}}.refine("?", {}, 9).empty());
  for (const double bad : {-0.1, 1.1, static_cast<double>(none)}) {
    CAPTURE(bad);
    CHECK_THROWS_AS((rag::Diverse{rag::HashingEmbedder{}, {.relevance = bad}}), rag::Error);
  }
}

TEST_CASE("Diverse picks as the plain formula does, with falling scores and ties in the order given") {
  std::mt19937 random(7);
  for (std::size_t round = 0; round < 60; ++round) {
    CAPTURE(round);
    const std::size_t count = random() % 13;
    std::vector<rag::Hit> hits;
    for (std::size_t i = 0; i < count; ++i) {
      const auto word = random() % 9;
      const std::string text = word == 0 ? "none" : "text " + std::to_string(word);
      hits.push_back(hit(text, "x", static_cast<float>(random() % 5), static_cast<rag::Id>(i)));
    }
    std::stable_sort(hits.begin(), hits.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
    std::vector<double> scaled;
    for (const rag::Hit& one : hits) {
      const double range = static_cast<double>(hits.front().score) - static_cast<double>(hits.back().score);
      scaled.push_back(range == 0 ? 1 : (static_cast<double>(one.score) - static_cast<double>(hits.back().score)) / range);
    }
    const double relevance = static_cast<double>(random() % 5) / 4;

    const auto found = rag::Diverse{RandomEmbedder{}, {.relevance = relevance}}.refine("?", hits, 3);

    CHECK(found == plain_mmr(hits, scaled, relevance));
    CHECK(std::is_sorted(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.score > b.score; }));
  }
}

TEST_CASE("Diverse gives each hit once with a finite score, whatever the scores given and the vectors are") {
  struct Broken : RandomEmbedder {
    rag::Matrix embed(std::span<const std::string_view> texts) const {
      rag::Matrix vectors = RandomEmbedder::embed(texts);
      if (texts.size() > 1) vectors.row(1)[2] = none;
      return vectors;
    }
  };
  const std::vector<rag::Hit> hits = {hit("a", "x", endless, 1), hit("b", "x", none, 2), hit("c", "x", 5, 3),
                                      hit("d", "x", 4, 4), hit("e", "x", -endless, 5)};

  const std::vector<rag::Hit> found = rag::Diverse{Broken{}, {.relevance = 1}}.refine("?", hits, 9);

  CHECK(ids(found) == Ids{1, 3, 2, 4, 5});
  for (const rag::Hit& one : rag::Diverse{Broken{}}.refine("?", hits, 9)) CHECK(std::isfinite(one.score));
  CHECK(ids(rag::Diverse{Broken{}, {.relevance = 0.5}}.refine("?", {hits[1]}, 9)) == Ids{2});
}

TEST_CASE("Diverse reads the context of a chunk too, and refuses an embedder that loses a row") {
  std::vector<rag::Hit> hits = {hit("fast", "x", 3, 1), hit("fast", "x", 2, 2), hit("fast", "x", 1, 3)};
  hits[2].chunk.metadata.set("search_context", "ships");
  CHECK(ids(rag::Diverse{rag::HashingEmbedder{}, {.relevance = 0.1}}.refine("?", hits, 9)) == Ids{1, 3, 2});

  struct Losing : RandomEmbedder {
    rag::Matrix embed(std::span<const std::string_view>) const { return {2, 5}; }
  };
  CHECK_THROWS_WITH_AS(rag::Diverse{Losing{}}.refine("?", hits, 9), "Diverse: 3 rows wanted from the embedder, 2 given",
                       rag::Error);
}
