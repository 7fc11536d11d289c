// SPDX-License-Identifier: MIT
// A server, its collection, and what comes in place of either.
#include "milvus_fixture.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace milvus;

TEST_CASE("MilvusStore makes a collection as the tutorial does and reads it back") {
  Server server;
  const rag::MilvusStore store({.collection = "my_rag_collection", .dimension = 384, .drop_existing = true}, server);

  std::vector<std::string> actions;
  for (const auto& [action, body] : server.state->log) actions.push_back(action);
  CHECK(actions == std::vector<std::string>{"collections/drop", "collections/create", "collections/describe", "collections/get_load_state"});
  CHECK(server.state->bodies[1] ==
        R"({"collectionName":"my_rag_collection","dimension":384,"metricType":"IP","params":{"consistencyLevel":"Strong"}})");
  CHECK(store.dimension() == 384);
  CHECK(store.name() == "my_rag_collection");
  CHECK(rag::MilvusStore({.collection = "my_rag_collection"}, server).dimension() == 384);  // opened, not made
}

TEST_CASE("MilvusStore names its database in every call, and none where none is given") {
  Server server;
  server.state->database = "db1";
  rag::MilvusOptions some = options(2);
  some.database = "db1";
  rag::MilvusStore store(some, server);
  CHECK(store.add(std::vector{laws::chunk_of("a", "x")}, rag::Matrix(1, 2)).size() == 1);
  CHECK(store.search(rows({{1, 0}}).row(0), 1).size() == 1);
  CHECK(store.erase(rag::Filter()) == 1);
}

TEST_CASE("MilvusStore refuses a collection that is not what was asked for, and names both") {
  Server server;
  rag::MilvusStore({.collection = "c", .dimension = 8}, server);

  CHECK(error_of([&] { rag::MilvusStore({.collection = "c", .dimension = 9}, server); }) ==
        std::pair(rag::Errc::dimension_mismatch, std::string("MilvusStore: localhost:19530: collection 'c': a dimension of 9 wanted, 8 met")));
  CHECK(error_of([&] { rag::MilvusStore({.collection = "c", .metric = rag::Cosine{}}, server); }) ==
        std::pair(rag::Errc::unsupported, std::string("MilvusStore: localhost:19530: collection 'c': the metric COSINE wanted, IP met")));
  CHECK(error_of([&] { rag::MilvusStore({.collection = "c", .consistency = "Bounded"}, server); }) ==
        std::pair(rag::Errc::unsupported, std::string("MilvusStore: localhost:19530: collection 'c': the consistency level Bounded wanted, Strong met")));
  CHECK(error_of([&] { rag::MilvusStore({.collection = "d"}, server); }).first == rag::Errc::invalid_argument);

  rag::MilvusStore({.collection = "e", .dimension = 8, .embedder = "small model"}, server);
  CHECK(server.state->collections.at("e").description == "embedder: small model");
  rag::MilvusStore({.collection = "e", .dimension = 8, .embedder = "small model"}, server);
  rag::MilvusStore({.collection = "e"}, server);
  CHECK(error_of([&] { rag::MilvusStore({.collection = "e", .embedder = "large model"}, server); }) ==
        std::pair(rag::Errc::unsupported,
                  std::string("MilvusStore: localhost:19530: collection 'e': vectors of the embedder large model wanted, small model met")));
}

TEST_CASE("MilvusStore waits until a collection is loaded, but not for ever") {
  Server server;
  const Clock clock;
  server.state->slow_load = 3;
  rag::MilvusOptions some = options();
  some.retry = clock.retry();

  const rag::MilvusStore store(some, server);
  CHECK(*clock.waits == std::vector<std::int64_t>{100, 100, 100});
  CHECK(store.search(rows({{1, 0}}).row(0), 1).empty());

  server.state->collections.at("c").loaded = false;  // as after a restart
  rag::MilvusStore(some, server);
  CHECK(server.state->collections.at("c").loaded);

  server.state->slow_load = 1'000'000;
  server.state->collections.at("c").loaded = false;
  const auto [code, text] = error_of([&] { rag::MilvusStore(some, server); });
  CHECK(code == rag::Errc::timeout);
  CHECK(text == "MilvusStore: localhost:19530: collection 'c': to be loaded within 60 s wanted, LoadStateLoading met");
}

