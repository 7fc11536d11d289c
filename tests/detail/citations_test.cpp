// SPDX-License-Identifier: MIT
#include <rag/detail/citations.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

using Numbers = std::vector<std::size_t>;

rag::Answer resolved(const std::string& text, std::size_t sources = 3) {
  rag::Answer answer;
  answer.text = text;
  answer.sources.resize(sources);
  rag::detail::resolve_citations(answer);
  return answer;
}

Numbers cited(const std::string& text, std::size_t sources = 3) { return resolved(text, sources).cited; }

}  // namespace

TEST_CASE("Citations are found alone, side by side, in lists and in ranges, once each in order of mention") {
  CHECK(cited("In etcd [2]. In MinIO[1], as said [2].") == Numbers{2, 1});
  CHECK(cited("Both [1][3].") == Numbers{1, 3});
  CHECK(cited("Both [3, 1] or [1;2].") == Numbers{3, 1, 2});
  CHECK(cited("All [1-3], [ 1 – 2 ].") == Numbers{1, 2, 3});
  CHECK(cited("数据存储在etcd[2]。") == Numbers{2});
  CHECK(cited("[[1]]") == Numbers{1});
}

TEST_CASE("Numbers without a source are unknown") {
  const rag::Answer answer = resolved("See [7], [0], [2], [7] and [2-5].");

  CHECK(answer.cited == Numbers{2, 3});
  CHECK(answer.unknown == Numbers{7, 0, 5});
  CHECK(resolved("[1]", 0).unknown == Numbers{1});
  CHECK(resolved("[1-999999999]").cited == Numbers{1, 2, 3});
  CHECK(resolved("[1-999999999]").unknown == Numbers{999999999});
  CHECK(resolved("[2019-2024]").unknown == Numbers{2019, 2024});
}

TEST_CASE("What models write in the place of [1] is read too") {
  for (const char* text : {"a【1】", "a［１］", "a[１]", "a[^1]", "a[Snippet 1]", "a[snippets: 1]", "a[source #1]", "a[Ref. 1]", "a[#1]",
                           "a【1†faq.md】", "a[ 1 ]", "a[1】", "a[1, 1]", "a[1](https://example.org)", "a[001]"}) {
    CAPTURE(text);
    const rag::Answer answer = resolved(text);
    REQUIRE(answer.citations.size() == 1);
    CHECK(answer.citations[0].begin == 1);
    CHECK(answer.citations[0].numbers == Numbers{1});
    CHECK(answer.citations[0].unknown.empty());
  }
  CHECK(cited("[1，2], [Snippet 3、snippet 1]") == Numbers{1, 2, 3});
  for (const char* dash : {"-", "–", "—", "‐", "‑", "－", "~", "～", "〜"}) CHECK(cited("[1" + std::string(dash) + "3]") == Numbers{1, 2, 3});
}

TEST_CASE("A mark knows its bytes, and which of its numbers a snippet has") {
  const std::string text = "数据[2]。Both [3, 9, 1][1-5]";
  const rag::Answer answer = resolved(text);

  REQUIRE(answer.citations.size() == 3);
  CHECK(answer.citations[0] == rag::Citation{6, 9, {2}, {}});
  CHECK(answer.citations[1] == rag::Citation{17, 26, {3, 1}, {9}});
  CHECK(answer.citations[2] == rag::Citation{26, 31, {1, 2, 3}, {5}});
}

