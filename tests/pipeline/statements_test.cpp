// SPDX-License-Identifier: MIT
#include <rag/detail/citations.hpp>
#include <rag/detail/json.hpp>
#include <rag/retrieve/bm25.hpp>
#include <rag/statements.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "paths.hpp"

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

/// Of the statements with the right mark, and of those with the mark of another paragraph of the five that BM25 finds for
/// the question: the shares below `limit`. A statement is the words of a question, which people chose, and its answer.
std::pair<double, double> flagged(const std::filesystem::path& path, float limit) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const rag::detail::Json json = rag::detail::parse_json(text, "xquad");
  std::vector<rag::Chunk> paragraphs;
  for (const auto& article : json["data"])
    for (const auto& paragraph : article["paragraphs"]) paragraphs.push_back({paragraph["context"], std::to_string(paragraphs.size())});
  rag::Bm25 index;
  index.add(paragraphs);
  std::mt19937 random(1);
  std::size_t at = 0, all = 0, right = 0, swapped = 0;
  for (const auto& article : json["data"])
    for (const auto& paragraph : article["paragraphs"]) {
      const std::string source = std::to_string(at++);
      for (const auto& question : paragraph["qas"]) {
        rag::Answer answer;
        answer.sources = index.search(question["question"].get<std::string>(), 5);
        const auto hit = std::find_if(answer.sources.begin(), answer.sources.end(), [&](const rag::Hit& found) { return found.chunk.source == source; });
        if (hit == answer.sources.end() || answer.sources.size() < 2) continue;
        const std::size_t number = static_cast<std::size_t>(hit - answer.sources.begin()) + 1;
        const std::size_t other = 1 + (number + random() % (answer.sources.size() - 1)) % answer.sources.size();
        std::string words = question["question"].get<std::string>() + " " + question["answers"][0]["text"].get<std::string>();
        for (const std::string mark : {"?", "？"})
          if (const std::size_t place = words.find(mark); place != words.npos) words.erase(place, mark.size());
        const auto below = [&](std::size_t cited) {
          answer.text = words + " [" + std::to_string(cited) + "].";
          rag::detail::resolve_citations(answer);
          return rag::statements(answer).at(0).shared < limit;
        };
        ++all;
        right += below(number);
        swapped += below(other);
      }
    }
  REQUIRE(all > 1100);
  return {static_cast<double>(right) / static_cast<double>(all), static_cast<double>(swapped) / static_cast<double>(all)};
}

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

TEST_CASE("The words in common tell swapped marks from right ones on XQuAD") {
  const std::filesystem::path folder = tests::data_folder() / "xquad";
  if (tests::skip_without(folder)) return;

  const auto [right, swapped] = flagged(folder / "xquad.en.json", 0.4f);
  const auto [right_zh, swapped_zh] = flagged(folder / "xquad.zh.json", 0.3f);

  MESSAGE("below the limit: en " << right << " of the right, " << swapped << " of the swapped; zh " << right_zh << ", " << swapped_zh);
  CHECK(right < 0.01);
  CHECK(swapped > 0.9);
  CHECK(right_zh < 0.03);
  CHECK(swapped_zh > 0.9);
}
