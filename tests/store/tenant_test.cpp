// SPDX-License-Identifier: MIT
#include <rag/core.hpp>

#include "laws/retriever.hpp"
#include "laws/store.hpp"
#include "paths.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using View = decltype(rag::TenantStore<rag::FlatStore<>>().of("a"));
static_assert(rag::ReplacingStore<View>);
static_assert(rag::FilteringStore<View, rag::Filter>);
static_assert(!rag::Store<rag::TenantStore<rag::FlatStore<>>>);
static_assert(rag::static_dimension<rag::TenantView<rag::FlatStore<384>>> == 384);
static_assert(rag::static_dimension<View> == 0);
static_assert(!std::is_copy_constructible_v<rag::TenantStore<rag::FlatStore<>>>);

using laws::axes;
using laws::chunk_of;

template <class Work>
rag::Errc error_of(Work&& work) {
  try {
    work();
  } catch (const rag::Error& error) {
    return error.code();
  }
  return rag::Errc::cancelled;
}

}  // namespace

TEST_CASE("the view of one tenant obeys the laws of a store and of a retriever") {
  laws::check_store([] { return rag::TenantStore<rag::FlatStore<>>().of("alice"); }, 3);
  laws::check_store([] { return rag::TenantStore<rag::FlatStore<2, rag::L2>>().of("a/b:c"); }, 2);
  laws::check_retriever([] {
    return rag::DenseRetriever{rag::HashingEmbedder{}, rag::TenantStore<rag::FlatStore<>>().of("alice")};
  });
}

TEST_CASE("what belongs to another tenant is not found, not replaced, not erased") {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice"), bob = tenants.of("bob");
  alice.add(std::vector{chunk_of("a.md", "hers"), chunk_of("b.md", "hers too")}, axes({0, 1}, 2));
  bob.add(std::vector{chunk_of("a.md", "his")}, axes({0}, 2));
  const rag::Matrix query = axes({0}, 2);

  CHECK(alice.size() == 2);
  CHECK(bob.size() == 1);
  CHECK(bob.search(query.row(0), 10).size() == 1);
  CHECK(bob.search(query.row(0), 10)[0].chunk.text == "his");
  CHECK(bob.search(query.row(0), 10)[0].chunk.source == "a.md");
  CHECK(bob.search(query, 10)[0].size() == 1);
  CHECK(bob.search_above(query.row(0), -1).size() == 1);
  CHECK(bob.search(query.row(0), 10, !rag::Filter()).empty());
  CHECK(bob.search(query.row(0), 10, rag::source() != "nobody's").size() == 1);
  CHECK(bob.search(query.row(0), 10, rag::source() >= "a.md" && rag::source().in({"a.md", "b.md"})).size() == 1);
  CHECK(bob.search(query.row(0), 10, rag::source().starts_with("5:alice/")).empty());
  CHECK(bob.chunks("a.md").size() == 1);
  CHECK(bob.chunks("b.md").empty());
  CHECK(bob.chunks("5:alice/a.md").empty());
  CHECK(bob.chunks(rag::Filter()).size() == 1);
  CHECK(bob.ids() == std::vector<rag::Id>{2});
  CHECK(bob.find(2)->source == "a.md");
  CHECK(!bob.find(0));
  CHECK(bob.vector(0).empty());
  CHECK(bob.vector(2).size() == 2);
  CHECK(bob.erase(std::vector<rag::Id>{0, 1}) == 0);
  CHECK(bob.erase(rag::source() == "b.md") == 0);
  CHECK(error_of([&] { bob.upsert(std::vector{chunk_of("a.md", "stolen", 0)}, axes({0}, 2)); }) ==
        rag::Errc::invalid_argument);
  CHECK(error_of([&] { bob.replace("a.md", std::vector{chunk_of("a.md", "stolen", 1)}, axes({0}, 2)); }) ==
        rag::Errc::invalid_argument);
  CHECK(error_of([&] { bob.add(std::vector{chunk_of("a.md", "stolen", 1)}, axes({0}, 2)); }) ==
        rag::Errc::invalid_argument);
  bob.replace("a.md", std::vector{chunk_of("a.md", "his, new")}, axes({0}, 2));
  CHECK(bob.chunks("a.md")[0].text == "his, new");
  CHECK(bob.upsert(std::vector{chunk_of("c.md", "moved", bob.ids()[0])}, axes({0}, 2)).size() == 1);
  CHECK(bob.erase(rag::Filter()) == 1);
  CHECK(bob.size() == 0);
  CHECK(alice.size() == 2);
  CHECK(alice.chunks("a.md")[0].text == "hers");
}

