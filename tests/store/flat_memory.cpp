// SPDX-License-Identifier: MIT
#include <rag/store/flat.hpp>

#include "laws/store.hpp"
#include "paths.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>
#include <utility>
#include <vector>

// Memory runs out at the n-th allocation of a call, n = 1, 2, …, once or for ever: the store is as before, and the call
// works afterwards. These replace the operators of the whole program, which is therefore one of its own, and fail on
// request of one thread alone.

namespace {

thread_local std::size_t countdown = 0;  // the allocation that fails, counted from 1; 0: none
thread_local bool for_ever = false, failed = false;

void* take(std::size_t size, std::size_t alignment = 0) {
  if (countdown > 0 && --countdown == 0) {
    failed = true;
    countdown = for_ever ? 1 : 0;
    throw std::bad_alloc();
  }
  void* bytes = alignment == 0 ? std::malloc(size + (size == 0))
                               : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (bytes == nullptr) throw std::bad_alloc();
  return bytes;
}

}  // namespace

// Not inlined, or g++ sees malloc() meet delete and warns.
#define APART __attribute__((noinline))
APART void* operator new(std::size_t size) { return take(size); }
APART void* operator new[](std::size_t size) { return take(size); }
APART void* operator new(std::size_t size, std::align_val_t alignment) { return take(size, static_cast<std::size_t>(alignment)); }
APART void* operator new[](std::size_t size, std::align_val_t alignment) { return take(size, static_cast<std::size_t>(alignment)); }
// std::stable_sort asks in this way, and does with less where it gets nothing.
APART void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return std::malloc(size + (size == 0)); }
APART void* operator new[](std::size_t size, const std::nothrow_t&) noexcept { return std::malloc(size + (size == 0)); }
APART void operator delete(void* bytes, const std::nothrow_t&) noexcept { std::free(bytes); }
APART void operator delete[](void* bytes, const std::nothrow_t&) noexcept { std::free(bytes); }
APART void operator delete(void* bytes) noexcept { std::free(bytes); }
APART void operator delete[](void* bytes) noexcept { std::free(bytes); }
APART void operator delete(void* bytes, std::size_t) noexcept { std::free(bytes); }
APART void operator delete[](void* bytes, std::size_t) noexcept { std::free(bytes); }
APART void operator delete(void* bytes, std::align_val_t) noexcept { std::free(bytes); }
APART void operator delete[](void* bytes, std::align_val_t) noexcept { std::free(bytes); }
APART void operator delete(void* bytes, std::size_t, std::align_val_t) noexcept { std::free(bytes); }
APART void operator delete[](void* bytes, std::size_t, std::align_val_t) noexcept { std::free(bytes); }

