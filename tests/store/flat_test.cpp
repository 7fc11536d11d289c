// SPDX-License-Identifier: MIT
#include <rag/store/flat.hpp>

#include "laws/store.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

static_assert(rag::ReplacingStore<rag::FlatStore<>>);
static_assert(rag::ReplacingStore<rag::FlatStore<384, rag::Cosine>>);
static_assert(rag::FilteringStore<rag::FlatStore<>, rag::Filter>);
static_assert(!rag::FilteringStore<rag::FlatStore<>, bool (*)(const rag::Chunk&)>);
static_assert(!rag::Store<std::vector<rag::Chunk>>);
static_assert(!rag::Store<const rag::FlatStore<>>);  // nothing can be added
static_assert(rag::static_dimension<rag::FlatStore<384>> == 384);
static_assert(rag::static_dimension<rag::FlatStore<>> == 0);
static_assert(std::is_same_v<decltype(rag::FlatStore{}), rag::FlatStore<rag::dynamic_dimension, rag::InnerProduct>>);

namespace {

using laws::axes;
using laws::chunk_of;

rag::Matrix random_matrix(std::size_t rows, std::size_t columns, std::mt19937& random) {
  std::normal_distribution<float> normal;
  rag::Matrix matrix(rows, columns);
  for (std::size_t i = 0; i < rows * columns; ++i) matrix.data()[i] = normal(random);
  return matrix;
}

template <class Work>
std::pair<rag::Errc, std::string> error_of(Work&& work) {
  try {
    work();
  } catch (const rag::Error& error) {
    return {error.code(), error.what()};
  }
  return {rag::Errc::cancelled, "nothing thrown"};
}

/// What FlatStore should be, in the plainest words: a list that is sorted anew for each search.
struct NaiveStore {
  struct Entry {
    rag::Chunk chunk;
    std::vector<float> vector;
  };
  std::vector<Entry> entries;
  rag::Id next = 0;