TEST_CASE("no name of a tenant or a source reaches into another's") {
  rag::TenantStore tenants{rag::FlatStore{}};
  const std::vector<std::string> names = {"a", "b", "a/b", "a/", "1:a/", "1", "11", ":", "/", "ab", std::string("a\0b", 3),
                                          std::string(12, 'a'), "ä"};
  for (const std::string& tenant : names)
    for (const std::string& source : names)
      tenants.of(tenant).add(std::vector{chunk_of(source, tenant + "|" + source)}, axes({0}, 2));

  for (const std::string& tenant : names) {
    const auto view = tenants.of(tenant);
    CHECK(view.size() == names.size());
    for (const std::string& source : names) {
      REQUIRE(view.chunks(source).size() == 1);
      CHECK(view.chunks(source)[0].text == tenant + "|" + source);
      CHECK(view.search(axes({0}, 2).row(0), 100, rag::source() == source).size() == 1);
    }
  }
  CHECK(error_of([&] { tenants.of(""); }) == rag::Errc::invalid_argument);
}

TEST_CASE("100,000 queries of two tenants find nothing of the other's") {
  std::mt19937 random(1);
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice"), bob = tenants.of("bob");
  const auto fill = [&](auto& view, const char* text, std::size_t count) {
    std::vector<rag::Chunk> chunks;
    rag::Matrix vectors(count, 4);
    for (std::size_t i = 0; i < count; ++i) {
      chunks.push_back({text, std::string(1, static_cast<char>('a' + random() % 9)), 0, 1, {{"n", random() % 10}}});
      for (float& value : vectors.row(i)) value = static_cast<float>(random() % 7) - 3.0f;
    }
    view.add(chunks, vectors);
  };
  std::size_t foreign = 0, found = 0, wrong_count = 0;
  std::vector<float> query(4);
  for (int round = 0; round < 100; ++round) {
    fill(alice, "alice", 3);
    fill(bob, "bob", random() % 4);
    if (round % 7 == 0) bob.erase(rag::field("n") == random() % 10);
    for (int i = 0; i < 500; ++i)
      for (const auto* view : {&alice, &bob}) {
        for (float& value : query) value = static_cast<float>(random() % 7) - 3.0f;
        rag::Filter filter;
        switch (random() % 5) {
          case 0: filter = rag::field("n") < random() % 10; break;
          case 1: filter = !(rag::source() == "a") || rag::field("n") == 3; break;
          case 2: filter = rag::source() != "5:alice/a" && rag::source() >= "c"; break;
          default: break;
        }
        const std::size_t k = 1 + random() % 20;
        const auto hits = view->search(query, k, filter);
        const std::string owner = view == &alice ? "alice" : "bob";
        found += hits.size();
        foreign += static_cast<std::size_t>(
            std::count_if(hits.begin(), hits.end(), [&](const rag::Hit& hit) { return hit.chunk.text != owner; }));
        wrong_count += hits.size() != std::min(k, view->count(filter));
      }
  }
  CHECK(foreign == 0);
  CHECK(wrong_count == 0);
  CHECK(found > 100000);
}

TEST_CASE("a pipeline runs over one tenant's view, and a saved store comes back with its tenants") {
  tests::TemporaryFolder folder;
  const std::string path = folder / "tenants.rag";
  {
    rag::TenantStore tenants{rag::FlatStore{}};
    rag::Pipeline alice{rag::SeparatorChunker{"\n"}, rag::HashingEmbedder{}, tenants.of("alice"), rag::EchoLlm{}};
    rag::Pipeline bob{rag::SeparatorChunker{"\n"}, rag::HashingEmbedder{}, tenants.of("bob"), rag::EchoLlm{}};
    alice.add({"notes", "the roof is new\nthe fence is old"});
    bob.add({"notes", "the roof leaks"});
    alice.add({"notes", "the roof is red", {{"year", 2024}}});
    REQUIRE(alice.search("the roof").size() == 1);
    CHECK(alice.search("the roof")[0].chunk.text == "the roof is red");
    CHECK(alice.search("the roof", 3, rag::field("year") == 2024).size() == 1);
    CHECK(alice.ask("the roof", 3, rag::field("year") == 2023).sources.empty());
    CHECK(bob.search("the roof")[0].chunk.text == "the roof leaks");
    tenants.save(path);
  }
  rag::TenantStore tenants{rag::FlatStore<>::load(path)};
  CHECK(tenants.of("alice").chunks("notes").size() == 1);
  CHECK(tenants.of("carol").size() == 0);
  auto view = tenants.of("bob");
  rag::TenantStore other = std::move(tenants);
  CHECK(view.erase(rag::Filter()) == 1);
  CHECK(other.of("bob").size() == 0);
}