namespace {

using Store = rag::FlatStore<0, rag::Cosine>;

rag::Matrix rows(std::size_t count, std::size_t first) {
  rag::Matrix matrix(count, 5);
  for (std::size_t i = 0; i < count * 5; ++i) matrix.data()[i] = static_cast<float>((first + i * i * 7) % 11) - 4.5f;
  return matrix;
}

std::vector<rag::Chunk> chunks(std::size_t count, const std::string& source, rag::Id first = rag::no_id) {
  std::vector<rag::Chunk> made;
  for (std::size_t i = 0; i < count; ++i)
    made.push_back({"a text that is longer than a short string " + std::to_string(i), source, 0, 9, {{"n", i % 9}},
                    first == rag::no_id ? first : first + static_cast<rag::Id>(i)});
  return made;
}

const std::string long_name = "a source with a name that is longer than a short string";

/// Few rows: a change makes new segments. Many: it makes planes.
Store base_store(std::size_t size) {
  Store store;
  store.add(chunks(size / 2, long_name), rows(size / 2, 0));
  store.add(chunks(size - size / 2, "b"), rows(size - size / 2, 3));
  store.erase(std::vector<rag::Id>{3, 5});
  store.chunks("b");  // an index
  store.count(rag::field("n") < 3);
  return store;
}

struct State {
  std::vector<rag::Hit> hits, few;
  std::vector<rag::Chunk> chunks, of_source;
  std::vector<rag::Id> next;
  std::size_t size, count;
  bool operator==(const State&) const = default;
};

State state_of(Store store) {
  const rag::Matrix query = rows(1, 5);
  return {store.search(query.row(0), 100000), store.search(query.row(0), 7, rag::field("n") >= 4), store.chunks(rag::Filter()),
          store.chunks(long_name), store.add(chunks(1, "c"), rows(1, 1)), store.size(), store.count(rag::field("n") < 3)};
}

template <class Call>
void check(const char* name, std::size_t size, Call call) {
  CAPTURE(name);
  CAPTURE(size);
  const Store base = base_store(size);
  const State before = state_of(base);
  Store done = base;
  call(done);
  const State after = state_of(done);
  for (const bool ever : {false, true}) {
    std::size_t n = 1;
    for (bool goes_on = true; goes_on; ++n) {
      CAPTURE(n);
      CAPTURE(ever);
      REQUIRE(n < 5000);
      Store store = base_store(size);
      bool thrown = false;
      countdown = n, for_ever = ever, failed = false;
      try {
        call(store);
      } catch (const std::bad_alloc&) {
        thrown = true;
      }
      countdown = 0;
      goes_on = failed;
      const State now = state_of(store);
      if (thrown) REQUIRE(now == before);
      else REQUIRE(now == after);
      if (thrown) {
        call(store);
        REQUIRE(state_of(store) == after);
      }
    }
    CHECK(n > 2);
  }
}

void check_all(std::size_t size) {
  const auto fresh = chunks(70, "c"), same = chunks(40, long_name), few = chunks(4, "d"), with_ids = chunks(9, "c", 10);
  const rag::Matrix vectors70 = rows(70, 2), vectors40 = rows(40, 4), vectors4 = rows(4, 6), vectors9 = rows(9, 8);
  const rag::Matrix query = rows(3, 9);
  check("add", size, [&](Store& store) { store.add(fresh, vectors70); });
  check("add few", size, [&](Store& store) { store.add(few, vectors4); });
  check("upsert", size, [&](Store& store) { store.upsert(with_ids, vectors9); });
  check("replace", size, [&](Store& store) { store.replace(long_name, same, vectors40); });
  check("replace by nothing", size, [&](Store& store) { store.replace("b", {}, rag::Matrix()); });
  check("erase", size, [&](Store& store) { store.erase(std::vector<rag::Id>{1, 2, 30, 60, 1000}); });
  check("erase by a filter", size, [&](Store& store) { store.erase(rag::field("n") == 2 && rag::source() == "b"); });
  check("search", size, [&](Store& store) { store.search(query.row(0), 5); });
  check("search with a filter", size, [&](Store& store) { store.search(query.row(0), 5, rag::source() > "a"); });
  check("search of a batch", size, [&](Store& store) { store.search(query, 5, rag::field("n").in({1, 2})); });
  check("search above", size, [&](Store& store) { store.search_above(query.row(0), 0.5f, rag::field("x") == 1); });
  check("chunks", size, [&](Store& store) { store.chunks(long_name); });
  check("chunks by a filter", size, [&](Store& store) { store.chunks(rag::source() == long_name); });
  check("ids", size, [&](Store& store) { store.ids(!rag::source().starts_with("a")); });
  check("count", size, [&](Store& store) { store.count(rag::field("y").exists()); });
  check("copy", size, [&](Store& store) { Store copy = store; });
  check("assign", size, [&](Store& store) {
    const Store other = base_store(20);
    store = other;
  });
  check("assign to another", size, [&](Store& store) {
    Store other;
    other.add(few, vectors4);
    other = store;
    store = std::move(other);
  });
}

}  // namespace

TEST_CASE("a store that runs out of memory is as before, at each allocation of each call") { check_all(80); }

TEST_CASE("a store that runs out of memory for its planes is as before, or finds the same without them") {
  const auto few = chunks(9, "d"), with_ids = chunks(9, "c", 10);
  const rag::Matrix vectors = rows(9, 6), query = rows(1, 9);
  check("the first planes", 4090, [&](Store& store) { store.add(few, vectors); });
  check("changed planes", 4200, [&](Store& store) { store.upsert(with_ids, vectors); });
  check("planes of what fills a hole", 4200, [&](Store& store) { store.erase(std::vector<rag::Id>{1, 20, 3000}); });
  check("a search by planes", 4200, [&](Store& store) { store.search(query.row(0), 5); });
}

TEST_CASE("saving and loading that run out of memory leave the file as it was") {
  tests::TemporaryFolder folder;
  const std::string path = folder / "notes.rag";
  check("save", 40, [&](Store& store) { store.save(path); });
  check("load", 40, [&](Store& store) { store = Store::load(path); });
}
