// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_LAWS_STORE_HPP
#define RAG_TESTS_LAWS_STORE_HPP
#include <doctest/doctest.h>

#include <rag/concepts.hpp>
#include <rag/store/filter.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace laws {

inline rag::Chunk chunk_of(const std::string& source, const std::string& text, rag::Id id = rag::no_id) {
  return {text, source, 0, text.size(), {{"name", text}, {"size", text.size()}, {"long", text.size() > 3}}, id};
}

/// Row i is the unit vector of axis i modulo the dimension, so equal rows and ties are easy to make.
inline rag::Matrix axes(std::vector<std::size_t> numbers, std::size_t dimension) {
  rag::Matrix vectors(numbers.size(), dimension);
  for (std::size_t i = 0; i < numbers.size(); ++i) vectors.row(i)[numbers[i] % dimension] = 1.0f;
  return vectors;
}

/// The sentences of ReplacingStore, on an empty store.
template <rag::ReplacingStore S>
void check_replacing_store(S store, std::size_t dimension) {
  const std::vector<rag::Chunk> old = {chunk_of("a", "a0"), chunk_of("b", "b0"), chunk_of("a", "a1")};
  store.add(old, axes({0, 1, 0}, dimension));
  const auto texts = [&](std::size_t axis) {
    std::vector<std::string> found;
    for (const rag::Hit& hit : std::as_const(store).search(axes({axis}, dimension).row(0), 100))
      found.push_back(hit.chunk.text);
    std::sort(found.begin(), found.end());
    return found;
  };
  using Texts = std::vector<std::string>;

  const std::vector<rag::Chunk> fresh = {chunk_of("a", "a2"), chunk_of("a", "a3"), chunk_of("a", "a4")};
  const std::vector<rag::Id> ids = store.replace("a", fresh, axes({0, 1, 0}, dimension));
  CHECK(ids.size() == 3);
  CHECK(texts(0) == Texts{"a2", "a3", "a4", "b0"});

  CHECK(store.replace("new", std::vector{chunk_of("new", "n0")}, axes({1}, dimension)).size() == 1);
  CHECK(std::as_const(store).size() == 5);

  const std::vector<rag::Chunk> taken = {chunk_of("a", "a5"), chunk_of("a", "a6", 1)};  // 1 is b0's
  CHECK_THROWS_AS(store.replace("a", taken, axes({0, 0}, dimension)), rag::Error);
  CHECK(texts(0) == Texts{"a2", "a3", "a4", "b0", "n0"});  // all or nothing

  CHECK(store.replace("a", {}, rag::Matrix()).empty());
  CHECK(store.replace("nobody", {}, rag::Matrix()).empty());
  CHECK(texts(1) == Texts{"b0", "n0"});
}

/// The sentence of FilteringStore for a rag::Filter, on an empty store: as if there were no others.
template <rag::FilteringStore<rag::Filter> S>
void check_filtering_store(S store, std::size_t dimension) {
  std::vector<rag::Chunk> chunks;
  std::vector<std::size_t> numbers;
  for (std::size_t i = 0; i < 40; ++i) {
    chunks.push_back(chunk_of(i % 3 == 0 ? "a.md" : "b.md", std::to_string(i)));
    if (i % 4 != 0) chunks.back().metadata.set("year", 2000 + i % 7);
    numbers.push_back(i % 5);
  }
  const std::vector<rag::Id> ids = store.add(chunks, axes(numbers, dimension));
  for (std::size_t i = 0; i < ids.size(); ++i) chunks[i].id = ids[i];
  const rag::Matrix query = axes({1}, dimension);
  const S& fixed = store;
  const std::vector<rag::Hit> all = fixed.search(query.row(0), 100);
  for (const rag::Filter& filter :
       {rag::Filter(), !rag::Filter(), rag::field("year") == 2003, rag::field("year") != 2003, rag::field("year") >= 2004,
        rag::source() == "a.md" || rag::field("year") < 2001, rag::source().starts_with("b") && rag::field("year").exists(),
        rag::field("name").in({"1", "2", "39"}), rag::field("long") == true, rag::field("nobody") == 1}) {
    std::vector<rag::Hit> wanted;
    for (const rag::Hit& hit : all)
      if (matches(filter, hit.chunk)) wanted.push_back(hit);
    CHECK(fixed.search(query.row(0), 100, filter) == wanted);
    wanted.resize(std::min<std::size_t>(wanted.size(), 2));
    CHECK(fixed.search(query.row(0), 2, filter) == wanted);
  }
}

