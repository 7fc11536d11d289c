// SPDX-License-Identifier: MIT
// MilvusStore against a server that was not written with it. The argument is the server's address; it must know
// /_bridge/faults and /_bridge/log. Every CHECK that fails says so; the last line counts.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <rag/store/flat.hpp>  // Eigen stands before the network: <resolv.h> has a macro named _res
#include <rag/store/milvus.hpp>

#include <rag/detail/json.hpp>
#include <rag/net/https.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../laws/store.hpp"

namespace {

using rag::detail::Json;

std::string uri;

const rag::HttpsTransport& https() {
  static const rag::HttpsTransport transport;
  return transport;
}

Json bridge(const std::string& path, const std::string& body) {
  rag::Request request{.url = uri + "/_bridge/" + path};
  request.body = body;
  if (body.empty()) request.method = "GET";
  return Json::parse(https()(request).body);
}

/// While it lives, every Nth call meets a fault; then none does. Says how many did.
class Faults {
 public:
  explicit Faults(const std::string& fault) { bridge("faults", R"({"faults":[")" + fault + "\"]}"); }
  ~Faults() { bridge("faults", R"({"faults":[]})"); }
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  /// Checks, too, that no call held a key that a server would overlook.
  static std::size_t met() {
    std::size_t number = 0;
    const Json log = bridge("log", "");
    for (const Json& call : log.at("calls")) {
      CHECK(call.at("unknown_keys").empty());
      if (call.at("fault") != "") ++number;
    }
    return number;
  }
};

rag::MilvusOptions options(std::size_t dimension) {
  rag::MilvusOptions some{.uri = uri, .collection = "rag_test", .dimension = dimension, .drop_existing = true, .ids = rag::MilvusIds::counted};
  some.retry.sleep = [](std::chrono::milliseconds time) { std::this_thread::sleep_for(time / 50); };
  return some;
}

const std::vector<std::string> all_faults = {"ratelimit:3", "timeout:4", "timeout_applied:4", "reset:5", "close:5", "unavailable:3"};

rag::Matrix random_rows(std::size_t rows, std::size_t columns, unsigned seed) {
  rag::Matrix matrix(rows, columns);
  std::mt19937 random(seed);
  for (std::size_t i = 0; i < rows * columns; ++i) matrix.data()[i] = static_cast<float>(static_cast<int>(random() % 2'000) - 1'000) / 1'000;
  return matrix;
}

std::vector<rag::Chunk> made_chunks(int number) {
  std::vector<rag::Chunk> chunks;
  for (int i = 0; i < number; ++i) {
    chunks.push_back(laws::chunk_of(i % 3 == 0 ? "a.md" : "b \"quoted\".md", "text " + std::to_string(i) + " \"\\\n\té😀"));
    chunks.back().metadata = {{"year", 2000 + i % 7}, {"tiny", 1e-7 * i}, {"huge", 1e20}, {"language", i % 2 == 0 ? "en" : "de"}, {"half", i + 0.5}};
  }
  return chunks;
}

void compare(const std::vector<rag::Hit>& found, const std::vector<rag::Hit>& wanted) {
  REQUIRE(found.size() == wanted.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    CAPTURE(i);
    CHECK(found[i].chunk == wanted[i].chunk);
    CHECK(found[i].score == doctest::Approx(wanted[i].score).epsilon(1e-4));
  }
}

}  // namespace

TEST_CASE("The laws of a store hold") {
  bridge("faults", R"({"faults":[]})");
  laws::check_store([] { return rag::MilvusStore(options(4), https()); }, 4);
  CHECK(Faults::met() == 0);
}

TEST_CASE("The laws of a store hold whatever fails") {
  for (const std::string& fault : all_faults) {
    CAPTURE(fault);
    const Faults faults(fault);
    laws::check_store([] { return rag::MilvusStore(options(3), https()); }, 3);
    CHECK(Faults::met() > 5);
  }
}

