// SPDX-License-Identifier: MIT
#include <rag/core.hpp>

#include "laws.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>

TEST_CASE("the retrievers keep their laws over the library's own parts") {
  laws::check_retriever([] { return rag::DenseRetriever{rag::HashingEmbedder{}, rag::FlatStore{}}; });
  laws::check_retriever([] { return rag::DenseRetriever{rag::HashingEmbedder<64>{}, rag::FlatStore<64, rag::L2>{}}; });
  laws::check_retriever([] {
    return rag::Hybrid{rag::DenseRetriever{rag::HashingEmbedder{}, rag::FlatStore<1024, rag::Cosine>{}}, rag::Bm25{}};
  });
}

TEST_CASE("an updated document leaves nothing of the old one in either leg") {
  rag::Pipeline pipeline{rag::SeparatorChunker{"\n"},
                         rag::Hybrid{rag::DenseRetriever{rag::HashingEmbedder{}, rag::FlatStore{}}, rag::Bm25{}},
                         rag::ExtractiveLlm{}};
  pipeline.add({"a.txt", "The harbour opens at eight.\nThe museum opens at nine."});
  pipeline.add({"b.txt", "The market opens at six."});

  pipeline.add({"a.txt", "The harbour opens at ten."});

  CHECK(pipeline.retriever().first().store().size() == 2);
  CHECK(pipeline.retriever().second().size() == 2);
  for (const rag::Hit& hit : pipeline.search("When does the museum open?", 9)) {
    CAPTURE(hit.chunk.text);
    CHECK(hit.chunk.text.find("museum") == std::string::npos);
    CHECK(pipeline.retriever().first().store().find(hit.chunk.id)->text == hit.chunk.text);
  }
  CHECK(pipeline.ask("When does the harbour open?").text.starts_with("The harbour opens at ten. [1]"));
}

namespace {

using FlatDense = rag::DenseRetriever<rag::HashingEmbedder<>, rag::FlatStore<>>;
static_assert(rag::FilteringRetriever<FlatDense, rag::Filter>);
static_assert(rag::FilteringRetriever<rag::Bm25, rag::Filter>);
static_assert(rag::FilteringRetriever<rag::Hybrid<FlatDense, rag::Bm25>, rag::Filter>);
static_assert(!rag::FilteringRetriever<FlatDense, int> && !rag::FilteringRetriever<rag::Bm25, int>);

// sync_folder() sees through what asks a model to the store and the embedder.
using Asking = rag::MultiQuery<rag::Hyde<rag::Decompose<FlatDense, rag::EchoLlm>, rag::EchoLlm>, rag::EchoLlm>;
static_assert(rag::detail::lists_chunks<Asking>);

}  // namespace

TEST_CASE("the embedder's name is seen through what asks a model") {
  struct Named : rag::HashingEmbedder<> {
    std::string name() const { return "named"; }
  };
  rag::EchoLlm llm;
  const rag::MultiQuery asking{rag::Hyde{rag::DenseRetriever{Named{}, rag::FlatStore{}}, llm}, llm};
  CHECK(rag::detail::embedder_name(asking) == "named");
}

TEST_CASE("a filter reaches every leg, and the prompt holds what it keeps alone") {
  const auto check = [](auto retriever) {
    rag::Pipeline pipeline{rag::SeparatorChunker{"\n"}, std::move(retriever), rag::EchoLlm{}};
    for (int year = 2000; year < 2020; ++year)
      pipeline.add({"page " + std::to_string(year), "The harbour opens at eight.\nThe museum was built.", {{"year", year}}});
    const rag::Filter filter = rag::field("year") >= 2003 && rag::field("year") < 2005;

    CHECK(pipeline.search("harbour", 30).size() >= 20);
    const auto hits = pipeline.search("harbour", 2, filter);
    REQUIRE(hits.size() == 2);
    for (const rag::Hit& hit : pipeline.search("harbour", 30, filter)) CHECK(matches(filter, hit.chunk));
    CHECK(pipeline.ask("harbour", 2, filter).sources.size() == 2);
    CHECK(pipeline.ask("harbour", 2, filter).sources[1].chunk == hits[1].chunk);
    std::string written;
    const auto write = [&](std::string_view piece) { written += piece; };
    CHECK(pipeline.ask("harbour", write, 2, filter).sources.size() == 2);
    CHECK(!written.empty());
    CHECK(pipeline.prompt("harbour", 2, filter) != pipeline.prompt("harbour", 2));
    CHECK(pipeline.search("harbour", 2, !rag::Filter()).empty());
  };
  check(rag::DenseRetriever{rag::HashingEmbedder{}, rag::FlatStore{}});
  check(rag::Bm25{});
  check(rag::Hybrid{rag::DenseRetriever{rag::HashingEmbedder{}, rag::FlatStore{}}, rag::Bm25{}});
}