/// The sentences of Store, and of ReplacingStore and FilteringStore where it is one. make() gives an empty store for that dimension,
/// which is 2 or more, in which equal unit vectors score higher than orthogonal ones.
template <class Make>
void check_store(Make make, std::size_t dimension) {
  using S = decltype(make());
  static_assert(rag::Store<S>);
  S store = make();
  const S& fixed = store;
  const rag::Matrix query = axes({1}, dimension);
  CHECK(fixed.size() == 0);
  CHECK((fixed.dimension() == 0 || fixed.dimension() == dimension));
  CHECK(fixed.search(query.row(0), 3).empty());
  CHECK(store.add({}, rag::Matrix()).empty());

  // ids
  std::vector<rag::Chunk> chunks = {chunk_of("s", "zero"), chunk_of("s", "one"), chunk_of("t", "two"),
                                    chunk_of("t", "ten", 10), chunk_of("t", "eleven")};
  CHECK(store.add(chunks, axes({0, 1, 1, 0, 1}, dimension)) == std::vector<rag::Id>{0, 1, 2, 10, 11});
  CHECK(fixed.size() == 5);
  CHECK(fixed.dimension() == dimension);

  // best first, ties in order of insertion, chunks as they were given
  const std::vector<rag::Hit> hits = fixed.search(query.row(0), std::numeric_limits<std::size_t>::max());
  REQUIRE(hits.size() == 5);
  const std::vector<std::size_t> order = {1, 2, 4, 0, 3};
  const std::vector<rag::Id> ids = {0, 1, 2, 10, 11};
  for (std::size_t i = 0; i < 5; ++i) {
    CAPTURE(i);
    chunks[order[i]].id = ids[order[i]];
    CHECK(hits[i].chunk == chunks[order[i]]);
    if (i > 0) CHECK(hits[i - 1].score >= hits[i].score);
  }
  CHECK(hits[0].score == hits[2].score);
  CHECK(hits[2].score > hits[3].score);
  for (std::size_t k = 0; k <= 6; ++k) {
    CAPTURE(k);
    const auto some = fixed.search(query.row(0), k);
    CHECK(some == std::vector<rag::Hit>(hits.begin(), hits.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(k, 5))));
  }

  // all or nothing
  const auto refuses = [&](std::vector<rag::Chunk> bad, const rag::Matrix& vectors) {
    CHECK_THROWS_AS(store.add(bad, vectors), rag::Error);
    CHECK(fixed.search(query.row(0), 100) == hits);
  };
  const rag::Chunk good = chunk_of("s", "good");
  refuses({good, chunk_of("s", "taken", 10)}, axes({1, 1}, dimension));
  refuses({chunk_of("s", "twice", 30), chunk_of("s", "twice", 30)}, axes({1, 1}, dimension));
  refuses({chunk_of("s", "negative", -7)}, axes({1}, dimension));
  refuses({good, good}, axes({1}, dimension));
  refuses({good}, axes({1, 1}, dimension));
  refuses({good}, axes({1}, dimension + 1));
  for (const float value : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    rag::Matrix vectors = axes({1, 1}, dimension);
    vectors.row(1)[dimension - 1] = value;
    refuses({good, good}, vectors);
    CHECK_THROWS_AS(fixed.search(vectors.row(1), 1), rag::Error);
  }
  CHECK_THROWS_AS(fixed.search(axes({1}, dimension + 1).row(0), 1), rag::Error);
  CHECK(store.add(std::vector{good}, axes({0}, dimension)) == std::vector<rag::Id>{12});

  if constexpr (rag::ReplacingStore<S>) check_replacing_store(make(), dimension);
  if constexpr (rag::FilteringStore<S, rag::Filter>) check_filtering_store(make(), dimension);
}

}  // namespace laws

#endif