  void put(rag::Chunk chunk, std::span<const float> row) {
    if (chunk.id == rag::no_id) chunk.id = next;
    next = std::max(next, chunk.id + 1);
    const std::vector<float> vector(row.begin(), row.end());
    for (Entry& entry : entries)
      if (entry.chunk.id == chunk.id) return void(entry = {chunk, vector});
    entries.push_back({chunk, vector});
  }
  std::vector<rag::Id> search(std::span<const float> query, std::size_t k) const {
    std::vector<std::pair<float, rag::Id>> scored;
    for (const Entry& entry : entries) {
      float sum = 0;  // small whole numbers: exact in any order
      for (std::size_t j = 0; j < query.size(); ++j) sum += entry.vector[j] * query[j];
      scored.push_back({sum, entry.chunk.id});
    }
    std::stable_sort(scored.begin(), scored.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<rag::Id> ids;
    for (std::size_t i = 0; i < std::min(k, scored.size()); ++i) ids.push_back(scored[i].second);
    return ids;
  }
};

}  // namespace

TEST_CASE("FlatStore obeys the laws of a ReplacingStore in each metric") {
  laws::check_store([] { return rag::FlatStore{}; }, 3);
  laws::check_store([] { return rag::FlatStore<384>{}; }, 384);
  laws::check_store([] { return rag::FlatStore<0, rag::Cosine>{}; }, 65);
  laws::check_store([] { return rag::FlatStore<2, rag::L2>{}; }, 2);
}

TEST_CASE("the score is the inner product, the cosine, or minus the squared distance") {
  std::mt19937 random(1);
  const std::size_t columns = 100;
  const rag::Matrix vectors = random_matrix(300, columns, random);
  const rag::Matrix query = random_matrix(1, columns, random);
  const std::vector<rag::Chunk> chunks(300, chunk_of("s", "t"));
  const auto check = [&](auto store, auto score) {
    store.add(chunks, vectors);
    const auto hits = std::as_const(store).search(query.row(0), 300);
    REQUIRE(hits.size() == 300);
    for (const rag::Hit& hit : hits) {
      const auto row = vectors.row(static_cast<std::size_t>(hit.chunk.id));
      double dot = 0, rr = 0, qq = 0;
      for (std::size_t j = 0; j < columns; ++j) {
        const double r = row[j], q = query.row(0)[j];
        dot += r * q, rr += r * r, qq += q * q;
      }
      CHECK(static_cast<double>(hit.score) == doctest::Approx(score(dot, rr, qq)).epsilon(1e-4));
    }
    CHECK(std::is_sorted(hits.begin(), hits.end(), [](const auto& a, const auto& b) { return a.score > b.score; }));
  };

  check(rag::FlatStore<>{}, [](double dot, double, double) { return dot; });
  check(rag::FlatStore<0, rag::Cosine>{}, [](double dot, double rr, double qq) { return dot / std::sqrt(rr * qq); });
  check(rag::FlatStore<0, rag::L2>{}, [](double dot, double rr, double qq) { return 2 * dot - rr - qq; });
}

TEST_CASE("a random walk of changes leaves what a plain list holds") {
  std::mt19937 random(2);
  const auto below = [&](unsigned n) { return static_cast<std::size_t>(random() % n); };
  rag::FlatStore store;
  NaiveStore naive;
  for (int step = 0; step < 600; ++step) {
    CAPTURE(step);
    std::vector<rag::Chunk> chunks;
    const std::string source(1, static_cast<char>('a' + below(5)));
    for (std::size_t i = below(4); i > 0; --i) chunks.push_back(chunk_of(source, "step " + std::to_string(step)));
    rag::Matrix vectors(chunks.size(), 5);
    for (std::size_t i = 0; i < chunks.size() * 5; ++i) vectors.data()[i] = static_cast<float>(below(3));
    const auto put = [&] {
      for (std::size_t i = 0; i < chunks.size(); ++i) naive.put(chunks[i], vectors.row(i));
    };
    switch (below(4)) {
      case 0:
        put();
        store.add(chunks, vectors);
        break;
      case 1:
        for (std::size_t i = 0; i < chunks.size(); ++i)
          chunks[i].id = static_cast<rag::Id>(100 * i + below(50) + (below(2) ? static_cast<std::size_t>(naive.next) : 0));
        put();
        store.upsert(chunks, vectors);
        break;
      case 2: {
        std::vector<rag::Id> ids;
        for (int i = 0; i < 3; ++i) ids.push_back(static_cast<rag::Id>(below(static_cast<unsigned>(naive.next) + 2)));
        const std::size_t erased = std::erase_if(naive.entries, [&](const auto& entry) {
          return std::find(ids.begin(), ids.end(), entry.chunk.id) != ids.end();
        });
        CHECK(store.erase(ids) == erased);
        break;
      }
      default: {
        if (below(2)) {  // some keep the id of one that goes
          const std::vector<rag::Chunk> old = store.chunks(source);
          for (std::size_t i = 0; i < std::min(old.size(), chunks.size()); ++i) chunks[i].id = old[i].id;
        }
        std::erase_if(naive.entries, [&](const auto& entry) { return entry.chunk.source == source; });
        put();
        store.replace(source, chunks, vectors);
      }
    }

    REQUIRE(store.size() == naive.entries.size());
    rag::Matrix query(1, 5);
    for (std::size_t j = 0; j < 5; ++j) query.data()[j] = static_cast<float>(below(3));
    std::vector<rag::Id> found;
    for (const rag::Hit& hit : store.search(query.row(0), 20)) found.push_back(hit.chunk.id);
    REQUIRE(found == naive.search(query.row(0), 20));
    std::vector<rag::Chunk> of_source;
    for (const auto& [chunk, vector] : naive.entries) {
      if (chunk.source == source) of_source.push_back(chunk);
      REQUIRE(store.find(chunk.id) != nullptr);
      REQUIRE(*store.find(chunk.id) == chunk);
    }
    REQUIRE(store.chunks(source) == of_source);
    REQUIRE(store.find(naive.next) == nullptr);
  }
}

TEST_CASE("errors say who, what was wanted and what was given") {
  rag::FlatStore<384> store;
  const std::vector<rag::Chunk> chunks = {chunk_of("s", "0"), chunk_of("s", "1")};
  rag::Matrix bad(2, 384);
  bad.row(1)[383] = std::numeric_limits<float>::quiet_NaN();

  CHECK(error_of([&] { store.add(chunks, rag::Matrix(2, 768)); }) ==
        std::pair{rag::Errc::dimension_mismatch, std::string("FlatStore::add: 384 columns wanted, 768 given")});
  const auto [code, text] = error_of([&] { store.add(chunks, bad); });
  CHECK(code == rag::Errc::invalid_argument);
  CHECK(text.find("row 1") != std::string::npos);
  CHECK(error_of([&] { store.search(std::vector<float>(3), 1); }) ==
        std::pair{rag::Errc::dimension_mismatch, std::string("FlatStore::search: 384 columns wanted, 3 given")});
  CHECK(error_of([&] { store.upsert(chunks, rag::Matrix(2, 384)); }).first == rag::Errc::invalid_argument);
  CHECK(error_of([&] { store.replace("other", chunks, rag::Matrix(2, 384)); }).first == rag::Errc::invalid_argument);
  CHECK(error_of([&] { store.upsert(std::vector{chunk_of("s", "t", 1), chunk_of("s", "t", 1)}, rag::Matrix(2, 384)); })
            .first == rag::Errc::invalid_argument);
  CHECK(store.size() == 0);
  CHECK(rag::FlatStore{}.search(std::vector<float>(3), 1).empty());
}

TEST_CASE("an id is not given twice, even after its chunk is gone") {
  rag::FlatStore store;
  store.add(std::vector{chunk_of("s", "0"), chunk_of("s", "1")}, axes({0, 1}, 2));

  CHECK(store.erase(std::vector<rag::Id>{1, 1, 7, -1}) == 1);
  CHECK(store.add(std::vector{chunk_of("s", "2")}, axes({0}, 2)) == std::vector<rag::Id>{2});
  CHECK(store.add(std::vector{chunk_of("s", "again", 1)}, axes({0}, 2)) == std::vector<rag::Id>{1});
  CHECK(error_of([&] {
          store.add(std::vector{chunk_of("s", "last", std::numeric_limits<rag::Id>::max())}, axes({0}, 2));
        }).first == rag::Errc::invalid_argument);
}

TEST_CASE("a filter keeps the best of those that pass") {
  std::mt19937 random(3);
  const rag::Matrix vectors = random_matrix(1000, 20, random), query = random_matrix(1, 20, random);
  rag::FlatStore store;
  std::vector<rag::Chunk> chunks;
  for (std::size_t i = 0; i < 1000; ++i) chunks.push_back({"t", "s", 0, 1, {{"year", 2000 + i % 30}}});
  store.add(chunks, vectors);
  const auto all = store.search(query.row(0), 1000);

  for (const double year : {1990.0, 2007.0, 2029.0}) {
    CAPTURE(year);
    const rag::Filter filter = rag::field("year") <= year;
    std::vector<rag::Hit> wanted;
    for (const rag::Hit& hit : all)
      if (matches(filter, hit.chunk) && wanted.size() < 50) wanted.push_back(hit);
    CHECK(store.search(query.row(0), 50, filter) == wanted);
  }
}

TEST_CASE("a store may be changed with its own chunks and source names") {
  rag::FlatStore store;
  for (int i = 0; i < 3; ++i)
    store.add(std::vector{chunk_of("a", "a"), chunk_of("a source with a long name", "b")}, axes({0, 1}, 2));

  for (const rag::Id id : {0, 1}) {
    CAPTURE(id);
    const std::string name = store.find(id)->source;
    store.replace(store.find(id)->source, {}, rag::Matrix());
    CHECK(store.chunks(name).empty());
    CHECK(store.size() == (id == 0 ? 3u : 0u));
  }
  store.add(std::vector{chunk_of("a", "a")}, axes({0}, 2));
  rag::Chunk own = *store.find(6);
  own.id = rag::no_id;
  CHECK(store.add(std::span(&own, 1), axes({0}, 2)) == std::vector<rag::Id>{7});
  CHECK(store.upsert(std::span(store.find(6), 1), axes({1}, 2)) == std::vector<rag::Id>{6});
  CHECK(store.size() == 2);
}

TEST_CASE("zero, tiny and huge vectors give finite scores; longer ones are refused") {
  const std::vector<float> values = {0.0f, 1e-45f, 1e-38f, 1e-20f, 1.0f, 8e18f};
  rag::Matrix vectors(values.size(), 2);
  for (std::size_t i = 0; i < values.size(); ++i) vectors.row(i)[0] = values[i];
  const std::vector<rag::Chunk> chunks(values.size(), chunk_of("s", "t"));
  const auto check = [&](auto store) {
    store.add(chunks, vectors);
    for (const float sign : {1.0f, -1.0f})
      for (const float value : values)
        for (const rag::Hit& hit : store.search(std::vector<float>{sign * value, 0.0f}, 10)) CHECK(std::isfinite(hit.score));
    CHECK(error_of([&] { store.add(std::vector{chunks[0]}, [] {
                           rag::Matrix long_one(1, 2);
                           long_one.row(0)[0] = 1e19f;
                           return long_one;
                         }()); }).first == rag::Errc::invalid_argument);
  };

  check(rag::FlatStore{});
  check(rag::FlatStore<2, rag::L2>{});
  check(rag::FlatStore<2, rag::Cosine>{});
  rag::FlatStore<2, rag::Cosine> cosine;
  cosine.add(chunks, vectors);
  for (const rag::Hit& hit : cosine.search(std::vector<float>{1e-20f, 0.0f}, 10))
    CHECK(hit.score == doctest::Approx(hit.chunk.id == 0 ? 0 : 1));
  CHECK(rag::FlatStore<2, rag::L2>{}.search(std::vector<float>{1, 1}, 1).empty());
}