TEST_CASE("It finds what FlatStore finds, in any metric, with filters, and gives chunks back equal") {
  const std::vector<rag::Chunk> chunks = made_chunks(120);
  const rag::Matrix vectors = random_rows(120, 8, 1), queries = random_rows(10, 8, 2);
  const std::vector<rag::Filter> filters = {
      {}, rag::field("year") == 2003, rag::field("year") != 2003, rag::field("language") == "en" && rag::field("year") >= 2004,
      rag::source() == "b \"quoted\".md", rag::source().starts_with("b \""), !rag::field("half").exists(), rag::field("tiny") > 5e-6,
      rag::field("huge") == 1e20, rag::field("language").in({"de", "fr\" or 1==1 or \""}), !(rag::field("language") < "en") || rag::field("half") < 3.5};
  const auto check = [&](auto metric) {
    rag::FlatStore<8, decltype(metric)> flat;
    rag::MilvusOptions some = options(8);
    some.metric = metric;
    some.batch_rows = 50;
    rag::MilvusStore store(some, https());
    CHECK(store.add(chunks, vectors) == flat.add(chunks, vectors));
    for (std::size_t f = 0; f < filters.size(); ++f) {
      CAPTURE(f);
      const auto found = store.search(queries, 5, filters[f]), wanted = flat.search(queries, 5, filters[f]);
      for (std::size_t i = 0; i < queries.rows(); ++i) compare(found[i], wanted[i]);
      CHECK(store.count(filters[f]) == flat.count(filters[f]));
      CHECK(store.ids(filters[f]) == flat.ids(filters[f]));
    }
    CHECK(store.find(7) == *flat.find(7));
    CHECK(store.chunks("a.md") == flat.chunks("a.md"));
    const auto row = vectors.row(7);
    CHECK(store.vector(7) == std::vector<float>(row.begin(), row.end()));
    CHECK(store.erase(filters[3]) == flat.erase(filters[3]));
    CHECK(store.size() == flat.size());
  };
  bridge("faults", R"({"faults":[]})");
  check(rag::InnerProduct{});
  check(rag::Cosine{});
  check(rag::L2{});
  CHECK(Faults::met() == 0);
}

TEST_CASE("No row is lost and none is doubled, whatever fails") {
  for (const std::string& fault : all_faults) {
    CAPTURE(fault);
    const Faults faults(fault);
    rag::MilvusOptions some = options(4);
    some.batch_rows = 7;
    some.ids = rag::MilvusIds::unique;
    rag::MilvusStore store(some, https());
    const std::vector<rag::Chunk> chunks = made_chunks(60);
    const std::vector<rag::Id> ids = store.add(chunks, random_rows(60, 4, 3));
    CHECK(std::set<rag::Id>(ids.begin(), ids.end()).size() == 60);
    CHECK(store.size() == 60);
    CHECK(store.ids() == ids);
    for (std::size_t i = 0; i < 60; i += 13) {
      rag::Chunk wanted = chunks[i];
      wanted.id = ids[i];
      CHECK(store.find(ids[i]) == wanted);
    }
    const std::vector<rag::Chunk> fresh(5, laws::chunk_of("a.md", "fresh"));
    CHECK(store.replace("a.md", fresh, random_rows(5, 4, 4)).size() == 5);
    CHECK(store.size() == 45);
    CHECK(store.chunks("a.md").size() == 5);
    CHECK(store.erase(std::vector<rag::Id>{ids[1], ids[2], ids[0]}) == 2);
    CHECK(store.erase(rag::source() == "a.md") == 5);
    CHECK(store.size() == 38);
    CHECK(Faults::met() > 5);
  }
}

TEST_CASE("A collection is opened again, and one of another dimension is refused") {
  rag::MilvusStore(options(4), https()).add(made_chunks(3), random_rows(3, 4, 5));
  rag::MilvusOptions some = options(0);
  some.drop_existing = false;
  rag::MilvusStore store(some, https());
  CHECK(store.dimension() == 4);
  CHECK(store.size() == 3);
  CHECK(store.add(made_chunks(2), random_rows(2, 4, 6)) == std::vector<rag::Id>{3, 4});
  some.dimension = 5;
  CHECK_THROWS_AS(rag::MilvusStore(some, https()), rag::Error);
}

TEST_CASE("An answer of HTML is told as such") {
  const Faults faults("garbage:1");
  try {
    rag::MilvusStore(options(4), https());
    FAIL("an Error wanted");
  } catch (const rag::Error& error) {
    CHECK(std::string(error.what()).find("an HTML page, no answer of Milvus") != std::string::npos);
  }
}

int main(int argc, char** argv) {
  if (argc < 2) return std::puts("usage: bridge URI"), 2;
  uri = argv[1];
  doctest::Context context(argc - 1, argv + 1);
  return context.run();
}
