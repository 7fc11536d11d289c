// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_CITATIONS_HPP
#define RAG_DETAIL_CITATIONS_HPP
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// A citation as it stands in a text, [1], [1, 3] or [1-3]: bytes [begin, end), and its numbers as ranges.
struct CitationMark {
  std::size_t begin = 0, end = 0;
  std::vector<std::pair<std::size_t, std::size_t>> ranges = {};  // first and last, both meant
};

/// Reads the mark that begins at text[at] == '['. An empty one (end == 0) if it is none: a mark holds numbers
/// of at most nine digits, commas or semicolons between them, and first-last with a hyphen or an en dash.
RAG_LAZY CitationMark read_citation(std::string_view text, std::size_t at) {
  CitationMark mark{at, 0};
  const auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
  const auto blanks = [&] {
    while (peek() == ' ') ++at;
  };
  const auto number = [&](std::size_t& value) {
    const std::size_t begin = at;
    for (value = 0; peek() >= '0' && peek() <= '9' && at - begin < 10; ++at)
      value = value * 10 + static_cast<std::size_t>(peek() - '0');
    return at > begin && at - begin < 10;
  };
  do {
    ++at;
    std::size_t first = 0;
    blanks();
    if (!number(first)) return {};
    std::size_t last = first;
    blanks();
    const std::size_t dash = text.substr(at).starts_with("\xE2\x80\x93") ? 3 : peek() == '-' ? 1 : 0;
    if (dash != 0) {
      at += dash;
      blanks();
      if (!number(last) || last < first) return {};
      blanks();
    }
    mark.ranges.emplace_back(first, last);
  } while (peek() == ',' || peek() == ';');
  if (peek() != ']') return {};
  mark.end = at + 1;
  return mark;
}

/// The end of the code that begins with the backticks at text[at]: up to as many backticks again, or to the
/// end of the text for three or more that open a line. Backticks that nothing closes are text.
RAG_LAZY std::size_t skip_code(std::string_view text, std::size_t at) {
  const auto run_end = [&](std::size_t from) {
    return std::min(text.find_first_not_of('`', from), text.size());
  };
  const std::size_t open_end = run_end(at), length = open_end - at;
  for (std::size_t next = text.find('`', open_end); next != std::string_view::npos;
       next = text.find('`', run_end(next)))
    if (run_end(next) - next == length) return next + length;
  return length >= 3 && (at == 0 || text[at - 1] == '\n') ? text.size() : open_end;
}

/// The citations of a text, in order. What looks like one inside of backticks is code and none.
RAG_LAZY std::vector<CitationMark> find_citations(std::string_view text) {
  std::vector<CitationMark> marks;
  for (std::size_t at = text.find_first_of("[`"); at != std::string_view::npos;
       at = text.find_first_of("[`", at)) {
    if (text[at] == '`') {
      at = skip_code(text, at);
    } else if (CitationMark mark = read_citation(text, at); mark.end != 0) {
      at = mark.end;
      marks.push_back(std::move(mark));
    } else {
      ++at;
    }
  }
  return marks;
}

/// Fills cited and unknown from the text and the number of sources, each number once. Of a range only the
/// ends can be unknown.
RAG_LAZY void resolve_citations(Answer& answer) {
  answer.cited.clear();
  answer.unknown.clear();
  const std::size_t count = answer.sources.size();
  std::set<std::size_t> seen;
  const auto add = [&](std::size_t number) {
    if (seen.insert(number).second)
      (number >= 1 && number <= count ? answer.cited : answer.unknown).push_back(number);
  };
  for (const CitationMark& mark : find_citations(answer.text))
    for (const auto& [first, last] : mark.ranges) {
      add(first);
      for (std::size_t number = first + 1; number < last && number <= count; ++number) add(number);
      if (last != first) add(last);
    }
}

}  // namespace detail
RAG_END
#endif
