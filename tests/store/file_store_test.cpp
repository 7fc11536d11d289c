// SPDX-License-Identifier: MIT
#include <rag/store/flat.hpp>
#include <rag/store/open.hpp>

#include "fault_file.hpp"
#include "laws/store.hpp"
#include "paths.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <random>
#include <string>
#include <utility>
#include <vector>

static_assert(rag::ReplacingStore<rag::FileStore>);
static_assert(!rag::Store<rag::FileCollections>);

namespace {

using laws::axes;
using laws::chunk_of;

struct Clock {
  inline static std::chrono::milliseconds time{1'700'000'000'000};
  static std::chrono::milliseconds now() { return time; }
};
struct Random {
  inline static std::uint64_t next = 1;
  static std::uint64_t number() { return next++ * 0x9E3779B97F4A7C15u; }
};
using Store = rag::BasicFileStore<fault::FaultFile, Clock, Random>;
using Collections = Store::Collections;

template <class Work>
std::pair<rag::Errc, std::string> error_of(Work&& work) {
  try {
    work();
  } catch (const rag::Error& error) {
    return {error.code(), error.what()};
  }
  return {rag::Errc::cancelled, "nothing thrown"};
}

struct OnDisk {
  fault::FaultDisk disk;
  OnDisk() { disk.use(); }
};

}  // namespace

TEST_CASE_FIXTURE(OnDisk, "FileStore obeys the laws of a ReplacingStore in each metric") {
  int number = 0;
  for (const rag::AnyMetric metric :
       {rag::AnyMetric(rag::InnerProduct{}), rag::AnyMetric(rag::Cosine{}), rag::AnyMetric(rag::L2{})})
    for (const std::size_t dimension : {0u, 3u}) {
      CAPTURE(metric.name());
      laws::check_store(
          [&] {
            return Store("laws" + std::to_string(++number), {.dimension = dimension, .metric = metric});
          },
          3);
    }
}

TEST_CASE("FileStore obeys the laws on a real disk") {
  const tests::TemporaryFolder folder;
  int number = 0;
  laws::check_store([&] { return rag::FileStore((folder / std::to_string(++number)).string()); }, 385);
}

TEST_CASE_FIXTURE(OnDisk,
                  "a random walk of changes leaves what FlatStore holds, however often the file is closed") {
  std::mt19937 random(2);
  const auto below = [&](unsigned n) { return static_cast<std::size_t>(random() % n); };
  auto store = std::make_unique<Store>("walk");
  rag::FlatStore flat;
  for (int step = 0; step < 500; ++step) {
    CAPTURE(step);
    std::vector<rag::Chunk> chunks;
    const std::string source(1, static_cast<char>('a' + below(5)));
    for (std::size_t i = below(4); i > 0; --i)
      chunks.push_back(chunk_of(source, "step " + std::to_string(step)));
    rag::Matrix vectors(chunks.size(), 5);
    for (std::size_t i = 0; i < chunks.size() * 5; ++i) vectors.data()[i] = static_cast<float>(below(3));
    switch (below(9)) {
      case 0:
      case 1:
        REQUIRE(store->add(chunks, vectors) == flat.add(chunks, vectors));
        break;
      case 2:
        for (std::size_t i = 0; i < chunks.size(); ++i)
          chunks[i].id = static_cast<rag::Id>(300 * i + below(300));
        REQUIRE(store->upsert(chunks, vectors) == flat.upsert(chunks, vectors));
        break;
      case 3: {
        std::vector<rag::Id> ids;
        for (int i = 0; i < 3; ++i) ids.push_back(static_cast<rag::Id>(below(900)));
        REQUIRE(store->erase(ids) == flat.erase(ids));
        break;
      }
      case 4: {
        const std::vector<rag::Chunk> old = flat.chunks(source);
        for (std::size_t i = 0; i < std::min(old.size(), chunks.size()); ++i) chunks[i].id = old[i].id;
        REQUIRE(store->replace(source, chunks, vectors) == flat.replace(source, chunks, vectors));
        break;
      }
      case 5:
        store.reset();
        store = std::make_unique<Store>("walk");
        break;
      case 6:
        store->checkpoint();
        break;
      case 7:
        if (below(4) == 0) store->compact();
        break;
      default: {
        const auto report = store->check();
        CAPTURE(report.problems.empty() ? "" : report.problems.front());
        REQUIRE(report.clean());
        REQUIRE(report.rows == flat.size());
      }
    }
    REQUIRE(store->size() == flat.size());
    rag::Matrix query(1, 5);
    for (std::size_t j = 0; j < 5; ++j) query.data()[j] = static_cast<float>(below(3));
    const auto hits = store->search(query.row(0), 20);
    if (store->dimension() != 0) REQUIRE(hits == flat.search(query.row(0), 20));
    REQUIRE(store->chunks(source) == flat.chunks(source));
    const auto id = static_cast<rag::Id>(below(900));
    const rag::Chunk* there = flat.find(id);
    REQUIRE(store->find(id).has_value() == (there != nullptr));
    if (there != nullptr) REQUIRE(*store->find(id) == *there);
    const auto vector = flat.vector(id);
    REQUIRE(store->vector(id) == std::vector<float>(vector.begin(), vector.end()));
  }
}

