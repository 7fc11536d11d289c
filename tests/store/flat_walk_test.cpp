// SPDX-License-Identifier: MIT
#include <rag/store/flat.hpp>

#include "laws/store.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

/// A list that is sorted anew for each search; its scores come from a store of the one chunk.
template <class Metric>
struct PlainList {
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
  float score(std::span<const float> query, const std::vector<float>& row) const {
    float value = 0;
    if constexpr (std::is_same_v<Metric, rag::L2>) {
      rag::detail::scan_rows<rag::detail::RowOperation::squared_distance>(row.data(), 1, row.size(), query.data(), &value);
      return 0.0f - value;
    }
    std::vector<float> unit(query.begin(), query.end());
    const auto length = [](std::span<const float> values) {
      double sum = 0;
      for (const float x : values) sum += static_cast<double>(x) * static_cast<double>(x);
      return std::sqrt(sum);
    };
    if constexpr (std::is_same_v<Metric, rag::Cosine>)
      if (const double norm = length(query); norm > 0)
        for (float& x : unit) x = static_cast<float>(static_cast<double>(x) / norm);
    rag::detail::scan_rows<rag::detail::RowOperation::dot>(row.data(), 1, row.size(), unit.data(), &value);
    if constexpr (std::is_same_v<Metric, rag::Cosine>) {
      const auto norm = static_cast<float>(length(row));
      return norm > 0 ? value / norm : 0.0f;
    }
    return value;
  }
  std::vector<rag::Hit> search(std::span<const float> query, const rag::Filter& filter) const {
    std::vector<rag::Hit> hits;
    for (const Entry& entry : entries)
      if (matches(filter, entry.chunk)) hits.push_back({entry.chunk, score(query, entry.vector)});
    std::stable_sort(hits.begin(), hits.end(), [](const auto& a, const auto& b) { return a.score > b.score; });
    return hits;
  }
};

/// A store and a list that go through the same changes.
template <std::size_t Dimension, class Metric>
struct Walk {
  std::mt19937 random;
  std::size_t dimension;
  rag::FlatStore<Dimension, Metric> store;
  PlainList<Metric> list;

  Walk(unsigned seed, std::size_t columns) : random(seed), dimension(columns) {}

  std::size_t below(std::size_t n) { return random() % n; }
  rag::Matrix rows(std::size_t count) {
    rag::Matrix matrix(count, dimension);
    for (std::size_t i = 0; i < count * dimension; ++i) matrix.data()[i] = static_cast<float>(below(5)) - 1.5f;
    for (std::size_t i = 0; i < count; ++i)
      if (below(10) == 0) std::fill(matrix.row(i).begin(), matrix.row(i).end(), 0.0f);
    return matrix;
  }
  std::string source() { return std::string(1, static_cast<char>('a' + below(6))); }
  std::vector<rag::Chunk> chunks(std::size_t count, const std::string& from) {
    std::vector<rag::Chunk> made;
    for (std::size_t i = 0; i < count; ++i) {
      made.push_back({"text " + std::to_string(below(1000)), from, 0, 5, {{"n", below(20)}}});
      if (below(3) == 0) made.back().metadata.set("tag", std::string(1, static_cast<char>('a' + below(3))));
    }
    return made;
  }
  rag::Filter filter() {
    switch (below(6)) {
      case 0: return rag::field("n") < below(20);
      case 1: return rag::field("tag") == "a" || rag::field("n") == 3;
      case 2: return !rag::field("tag").exists() && rag::source() != "b";
      case 3: return rag::source().in({"a", "c"});
      case 4: return rag::field("n") == 21;
      default: return {};
    }
  }

