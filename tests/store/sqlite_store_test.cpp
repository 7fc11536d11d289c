// SPDX-License-Identifier: MIT
// examples/sqlite_store.cpp under the laws of a store.
#include <doctest/doctest.h>

#ifdef RAG_HAS_SQLITE
#include <unistd.h>

#define main sqlite_store_main
#include "../../examples/sqlite_store.cpp"
#undef main

#include "laws/store.hpp"

TEST_CASE("a store over SQLite obeys the laws of a ReplacingStore") {
  laws::check_store([] { return SqliteStore(":memory:"); }, 3);
  laws::check_store([] { return SqliteStore(":memory:"); }, 384);
}

TEST_CASE("a store over SQLite gives back what another process would see") {
  const std::string path = "/tmp/rag_sqlite_store_test_" + std::to_string(::getpid()) + ".db";
  const std::vector<rag::Chunk> chunks = {laws::chunk_of("s", "zero"), laws::chunk_of("s", std::string("two \0 parts", 11))};
  SqliteStore(path).add(chunks, laws::axes({0, 1}, 3));
  const SqliteStore again(path);
  CHECK(again.size() == 2);
  CHECK(again.dimension() == 3);
  const std::vector<rag::Hit> hits = again.search(laws::axes({1}, 3).row(0), 1);
  REQUIRE(hits.size() == 1);
  CHECK(hits[0].chunk.id == 1);
  CHECK(hits[0].chunk.metadata == chunks[1].metadata);
  std::remove(path.c_str());
  CHECK_THROWS_AS(SqliteStore("no/such/folder/x.db"), rag::Error);
}

#else
TEST_CASE("a store over SQLite") { MESSAGE("skipped: SQLite was not found (Debian: libsqlite3-dev)"); }
#endif
