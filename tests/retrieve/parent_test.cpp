// SPDX-License-Identifier: MIT
#include <rag/chunk/context.hpp>
#include <rag/chunk/fixed.hpp>
#include <rag/chunk/parent.hpp>
#include <rag/chunk/sentence.hpp>
#include <rag/embed/hashing.hpp>
#include <rag/llm/echo.hpp>
#include <rag/pipeline.hpp>
#include <rag/retrieve/bm25.hpp>
#include <rag/retrieve/dense.hpp>
#include <rag/retrieve/parent.hpp>
#include <rag/store/filter.hpp>
#include <rag/store/flat.hpp>

#include "laws/retriever.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Strings = std::vector<std::string>;
using Parents = rag::ParentRetriever<rag::Bm25>;

static_assert(rag::ReplacingRetriever<Parents>);
static_assert(rag::FilteringRetriever<Parents, rag::Filter>);
static_assert(!rag::TokenCounter<Parents>);

Strings texts(const std::vector<rag::Hit>& hits) {
  Strings result;
  for (const rag::Hit& hit : hits) result.push_back(hit.chunk.text);
  return result;
}

/// A byte a token, of which it reads 20.
struct ByteEmbedder : rag::HashingEmbedder<64> {
  std::size_t count_tokens(std::string_view text) const { return text.size(); }
  std::size_t max_tokens() const { return 20; }
};

/// Bytes [begin, end) of the alphabet, with parent [first, last).
rag::Hit hit(std::size_t begin, std::size_t end, std::size_t first, std::size_t last, float score = 0) {
  const std::string text = "abcdefghijklmnopqrstuvwxyz";
  return {{text.substr(begin, end - begin),
           "abc",
           begin,
           end,
           {{"parent", text.substr(first, last - first)}, {"parent_begin", first}, {"n", begin}},
           7},
          score};
}

}  // namespace

TEST_CASE("into_parents gives each parent once, at the place and with the score of its best child") {
  const std::vector<rag::Hit> hits = {hit(4, 6, 3, 9, 3), hit(14, 15, 12, 20, 2), hit(7, 8, 3, 9, 1)};

  const auto parents = rag::into_parents(hits, 5);

  REQUIRE(texts(parents) == Strings{"defghi", "mnopqrst"});
  CHECK(parents[0] == rag::Hit{{"defghi", "abc", 3, 9, {{"n", 4}}, 7}, 3});
  CHECK(rag::into_parents(hits, 1).size() == 1);
  CHECK(rag::into_parents(hits, 0).empty());
}

TEST_CASE("Parents that overlap are one, also where a later one joins two") {
  CHECK(texts(rag::into_parents(std::vector{hit(2, 3, 0, 5), hit(6, 7, 4, 9), hit(20, 21, 18, 22)}, 5)) ==
        Strings{"abcdefghi", "stuv"});
  CHECK(texts(rag::into_parents(std::vector{hit(11, 12, 10, 14), hit(1, 2, 0, 4), hit(6, 7, 3, 11)}, 5)) ==
        Strings{"abcdefghijklmn"});
  CHECK(texts(rag::into_parents(std::vector{hit(1, 2, 0, 4), hit(5, 6, 4, 8)}, 5)) == Strings{"abcd", "efgh"});
}

TEST_CASE("A hit stays as it is without a parent, or with one that it does not lie in") {
  std::vector<rag::Hit> hits = {hit(4, 6, 3, 9), hit(4, 6, 3, 9), hit(4, 6, 3, 9), hit(4, 6, 3, 5)};
  hits[0].chunk.metadata = {{"n", 4}};
  hits[1].chunk.metadata.set("parent", "xyzxyz");
  hits[2].chunk.metadata.set("parent_begin", -1);

  CHECK(rag::into_parents(hits, 5) == hits);
}

TEST_CASE("Parents of two sources, or that disagree where they overlap, stay apart") {
  std::vector<rag::Hit> hits = {hit(2, 3, 0, 5), hit(4, 5, 3, 9), hit(4, 5, 3, 9)};
  hits[1].chunk.source = "other";
  hits[2].chunk.metadata.set("parent", "dEfghi");
  hits[2].chunk.text = "E";

  CHECK(texts(rag::into_parents(hits, 5)) == Strings{"abcde", "defghi", "dEfghi"});
}