  void change(std::size_t most) {
    const std::string from = source();
    std::vector<rag::Chunk> made = chunks(below(most), from);
    switch (below(6)) {
      case 0:
      case 1: {
        const rag::Matrix vectors = rows(made.size());
        store.add(made, vectors);
        return put(made, vectors);
      }
      case 2: {
        for (std::size_t i = 0; i < made.size(); ++i) made[i].id = static_cast<rag::Id>(below(static_cast<std::size_t>(list.next) + 5));
        std::sort(made.begin(), made.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
        made.erase(std::unique(made.begin(), made.end(), [](const auto& a, const auto& b) { return a.id == b.id; }), made.end());
        const rag::Matrix vectors = rows(made.size());
        store.upsert(made, vectors);
        return put(made, vectors);
      }
      case 3: {
        std::vector<rag::Id> ids;
        for (std::size_t i = below(most); i > 0; --i) ids.push_back(static_cast<rag::Id>(below(static_cast<std::size_t>(list.next) + 2)));
        const auto gone = [&](const auto& entry) { return std::find(ids.begin(), ids.end(), entry.chunk.id) != ids.end(); };
        CHECK(store.erase(ids) == std::erase_if(list.entries, gone));
        return;
      }
      case 4: {
        const rag::Filter which = filter() && rag::field("n") < 5;
        CHECK(store.erase(which) ==
              std::erase_if(list.entries, [&](const auto& entry) { return matches(which, entry.chunk); }));
        return;
      }
      default: {
        if (below(2)) {  // some keep the id of one that goes
          const std::vector<rag::Chunk> old = store.chunks(from);
          for (std::size_t i = 0; i < std::min(old.size(), made.size()); ++i) made[i].id = old[old.size() - 1 - i].id;
        }
        std::erase_if(list.entries, [&](const auto& entry) { return entry.chunk.source == from; });
        const rag::Matrix vectors = rows(made.size());
        store.replace(from, made, vectors);
        return put(made, vectors);
      }
    }
  }
  void put(const std::vector<rag::Chunk>& made, const rag::Matrix& vectors) {
    for (std::size_t i = 0; i < made.size(); ++i) list.put(made[i], vectors.row(i));
  }

  void compare() {
    REQUIRE(store.size() == list.entries.size());
    const rag::Matrix queries = rows(3);
    const rag::Filter some = filter();
    const std::size_t k = below(2) ? below(20) : std::numeric_limits<std::size_t>::max();
    const auto first = [](std::vector<rag::Hit> hits, std::size_t count) {
      if (hits.size() > count) hits.resize(count);
      return hits;
    };
    const auto many = store.search(queries, k, some);
    for (std::size_t i = 0; i < 3; ++i) {
      const std::vector<rag::Hit> wanted = list.search(queries.row(i), some);
      REQUIRE(store.search(queries.row(i), k, some) == first(wanted, k));
      REQUIRE((store.dimension() == 0 || many[i] == first(wanted, k)));
      std::vector<rag::Hit> above = wanted;
      const float score = wanted.empty() ? 0.0f : wanted[below(wanted.size())].score;
      std::erase_if(above, [&](const rag::Hit& hit) { return hit.score < score; });
      REQUIRE(store.search_above(queries.row(i), score, some) == above);
    }
    std::vector<rag::Id> ids;
    std::vector<rag::Chunk> kept, of_source;
    const std::string from = source();
    for (const auto& [chunk, vector] : list.entries) {
      REQUIRE(store.find(chunk.id) != nullptr);
      REQUIRE(*store.find(chunk.id) == chunk);
      REQUIRE(std::ranges::equal(store.vector(chunk.id), vector));
      if (matches(some, chunk)) ids.push_back(chunk.id), kept.push_back(chunk);
      if (chunk.source == from) of_source.push_back(chunk);
    }
    REQUIRE(store.ids(some) == ids);
    REQUIRE(store.count(some) == ids.size());
    REQUIRE(store.chunks(some) == kept);
    REQUIRE(store.chunks(from) == of_source);
    REQUIRE(store.find(list.next) == nullptr);
  }
};

template <std::size_t Dimension, class Metric>
void walk(unsigned seed, std::size_t dimension, int steps, std::size_t most) {
  Walk<Dimension, Metric> both(seed, dimension);
  for (int step = 0; step < steps; ++step) {
    CAPTURE(step);
    both.change(most);
    if (step % 3 != 0) continue;
    both.compare();
    auto copy = both.store;  // stands for itself
    copy.erase(rag::field("n") < 10);
    copy.add(both.chunks(3, "a"), both.rows(3));
    auto moved = std::move(copy);
    copy = both.store;
    both.store = std::move(copy);
    both.compare();
  }
}

}  // namespace

TEST_CASE("a random walk of all changes leaves what a plain list holds, in each metric") {
  walk<0, rag::InnerProduct>(1, 5, 100, 8);
  walk<3, rag::Cosine>(2, 3, 100, 8);
  walk<0, rag::L2>(3, 7, 100, 8);
  walk<1, rag::InnerProduct>(4, 1, 100, 40);
  walk<0, rag::Cosine>(5, 33, 60, 200);
}

