// SPDX-License-Identifier: MIT
// MultiQuery, Hyde and Decompose: what they send, how they read what comes back, and the ranking that they
// make of it.
#include "laws/retriever.hpp"
#include "llm/scripted.hpp"

#include <rag/retrieve/bm25.hpp>
#include <rag/retrieve/decompose.hpp>
#include <rag/retrieve/hyde.hpp>
#include <rag/retrieve/multi_query.hpp>
#include <rag/retrieve/parent.hpp>
#include <rag/store/filter.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Strings = std::vector<std::string>;
using toys::ScriptedLlm;

rag::Hit hit(const std::string& text, rag::Id id) { return {{text, "a", 0, text.size(), {}, id}, 1}; }

std::vector<rag::Hit> hits(std::string_view letters) {  // one a letter; its id is its place in the alphabet
  std::vector<rag::Hit> result;
  for (const char c : letters) result.push_back(hit(std::string(1, c), c - 'a'));
  return result;
}

std::string letters(const std::vector<rag::Hit>& found) {
  std::string result;
  for (const rag::Hit& each : found) result += each.chunk.text;
  return result;
}

/// Finds what was laid down for a question, and keeps what it was asked.
struct Shelf {
  std::map<std::string, std::string> found;
  Strings asked = {};
  std::vector<std::size_t> depths = {};

  std::vector<rag::Id> add(std::span<const rag::Chunk> chunks) { return std::vector<rag::Id>(chunks.size(), 0); }
  std::vector<rag::Hit> search(std::string_view question, std::size_t k) {
    asked.emplace_back(question);
    depths.push_back(k);
    return hits(std::string_view(found[asked.back()]).substr(0, k));
  }
  std::size_t count_tokens(std::string_view text) const { return text.size(); }
  std::size_t max_tokens() const { return 20; }
};

using Multi = rag::MultiQuery<rag::Bm25, ScriptedLlm>;
static_assert(rag::ReplacingRetriever<Multi> && rag::FilteringRetriever<Multi, rag::Filter>);
static_assert(!rag::FilteringRetriever<Multi, int> && !rag::TokenCounter<Multi>);
static_assert(rag::FilteringRetriever<rag::Hyde<rag::Bm25, ScriptedLlm>, rag::Filter>);
static_assert(rag::ReplacingRetriever<rag::Decompose<rag::ParentRetriever<rag::Bm25>, ScriptedLlm>>);
static_assert(rag::TokenCounter<rag::Decompose<Shelf, ScriptedLlm>> &&
              rag::TokenCounter<rag::Hyde<Shelf, ScriptedLlm>>);
static_assert(!rag::ReplacingRetriever<rag::Hyde<Shelf, ScriptedLlm>>);
static_assert(!rag::FilteringRetriever<rag::MultiQuery<Shelf, ScriptedLlm>, rag::Filter>);

}  // namespace

TEST_CASE("MultiQuery, Hyde and Decompose send these bytes") {
  ScriptedLlm llm{{"A line?"}};
  const std::string block = "<question>\nIs 1 &lt; 2 &amp; 3?\n</question>";
  rag::MultiQuery multi{Shelf{}, llm};
  rag::Decompose parts{Shelf{}, llm};
  rag::Hyde hyde{Shelf{}, llm};

  multi.search("Is 1 < 2 & 3?", 1);
  parts.search("Is 1 < 2 & 3?", 1);
  hyde.search("Is 1 < 2 & 3?", 1);

  using Messages = std::vector<rag::Message>;
  REQUIRE(llm.sent.size() == 3);
  CHECK(llm.sent[0] ==
        Messages{{"system", std::string(rag::multi_query_system)}, {"user", "<count>3</count>\n" + block}});
  CHECK(llm.sent[1] ==
        Messages{{"system", std::string(rag::decompose_system)}, {"user", "<count>4</count>\n" + block}});
  CHECK(llm.sent[2] == Messages{{"system", std::string(rag::hyde_system)}, {"user", block}});
  CHECK(multi.messages("Is 1 < 2 & 3?") == llm.sent[0]);
  CHECK(parts.messages("Is 1 < 2 & 3?") == llm.sent[1]);
  CHECK(hyde.messages("Is 1 < 2 & 3?") == llm.sent[2]);
}

TEST_CASE("The instruction and the count are the user's to choose") {
  ScriptedLlm llm{{"x"}};
  using Messages = std::vector<rag::Message>;

  CHECK(rag::MultiQuery{Shelf{}, llm, {.questions = 7, .system = "Be wild."}}.messages("?") ==
        Messages{{"system", "Be wild."}, {"user", "<count>7</count>\n<question>\n?\n</question>"}});
  CHECK(rag::Decompose{Shelf{}, llm, {.most = 2, .system = ""}}.messages("?") ==
        Messages{{"user", "<count>2</count>\n<question>\n?\n</question>"}});
  CHECK(rag::Hyde{Shelf{}, llm, {.system = ""}}.messages("?") == Messages{{"user", "<question>\n?\n</question>"}});
  CHECK_THROWS_WITH_AS((rag::MultiQuery{Shelf{}, llm, {.questions = 0}}),
                       "MultiQuery: 1 question or more wanted, 0 given", rag::Error);
  CHECK_THROWS_WITH_AS((rag::Decompose{Shelf{}, llm, {.most = 1}}), "Decompose: 2 parts or more wanted, 1 given",
                       rag::Error);
}