TEST_CASE("A sentence is found and its window is given, through a pipeline") {
  const rag::WindowChunker chunker{rag::SentenceChunker{{.sentences = 1}}, 1};
  rag::Pipeline pipeline{chunker, rag::ParentRetriever{rag::Bm25{}}, rag::EchoLlm{}};
  const rag::Document document{"a.txt", "Rain fell. Cats slept. Dogs barked. Bread rose. Ships sailed. Birds sang."};
  pipeline.add(document);

  const auto hits = pipeline.search("dogs and ships", 3);

  REQUIRE(texts(hits) == Strings{"Cats slept. Dogs barked. Bread rose. Ships sailed. Birds sang."});
  CHECK(document.text.substr(hits[0].chunk.begin, hits[0].chunk.end - hits[0].chunk.begin) == hits[0].chunk.text);
  CHECK(texts(pipeline.search("rain", 1)) == Strings{"Rain fell. Cats slept."});
  pipeline.add({"a.txt", "Nothing left."});
  CHECK(pipeline.search("rain", 1).empty());
}

TEST_CASE("ParentRetriever gives k parents though one has many of the best children") {
  const rag::ParentChunker chunker{rag::FixedChunker{{.size = 12}}, rag::FixedChunker{{.size = 4}}};
  rag::ParentRetriever retriever{rag::Bm25{}};
  retriever.add(chunker.chunk({"a", "cat cat cat dog cat dog "}));

  CHECK(texts(retriever.search("cat", 2)) == Strings{"cat cat cat ", "dog cat dog "});
  CHECK(retriever.search("cat", 0).empty());
  CHECK(retriever.search("cat", static_cast<std::size_t>(-1)).size() == 2);
  CHECK(retriever.search("cat", 2, rag::source() == "b").empty());
}

TEST_CASE("ParentRetriever keeps the laws of the retriever within") {
  laws::check_retriever([] { return rag::ParentRetriever{rag::Bm25{}}; });
}

TEST_CASE("DenseRetriever embeds the context of a chunk and gives the chunk without it") {
  rag::DenseRetriever dense{rag::HashingEmbedder{}, rag::FlatStore{}};
  const std::vector<rag::Chunk> chunks = rag::ContextChunker{rag::SentenceChunker{{.sentences = 1}}}.chunk(
      {"a", "It is fast. It is small.", {{"title", "Milvus"}}});
  dense.add(chunks);
  dense.add(std::vector<rag::Chunk>{{"It is green.", "b", 0, 12}});

  const auto hits = dense.search("milvus", 2);

  REQUIRE(hits.size() == 2);
  CHECK(hits[0].chunk.source == "a");
  CHECK(hits[1].chunk.source == "a");
  CHECK(hits[0].score > 0.3f);
  CHECK(hits[0].chunk.text.starts_with("It is"));
}

TEST_CASE("Bm25 finds a chunk by its context and forgets the context's words with it") {
  rag::Bm25 bm25;
  bm25.add(rag::ContextChunker{rag::SentenceChunker{{.sentences = 1}}}.chunk(
      {"a", "It is fast. It is small.", {{"title", "Milvus"}}}));

  CHECK(texts(bm25.search("milvus", 3)) == Strings{"It is fast.", "It is small."});
  bm25.erase("a");
  CHECK(bm25.search("milvus", 3).empty());
}

TEST_CASE("Pipeline counts a chunk as cut where its context leaves too little room") {
  rag::Pipeline pipeline{rag::ContextChunker{rag::SentenceChunker{{.sentences = 1}}}, ByteEmbedder{}, rag::FlatStore{},
                         rag::EchoLlm{}};

  CHECK(pipeline.add({"a", "It is fast. It is small enough."}).cut == 1);
  CHECK(pipeline.add({"b", "It is fast.", {{"title", "A long title"}}}).cut == 1);
}
