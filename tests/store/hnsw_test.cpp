// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#if __has_include(<hnswlib/hnswlib.h>)
#include <rag/store/file.hpp>
#include <rag/store/flat.hpp>
#include <rag/store/hnsw.hpp>

#include "laws/store.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <unistd.h>

static_assert(rag::ReplacingStore<rag::HnswStore<rag::FlatStore<>>>);
static_assert(!rag::Store<const rag::HnswStore<rag::FlatStore<>>>);

namespace {

using laws::chunk_of;

constexpr std::size_t columns = 24;
constexpr rag::HnswOptions small{.search_width = 40, .build_width = 50, .exact_below = 0};

/// Rows around a few centres, of lengths 1 to 2.
rag::Matrix some_rows(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::mt19937 of_centres(7);
  std::vector<float> centres(20 * columns);
  for (float& value : centres) value = normal(of_centres);
  rag::Matrix rows(count, columns);
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t centre = random() % 20;
    for (std::size_t j = 0; j < columns; ++j) rows.row(i)[j] = centres[centre * columns + j] + 0.5f * normal(random);
  }
  return rows;
}

std::vector<rag::Chunk> some_chunks(std::size_t count, const std::string& source = "s") {
  std::vector<rag::Chunk> chunks;
  for (std::size_t i = 0; i < count; ++i) {
    chunks.push_back(chunk_of(source, std::to_string(i)));
    chunks.back().metadata.set("number", i);
  }
  return chunks;
}

/// Each hit has the score and the chunk of the exact search, in its order; none is twice there.
template <class S>
void check_hits(const S& store, std::span<const float> query, const std::vector<rag::Hit>& hits) {
  const std::vector<rag::Hit> exact = store.store().search(query, store.size());
  std::size_t from = 0;
  for (const rag::Hit& hit : hits) {
    const auto same = std::find(exact.begin() + static_cast<std::ptrdiff_t>(from), exact.end(), hit);
    REQUIRE(same != exact.end());
    from = static_cast<std::size_t>(same - exact.begin()) + 1;
  }
}

template <class S>
void check_all(const S& store, std::size_t k, double least_recall) {
  const rag::Matrix queries = some_rows(40, 99);
  for (std::size_t i = 0; i < queries.rows(); ++i) {
    CAPTURE(i);
    const auto hits = store.search(queries.row(i), k);
    CHECK(hits.size() == std::min(k, store.size()));
    check_hits(store, queries.row(i), hits);
  }
  CHECK(store.measure_recall(queries, k) >= least_recall);
}

}  // namespace

TEST_CASE("a store with a graph obeys the laws of its store") {
  laws::check_store([] { return rag::HnswStore{rag::FlatStore{}, small}; }, 3);
  laws::check_store([] { return rag::HnswStore{rag::FlatStore<384>{}}; }, 384);
  laws::check_store([] { return rag::HnswStore{rag::FlatStore<0, rag::Cosine>{}, small}; }, 65);
  laws::check_store([] { return rag::HnswStore{rag::FlatStore<2, rag::L2>{}, small}; }, 2);
}

TEST_CASE("hits of the graph have the scores and the order of the store, in each metric") {
  const auto check = [](auto flat) {
    rag::HnswStore store{std::move(flat), small};
    store.add(some_chunks(1200), some_rows(1200, 1));
    CHECK(store.has_graph());
    check_all(store, 10, 0.95);
    check_all(store, 100, 0.9);
  };
  check(rag::FlatStore<>{});
  check(rag::FlatStore<columns, rag::Cosine>{});
  check(rag::FlatStore<0, rag::L2>{});
}

TEST_CASE("measure_recall sees a graph that finds little") {
  rag::HnswStore good{rag::FlatStore<0, rag::Cosine>{}, {.search_width = 150, .build_width = 100, .exact_below = 0}};
  const rag::HnswOptions poor{.search_width = 1, .links = 2, .build_width = 2, .exact_below = 0};
  rag::HnswStore bad{rag::FlatStore<0, rag::Cosine>{}, poor};
  const rag::Matrix rows = some_rows(1500, 2), queries = some_rows(50, 3);
  good.add(some_chunks(1500), rows);
  bad.add(some_chunks(1500), rows);
  CHECK(good.measure_recall(queries, 10) > 0.99);
  CHECK(bad.measure_recall(queries, 1) < 0.9);
  CHECK(good.measure_recall(rag::Matrix(), 10) == 1);
}

TEST_CASE("what is erased or replaced is not found, what is new is") {
  rag::HnswStore store{rag::FlatStore<0, rag::L2>{}, small};
  const rag::Matrix rows = some_rows(1200, 4);
  store.add(some_chunks(1200), rows);

  std::vector<rag::Id> odd;
  for (rag::Id id = 1; id < 1000; id += 2) odd.push_back(id);
  CHECK(store.erase(odd) == odd.size());
  CHECK(store.erase(odd) == 0);
  check_all(store, 10, 0.95);

  std::vector<rag::Chunk> moved;
  for (rag::Id id = 1; id < 200; ++id) moved.push_back(chunk_of("moved", "moved", id));  // even: there, odd: erased
  const rag::Matrix places = some_rows(moved.size(), 5);
  store.upsert(moved, places);
  for (std::size_t i = 0; i < moved.size(); ++i) {
    CAPTURE(i);
    const auto hits = store.search(places.row(i), 1);
    REQUIRE(hits.size() == 1);
    CHECK(hits[0].chunk == moved[i]);
  }
  check_all(store, 10, 0.95);

  store.replace("moved", some_chunks(50, "moved"), some_rows(50, 6));
  check_all(store, 10, 0.95);
  CHECK(store.chunks("moved").size() == 50);
}