TEST_CASE("1,000 hostile questions stay in their block") {
  ScriptedLlm llm{{"x"}};
  const rag::MultiQuery multi{Shelf{}, llm};
  std::mt19937 random(7);
  for (int i = 0; i < 1000; ++i) {
    CAPTURE(i);
    const std::string question = toys::hostile_text(random);

    const std::string user = multi.messages(question).at(1).content;

    const std::string before = "<count>3</count>\n<question>\n", after = "\n</question>";
    REQUIRE((user.starts_with(before) && user.ends_with(after) && user.size() >= before.size() + after.size()));
    const std::string inner = user.substr(before.size(), user.size() - before.size() - after.size());
    CHECK(inner.find('<') == std::string::npos);
    CHECK(rag::detail::unescaped(inner) == rag::detail::visible(question));
  }
}

TEST_CASE("MultiQuery searches for the question and its wordings, and fuses them by rank") {
  ScriptedLlm llm{{"1. wording one\n2. wording two\n3. wording three\n4. too many"}};
  rag::MultiQuery multi{Shelf{{{"q", "abc"}, {"wording one", "ba"}, {"wording two", "d"}}}, llm};

  const std::vector<rag::Hit> found = multi.search("q", 3);

  CHECK(multi.retriever().asked == Strings{"q", "wording one", "wording two", "wording three"});
  CHECK(multi.retriever().depths == std::vector<std::size_t>(4, 50));
  CHECK(letters(found) == "abd");  // a and b are equal, and so the one with the lower id is first
  CHECK(found[0].score == static_cast<float>(1.0 / 61 + 1.0 / 62));
  CHECK(found[0].score == found[1].score);
  CHECK(letters(multi.search("q", 100)) == "abdc");
  CHECK(multi.retriever().depths.back() == 100);
  CHECK(&multi.llm() == &llm);
}

TEST_CASE("Fusion is by sums of ranks, counts a chunk once a ranking and breaks ties by id") {
  using rag::detail::fuse_ranks;
  CHECK(fuse_ranks({}, 3).empty());
  CHECK(letters(fuse_ranks({hits("cab")}, 9)) == "cab");
  CHECK(letters(fuse_ranks({hits("c"), hits("b"), hits("a")}, 2)) == "ab");
  CHECK(letters(fuse_ranks({hits("xbyb"), hits("zb")}, 9)) == "bxzy");
  CHECK(fuse_ranks({hits("xbyb")}, 9)[1].score == static_cast<float>(1.0 / 62));
  std::vector<rag::Hit> other = hits("a");
  other[0].chunk.source = "b";  // the same text in another document is another chunk
  CHECK(fuse_ranks({hits("a"), other}, 9).size() == 2);

  std::mt19937 random(5);
  for (int i = 0; i < 200; ++i) {
    CAPTURE(i);
    std::vector<std::vector<rag::Hit>> rankings;
    std::map<char, double> sums;
    for (unsigned list = 0; list < 4; ++list) {
      std::string order = "abcdefgh";
      std::shuffle(order.begin(), order.end(), random);
      order.resize(random() % 9);
      rankings.push_back(hits(order));
      for (std::size_t rank = 0; rank < order.size(); ++rank) sums[order[rank]] += 1 / (61 + static_cast<double>(rank));
    }
    const std::vector<rag::Hit> fused = fuse_ranks(rankings, 100);
    REQUIRE(fused.size() == sums.size());
    for (std::size_t j = 0; j < fused.size(); ++j) {
      CHECK(fused[j].score == static_cast<float>(sums[fused[j].chunk.text[0]]));
      if (j > 0) CHECK((fused[j - 1].score > fused[j].score || fused[j - 1].chunk.id < fused[j].chunk.id));
    }
    CHECK(letters(fuse_ranks(rankings, 3)) == letters(fused).substr(0, 3));
  }
}

TEST_CASE("Decompose takes the parts' hits in turn, and the question's last") {
  ScriptedLlm llm{{"- part one\n- part two"}};
  rag::Decompose parts{Shelf{{{"q", "xac"}, {"part one", "abc"}, {"part two", "ad"}}}, llm};

  const std::vector<rag::Hit> found = parts.search("q", 4);

  CHECK(parts.retriever().asked == Strings{"part one", "part two", "q"});
  CHECK(parts.retriever().depths == std::vector<std::size_t>(3, 4));
  CHECK(letters(found) == "adxb");
  CHECK(found[0].score == 1);
  CHECK(found[3].score == 0.25f);
  CHECK(letters(parts.search("q", 9)) == "adxbc");
  CHECK(letters(parts.search("q", 1)) == "a");
}

TEST_CASE("Decompose drops the question from the parts, and searches for it once") {
  ScriptedLlm llm{{"Q\npart one\npart two", "q\npart one"}};
  rag::Decompose parts{Shelf{}, llm};

  CHECK(parts.questions("q") == Strings{"part one", "part two", "q"});
  CHECK(parts.questions("q") == Strings{"q"});
}

