// SPDX-License-Identifier: MIT
#include "llm/scripted.hpp"

#include <rag/detail/model_lines.hpp>

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Strings = std::vector<std::string>;

Strings read(std::string_view answer, std::size_t most = 9) {
  return rag::detail::read_lines(answer, most, "Where is it?");
}

}  // namespace

TEST_CASE("A list is read in every form that models give it") {
  const Strings ab{"Who has it?", "Is it lost?"};
  for (const std::string_view answer : {"Who has it?\nIs it lost?",
                                        "1. Who has it?\n2. Is it lost?",
                                        "1) Who has it?\n2) Is it lost?\n",
                                        "(1) Who has it?\n(2) Is it lost?",
                                        "1: Who has it?\n10.Is it lost?",
                                        "- Who has it?\n- Is it lost?",
                                        "* Who has it?\r\n* Is it lost?",
                                        "• Who has it?\n•Is it lost?",
                                        "– Who has it?\n+ Is it lost?",
                                        "\n\n  Who has it?  \n\t\n Is it lost?\n\n",
                                        "\"Who has it?\"\n'Is it lost?'",
                                        "“Who has it?”\n«Is it lost?»",
                                        "1. **Who has it?**\n2. *Is it lost?*",
                                        "- \"Who has it?\"\n- `Is it lost?`",
                                        "\"1. Who has it?\"\n„Is it lost?“",
                                        "```\nWho has it?\nIs it lost?\n```",
                                        "```text\n1. Who has it?\n2. Is it lost?\n```\n",
                                        "Here are the questions:\nWho has it?\nIs it lost?",
                                        "[\"Who has it?\", \"Is it lost?\"]",
                                        "```json\n[\n  \"Who has it?\",\n  \"Is it lost?\"\n]\n```",
                                        "{\"questions\": [\"Who has it?\",\"Is it lost?\"]}",
                                        "Sure: [ \"1. Who has it?\", \"Is it\\nlost?\" ] as asked",
                                        "[\"Who has it?\", \"Is it lost?\", \"And th",
                                        "[\n\"Who has it?\",\n\"Is it lost?\",\n",
                                        "\"Who has it?\",\n\"Is it lost?\",",
                                        "<think>Hm.\nWhat now?</think>\nWho has it?\nIs it lost?",
                                        "Hm. What now?\n</think>\n\nWho has it?\nIs it lost?",
                                        "<thinking>a<think>b</think>c</thinking>Who has it?\nIs it lost?",
                                        "Who has it?\nIs it lost?\n<think>And where",
                                        "<question>\nWho has it?\n</question>\n<question>Is it lost?</question>",
                                        "---\nWho has it?\n***\nIs it lost?\n…",
                                        "Where is it?\nWho has it?\n1. where is IT\nIs it lost?\n- is it lost",
                                        "Who has it?\xE2\x80\xA8Is\xE2\x80\x8B it lost?"}) {
    CAPTURE(answer);
    CHECK(read(answer) == ab);
  }
}

TEST_CASE("What is no list mark, no quote and no announcement stays") {
  for (const std::string line :
       {"1.5 mm of what?", "2024: what was new?", "-5 degrees?", "*nix or not?", "10 books?", "(1. of what?)",
        "\"A\" or \"B\"", "'tis what?", "std::vector<int> of what?", "<T> of what?", "arr[\"x\"] is what?",
        "[\"x\" is what?", "什么是数据库？", "Größe?", "x"}) {
    CAPTURE(line);
    CHECK(read(line) == Strings{line});
  }
  CHECK(read("[1, 2]\nWho?") == Strings{"[1, 2]", "Who?"});
  CHECK(read(R"(["a\u00e9\ud83d\ude42\"\\\/\tb", "\ud83d x", "\u12"])") ==
        Strings{"aé🙂\"\\/\tb", "\uFFFD x", "\uFFFD12"});
  CHECK(read(R"(["a\u202eb\u0007"])") == Strings{"ab"});  // what an escape hides is not seen either
}

TEST_CASE("Nothing is read where nothing can be used, and no more than was asked for") {
  for (const std::string_view answer :
       {"", " \n\t\n", "<think>Only thoughts", "<thinking>a<think>b", "```\n```", "-\n1.\n***", "[]", "?!",
        "Where is it?", "where is it", "Here they are:", "这里：", "<question>\n</question>"}) {
    CAPTURE(answer);
    CHECK(read(answer).empty());
  }
  CHECK(read("a\nb\nc\nd", 3) == Strings{"a", "b", "c"});
  CHECK(read("[\"a\",\"b\",\"c\"]", 2) == Strings{"a", "b"});
  CHECK(rag::detail::read_lines("- ?\nA", 1) == Strings{"A"});
}

TEST_CASE("A line is cut after 1,000 bytes, before a character that would not fit") {
  CHECK(read(std::string(1000, 'x')).at(0).size() == 1000);
  CHECK(read(std::string(1001, 'x')).at(0).size() == 1000);
  for (std::size_t shift = 0; shift < 4; ++shift) {
    CAPTURE(shift);
    std::string line(shift, 'x');
    for (int i = 0; i < 400; ++i) line += "数";
    const std::string cut = read(line).at(0);
    CHECK(cut.size() == 1000 - (1000 - shift) % 3);
    CHECK(rag::detail::invalid_utf8(cut) == std::string::npos);
  }
}

TEST_CASE("Every begin of an answer is read without harm, and hostile ones too") {
  const std::string whole = "<think>a</think>[\"1. Wh\\u00e9 \\ud83d\\ude42?\", \"数\\\"据\"]\n- **Ünd?**\n```";
  for (std::size_t size = 0; size <= whole.size(); ++size) {
    CAPTURE(size);
    for (const std::string& line : read(whole.substr(0, size)))
      CHECK(rag::detail::invalid_utf8(line) == std::string::npos);
  }
  std::mt19937 random(11);
  for (int i = 0; i < 1000; ++i) {
    CAPTURE(i);
    const Strings lines = read(toys::hostile_text(random, 30), 4);
    CHECK(lines.size() <= 4);
    for (const std::string& line : lines) {
      CHECK(line == rag::detail::visible(line));
      CHECK(line.find('\n') == std::string::npos);
      CHECK(line.size() <= 1000);
    }
  }
}