TEST_CASE("MilvusStore waits longer with each try and then says what the server said") {
  Server server;
  const Clock clock;
  rag::MilvusOptions some = options();
  some.retry = clock.retry(3);
  rag::MilvusStore store(some, server);

  server.state->faults = {Fault::limiter, Fault::unavailable, Fault::reset};
  CHECK(store.size() == 0);
  REQUIRE(clock.waits->size() == 3);
  for (std::size_t i = 0; i < 3; ++i) {
    CAPTURE(i);
    CHECK(std::abs(static_cast<double>((*clock.waits)[i]) - 87.5 * std::exp2(i)) <= 1);
  }

  server.state->faults = {Fault::limiter, Fault::limiter, Fault::limiter, Fault::limiter};
  CHECK(error_of([&] { store.size(); }) ==
        std::pair(rag::Errc::rate_limited,
                  std::string("MilvusStore: localhost:19530: entities/query: answered 1807: request is rejected by limiter, please retry later")));
  server.state->faults = {4, Fault::timeout};
  CHECK(error_of([&] { store.size(); }) ==
        std::pair(rag::Errc::timeout, std::string("MilvusStore: localhost:19530: entities/query: answered 10001 (HTTP 408): request timeout")));
}

TEST_CASE("MilvusStore waits as long as an answer asks, and gives up where that is more than two minutes") {
  using Headers = std::vector<std::pair<std::string, std::string>>;
  const auto ask = [](const Headers& headers, std::size_t times, std::vector<std::int64_t>& waits) {
    Server server;
    const Clock clock;
    rag::MilvusOptions some = options();
    some.retry = clock.retry(2);
    const rag::AnyTransport busy = [&](const rag::Request& request) -> rag::Response {
      if (times == 0) return server(request);
      return --times, rag::Response{429, headers, R"({"code":8,"message":"slow down"})"};
    };
    std::optional<rag::ServiceError> met;
    try {
      rag::MilvusStore(some, busy);
    } catch (const rag::ServiceError& error) {
      met = error;
    }
    waits = *clock.waits;
    return met;
  };
  using Waits = std::vector<std::int64_t>;
  Waits waits;
  CHECK(!ask({{"Retry-After", "3"}}, 2, waits));
  CHECK(waits == Waits{3000, 3000});
  CHECK(!ask({{"retry-after-ms", "20"}}, 1, waits));
  CHECK(waits == Waits{20});
  CHECK(!ask({{"Retry-After", "Fri, 15 Jan 2027 08:00:07 GMT"}}, 1, waits));  // the clock stands at 08:00:00
  CHECK(waits == Waits{7000});
  for (const char* none : {"0", "-1", "soon", "Fri, 15 Jan 2027 07:00:00 GMT"}) {
    CAPTURE(none);
    CHECK(!ask({{"Retry-After", none}}, 1, waits));
    CHECK(waits == Waits{88});
  }
  const auto refused = ask({{"Retry-After", "121"}}, 1, waits);
  CHECK(waits.empty());
  REQUIRE(refused);
  CHECK(std::string(refused->what()) ==
        "MilvusStore: localhost:19530: collections/has: answered 8 (HTTP 429): slow down; it asks to come back in 121 s");
  CHECK(refused->code() == rag::Errc::rate_limited);
  CHECK(refused->status() == 429);
  CHECK(refused->message() == "slow down");
  CHECK(refused->retry_after() == std::chrono::seconds(121));
  CHECK(ask({{"Retry-After", "1"}}, 9, waits)->retry_after() == std::chrono::seconds(1));
  CHECK(waits == Waits{1000, 1000});
}

