// SPDX-License-Identifier: MIT
// What large collections and several programs need: ids by content, what is there already, fused searches, tenants.
#include <rag/store/content_id.hpp>
#include <rag/store/tenant.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "milvus_fixture.hpp"

using namespace milvus;
using laws::axes;
using laws::chunk_of;

TEST_CASE("A content id is that of a source, a place and a text, the same for ever") {
  const rag::Chunk chunk{"text", "a.md", 3, 7, {{"year", 2024}}};
  CHECK(rag::content_id(chunk) == 3'416'970'679'648'226'921);
  rag::Chunk same = chunk;
  same.metadata = {};
  same.id = 17;
  CHECK(rag::content_id(same) == rag::content_id(chunk));

  std::set<rag::Id> ids = {rag::content_id(chunk)};
  for (const rag::Chunk& other : {rag::Chunk{"texu", "a.md", 3, 7}, rag::Chunk{"text", "b.md", 3, 7}, rag::Chunk{"text", "a.md", 4, 7},
                                  rag::Chunk{"text", "a.md", 3, 8}, rag::Chunk{"", "a.md", 3, 7}, rag::Chunk{"text", "", 3, 7},
                                  rag::Chunk{"text", "7 a.md", 3, 7}, rag::Chunk{std::string("text\0", 5), "a.md", 3, 7}})
    CHECK(ids.insert(rag::content_id(other)).second);
  const std::size_t before = ids.size();
  for (std::size_t i = 0; i < 100'000; ++i) ids.insert(rag::content_id({"x", "s", i, i + 1}));
  CHECK(ids.size() == before + 100'000);
  CHECK(*ids.begin() >= 0);
  CHECK(*ids.rbegin() < std::numeric_limits<rag::Id>::max());
}

TEST_CASE("A load that was ended and is run again leaves the rows of one that was not") {
  Server server;
  rag::MilvusOptions some = options(2);
  some.batch_rows = 2;
  some.retry = Clock{}.retry(0);
  rag::MilvusStore store(some, server);
  std::vector<rag::Chunk> chunks;
  for (int i = 0; i < 9; ++i) {
    chunks.push_back(chunk_of("s", std::to_string(i)));
    chunks.back().id = rag::content_id(chunks.back());
  }
  const rag::Matrix vectors = axes({0, 1, 0, 1, 0, 1, 0, 1, 0}, 2);
  server.state->faults = {Fault::none, Fault::none, Fault::reset_applied};

  CHECK_THROWS_AS(store.upsert(chunks, vectors), rag::Error);
  std::vector<rag::Id> ids;
  for (const rag::Chunk& chunk : chunks) ids.push_back(chunk.id);
  CHECK(store.present(ids).size() == 6);  // whole batches; that of the failed request, too
  ids.push_back(12'345);
  ids.push_back(ids[0]);
  CHECK(store.present(ids).size() == 6);
  CHECK(store.present(std::vector<rag::Id>{12'345}).empty());
  store.upsert(chunks, vectors);

  CHECK(store.size() == 9);
  for (const rag::Chunk& chunk : chunks) CHECK(store.find(chunk.id) == chunk);
}

TEST_CASE("MilvusStore sends several searches as one, and their fused hits come in order") {
  Server server;
  rag::MilvusStore store(options(3), server);
  std::vector<rag::Chunk> chunks;
  for (int i = 0; i < 6; ++i) chunks.push_back(chunk_of(i < 3 ? "a" : "b", std::to_string(i)));
  store.add(chunks, rows({{1, 0, 0}, {.9f, .1f, 0}, {.8f, 0, 0}, {0, 1, 0}, {0, .9f, .1f}, {0, 0, 1}}));
  const rag::Matrix queries = rows({{1, 0, 0}, {0, 1, 0}});
  const rag::MilvusSearch both[] = {{queries.row(0)}, {queries.row(1), rag::source() == "b"}};

  const auto hits = store.hybrid_search(both, 2, 10);

  CHECK(server.state->bodies.back() ==
        R"({"collectionName":"c","search":[{"data":[[1,0,0]],"annsField":"vector","limit":50},)"
        R"({"data":[[0,1,0]],"annsField":"vector","limit":50,"filter":"source == \"b\""}],)"
        R"("rerank":{"strategy":"rrf","params":{"k":10}},"limit":10,)"
        R"("outputFields":["id","text","source","begin","end","metadata","names"],"consistencyLevel":"Strong"})");
  // The first search ranks 0 1 2 and, all with a score of 0, 5 4 3; the second one 3 4 5.
  REQUIRE(hits.size() == 2);
  CHECK(hits[0].chunk.text == "3");
  CHECK(hits[0].score == doctest::Approx(1.0 / 16 + 1.0 / 11));
  CHECK(hits[1].chunk.text == "4");
  CHECK(hits[1].score == doctest::Approx(1.0 / 15 + 1.0 / 12));
  CHECK(store.hybrid_search(both, 100).size() == 6);
  const rag::MilvusSearch apart[] = {{queries.row(0), rag::source() == "a"}, {queries.row(1), rag::source() == "b"}};
  std::string order;  // 0 and 3 are the first of a search each, 1 and 4 the second, …: ties in order of the ids
  for (const rag::Hit& hit : store.hybrid_search(apart, 6)) order += hit.chunk.text;
  CHECK(order == "031425");
  CHECK(store.hybrid_search({}, 3).empty());
  CHECK(store.hybrid_search(both, 0).empty());
  const rag::MilvusSearch none[] = {{queries.row(0), !rag::Filter()}};
  CHECK(store.hybrid_search(none, 3).empty());
  CHECK(error_of([&] { store.hybrid_search(both, 3, 0); }).first == rag::Errc::invalid_argument);
  const rag::MilvusSearch narrow[] = {{queries.row(0).first(2)}};
  CHECK(error_of([&] { store.hybrid_search(narrow, 3); }) ==
        std::pair(rag::Errc::dimension_mismatch, std::string("MilvusStore::hybrid_search: 3 columns wanted, 2 given")));
}

TEST_CASE("A fused score keeps its sign under L2, and answers that are none are told") {
  Server server;
  rag::MilvusOptions some = options(2);
  some.metric = rag::L2{};
  rag::MilvusStore store(some, server);
  store.add(std::vector{chunk_of("s", "near"), chunk_of("s", "far")}, rows({{1, 1}, {3, 4}}));
  const rag::Matrix query = rows({{1, 1}});
  const rag::MilvusSearch one[] = {{query.row(0)}};
  const auto hits = store.hybrid_search(one, 2);
  REQUIRE(hits.size() == 2);
  CHECK(hits[0].chunk.text == "near");
  CHECK(hits[0].score == doctest::Approx(1.0 / 61));

  using Case = std::pair<std::string, std::string>;
  for (const Case& met : {Case(R"({"code":0,"data":{}})", "sent no list of hits"),
                          Case(R"({"code":0,"data":[{"id":1}]})", "sent a hit without a number as its distance"),
                          Case(R"({"code":0,"data":[{"id":1.5,"distance":1}]})", "a row without a 64-bit integer as its id was sent")}) {
    const auto& text = met.second;
    CAPTURE(text);
    bool strange = false;
    rag::MilvusStore other(some, [&](const rag::Request& request) {
      return strange ? rag::Response{200, {}, met.first} : server(request);
    });
    strange = true;
    const auto [code, what] = error_of([&] { other.hybrid_search(one, 2); });
    CHECK(code == rag::Errc::invalid_format);
    CHECK(what == "MilvusStore: localhost:19530: entities/hybrid_search: " + text);
  }
}

TEST_CASE("Tenants of one Milvus collection find, change and erase nothing of each other") {
  const std::vector<std::string> names = {"a", "a_b", "axb", "a%b", "a\"b", "a/", "1:a/", "ä", "\xF4\x8F\xBF\xBF"};
  Server server;
  rag::TenantStore tenants{rag::MilvusStore(options(2), server)};
  for (const std::string& name : names)
    tenants.of(name).add(std::vector{chunk_of("a.md", name), chunk_of("b.md", name)}, axes({0, 1}, 2));
  const rag::Matrix query = axes({0}, 2);

  for (const std::string& name : names) {
    CAPTURE(name);
    auto own = tenants.of(name);
    for (const rag::Filter& filter : {rag::Filter(), rag::source() != "x", rag::source() >= "", !(rag::source() == "a.md"), rag::field("name") == name})
      for (const rag::Hit& hit : own.search(query.row(0), 100, filter)) CHECK(hit.chunk.text == name);
    CHECK(own.search(query.row(0), 100).size() == 2);
    CHECK(own.size() == 2);
    CHECK(own.ids().size() == 2);
    CHECK(own.chunks("a.md").size() == 1);
    for (const std::string& other : names) {
      if (other == name) continue;
      const rag::Id id = tenants.of(other).ids()[0];
      CHECK(!own.find(id));
      CHECK(own.vector(id).empty());
      CHECK(own.erase(std::vector{id}) == 0);
      CHECK(error_of([&] { own.upsert(std::vector{rag::Chunk{"stolen", "a.md", 0, 6, {}, id}}, axes({0}, 2)); }).first == rag::Errc::invalid_argument);
    }
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    CAPTURE(i);
    CHECK(tenants.of(names[i]).erase(rag::Filter()) == 2);
    CHECK(server.state->collections.at("c").rows.size() == 2 * (names.size() - i - 1));
  }
}