TEST_CASE("A mark that is cut off or malformed is there without numbers") {
  for (const char* mark : {"[", "[1", "[1,", "[1, 2", "[1-", "[snip", "[Source:", "【1", "［１", "[^", "[1†fa", "[1234567890"}) {
    CAPTURE(mark);
    const rag::Answer answer = resolved("It is so [2] " + std::string(mark));
    REQUIRE(answer.citations.size() == 2);
    CHECK(answer.citations[1].begin == 13);
    CHECK(answer.citations[1].numbers.empty());
    CHECK(answer.citations[1].unknown.empty());
    CHECK(answer.supported());
  }
  for (const char* text : {"[1,]", "[1 2]", "[3-1]", "[1-]", "[1-2-3]", "[1234567890]", "[99999999999999999999999]"}) {
    CAPTURE(text);
    const rag::Answer answer = resolved(text);
    REQUIRE(answer.citations.size() == 1);
    CHECK(answer.citations[0] == rag::Citation{0, std::string(text).size(), {}, {}});
    CHECK(!answer.supported());
  }
  CHECK(resolved("so [1 It goes on").citations.at(0) == rag::Citation{3, 5, {}, {}});
  CHECK(resolved("so [1\nIt goes on]").citations.at(0) == rag::Citation{3, 5, {}, {}});
  CHECK(resolved("[1 " + std::string(76, 'a') + "]").citations.empty());
  CHECK(resolved("[1 " + std::string(200, 'a') + "]").citations.at(0) == rag::Citation{0, 2, {}, {}});  // closes too far away
  const rag::Answer nested = resolved("so [1, [2]");
  REQUIRE(nested.citations.size() == 2);
  CHECK(nested.citations[0] == rag::Citation{3, 6, {}, {}});
  CHECK(nested.citations[1] == rag::Citation{7, 10, {2}, {}});
}

TEST_CASE("What is no citation is left alone") {
  for (const char* text : {"", "[]", "[ ]", "[a]", "[-1]", "[1.5]", "[.5]", "[:3]", "(1)", "[0, 1)", "[3 apples]", "[12:30]", "[1, two]", "[n]",
                           "[a", "[source]", "[sources of 1]", "[sniper 1]", "1]", "arr[i]", "【重要】", "［注］"}) {
    CAPTURE(text);
    const rag::Answer answer = resolved(text);
    CHECK(answer.citations.empty());
    CHECK(answer.cited.empty());
    CHECK(answer.unknown.empty());
  }
}

TEST_CASE("Marks by the ten thousand take time in proportion") {
  std::string ranges, opened, ticks, digits(1 << 20, '7'), list = "[1";
  for (int i = 0; i < 10'000; ++i) ranges += "[1-999999999]", opened += "[1[", list += ",1";
  for (std::size_t run = 1; run < 1000; ++run) ticks += std::string(run, '`') + ' ';

  CHECK(resolved(ranges).citations.size() == 10'000);
  CHECK(resolved(ranges).unknown == Numbers{999999999});
  CHECK(resolved(opened).citations.size() == 10'001);
  CHECK(resolved(ticks + "[1]").cited == Numbers{1});
  CHECK(resolved("[" + digits + "]").citations.at(0) == rag::Citation{0, digits.size() + 2, {}, {}});
  CHECK(resolved(list + "]").citations.at(0).numbers == Numbers{1});
  CHECK(resolved(list + ")").citations.empty());
}

TEST_CASE("Code cites nothing") {
  CHECK(cited("Use `array[1]` [2].") == Numbers{2});
  CHECK(cited("```cpp\nx[1] = `y`;\n``` [2]") == Numbers{2});
  CHECK(cited("``a ` b[1]`` [2]") == Numbers{2});
  CHECK(cited("It's a ` alone [2].") == Numbers{2});
  CHECK(cited("[2]\n```\nx[1]") == Numbers{2});
}

TEST_CASE("Thoughts before the answer cite nothing") {
  const rag::Answer answer = resolved("\n<think>[1] or `[9]?</think>\n\nIt is [2].");
  REQUIRE(answer.citations.size() == 1);
  CHECK(answer.citations[0] == rag::Citation{36, 39, {2}, {}});
  CHECK(answer.unknown.empty());
  CHECK(!resolved("<think>perhaps [1], and").supported());
  CHECK(cited("It <think>is</think> [2]") == Numbers{2});
}

TEST_CASE("Resolving again gives the same, whatever stood there") {
  rag::Answer answer = resolved("[1] [9]");
  answer.cited = {5};
  answer.citations.resize(7);

  rag::detail::resolve_citations(answer);

  CHECK(answer.cited == Numbers{1});
  CHECK(answer.unknown == Numbers{9});
  CHECK(answer.citations.size() == 2);
}
