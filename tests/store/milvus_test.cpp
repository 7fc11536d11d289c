// SPDX-License-Identifier: MIT
#include <rag/store/milvus.hpp>

#include <rag/store/flat.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "milvus_fixture.hpp"

static_assert(rag::ReplacingStore<rag::MilvusStore>);
static_assert(rag::FilteringStore<rag::MilvusStore, rag::Filter>);
static_assert(!rag::Store<rag::MilvusOptions>);

using namespace milvus;

TEST_CASE("MilvusStore keeps the laws of a store, whichever way the server speaks") {
  for (const int way : {0, 1, 2, 3, 4}) {
    CAPTURE(way);
    laws::check_store(
        [&] {
          Server server;
          server.state->code_200 = way == 1;
          server.state->string_ids = way == 2;
          server.state->topks = way != 3;
          rag::MilvusOptions some = options(4);
          some.metric = way == 4 ? rag::AnyMetric(rag::L2{}) : rag::AnyMetric(rag::InnerProduct{});
          some.batch_rows = way == 3 ? 2 : 1'000;
          return rag::MilvusStore(some, server);
        },
        4);
  }
}

TEST_CASE("MilvusStore keeps the laws of a store where every third request fails") {
  for (const Fault fault : {Fault::limiter, Fault::timeout, Fault::timeout_applied, Fault::unavailable, Fault::reset, Fault::reset_applied}) {
    CAPTURE(static_cast<int>(fault));
    laws::check_store(
        [&] {
          Server server;
          server.state->fault = fault;
          server.state->fault_every = 3;
          return rag::MilvusStore(options(3), server);
        },
        3);
  }
}

