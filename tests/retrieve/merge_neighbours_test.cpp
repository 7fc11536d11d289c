// SPDX-License-Identifier: MIT
#include <rag/chunk/recursive.hpp>
#include <rag/llm/echo.hpp>
#include <rag/pipeline.hpp>
#include <rag/retrieve/bm25.hpp>
#include <rag/retrieve/merge_neighbours.hpp>
#include <rag/retrieve/refined.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using Strings = std::vector<std::string>;

const std::string alphabet = "abcdefghijklmnopqrstuvwxyz";

/// Bytes [begin, end) of the alphabet.
rag::Hit hit(std::size_t begin, std::size_t end, float score = 0, const std::string& source = "abc") {
  return {{alphabet.substr(begin, end - begin), source, begin, end, {{"n", begin}}, static_cast<rag::Id>(begin)}, score};
}

Strings texts(const std::vector<rag::Hit>& hits) {
  Strings found;
  for (const rag::Hit& hit : hits) found.push_back(hit.chunk.text);
  return found;
}

Strings merged(const std::vector<rag::Hit>& hits, std::size_t k = 9) {
  return texts(rag::MergeNeighbours{}.refine("?", hits, k));
}

const auto read_alphabet = [](std::string_view, std::size_t begin, std::size_t end) {
  return alphabet.substr(begin, end - begin);
};

struct Texts {
  std::map<std::string, std::string> of;
  std::string operator()(std::string_view source, std::size_t begin, std::size_t end) const {
    return of.at(std::string(source)).substr(begin, end - begin);
  }
};

/// A hit of whole characters of a text whose characters begin at `starts`; the last entry is the text's size.
rag::Hit random_hit(std::mt19937& random, const std::string& source, const std::string& text,
                    const std::vector<std::size_t>& starts, std::size_t number) {
  const std::size_t first = random() % (starts.size() - 1);
  const std::size_t last = std::min(starts.size() - 1, first + 1 + random() % 9);
  const std::size_t begin = starts[first], end = starts[last];
  return {{text.substr(begin, end - begin), source, begin, end, {{"number", number}}, static_cast<rag::Id>(number)},
          -static_cast<float>(number)};
}

/// What each byte of a source is: 0 not found, 1 found.
std::vector<char> covered(const std::vector<rag::Hit>& hits, const std::string& source, std::size_t size) {
  std::vector<char> bytes(size);
  for (const rag::Hit& hit : hits)
    if (hit.chunk.source == source)
      for (std::size_t i = hit.chunk.begin; i < hit.chunk.end; ++i) bytes[i] = 1;
  return bytes;
}

/// The gaps of at most `gap` bytes between covered ones, filled.
std::vector<char> filled(std::vector<char> bytes, std::size_t gap) {
  std::size_t after = bytes.size();  // of the last covered byte
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (!bytes[i]) continue;
    if (after < i && i - after <= gap) std::fill_n(bytes.data() + after, i - after, char{1});
    after = i + 1;
  }
  return bytes;
}

void check_merged(const std::vector<rag::Hit>& hits, const std::vector<rag::Hit>& found, const Texts& texts, std::size_t gap) {
  std::size_t next = 0;  // the first hit that no result before has
  std::vector<bool> taken(hits.size());
  for (const rag::Hit& region : found) {
    const rag::Chunk& chunk = region.chunk;
    CHECK(chunk.text == texts(chunk.source, chunk.begin, chunk.end));
    while (next < hits.size() && taken[next]) ++next;
    REQUIRE(next < hits.size());
    CHECK(region.score == hits[next].score);
    CHECK(chunk.id == hits[next].chunk.id);
    CHECK(chunk.metadata == hits[next].chunk.metadata);
    for (std::size_t i = 0; i < hits.size(); ++i) {
      const rag::Chunk& part = hits[i].chunk;
      if (part.source == chunk.source && part.begin >= chunk.begin && part.end <= chunk.end) taken[i] = true;
    }
    CHECK(taken[next]);
  }
  CHECK(std::count(taken.begin(), taken.end(), false) == 0);
  for (std::size_t i = 0; i < found.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      const rag::Chunk &a = found[i].chunk, &b = found[j].chunk;
      if (a.source == b.source) CHECK((a.begin > b.end + gap || b.begin > a.end + gap));
    }
  for (const auto& [source, text] : texts.of)
    CHECK(covered(found, source, text.size()) == filled(covered(hits, source, text.size()), gap));
}

}  // namespace

TEST_CASE("MergeNeighbours makes one of hits that touch or overlap, with what the best of them has") {
  const std::vector<rag::Hit> hits = {hit(4, 8, 3), hit(12, 14, 2.5f), hit(8, 10, 2), hit(2, 5, 1)};

  const auto found = rag::MergeNeighbours{}.refine("?", hits, 9);

  REQUIRE(texts(found) == Strings{"cdefghij", "mn"});
  CHECK(found[0] == rag::Hit{{"cdefghij", "abc", 2, 10, {{"n", 4}}, 4}, 3});
  CHECK(found[1] == hits[1]);
}

TEST_CASE("MergeNeighbours takes nested and equal hits, and a hit that closes the gap between two") {
  CHECK(merged({hit(2, 9), hit(4, 6)}) == Strings{"cdefghi"});
  CHECK(merged({hit(4, 6), hit(2, 9)}) == Strings{"cdefghi"});
  CHECK(merged({hit(4, 6), hit(4, 6), hit(4, 9)}) == Strings{"efghi"});
  CHECK(merged({hit(10, 12), hit(20, 22), hit(2, 4), hit(4, 10)}) == Strings{"cdefghijkl", "uv"});
}

