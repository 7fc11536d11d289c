// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_LAWS_RETRIEVER_HPP
#define RAG_TESTS_LAWS_RETRIEVER_HPP
#include <doctest/doctest.h>
#include <rag/concepts.hpp>

#include <algorithm>
#include <cstddef>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace laws {

inline std::vector<rag::Chunk> retriever_chunks() {
  const std::string texts[] = {"the cat sat on the mat",       "a dog barked all night",
                               "rain fell on the green hills", "bread is baked from flour",
                               "a dog barked all night",       "ships sail over the sea"};
  std::vector<rag::Chunk> chunks;
  for (const std::string& text : texts) {
    const std::size_t begin = chunks.size() * 100;
    const char* source = chunks.size() % 2 == 0 ? "even" : "odd";
    chunks.push_back({text, source, begin, begin + text.size(), {{"place", chunks.size()}}});
  }
  return chunks;
}

/// Without the id, which the retriever gives.
inline bool same_chunk(rag::Chunk a, const rag::Chunk& b) {
  a.id = b.id;
  return a == b;
}

template <rag::Retriever R>
void check_search(R& retriever, const std::vector<rag::Chunk>& chunks, const std::vector<rag::Id>& ids) {
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    CAPTURE(i);
    CHECK(retriever.search(chunks[i].text, 0).empty());
    CHECK(retriever.search(chunks[i].text, 2).size() <= 2);
    const std::vector<rag::Hit> hits = retriever.search(chunks[i].text, chunks.size() + 1);
    CHECK(hits == retriever.search(chunks[i].text, chunks.size() + 1));
    std::vector<std::size_t> places;
    for (const rag::Hit& hit : hits) {
      const auto place =
          static_cast<std::size_t>(std::find(ids.begin(), ids.end(), hit.chunk.id) - ids.begin());
      REQUIRE(place < chunks.size());
      CHECK(same_chunk(chunks[place], hit.chunk));
      places.push_back(place);
    }
    CHECK(std::set<std::size_t>(places.begin(), places.end()).size() == places.size());
    CHECK(std::count(places.begin(), places.end(), i) == 1);  // asked by its own words, a chunk is found
    for (std::size_t j = 1; j < hits.size(); ++j) {
      CHECK(hits[j - 1].score >= hits[j].score);
      if (hits[j - 1].score == hits[j].score) CHECK(places[j - 1] < places[j]);
    }
  }
}

template <rag::ReplacingRetriever R>
void check_replace(R& retriever, const std::vector<rag::Chunk>& chunks) {
  const std::vector<rag::Chunk> odd = retriever.chunks("odd");
  CHECK(odd.size() == chunks.size() / 2);
  CHECK(retriever.chunks("nowhere").empty());
  const rag::Chunk fresh[] = {{"green apples grow", "even", 0, 17}, {"on old trees", "even", 18, 30}};

  const std::vector<rag::Id> ids = retriever.replace("even", fresh);

  REQUIRE(ids.size() == 2);
  const std::vector<rag::Chunk> even = retriever.chunks("even");
  REQUIRE(even.size() == 2);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(even[i].id == ids[i]);
    CHECK(same_chunk(fresh[i], even[i]));
  }
  CHECK(retriever.chunks("odd") == odd);
  for (const rag::Hit& hit : retriever.search("the cat sat on the mat", 10))
    CHECK(hit.chunk.text != chunks[0].text);

  CHECK(retriever.replace("even", std::span<const rag::Chunk>{}).empty());
  CHECK(retriever.chunks("even").empty());
  CHECK(retriever.chunks("odd") == odd);
}

/// `make()` gives a new, empty retriever.
template <class Make>
void check_retriever(Make make) {
  auto retriever = make();
  static_assert(rag::Retriever<decltype(retriever)>);
  CHECK(retriever.search("anything", 3).empty());
  CHECK(retriever.add(std::span<const rag::Chunk>{}).empty());
  const std::vector<rag::Chunk> chunks = retriever_chunks();

  const std::vector<rag::Id> ids = retriever.add(chunks);

  REQUIRE(ids.size() == chunks.size());
  CHECK(std::set<rag::Id>(ids.begin(), ids.end()).size() == ids.size());
  check_search(retriever, chunks, ids);

  // All or none: the last chunk's id is in use. A retriever that numbers in its own way may take it.
  const std::vector<rag::Hit> before = retriever.search("purple night", 100);
  std::vector<rag::Chunk> refused{{"purple rain", "new", 0, 11}, {"purple night", "new", 12, 24}};
  refused.back().id = ids[0];
  bool is_refused = false;
  try {
    retriever.add(refused);
  } catch (const rag::Error&) {
    is_refused = true;
  }
  if (is_refused) CHECK(retriever.search("purple night", 100) == before);

  if constexpr (rag::ReplacingRetriever<decltype(retriever)>) {
    if (is_refused) CHECK(retriever.chunks("new").empty());
    check_replace(retriever, chunks);
  }
}

}  // namespace laws

#endif
