// SPDX-License-Identifier: MIT
#ifndef RAG_STATEMENTS_HPP
#define RAG_STATEMENTS_HPP
#include <rag/detail/sentence_spans.hpp>
#include <rag/detail/span.hpp>
#include <rag/detail/words.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN

/// What an answer says before a mark, and the snippets named for it.
struct Statement {
  std::size_t begin = 0, end = 0;         ///< bytes of Answer::text, half-open, without the marks
  std::vector<std::size_t> numbers = {};  ///< of the marks behind it, those that a snippet has
  float shared = 0;  ///< of its words, those that stand in these snippets or their headings: 0 to 1
};

namespace detail {

RAG_LAZY std::set<std::string> telling_words(std::string_view text) {
  std::set<std::string> words;
  for_each_word(text, [&](std::string_view word, bool stop) {
    if (!stop) words.emplace(word);
  });
  return words;
}

/// The last sentence of text[begin, end), without the stop and the blanks that a mark before it left behind.
RAG_LAZY Statement last_sentence(std::string_view text, std::size_t begin, std::size_t end) {
  constexpr std::string_view around = " \t\r\n.,;:";
  const std::size_t line = text.substr(begin, end - begin).find_last_not_of(" \t\r\n");
  const std::size_t line_end = line == std::string_view::npos ? begin : begin + line + 1;
  const std::size_t before = text.substr(begin, line_end - begin).rfind('\n');
  if (before != std::string_view::npos) begin += before + 1;
  begin = std::min(text.find_first_not_of(around, begin), line_end);
  const std::vector<Span> sentences = sentence_spans(text, {begin, line_end});
  if (sentences.empty()) return {line_end, line_end};
  return {sentences.back().begin, sentences.back().end};
}

}  // namespace detail

/// The statements of an answer that have a mark behind them, in order: the sentence, or what of it follows the mark
/// before. `shared` tells swapped marks from right ones where answer and passages are of one language, and no more than
/// that: words in common are no proof, and a statement in other words than its passage has few.
RAG_LAZY std::vector<Statement> statements(const Answer& answer) {
  std::vector<Statement> all;
  std::size_t before = 0;  // the end of the last mark
  for (const Citation& mark : answer.citations) {
    const Statement next = detail::last_sentence(answer.text, std::min(before, mark.begin), mark.begin);
    before = mark.end;
    if (next.begin < next.end || all.empty()) all.push_back(next);
    for (const std::size_t number : mark.numbers)
      if (std::find(all.back().numbers.begin(), all.back().numbers.end(), number) == all.back().numbers.end())
        all.back().numbers.push_back(number);
  }
  std::map<std::size_t, std::set<std::string>> snippets;  // their words, by number
  for (Statement& statement : all) {
    for (const std::size_t number : statement.numbers)
      if (const auto [at, is_new] = snippets.try_emplace(number); is_new) {
        const Chunk& chunk = answer.sources.at(number - 1).chunk;
        at->second = detail::telling_words(heading_path(chunk) + "\n" + chunk.text);
      }
    const auto words =
        detail::telling_words(std::string_view(answer.text).substr(statement.begin, statement.end - statement.begin));
    const auto met = std::count_if(words.begin(), words.end(), [&](const std::string& word) {
      return std::any_of(statement.numbers.begin(), statement.numbers.end(),
                         [&](std::size_t number) { return snippets[number].count(word) != 0; });
    });
    if (!words.empty()) statement.shared = static_cast<float>(met) / static_cast<float>(words.size());
  }
  return all;
}

RAG_END
#endif