TEST_CASE("MilvusStore asks again after the codes that pass, and after no other") {
  const auto tries_after = [](int status, int code, const std::string& more = "") {
    Server server;
    rag::MilvusStore store(options(), server);
    int tries = 0;
    const rag::AnyTransport once = [&](const rag::Request& request) -> rag::Response {
      if (++tries > 1) return server(request);
      return {status, {}, "{\"code\":" + std::to_string(code) + ",\"message\":\"so it is\"" + more + "}"};
    };
    rag::MilvusOptions some = options();
    some.retry = Clock{}.retry(3);
    try {
      rag::MilvusStore(some, once);
    } catch (const rag::Error& error) {
      CHECK(std::string(error.what()).find("answered " + std::to_string(code)) != std::string::npos);
      CHECK(tries == 1);
      return 0;
    }
    return tries;
  };
  for (const int code : {1, 2, 4, 8, 12, 103, 1807, 10001}) CHECK_MESSAGE(tries_after(200, code) > 1, code);
  for (const int code : {100, 101, 700, 800, 1100, 1800, 1801, 1802, 1804, 65535}) CHECK_MESSAGE(tries_after(200, code) == 0, code);
  for (const int status : {408, 429, 502, 503, 504}) CHECK_MESSAGE(tries_after(status, 65535) > 1, status);
  for (const int status : {400, 401, 403, 500, 501}) CHECK_MESSAGE(tries_after(status, 65535) == 0, status);
  // 200 was success once, and is "partition not found" now: its message tells.
  CHECK(tries_after(200, 200, ",\"data\":{\"has\":true}") == 0);
}

TEST_CASE("MilvusStore says what it met in place of a Milvus server, and never the token") {
  const std::string token = "root:canary-0123456789";
  const auto met = [&](const rag::AnyTransport& transport) {
    rag::MilvusOptions some = options();
    some.token = token;
    some.retry = Clock{}.retry(1);
    return error_of([&] { rag::MilvusStore(some, transport); });
  };
  using Pair = std::pair<rag::Errc, std::string>;
  const std::string who = "MilvusStore: localhost:19530: collections/has: ";

  CHECK(met(always(200, "<html>Welcome</html>")) ==
        Pair(rag::Errc::invalid_format, who + "HTTP 200, an HTML page, no answer of Milvus: <html>Welcome</html>"));
  CHECK(met(always(503, "\n<!DOCTYPE html>busy")).first == rag::Errc::service);
  CHECK(met(always(200, std::string("\0\0\6\4\0\0\0\0\0", 9))).first == rag::Errc::unsupported);
  CHECK(met(always(200, std::string("\0\0\6\4\0\0\0\0\0", 9))).second.find("it speaks only gRPC, as Milvus Lite does") != std::string::npos);
  CHECK(met(always(404, "404 page not found")) ==
        Pair(rag::Errc::unsupported, who + "there is no REST API v2 at this address; Milvus 2.4.3 or later wanted: 404 page not found"));
  CHECK(met(always(401, R"({"code":1800,"message":"user hasn't authenticated"})")) ==
        Pair(rag::Errc::unauthorized, who + "answered 1800 (HTTP 401): user hasn't authenticated"));
  CHECK(met(always(200, R"({"code":200,"message":"partition not found[partition=p]"})")) ==
        Pair(rag::Errc::not_found, who + "answered 200: partition not found[partition=p]"));
  CHECK(met(always(500, R"({"code":500})")).second == who + "answered 500 (HTTP 500)");
  CHECK(met(always(200, "{}")).first == rag::Errc::invalid_format);
  CHECK(met(always(200, R"({"code":0,"data":{}})")).second == "MilvusStore: localhost:19530: collections/has: sent neither true nor false");
  CHECK(met(always(200, R"({"code":1100,"message":"a)" + token + R"(b\nnext line)" + std::string(500, 'x') + "\"}")).second.find(
            who + "answered 1100: a[key]b next line") == 0);
  const auto closed = met([](const rag::Request&) -> rag::Response { throw rag::Error(rag::Errc::transport, "closed"); });
  CHECK(closed == Pair(rag::Errc::transport, who + "closed (a server that speaks only gRPC, as Milvus Lite does, fails like this too)"));
  CHECK(error_of([&] { rag::MilvusStore({.token = "a\nb"}, Server{}); }).first == rag::Errc::invalid_argument);
  CHECK(error_of([&] { rag::MilvusStore({.uri = "./milvus_demo.db"}, Server{}); }).first == rag::Errc::invalid_argument);
  CHECK(error_of([&] { rag::MilvusStore({}, rag::AnyTransport{}); }).first == rag::Errc::invalid_argument);

  Server strict;
  strict.state->token = token;
  rag::MilvusOptions some = options();
  some.token = token;
  CHECK(rag::MilvusStore(some, strict).size() == 0);
}