TEST_CASE("Decompose: the best hit of every part is among k where k parts or fewer are named") {
  std::mt19937 random(9);
  for (int i = 0; i < 300; ++i) {
    CAPTURE(i);
    const std::size_t count = 2 + random() % 3;
    Shelf shelf;
    std::string answer;
    for (std::size_t part = 0; part <= count; ++part) {
      std::string order = "abcdefgh";
      std::shuffle(order.begin(), order.end(), random);
      order.resize(random() % 9);
      const std::string name = part == count ? "q" : "part " + std::to_string(part);
      shelf.found[name] = order;
      if (part < count) answer += name + "\n";
    }
    ScriptedLlm llm{{answer}};
    rag::Decompose parts{shelf, llm};
    const std::string found = letters(parts.search("q", count));
    for (const std::string& asked : parts.retriever().asked)
      if (asked != "q" && !shelf.found[asked].empty()) CHECK(found.find(shelf.found[asked][0]) != std::string::npos);
  }
}

TEST_CASE("A simple question, or an answer that can't be used, leaves the question alone") {
  for (const std::string answer : {"q", "Q?", "a wording of it", "", "<think>", "1."}) {
    CAPTURE(answer);
    ScriptedLlm llm{{answer}};
    rag::Decompose parts{Shelf{{{"q", "ba"}}}, llm};
    CHECK(letters(parts.search("q", 5)) == "ba");
    CHECK(parts.retriever().asked == Strings{"q"});
  }
  for (const std::string answer : {"q", "", "```\n```"}) {
    CAPTURE(answer);
    ScriptedLlm llm{{answer}};
    rag::MultiQuery multi{Shelf{{{"q", "ba"}}}, llm};
    CHECK(letters(multi.search("q", 5)) == "ba");
    CHECK(multi.retriever().asked == Strings{"q"});
  }
  ScriptedLlm llm{{"<think>What?</think>\n```\n```"}};
  rag::Hyde hyde{Shelf{{{"q", "ba"}}}, llm};
  CHECK(letters(hyde.search("q", 5)) == "ba");
  CHECK(hyde.retriever().asked == Strings{"q"});
}

TEST_CASE("Hyde searches for the question and for the passage, cut at 4,000 bytes") {
  const std::string passage = "Data is kept\nin etcd.";
  ScriptedLlm llm{{"<think>Hm</think>\n```\n" + passage + "\n```\n", std::string(1, 'x') + [] {
                     std::string long_one;
                     for (int i = 0; i < 2000; ++i) long_one += "数";
                     return long_one;
                   }()}};
  rag::Hyde hyde{Shelf{{{"q", "ab"}, {passage, "bc"}}}, llm};

  CHECK(letters(hyde.search("q", 3)) == "bac");
  CHECK(hyde.retriever().asked == Strings{"q", passage});
  CHECK(hyde.retriever().depths == std::vector<std::size_t>(2, 50));
  CHECK(hyde.questions("q").at(1).size() == 4000);
  CHECK(rag::detail::invalid_utf8(hyde.questions("q").at(1)) == std::string::npos);
}

TEST_CASE("An Error of the model passes through, and k = 0 asks nobody") {
  ScriptedLlm llm{{"!"}};
  rag::MultiQuery multi{Shelf{}, llm};
  rag::Hyde hyde{Shelf{}, llm};
  rag::Decompose parts{Shelf{}, llm};

  CHECK(multi.search("q", 0).empty());
  CHECK(hyde.search("q", 0).empty());
  CHECK(parts.search("q", 0).empty());
  CHECK(llm.sent.empty());
  CHECK_THROWS_WITH_AS(multi.search("q", 1), "ScriptedLlm: come back later", rag::Error);
  CHECK_THROWS_WITH_AS(hyde.search("q", 1), "ScriptedLlm: come back later", rag::Error);
  CHECK_THROWS_WITH_AS(parts.search("q", 1), "ScriptedLlm: come back later", rag::Error);
}

TEST_CASE("MultiQuery, Hyde and Decompose keep the laws of a retriever and take filters") {
  ScriptedLlm llm{{"the green sea\na dog at night"}};
  laws::check_retriever([&] { return rag::MultiQuery{rag::Bm25{}, llm}; });
  laws::check_retriever([&] { return rag::Hyde{rag::Bm25{}, llm}; });
  laws::check_retriever([&] { return rag::Decompose{rag::Bm25{}, llm}; });

  rag::MultiQuery multi{rag::Hyde{rag::Bm25{}, llm}, llm};  // one in the other, one model for both
  multi.add(laws::retriever_chunks());
  const rag::Filter even = rag::source() == "even";
  CHECK(!multi.search("a dog", 9, even).empty());
  for (const rag::Hit& found : multi.search("a dog", 9, even)) CHECK(found.chunk.source == "even");
  rag::Decompose counting{Shelf{}, llm};
  CHECK(counting.count_tokens("four") == 4);
  CHECK(counting.max_tokens() == 20);
}