TEST_CASE("MilvusStore writes rows whose numbers no server misreads") {
  Server server;
  rag::MilvusStore store(options(2), server);
  const rag::Chunk chunk{"a\"b", "s.md", 1, 4, {{"z", 1e20}, {"a", 2024}, {"small", 1e-7}, {"on", true}, {"minus", -0.0}}, 9'007'199'254'740'993};

  store.add(std::vector{chunk}, rows({{0.1f, 1e-7f}}));

  CHECK(server.state->bodies.back() ==
        R"({"collectionName":"c","data":[{"id":9007199254740993,"vector":[0.1,1e-07],"text":"a\"b","source":"s.md","begin":1,"end":4,)"
        R"("metadata":{"z":1.0e+20,"a":2024.0,"small":1.0e-07,"on":true,"minus":-0.0},"names":["z","a","small","on","minus"]}]})");
  CHECK(store.find(9'007'199'254'740'993) == chunk);
  CHECK(store.vector(9'007'199'254'740'993) == std::vector<float>{0.1f, 1e-7f});
  CHECK(!store.find(9'007'199'254'740'992));
  CHECK(store.vector(1).empty());
}

TEST_CASE("MilvusStore asks and erases with these bytes") {
  Server server;
  rag::MilvusStore store(options(2), server);
  const auto last = [&] { return server.state->bodies.back(); };

  store.search(rows({{1, 0}}).row(0), 1, rag::source() == "a");
  CHECK(last() == R"({"collectionName":"c","annsField":"vector","data":[[1,0]],"limit":9,)"
                  R"("outputFields":["id","text","source","begin","end","metadata","names"],"filter":"source == \"a\"","consistencyLevel":"Strong"})");
  store.search(rows({{1, 0}, {0, 1}}), 100'000);
  CHECK(last() == R"({"collectionName":"c","annsField":"vector","data":[[0,1]],"limit":16384,)"
                  R"("outputFields":["id","text","source","begin","end","metadata","names"],"consistencyLevel":"Strong"})");
  CHECK(store.size() == 0);
  CHECK(last() == R"-({"collectionName":"c","outputFields":["count(*)"],"filter":"","consistencyLevel":"Strong"})-");
  store.add(std::vector{laws::chunk_of("a", "x", 5), laws::chunk_of("a", "y", 6)}, rag::Matrix(2, 2));
  CHECK(store.erase(std::vector<rag::Id>{6, 5, 4}) == 2);
  CHECK(last() == R"({"collectionName":"c","filter":"id in [5,6]"})");
}

TEST_CASE("MilvusStore gives chunks back equal, also where nested JSON comes as text") {
  for (const bool as_text : {false, true}) {
    CAPTURE(as_text);
    Server server;
    server.state->json_as_text = as_text;
    server.state->string_ids = as_text;
    rag::MilvusStore store(options(2), server);
    std::mt19937_64 random(7);
    std::vector<rag::Chunk> chunks;
    for (int i = 0; i < 200; ++i) {
      std::string text;
      for (std::uint64_t n = random() % 9; n > 0; --n) text += std::vector<std::string>{"\"", "\\", "\n", "é", "\x01", "}", "😀", "x", std::string(1, '\0')}[random() % 9];
      rag::Chunk chunk{text, "s" + std::to_string(i % 5), random() >> 1, random() >> 1, {}, static_cast<rag::Id>(random() >> 1)};
      for (std::uint64_t n = random() % 4; n > 0; --n) {
        const std::string name = "n" + std::to_string(random() % 100) + text;
        if (random() % 3 == 0) chunk.metadata.set(name, text);
        else if (random() % 2 == 0) chunk.metadata.set(name, std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 1800) - 900));
        else chunk.metadata.set(name, random() % 2 == 0);
      }
      chunks.push_back(chunk);
    }
    rag::Matrix vectors(chunks.size(), 2);
    store.add(chunks, vectors);

    for (const rag::Chunk& chunk : chunks) CHECK(store.find(chunk.id) == chunk);
    CHECK(store.size() == 200);
    CHECK(store.chunks("s3").size() == 40);
    CHECK(store.ids().size() == 200);
  }
}

TEST_CASE("MilvusStore reads what a program in another language wrote") {
  Server server;
  rag::MilvusStore store(options(2), server);
  server.state->collections.at("c").rows[5] = Json::parse(R"({"id":5,"vector":[1,0],"text":"Hello"})");

  const auto hits = store.search(rows({{1, 0}}).row(0), 3);

  REQUIRE(hits.size() == 1);
  CHECK(hits[0].chunk == rag::Chunk{"Hello", "", 0, 5, {}, 5});
}

TEST_CASE("MilvusStore adds all of a batch or nothing, and no row twice") {
  Server server;
  rag::MilvusOptions some = options(2);
  some.batch_rows = 3;
  rag::MilvusStore store(some, server);
  std::vector<rag::Chunk> chunks;
  for (int i = 0; i < 8; ++i) chunks.push_back(laws::chunk_of("s", std::to_string(i)));
  const rag::Matrix vectors = laws::axes({0, 1, 0, 1, 0, 1, 0, 1}, 2);

  server.state->faults = {Fault::none, Fault::timeout_applied, Fault::reset_applied, Fault::none, Fault::limiter, Fault::none};
  CHECK(store.add(chunks, vectors).size() == 8);
  CHECK(store.size() == 8);
  CHECK(server.state->collections.at("c").rows.size() == 8);

  // The first batch is taken, the second fails for good.
  server.state->faults = {Fault::none, Fault::none, Fault::reset_applied, Fault::reset_applied, Fault::reset_applied, Fault::reset_applied, Fault::reset_applied};
  CHECK_THROWS_AS(store.add(chunks, vectors), rag::Error);
  CHECK(store.size() == 8);
  std::vector<std::size_t> sizes;
  for (const auto& [action, body] : server.state->log)
    if (action == "entities/upsert") sizes.push_back(body.at("data").size());
  CHECK(*std::max_element(sizes.begin(), sizes.end()) == 3);
}

TEST_CASE("MilvusStore bounds its requests in bytes") {
  Server server;
  rag::MilvusOptions some = options(2);
  some.batch_bytes = 400;
  rag::MilvusStore store(some, server);
  std::vector<rag::Chunk> chunks(50, laws::chunk_of("s", "some text of a chunk"));

  store.add(chunks, rag::Matrix(50, 2));

  CHECK(store.size() == 50);
  for (const std::string& body : server.state->bodies)
    if (body.find("\"data\"") != body.npos) CHECK(body.size() <= 400);
  chunks[1].text = std::string(70'000, 'x');
  CHECK(error_of([&] { store.add(chunks, rag::Matrix(50, 2)); }).second.find(
            "MilvusStore::add: chunk 1: at most 65536 bytes beside the vector wanted") == 0);
  chunks[1].text = "\xff";
  CHECK(error_of([&] { store.add(chunks, rag::Matrix(50, 2)); }).second == "MilvusStore::add: chunk 1: text is not valid UTF-8");
  chunks[1].text = "x";
  chunks[1].metadata.set("size", std::numeric_limits<double>::infinity());
  CHECK(error_of([&] { store.add(chunks, rag::Matrix(50, 2)); }).second ==
        "MilvusStore::add: chunk 1: a finite number wanted for the metadata \"size\": JSON has no other");
  CHECK(store.size() == 50);
}

TEST_CASE("MilvusStore searches many queries in few requests, and in one each where the server does not divide the hits") {
  for (const bool topks : {true, false}) {
    CAPTURE(topks);
    Server server;
    server.state->topks = topks;
    rag::MilvusStore store(options(3), server);
    rag::FlatStore<3> flat;
    std::vector<rag::Chunk> chunks;
    for (int i = 0; i < 60; ++i) chunks.push_back(laws::chunk_of(i % 2 == 0 ? "a" : "b", std::to_string(i)));
    rag::Matrix vectors(60, 3), queries(40, 3);
    std::mt19937 random(3);
    for (std::size_t i = 0; i < 60 * 3; ++i) vectors.data()[i] = static_cast<float>(random() % 4);
    for (std::size_t i = 0; i < 40 * 3; ++i) queries.data()[i] = static_cast<float>(random() % 4);
    store.add(chunks, vectors);
    flat.add(chunks, vectors);
    server.state->log.clear();

    CHECK(store.search(queries, 5) == flat.search(queries, 5));
    const std::size_t requests = server.state->log.size();
    if (topks) CHECK(requests < 20);  // one, and one more for each query with a long tie
    else CHECK(requests >= 40);
    CHECK(store.search(queries, 70, rag::source() == "a") == flat.search(queries, 70, rag::source() == "a"));
    CHECK(store.search(queries, 5, rag::source() == "nobody") == std::vector<std::vector<rag::Hit>>(40));
    CHECK(store.search(rag::Matrix(), 5).empty());
  }
}

TEST_CASE("MilvusStore gives L2 as the other stores do: minus the squared distance") {
  Server server;
  rag::MilvusOptions some = options(2);
  some.metric = rag::L2{};
  rag::MilvusStore store(some, server);
  store.add(std::vector{laws::chunk_of("s", "near"), laws::chunk_of("s", "far")}, rows({{1, 1}, {3, 4}}));

  const auto hits = store.search(rows({{1, 1}}).row(0), 2);

  REQUIRE(hits.size() == 2);
  CHECK(hits[0].chunk.text == "near");
  CHECK(hits[0].score == 0);
  CHECK(!std::signbit(hits[0].score));
  CHECK(hits[1].score == -13);
}

TEST_CASE("MilvusStore reads all rows though a server gives a part, in no order") {
  Server server;
  rag::MilvusStore store(options(2), server);
  auto& there = server.state->collections.at("c").rows;
  for (rag::Id id = -5; id < 17'005; ++id)  // a server gives at most 16,384 rows at once
    there[id * 3] = {{"id", id * 3}, {"text", "t"}, {"source", id % 1000 == 0 ? "few" : "many"}};

  const std::vector<rag::Id> ids = store.ids(rag::source() == "many");

  CHECK(ids.size() == 16'992);
  CHECK(std::is_sorted(ids.begin(), ids.end()));
  CHECK(store.chunks("few").size() == 18);
  CHECK(rag::MilvusStore(options(2), server).add(std::vector{laws::chunk_of("s", "x")}, rows({{1, 0}})) == std::vector<rag::Id>{51'013});
  CHECK(store.erase(rag::source() == "many") == 16'992);
  CHECK(store.erase(std::vector<rag::Id>{3'000, 3'000, 6'000, 77'777'777}) == 2);
  CHECK(store.size() == 17);
  CHECK(store.erase(!rag::Filter()) == 0);
  CHECK(store.erase(rag::Filter()) == 17);
  CHECK(store.size() == 0);
}

TEST_CASE("Two programs that write to one collection take ids of their own") {
  Server server;
  rag::MilvusOptions some = options(2);
  some.ids = rag::MilvusIds::unique;
  rag::MilvusStore one(some, server);
  some.retry.random = [] { return 0.25; };
  rag::MilvusStore two(some, server);
  const std::vector<rag::Chunk> chunks(3, laws::chunk_of("s", "x"));

  const auto a = one.add(chunks, rag::Matrix(3, 2)), b = two.add(chunks, rag::Matrix(3, 2)), c = one.add(chunks, rag::Matrix(3, 2));

  CHECK(a == std::vector<rag::Id>{(1'800'000'000LL << 31) + (1 << 29), (1'800'000'000LL << 31) + (1 << 29) + 1, (1'800'000'000LL << 31) + (1 << 29) + 2});
  CHECK(b[0] == (1'800'000'000LL << 31) + (1 << 28));
  CHECK(c[0] == a[2] + 1);
  CHECK(one.size() == 9);
}

TEST_CASE("MilvusStore::replace never leaves a source without rows") {
  Server server;
  rag::MilvusStore store(options(2), server);
  store.add(std::vector{laws::chunk_of("a", "old"), laws::chunk_of("b", "other")}, laws::axes({0, 1}, 2));

  // The delete fails for good.
  server.state->faults = {Fault::none, Fault::none, Fault::none, Fault::reset, Fault::reset, Fault::reset, Fault::reset, Fault::reset};
  CHECK_THROWS_AS(store.replace("a", std::vector{laws::chunk_of("a", "new")}, laws::axes({0}, 2)), rag::Error);
  CHECK(store.chunks("a").size() == 2);
  store.replace("a", std::vector{laws::chunk_of("a", "new")}, laws::axes({0}, 2));
  REQUIRE(store.chunks("a").size() == 1);
  CHECK(store.chunks("a")[0].text == "new");
  CHECK(store.size() == 2);
}

TEST_CASE("Integers of a Milvus answer are read exactly, as numbers and as texts") {
  const auto read = [](const char* text) { return rag::detail::milvus_integer(Json::parse(text)); };
  CHECK(read("9007199254740993") == 9'007'199'254'740'993);
  CHECK(read("\"9007199254740993\"") == 9'007'199'254'740'993);
  CHECK(read("-9223372036854775808") == std::numeric_limits<std::int64_t>::min());
  CHECK(read("\"9223372036854775807\"") == std::numeric_limits<std::int64_t>::max());
  for (const char* bad : {"9223372036854775808", "\"9223372036854775808\"", "1.0", "1e3", "\"\"", "\"1x\"", "\" 1\"", "null", "true", "[]"}) {
    CAPTURE(bad);
    CHECK(!read(bad));
  }
}
