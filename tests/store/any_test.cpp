// SPDX-License-Identifier: MIT
#include <rag/store/any.hpp>

#include <rag/chunk/separator.hpp>
#include <rag/embed/hashing.hpp>
#include <rag/llm/echo.hpp>
#include <rag/pipeline.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "../laws/store.hpp"
#include "../paths.hpp"
#include "milvus_server.hpp"

static_assert(rag::ReplacingStore<rag::AnyStore>);
static_assert(rag::FilteringStore<rag::AnyStore, rag::Filter>);

TEST_CASE("The tutorial's steps are the same on a file and on a server") {
  const tests::TemporaryFolder folder;
  const milvus::Server server;
  for (const std::string& uri : {(folder.path() / "milvus_demo.db").string(), std::string("http://localhost:19530"),
                                 std::string("https://in03-1.serverless.gcp.zillizcloud.com")}) {
    CAPTURE(uri);
    const bool remote = uri.starts_with("http");
    server.state->collections.clear();
    rag::AnyCollections database = rag::open_store(uri, "", server);
    CHECK(!database.has("my_rag_collection"));
    CHECK(!database.drop("my_rag_collection"));
    rag::AnyStore collection = database.create("my_rag_collection", {.dimension = 4, .metric = rag::Cosine{}, .embedder = "e"});
    CHECK((collection.as<rag::MilvusStore>() != nullptr) == remote);
    CHECK((collection.as<rag::FileStore>() != nullptr) == !remote);
    CHECK(database.list() == std::vector<std::string>{"my_rag_collection"});
    CHECK_THROWS_AS(database.create("my_rag_collection", {.dimension = 4}), rag::Error);
    CHECK_THROWS_AS(database.open("another"), rag::Error);
    CHECK_THROWS_AS(database.open("my_rag_collection", {.dimension = 5}), rag::Error);
    CHECK_THROWS_AS(database.open("my_rag_collection", {.dimension = 4, .metric = rag::Cosine{}, .embedder = "f"}), rag::Error);

    const std::vector<rag::Id> ids = collection.add(std::vector{laws::chunk_of("a", "one", 0), laws::chunk_of("a", "two", 1)}, laws::axes({0, 1}, 4));
    CHECK(ids == std::vector<rag::Id>{0, 1});
    rag::AnyStore again = database.open("my_rag_collection");
    CHECK(again.size() == 2);
    CHECK(again.dimension() == 4);
    CHECK(again.metric() == rag::AnyMetric(rag::Cosine{}));
    CHECK(again.name() == "my_rag_collection");
    CHECK(again.search(laws::axes({1}, 4).row(0), 1, rag::source() == "a")[0].chunk.text == "two");
    CHECK(again.search(laws::axes({1, 0}, 4), 1).size() == 2);
    CHECK(again.find(1)->text == "two");
    CHECK(again.vector(0) == std::vector<float>{1, 0, 0, 0});
    CHECK(again.ids() == ids);
    CHECK(again.count(rag::field("long") == false) == 2);
    CHECK(again.chunks("a").size() == 2);
    CHECK(again.erase(std::vector<rag::Id>{0}) == 1);
    CHECK(again.upsert(std::vector{laws::chunk_of("b", "three", 7)}, laws::axes({2}, 4)).size() == 1);
    CHECK(again.replace("b", {}, {}).empty());
    CHECK(again.erase(rag::Filter()) == 1);
    CHECK(database.open_or_create("my_rag_collection", {.dimension = 4, .metric = rag::Cosine{}}).size() == 0);
    CHECK(database.drop("my_rag_collection"));
    CHECK(database.list().empty());
  }
}

TEST_CASE("A pipeline takes whichever store the uri names") {
  const tests::TemporaryFolder folder;
  const milvus::Server server;
  for (const std::string& uri : {(folder.path() / "faq.db").string(), std::string("http://localhost:19530")}) {
    CAPTURE(uri);
    rag::HashingEmbedder embedder;
    auto store = rag::open_store(uri, "", server).open_or_create("faq", {.dimension = embedder.dimension()});
    rag::Pipeline faq{rag::SeparatorChunker{"# "}, embedder, store, rag::EchoLlm{}};

    faq.add({"faq.md", "# How is data stored?\nAs an incremental log.\n# How large may a vector be?\n32768 dimensions."});

    const std::vector<rag::Hit> hits = faq.search("how is data stored", 1);
    REQUIRE(hits.size() == 1);
    CHECK(hits[0].chunk.text.find("How is data stored?") != std::string::npos);
  }
}

TEST_CASE("A uri of another protocol is refused, and a file gets no token") {
  for (const char* uri : {"tcp://localhost:19530", "unix:/tmp/milvus.sock"}) {
    CAPTURE(uri);
    try {
      rag::open_store(uri, "", milvus::Server{});
      FAIL("an Error wanted");
    } catch (const rag::Error& error) {
      CHECK(error.code() == rag::Errc::unsupported);
    }
  }
  CHECK_THROWS_AS(rag::open_store("http://localhost:19530"), rag::Error);
}
