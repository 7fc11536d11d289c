// SPDX-License-Identifier: MIT
#include "laws/retriever.hpp"
#include "paths.hpp"

#include <rag/detail/json.hpp>
#include <rag/retrieve/bm25.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

static_assert(rag::ReplacingRetriever<rag::Bm25>);

/// Nearest that must not pass: it forgets to say which ids it gave.
struct SilentBm25 : rag::Bm25 {
  void add(std::span<const rag::Chunk> chunks) { rag::Bm25::add(chunks); }
};
static_assert(!rag::Retriever<SilentBm25>);

rag::Chunk chunk(const std::string& text, const std::string& source = "a", rag::Id id = rag::no_id) {
  return {text, source, 0, text.size(), {}, id};
}

rag::Bm25 index_of(const std::vector<std::string>& texts) {
  rag::Bm25 index;
  for (const std::string& text : texts) {
    const rag::Chunk one = chunk(text);
    index.add({&one, 1});
  }
  return index;
}

std::vector<rag::Id> found(const rag::Bm25& index, std::string_view question, std::size_t k = 10) {
  std::vector<rag::Id> ids;
  for (const rag::Hit& hit : index.search(question, k)) ids.push_back(hit.chunk.id);
  return ids;
}

using Ids = std::vector<rag::Id>;

/// MRR@10 of finding a question's paragraph.
double xquad_mrr(const std::filesystem::path& path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const rag::detail::Json json = rag::detail::parse_json(text, "xquad");
  rag::Bm25 index;
  std::vector<std::pair<std::string, rag::Id>> questions;
  for (const auto& article : json["data"])
    for (const auto& paragraph : article["paragraphs"]) {
      const rag::Chunk one = chunk(paragraph["context"]);
      const rag::Id id = index.add({&one, 1}).at(0);
      for (const auto& question : paragraph["qas"]) questions.emplace_back(question["question"], id);
    }
  REQUIRE(index.size() == 240);
  REQUIRE(questions.size() == 1190);
  double sum = 0;
  for (const auto& [question, id] : questions) {
    const Ids ids = found(index, question);
    const auto at = std::find(ids.begin(), ids.end(), id);
    if (at != ids.end()) sum += 1.0 / static_cast<double>(at - ids.begin() + 1);
  }
  return sum / static_cast<double>(questions.size());
}

}  // namespace

TEST_CASE("Bm25 keeps the laws of a Retriever") {
  laws::check_retriever([] { return rag::Bm25{}; });
}

TEST_CASE("Bm25's score is the formula's") {
  const rag::Bm25 index = index_of({"red fox red", "blue fox jumps high", "green hill"});
  const auto weight = [](double with) { return std::log(1 + (3 - with + 0.5) / (with + 0.5)); };
  const auto term = [](double often, double length) {
    return often * 2.2 / (often + 1.2 * (0.25 + 0.75 * length / 3));
  };

  const std::vector<rag::Hit> hits = index.search("a red red fox", 10);

  REQUIRE(hits.size() == 2);
  CHECK(hits[0].score == doctest::Approx(2 * weight(1) * term(2, 3) + weight(2) * term(1, 3)));
  CHECK(hits[1].score == doctest::Approx(weight(2) * term(1, 4)));
}

TEST_CASE("Bm25 folds case and accents, takes plurals for singulars and splits at signs") {
  const rag::Bm25 index = index_of({"Größe der VEKTOREN", "Two queries, many indexes", "max_tokens=256"});

  CHECK(found(index, "grosse GROSSE große") == Ids{0});
  CHECK(found(index, "query") == Ids{1});
  CHECK(found(index, "index_") == Ids{});
  CHECK(found(index, "tokens") == Ids{2});
}

TEST_CASE("Bm25 with PlainWords takes words as they stand") {
  rag::BasicBm25<rag::PlainWords> index;
  std::vector<rag::Chunk> chunks(3);
  chunks[0].text = "the queries", chunks[1].text = "a QUERY", chunks[2].text = "向量数据";
  index.add(chunks);

  CHECK(index.search("query", 3).size() == 1);
  CHECK(index.search("query", 3).at(0).chunk.id == 1);
  CHECK(index.search("the query", 3).size() == 2);
  CHECK(index.search("量数", 3).at(0).chunk.id == 2);
}

namespace {

/// A policy of a user's: words are what commas part, and "and" is a stop word.
struct CommaWords {
  template <class Visit>
  void operator()(std::string_view text, Visit&& visit) const {
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(',', begin), text.size());
      visit(text.substr(begin, end - begin), text.substr(begin, end - begin) == "and");
      begin = end + 1;
    }
  }
};
static_assert(rag::ReplacingRetriever<rag::BasicBm25<CommaWords>>);

}  // namespace

TEST_CASE("Bm25 takes a policy for words, and erases by it what it added by it") {
  rag::BasicBm25<CommaWords> index{{.k1 = 2}};
  rag::Chunk chunk{"red fox,and,blue sky", "a"};
  index.add(std::span(&chunk, 1));

  CHECK(index.search("red fox,and", 1).size() == 1);
  CHECK(index.search("red", 1).empty());
  index.erase("a");
  CHECK(index.search("red fox,and", 1).empty());
  laws::check_retriever([] { return rag::BasicBm25<rag::PlainWords>{}; });
}

TEST_CASE("Bm25 finds a Chinese word of one character inside of a run, and pairs before singles") {
  rag::Bm25 index;
  std::vector<rag::Chunk> chunks(3);
  chunks[0].text = "据说数不清", chunks[1].text = "小猫喜欢鱼", chunks[2].text = "数据很多的";
  index.add(chunks);

  CHECK(index.search("猫", 3).at(0).chunk.id == 1);
  CHECK(index.search("数据", 3).at(0).chunk.id == 2);
  CHECK(index.search("数据", 3).size() == 2);
}