TEST_CASE_FIXTURE(OnDisk,
                  "a store large enough for planes finds what FlatStore finds, after batches of any size") {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  for (const rag::AnyMetric metric : {rag::AnyMetric(rag::InnerProduct{}), rag::AnyMetric(rag::Cosine{})}) {
    CAPTURE(metric.name());
    rag::FlatStore plain;
    rag::FlatStore<0, rag::Cosine> cosine;
    auto store = std::make_unique<Store>(metric.name(), rag::CollectionOptions{.metric = metric});
    while (store->size() < 5000) {
      rag::Matrix vectors(1 + random() % 300, 20);
      for (std::size_t i = 0; i < vectors.rows() * 20; ++i) vectors.data()[i] = normal(random);
      std::vector<rag::Chunk> chunks(vectors.rows(), {"t", "s", 0, 1, {{"even", store->size() % 2 == 0}}});
      store->add(chunks, vectors), plain.add(chunks, vectors), cosine.add(chunks, vectors);
      if (random() % 8 == 0)
        store.reset(),
            store = std::make_unique<Store>(metric.name(), rag::CollectionOptions{.metric = metric});
    }
    std::vector<rag::Id> ids;
    for (int i = 0; i < 500; ++i) ids.push_back(static_cast<rag::Id>(random() % 5000));
    store->erase(ids), plain.erase(ids), cosine.erase(ids);
    rag::Matrix queries(30, 20);
    for (std::size_t i = 0; i < 600; ++i) queries.data()[i] = normal(random);
    for (const bool compacted : {false, true}) {
      if (compacted) store->compact();
      const auto check = [&](const auto& flat) {
        for (std::size_t i = 0; i < queries.rows(); ++i)
          CHECK(store->search(queries.row(i), 10) == flat.search(queries.row(i), 10));
        const rag::Filter even = rag::field("even") == true;
        CHECK(store->search(queries.row(0), 10, even) == flat.search(queries.row(0), 10, even));
        CHECK(store->search(queries, 7) == flat.search(queries, 7));
        CHECK(store->search_above(queries.row(1), 0.4f) == flat.search_above(queries.row(1), 0.4f));
        CHECK(store->ids(even) == flat.ids(even));
        CHECK(store->count(!even) == flat.count(!even));
        CHECK(store->chunks(even) == flat.chunks(even));
      };
      if (metric == rag::Cosine{})
        check(cosine);
      else
        check(plain);
    }
    CHECK(store->check().clean());
    CHECK(store->erase(rag::field("even") == true) == plain.erase(rag::field("even") == true));
    CHECK(store->size() == plain.size());
    CHECK(store->erase(rag::Filter()) == plain.size());
    CHECK(store->size() == 0);
  }
}