TEST_CASE("a graph of mostly dead rows is built anew, an empty one finds nothing") {
  rag::HnswStore store{rag::FlatStore<>{}, small};
  const rag::Matrix rows = some_rows(1000, 8);
  std::vector<rag::Chunk> chunks = some_chunks(1000);
  for (std::size_t i = 0; i < 1000; ++i) chunks[i].id = static_cast<rag::Id>(i);
  for (int round = 0; round < 5; ++round) store.upsert(chunks, rows);
  CHECK(store.has_graph());
  check_all(store, 10, 0.95);

  std::vector<rag::Id> most;
  for (rag::Id id = 0; id < 990; ++id) most.push_back(id);
  store.erase(most);
  check_all(store, 20, 1.0);
  store.erase(std::vector<rag::Id>{990, 991, 992, 993, 994, 995, 996, 997, 998, 999});
  CHECK(store.search(rows.row(0), 5).empty());
  store.add(chunks, rows);
  check_all(store, 10, 0.95);
}

TEST_CASE("equal rows come in the order of insertion, whatever the graph says first") {
  rag::HnswStore store{rag::FlatStore<>{}, small};
  rag::Matrix rows = some_rows(1000, 9);
  for (std::size_t i = 0; i < 12; ++i) std::copy_n(rows.row(500).data(), columns, rows.row(80 * i).data());
  for (float& value : rows.row(500)) value = 0;
  store.add(some_chunks(1000), rows);

  const auto hits = store.search(rows.row(0), 40);

  check_hits(store, rows.row(0), hits);
  std::vector<rag::Id> equal;
  for (const rag::Hit& hit : hits)
    if (hit.chunk.id % 80 == 0) equal.push_back(hit.chunk.id);
  CHECK(std::is_sorted(equal.begin(), equal.end()));
  CHECK(equal.size() >= 8);
}

TEST_CASE("a filter is obeyed however few it lets pass") {
  rag::HnswStore store{rag::FlatStore<>{}, small};
  store.add(some_chunks(1500), some_rows(1500, 10));
  const rag::Matrix queries = some_rows(10, 11);
  for (const int below : {0, 1, 5, 30, 300, 800, 1500}) {
    const rag::Filter filter = rag::field("number") < below;
    std::size_t found = 0, wanted = 0;
    for (std::size_t i = 0; i < queries.rows(); ++i) {
      CAPTURE(below);
      CAPTURE(i);
      const auto hits = store.search(queries.row(i), 10, filter);
      REQUIRE(hits.size() == static_cast<std::size_t>(std::min(below, 10)));
      check_hits(store, queries.row(i), hits);
      for (const rag::Hit& hit : hits) CHECK(matches(filter, hit.chunk));
      const auto exact = store.store().search(queries.row(i), 10, filter);
      wanted += exact.size();
      for (const rag::Hit& hit : exact) found += static_cast<std::size_t>(std::count(hits.begin(), hits.end(), hit));
    }
    CHECK(static_cast<double>(found) >= 0.9 * static_cast<double>(wanted));
  }
}

TEST_CASE("the graph over a store that has rows is the graph of one that got them, with threads too") {
  rag::FlatStore<> flat;
  flat.add(some_chunks(1200), some_rows(1200, 12));
  for (const std::size_t threads : {1u, 3u}) {
    CAPTURE(threads);
    rag::HnswStore store{flat, {.search_width = 40, .build_width = 50, .exact_below = 0, .threads = threads}};
    CHECK(store.has_graph());
    check_all(store, 10, 0.95);
  }
  CHECK(!rag::HnswStore{flat}.has_graph());  // small stores are searched exactly
}

TEST_CASE("the graph of a store in a file is made when it is opened") {
  const std::string path = "/tmp/rag_hnsw_test_" + std::to_string(::getpid()) + ".rag";
  const rag::Matrix rows = some_rows(1200, 14);
  {
    rag::HnswStore store{rag::FileStore{path, {.metric = rag::Cosine{}}}, small};
    store.add(some_chunks(1200), rows);
    store.erase(std::vector<rag::Id>{3, 4, 5});
    check_all(store, 10, 0.95);
  }
  const rag::HnswStore store{rag::FileStore{path, {.metric = rag::Cosine{}}}, small};
  std::remove(path.c_str());
  CHECK(store.has_graph());
  CHECK(store.size() == 1197);
  check_all(store, 10, 0.95);
}

TEST_CASE("a store grows past the size from which it has a graph") {
  rag::HnswStore store{rag::FlatStore<>{}, {.search_width = 40, .build_width = 50, .exact_below = 700}};
  for (unsigned round = 0; round < 10; ++round) {
    store.add(some_chunks(200), some_rows(200, 20 + round));
    CHECK(store.has_graph() == (store.size() >= 700));
  }
  check_all(store, 10, 0.95);
}

TEST_CASE("questions that are none have the errors of the store") {
  rag::HnswStore store{rag::FlatStore<>{}, small};
  const rag::Matrix rows = some_rows(500, 13);
  store.add(some_chunks(500), rows);
  std::vector<float> query(columns, std::numeric_limits<float>::quiet_NaN());
  CHECK_THROWS_AS(store.search(query, 3), rag::Error);
  query.assign(columns, 1e19f);
  CHECK_THROWS_AS(store.search(query, 3), rag::Error);
  CHECK_THROWS_AS(store.search(rows.row(0).first(3), 3), rag::Error);
  CHECK(store.search(rows.row(0), 0).empty());
  query.assign(columns, 0);
  CHECK(store.search(query, 3).size() == 3);
}

#else
TEST_CASE("a store with a graph") { MESSAGE("skipped: hnswlib was not found (Debian: libhnswlib-dev)"); }
#endif