TEST_CASE("Bm25 finds Chinese and Japanese words inside of a run") {
  const rag::Bm25 index = index_of({"向量数据库存储数据", "今天天气很好", "ベクトルの検索", "猫"});

  CHECK(found(index, "数据库") == Ids{0});
  CHECK(found(index, "天气") == Ids{1});
  CHECK(found(index, "検索") == Ids{2});
  CHECK(found(index, "ベクトル") == Ids{2});
  CHECK(found(index, "猫") == Ids{3});
}

TEST_CASE("Bm25 leaves stop words out of a question that has others, and only then") {
  const rag::Bm25 index = index_of({"the who", "the cat", "dogs"});

  CHECK(found(index, "where is the cat") == Ids{1});
  CHECK(found(index, "The Who") == Ids{0, 1});
  CHECK(found(index, "purple").empty());
  CHECK(found(index, "").empty());
  CHECK(found(index, "?!").empty());
}

TEST_CASE("Bm25 keeps the order of insertion among equals") {
  std::vector<std::string> texts(50, "the same words");

  const Ids ids = found(index_of(texts), "same words", 20);

  REQUIRE(ids.size() == 20);
  for (std::size_t i = 0; i < ids.size(); ++i) CHECK(ids[i] == static_cast<rag::Id>(i));
}

TEST_CASE("Bm25 keeps the ids of chunks that have one and refuses those in use") {
  rag::Bm25 index;
  const rag::Chunk first[] = {chunk("one", "a", 7), chunk("two", "b"), chunk("three", "b", 3)};

  CHECK(index.add(first) == Ids{7, 8, 3});

  const rag::Chunk used[] = {chunk("new", "c"), chunk("four", "c", 7)};
  CHECK_THROWS_WITH_AS(index.add(used), "Bm25: a free id of 0 or more wanted, 7 given", rag::Error);
  const rag::Chunk twice[] = {chunk("new", "c", 20), chunk("four", "c", 20)};
  CHECK_THROWS_AS(index.add(twice), rag::Error);
  for (const rag::Id bad :
       {rag::Id{-2}, std::numeric_limits<rag::Id>::min(), std::numeric_limits<rag::Id>::max()}) {
    const rag::Chunk one = chunk("new", "c", bad);
    CHECK_THROWS_AS(index.add({&one, 1}), rag::Error);
  }
  CHECK(index.size() == 3);
  CHECK(found(index, "new").empty());
  CHECK(index.replace("a", std::span(first, 1)) == Ids{7});
  CHECK_THROWS_AS(index.replace("b", std::span(used, 1)), rag::Error);
  CHECK(index.chunks("b").size() == 2);
}

TEST_CASE("Bm25 after any adds, replacements and erasures is the index of what is left, to the bit") {
  std::mt19937 random(1);
  const auto below = [&](unsigned n) { return static_cast<unsigned>(random()) % n; };
  const auto text = [&] {
    std::string words;
    for (unsigned i = 0, n = below(12); i < n; ++i) words += "w" + std::to_string(below(30)) + " ";
    return words;
  };
  rag::Bm25 index;
  std::vector<rag::Chunk> live;
  for (int step = 0; step < 1500; ++step) {
    const std::string source = "s" + std::to_string(below(20));
    std::vector<rag::Chunk> added;
    for (unsigned i = 0, n = below(6); i < n; ++i) added.push_back(chunk(text(), source));
    const bool is_replaced = below(3) != 0;
    const Ids ids = is_replaced ? index.replace(source, added) : index.add(added);
    if (is_replaced) std::erase_if(live, [&](const rag::Chunk& one) { return one.source == source; });
    for (std::size_t i = 0; i < ids.size(); ++i) {
      live.push_back(added[i]);
      live.back().id = ids[i];
    }
    if (step % 100 != 99) continue;
    CAPTURE(step);
    rag::Bm25 fresh;
    fresh.add(live);
    REQUIRE(index.size() == live.size());
    for (int i = 0; i < 5; ++i) {
      const std::string question = text();
      CHECK(index.search(question, 25) == fresh.search(question, 25));
    }
    CHECK(index.chunks("s3") == fresh.chunks("s3"));
  }
}

TEST_CASE("Bm25 takes any bytes") {
  rag::Bm25 index =
      index_of({"", "\xff\xfe\x80", std::string(3, '\0'), std::string(100000, 'x'), "\xE4\xB8", "plain"});

  CHECK(index.size() == 6);
  CHECK(found(index, "plain") == Ids{5});
  CHECK(found(index, "\xff").empty());
  index.erase("a");
  CHECK(index.size() == 0);
  CHECK(found(index, "plain").empty());
}

TEST_CASE("Bm25 refuses options outside of their range") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const rag::Bm25Options bad : {rag::Bm25Options{-1, 0.5}, {nan, 0.5}, {1, -0.1}, {1, 1.1}, {1, nan}})
    CHECK_THROWS_AS(rag::Bm25{bad}, rag::Error);
}

TEST_CASE("Bm25 finds the paragraphs of XQuAD, English and Chinese, with an MRR@10 of 0.955 or more") {
  const std::filesystem::path folder = tests::data_folder() / "xquad";
  if (tests::skip_without(folder)) return;

  const double english = xquad_mrr(folder / "xquad.en.json"), chinese = xquad_mrr(folder / "xquad.zh.json");

  MESSAGE("MRR@10 en " << english << ", zh " << chinese);
  CHECK(english >= 0.955);
  CHECK(chinese >= 0.955);
}
