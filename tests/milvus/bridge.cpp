// SPDX-License-Identifier: MIT
// MilvusStore against a server that was not written with it. The argument is the server's address; it must know
// /_bridge/faults and /_bridge/log. Every CHECK that fails says so; the last line counts.
#define DOCTEST_CONFIG_IMPLEMENT
#include "bridge.hpp"

#include <rag/chunk/separator.hpp>
#include <rag/document/read.hpp>
#include <rag/embed/hashing.hpp>
#include <rag/llm/extractive.hpp>
#include <rag/pipeline.hpp>
#include <rag/store/any.hpp>
#include <rag/store/tenant.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "../paths.hpp"

namespace {

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
  no_faults();
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
  no_faults();
  check(rag::InnerProduct{});
  check(rag::Cosine{});
  check(rag::L2{});
  CHECK(Faults::met() == 0);
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

TEST_CASE("The tutorial's flow finds the same three passages, with the same scores, in a file and on a server") {
  no_faults();
  const tests::TemporaryFolder folder;
  const bool faq = std::filesystem::exists(tests::data_folder() / "milvus-faq");
  const std::string pages = faq ? (tests::data_folder() / "milvus-faq").string() : RAG_SOURCE_DIR "/docs";
  const auto documents = rag::read_directory(pages, {.extensions = {".md"}}).documents;
  const std::vector<std::string> questions = {"How is data stored in milvus?", "How do I keep a store in a file?", "What is the maximum vector dimension?",
                                              "Does Milvus support inserting and searching data simultaneously?"};
  const auto flow = [&](const std::string& place) {
    auto database = rag::open_store(place, "", https());
    const std::string name = "my_rag_collection";
    if (database.has(name)) database.drop(name);
    auto store = database.create(name, {.dimension = 384, .metric = rag::InnerProduct{}, .embedder = "hashing"});
    rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, rag::HashingEmbedder<384>{}, store, rag::ExtractiveLlm{}};
    CHECK(pipeline.add(documents).chunks > 20);
    std::vector<std::vector<rag::Hit>> found;
    for (const std::string& question : questions) found.push_back(pipeline.search(question, 3));
    return found;
  };

  const auto server = flow(server_uri), file = flow((folder / "demo.db").string());

  for (std::size_t q = 0; q < questions.size(); ++q) {
    CAPTURE(questions[q]);
    REQUIRE(server[q].size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CAPTURE(i);
      rag::Chunk chunk = server[q][i].chunk;
      chunk.id = file[q][i].chunk.id;  // 0, 1, 2 … in a file
      CHECK(chunk == file[q][i].chunk);
      CHECK(std::abs(server[q][i].score - file[q][i].score) <= 1e-5);
    }
  }
}

TEST_CASE("Tenants of one collection find nothing of each other") {
  no_faults();
  const std::vector<std::string> names = {"a", "a_b", "axb", "a%b", "a\"b", "a\\", "1:a/", "ä", "\xF4\x8F\xBF\xBF", "a' or 1 == 1 or 'a"};
  rag::TenantStore tenants{rag::MilvusStore(options(4), https())};
  for (const std::string& name : names) tenants.of(name).add(std::vector{laws::chunk_of("a.md", name), laws::chunk_of("b.md", name)}, random_rows(2, 4, 1));
  laws::check_filtering_store(tenants.of("laws"), 4);
  tenants.of("laws").erase(rag::Filter());
  const rag::Matrix query = random_rows(1, 4, 1);

  for (std::size_t n = 0; n < names.size(); ++n) {
    CAPTURE(names[n]);
    auto own = tenants.of(names[n]);
    for (const rag::Filter& filter : {rag::Filter(), rag::source() != "x", rag::source() >= "", !(rag::source() == "none"), rag::field("name").exists()}) {
      const std::vector<rag::Hit> hits = own.search(query.row(0), 100, filter);
      CHECK(hits.size() == 2);
      for (const rag::Hit& hit : hits) CHECK(hit.chunk.text == names[n]);
    }
    const std::vector<rag::Id> ids = own.ids();
    CHECK(ids.size() == 2);
    for (const std::string& other : names) {
      if (other == names[n]) continue;
      CHECK(tenants.of(other).erase(ids) == 0);
      CHECK(!tenants.of(other).find(ids[0]));
    }
    CHECK(own.size() == 2);
    CHECK(own.replace("a.md", std::vector{laws::chunk_of("a.md", names[n])}, random_rows(1, 4, 2)).size() == 1);
    CHECK(own.erase(rag::source() == "b.md") == 1);
  }
  for (const std::string& name : names) CHECK(tenants.of(name).size() == 1);
}

TEST_CASE("Fused searches give what their rankings give") {
  no_faults();
  for (const rag::AnyMetric metric : {rag::AnyMetric(rag::InnerProduct{}), rag::AnyMetric(rag::L2{})}) {
    rag::MilvusOptions some = options(8);
    some.metric = metric;
    rag::MilvusStore store(some, https());
    store.add(made_chunks(120), random_rows(120, 8, 11));
    const rag::Matrix queries = random_rows(3, 8, 12);
    const rag::MilvusSearch searches[] = {{queries.row(0)}, {queries.row(1), rag::field("language") == "en"}, {queries.row(2), rag::source() == "a.md"}};
    std::map<rag::Id, double> scores;
    for (const auto& [query, filter] : searches) {
      double rank = 0;
      for (const rag::Hit& hit : store.search(query, 50, filter)) scores[hit.chunk.id] += 1 / (60 + ++rank);
    }

    const auto hits = store.hybrid_search(searches, 10);

    REQUIRE(hits.size() == 10);
    std::vector<double> best;
    for (const auto& [id, score] : scores) best.push_back(score);
    std::sort(best.rbegin(), best.rend());
    for (std::size_t i = 0; i < 10; ++i) {
      CAPTURE(i);
      CHECK(std::abs(hits[i].score - best[i]) <= 1e-6);
      CHECK(std::abs(hits[i].score - scores.at(hits[i].chunk.id)) <= 1e-6);
      CHECK(hits[i].chunk == store.find(hits[i].chunk.id));
    }
  }
  CHECK(Faults::met() == 0);
}

int main(int argc, char** argv) {
  if (argc < 2) return std::puts("usage: bridge URI"), 2;
  server_uri = argv[1];
  doctest::Context context(argc - 1, argv + 1);
  return context.run();
}