TEST_CASE("a store that grows and shrinks over the bound of the planes finds what a plain list finds") {
  walk<0, rag::InnerProduct>(6, 17, 16, 3000);
  walk<0, rag::Cosine>(7, 64, 13, 3000);
  walk<9, rag::L2>(8, 9, 13, 3000);
}

TEST_CASE("what was erased gives its memory back, and segments begin where they should") {
  rag::detail::RowSegments rows(false);
  const std::vector<float> row(3, 1.0f);
  const auto check = [&](std::size_t size) {
    REQUIRE(rows.size() == size);
    std::size_t count = 0, room = 0;
    for (const auto& segment : rows.scan_segments()) {
      CHECK(segment.capacity % 64 == 0);
      CHECK((segment.planes != nullptr) == (size >= 1024 || (size >= 512 && segment.planed > 0)));
      if (segment.planes != nullptr) CHECK(segment.planed == segment.count / 16 * 16);
      count += segment.count;
      room += segment.capacity;
    }
    CHECK(count == size);
    CHECK(room <= 4 * size + 128);
    for (std::size_t slot = 0; slot < size; ++slot)
      if (rows.chunk(slot).id < 0 || rows.row(slot)[2] != 1.0f) FAIL(slot);
  };
  for (std::size_t size = 1; size <= 300000; size = size * 3 + 1) {
    CAPTURE(size);
    rows.reserve(size, 3, 0);
    while (rows.size() < size) rows.push({"", "", 0, 0, {}, static_cast<rag::Id>(rows.size())}, row.data(), 0);
    rows.settle();
    check(size);
  }
  while (rows.size() > 1) {
    CAPTURE(rows.size());
    const std::size_t left = rows.size() / 5 + 1;
    rows.reserve(rows.size(), 3, rows.size());
    while (rows.size() > left) rows.remove(rows.size() / 2);
    rows.settle();
    check(left);
  }
}

TEST_CASE("threads give the bits that one thread gives, and may search side by side") {
  Walk<0, rag::InnerProduct> both(9, 48);
  both.store = rag::FlatStore<>{rag::FlatOptions{.threads = 3}};
  rag::FlatStore one;
  const std::vector<rag::Chunk> chunks = both.chunks(6000, "a");
  const rag::Matrix vectors = both.rows(6000), queries = both.rows(8);
  both.store.add(chunks, vectors);
  one.add(chunks, vectors);
  std::vector<int> wrong(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < wrong.size(); ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < queries.rows(); ++i) {
        const rag::Filter filter = rag::field("n") < (i + t) % 20;
        wrong[t] += both.store.search(queries.row(i), 30) != one.search(queries.row(i), 30);
        wrong[t] += both.store.search(queries.row(i), 30, filter) != one.search(queries.row(i), 30, filter);
        wrong[t] += both.store.chunks("a").size() != 6000;
      }
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(4));
}

TEST_CASE("searches say what is wrong with them") {
  rag::FlatStore<2> store;
  store.add(std::vector{laws::chunk_of("s", "t")}, laws::axes({0}, 2));
  rag::Matrix bad(2, 2);
  bad.row(1)[1] = std::numeric_limits<float>::infinity();

  const auto text_of = [](auto work) {
    try {
      work();
    } catch (const rag::Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  CHECK(text_of([&] { store.search(bad, 1); }) ==
        "FlatStore::search: query 1 holds NaN or infinity, or is longer than 9e18");
  CHECK(text_of([&] { store.search(rag::Matrix(1, 3), 1); }) == "FlatStore::search: 2 columns wanted, 3 given");
  CHECK(text_of([&] { store.search_above(bad.row(0), std::nanf("")); }) ==
        "FlatStore::search_above: a score wanted, NaN given");
  CHECK(store.search(rag::Matrix(), 1).empty());
  CHECK(store.search(rag::Matrix(2, 2), 0) == std::vector<std::vector<rag::Hit>>(2));
  CHECK(store.search_above(bad.row(0), -1).size() == 1);
  CHECK(store.erase(rag::Filter()) == 1);
  CHECK(store.search(rag::Matrix(2, 2), 3) == std::vector<std::vector<rag::Hit>>(2));
}
