// SPDX-License-Identifier: MIT
#include <rag/detail/citations.hpp>
#include <rag/statements.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

namespace {

using Numbers = std::vector<std::size_t>;

/// "text|numbers|percent shared" of each statement.
std::vector<std::string> read(const std::string& text) {
  rag::Answer answer;
  answer.text = text;
  answer.sources = {{{"Apples are stored in a log.", "a", 0, 0}}, {{"Pears hang on trees.", "b", 0, 0, {{{"heading", "Guide > Fruit"}}}}}, {{"数据存储在增量日志中。", "c"}}};
  rag::detail::resolve_citations(answer);
  std::vector<std::string> all;
  for (const rag::Statement& statement : rag::statements(answer)) {
    std::string line = text.substr(statement.begin, statement.end - statement.begin) + "|";
    for (const std::size_t number : statement.numbers) line += std::to_string(number);
    all.push_back(line + "|" + std::to_string(static_cast<int>(statement.shared * 100 + 0.5f)));
  }
  return all;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("A statement is the sentence before its marks, or what of it follows the mark before") {
  CHECK(read("Apples are stored [1]. Pears hang [2].") == Lines{"Apples are stored|1|100", "Pears hang|2|100"});
  CHECK(read("Apples are stored. [1] Pears hang. [2]") == Lines{"Apples are stored.|1|100", "Pears hang.|2|100"});
  CHECK(read("It is late. Apples are blue [1], pears hang [2][1].") == Lines{"Apples are blue|1|50", "pears hang|21|100"});
  CHECK(read("Pears hang [2], [1] and fall [2].") == Lines{"Pears hang|21|100", "and fall|2|0"});
  CHECK(read("A list\n\n- Apples [1]\n- Fruit [2]\n") == Lines{"- Apples|1|100", "- Fruit|2|100"});
  CHECK(read("数据存储在日志中[3]。苹果[3]。").at(0) == "数据存储在日志中|3|86");
  CHECK(read("No mark. None at all.").empty());
  CHECK(read("").empty());
}

TEST_CASE("A statement with marks that lead nowhere shares nothing") {
  CHECK(read("Apples [9].") == Lines{"Apples||0"});
  CHECK(read("[1]") == Lines{"|1|0"});
  CHECK(read("[1] Apples") == Lines{"|1|0"});
  CHECK(read("Apples [1") == Lines{"Apples||0"});
  CHECK(read("The and of [1].") == Lines{"The and of|1|0"});
}
