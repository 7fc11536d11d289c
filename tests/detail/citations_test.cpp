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

TEST_CASE("What is no citation is left alone") {
  for (const char* text : {"", "[", "[]", "[ ]", "[a]", "[1", "[1,]", "[1 2]", "[-1]", "[3-1]", "[1-]",
                           "[1.5]", "[^1]", "(1)", "[99999999999999999999999]", "[1234567890]"}) {
    CAPTURE(text);
    const rag::Answer answer = resolved(text);
    CHECK(answer.cited.empty());
    CHECK(answer.unknown.empty());
  }
}

TEST_CASE("Code cites nothing") {
  CHECK(cited("Use `array[1]` [2].") == Numbers{2});
  CHECK(cited("```cpp\nx[1] = `y`;\n``` [2]") == Numbers{2});
  CHECK(cited("``a ` b[1]`` [2]") == Numbers{2});
  CHECK(cited("It's a ` alone [2].") == Numbers{2});
  CHECK(cited("[2]\n```\nx[1]") == Numbers{2});
}

TEST_CASE("Resolving again gives the same, whatever stood there") {
  rag::Answer answer = resolved("[1] [9]");
  answer.cited = {5};

  rag::detail::resolve_citations(answer);

  CHECK(answer.cited == Numbers{1});
  CHECK(answer.unknown == Numbers{9});
}