TEST_CASE("MergeNeighbours looks at the first k hits alone") {
  const std::vector<rag::Hit> hits = {hit(0, 2), hit(5, 7), hit(2, 5)};

  CHECK(merged(hits, 2) == Strings{"ab", "fg"});
  CHECK(merged(hits, 3) == Strings{"abcdefg"});
  CHECK(merged(hits, static_cast<std::size_t>(-1)) == Strings{"abcdefg"});
  CHECK(merged(hits, 0).empty());
  CHECK(merged({}).empty());
}

TEST_CASE("MergeNeighbours keeps apart what is of two sources, disagrees where it overlaps, or is no span of its text") {
  const std::vector<rag::Hit> two = {hit(0, 4), hit(2, 6, 0, "other"), hit(4, 6)};
  CHECK(merged(two) == Strings{"abcdef", "cdef"});

  std::vector<rag::Hit> wrong = {hit(0, 4), hit(2, 6), hit(4, 8)};
  wrong[1].chunk.text = "cDef";
  wrong[2].chunk.text = "short";
  CHECK(merged(wrong) == Strings{"abcd", "cDef", "short"});
  wrong[2].chunk.end = 2;
  CHECK(merged(wrong).size() == 3);
}

TEST_CASE("MergeNeighbours fills a gap with the document's bytes, where they fit to both hits") {
  const std::vector<rag::Hit> hits = {hit(6, 9, 2), hit(0, 4, 1), hit(12, 14)};
  rag::MergeNeighbours near{read_alphabet, {.gap = 2}}, wide{read_alphabet};

  const auto found = near.refine("?", hits, 9);

  REQUIRE(texts(found) == Strings{"abcdefghi", "mn"});
  CHECK(found[0] == rag::Hit{{"abcdefghi", "abc", 0, 9, {{"n", 6}}, 6}, 2});
  CHECK(texts(wide.refine("?", hits, 9)) == Strings{"abcdefghijklmn"});
  CHECK(merged(hits) == Strings{"ghi", "abcd", "mn"});
  const auto check_apart = [&](auto read) {
    rag::MergeNeighbours step{read};
    CHECK(texts(step.refine("?", hits, 9)) == Strings{"ghi", "abcd", "mn"});
  };
  check_apart([](std::string_view, std::size_t, std::size_t) { return std::string(); });
  check_apart([](std::string_view, std::size_t begin, std::size_t end) { return std::string(end - begin, 'x'); });
  check_apart([](std::string_view, std::size_t begin, std::size_t end) { return alphabet.substr(begin, end - begin) + "x"; });
  check_apart([](std::string_view, std::size_t begin, std::size_t end) { return alphabet.substr(begin, end - begin - 1) + "x"; });
}

TEST_CASE("MergeNeighbours gives the bytes of the document, all that was found, and no two that touch") {
  std::mt19937 random(11);
  const Strings characters = {"a", "b", " ", "\n", "é", "文", "🙂"};
  for (std::size_t round = 0; round < 300; ++round) {
    CAPTURE(round);
    Texts texts;
    std::vector<rag::Hit> hits;
    const std::size_t count = random() % 14;
    for (const char* source : {"one", "two"}) {
      std::string& text = texts.of[source];
      std::vector<std::size_t> starts{0};
      for (std::size_t n = 1 + random() % 80; n > 0; --n) {
        text += characters[random() % characters.size()];
        starts.push_back(text.size());
      }
      for (std::size_t i = 0; i < count; ++i) hits.push_back(random_hit(random, source, text, starts, 0));
    }
    std::shuffle(hits.begin(), hits.end(), random);
    for (std::size_t i = 0; i < hits.size(); ++i) {
      hits[i].chunk.id = static_cast<rag::Id>(i);
      hits[i].chunk.metadata.set("number", i);
      hits[i].score = -static_cast<float>(i);
    }
    const std::size_t k = random() % 30, gap = random() % 5;
    std::vector<rag::Hit> first = hits;
    if (k < first.size()) first.resize(k);

    check_merged(first, rag::MergeNeighbours{}.refine("?", hits, k), texts, 0);
    check_merged(first, rag::MergeNeighbours{texts, {.gap = gap}}.refine("?", hits, k), texts, gap);
  }
}

TEST_CASE("MergeNeighbours gives the passage that a chunker cut, through a pipeline") {
  const std::string text = "Rain fell all day.\n\nThe rain filled the lake.\n\nShips sailed over the sea.\n\nBread rose in the oven.\n\nRain again.";
  const auto read = [&](std::string_view, std::size_t begin, std::size_t end) { return text.substr(begin, end - begin); };
  rag::Pipeline pipeline{rag::RecursiveChunker{{.size = 30}}, rag::Refined{rag::Bm25{}, rag::MergeNeighbours{read}},
                         rag::EchoLlm{}};
  pipeline.add({"a", text});

  Strings found = texts(pipeline.search("rain", 9));

  std::sort(found.begin(), found.end());
  CHECK(found == Strings{"Rain again.", "Rain fell all day.\n\nThe rain filled the lake."});
}
