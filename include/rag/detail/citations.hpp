// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_CITATIONS_HPP
#define RAG_DETAIL_CITATIONS_HPP
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The marks by which a model names the snippets that it used. What QaPrompter asks for is [1] and [2][3]; read is also
// what models write instead: lists and ranges [1, 3], [1-3], with a word [Snippet 1], [source: 1], as a footnote [^1],
// in the brackets and digits of Chinese and Japanese 【1】, ［１］, and 【1†name】.

RAG_BEGIN
namespace detail {

/// A mark as it stands in a text: bytes [begin, end), and its numbers as ranges. Without ranges it could not be read.
struct CitationMark {
  std::size_t begin = 0, end = 0;
  std::vector<std::pair<std::size_t, std::size_t>> ranges = {};  // first and last, both meant
};

/// Reads one mark.
RAG_LAZY class BasicMarkReader {
 public:
  BasicMarkReader(std::string_view text, std::size_t at) : text_(text), at_(at) {}

  /// The mark that begins here; one that ends at 0 if there is none. A number has at most nine digits.
  CitationMark read() {
    mark_.begin = at_;
    if (!take({"[", "【", "［"})) return {};
    stop_ = at_;
    blanks();
    take({"^"});
    do {
      if (!label()) return has_number_ ? broken() : CitationMark{};
      if (!range()) return broken();
    } while (separator());
    blanks();
    if (text_.substr(at_).starts_with("†")) at_ = std::min(end_of_rest(), text_.size());
    if (!closing()) return broken();
    mark_.end = at_;
    if (!is_sound_) mark_.ranges.clear();
    return std::move(mark_);
  }

 private:
  static constexpr std::size_t longest_rest = 80;  // bytes that a bracket may hold after its numbers

  bool take(std::initializer_list<std::string_view> choices) {
    for (const std::string_view choice : choices)
      if (text_.substr(at_).starts_with(choice)) return at_ += choice.size(), stop_ = at_, true;
    return false;
  }

  bool separator() { return take({",", ";", "，", "、", "；"}); }
  bool dash() { return take({"-", "–", "—", "‐", "‑", "－", "~", "～", "〜"}); }
  bool closing() { return take({"]", "】", "］"}); }
  void blanks() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }

  /// Takes "Snippet", "sources:", "#", or nothing; false for another word.
  bool label() {
    blanks();
    const std::size_t begin = at_;
    std::string word;
    for (; at_ < text_.size() && at_ - begin <= 9 && ((text_[at_] | 0x20) >= 'a' && (text_[at_] | 0x20) <= 'z'); ++at_)
      word += static_cast<char>(text_[at_] | 0x20);
    if (!word.empty()) {
      constexpr std::string_view words[] = {"snippets", "sources", "passages", "documents", "docs", "refs", "references"};
      const bool ends = at_ == text_.size();  // perhaps within the word
      if (std::none_of(std::begin(words), std::end(words), [&](std::string_view known) {
            return known.starts_with(word) && (ends || word.size() + 1 >= known.size());
          }))
        return false;
      stop_ = at_;
    }
    if (!word.empty()) blanks(), take({":", "."});
    blanks();
    take({"#"});
    return true;
  }

  /// 2, or 2-4. False if no number begins here.
  bool range() {
    std::size_t first = 0;
    if (!number(first)) return false;
    std::size_t last = first;
    blanks();
    if (dash()) {
      blanks();
      if (!number(last)) return false;
      blanks();
    }
    is_sound_ = is_sound_ && first <= last;
    mark_.ranges.emplace_back(first, last);
    return true;
  }

  bool number(std::size_t& value) {
    std::size_t digits = 0;
    for (value = 0; at_ < text_.size(); ++digits) {
      std::size_t digit = 10;
      if (text_[at_] >= '0' && text_[at_] <= '9') digit = static_cast<std::size_t>(text_[at_] - '0'), ++at_;
      else if (text_.substr(at_).starts_with("\xEF\xBC") && at_ + 2 < text_.size()) {  // U+FF10 is EF BC 90
        digit = static_cast<std::size_t>(static_cast<unsigned char>(text_[at_ + 2])) - 0x90;
        if (digit < 10) at_ += 3;
      }
      if (digit >= 10) break;
      value = digits < 9 ? value * 10 + digit : value;
    }
    if (digits == 0) return false;
    is_sound_ = is_sound_ && digits < 10;
    has_number_ = true;
    stop_ = at_;
    return true;
  }

  /// Where a bracket closes on this line, in the next few bytes; npos if it does not.
  std::size_t end_of_rest() const {
    for (std::size_t at = at_; at < text_.size() && at - at_ < longest_rest; ++at) {
      const std::string_view rest = text_.substr(at);
      if (rest[0] == '\n' || rest[0] == '[' || rest.starts_with("【") || rest.starts_with("［")) break;
      if (rest[0] == ']' || rest[0] == ')' || rest.starts_with("】") || rest.starts_with("］") || rest.starts_with("）"))
        return at;
    }
    return std::string_view::npos;
  }

  /// What began as a mark and goes on as none. It is a text in brackets, [1.5] or [3 apples], where it closes with
  /// something in it that no mark has; else a mark that is malformed or, where nothing closes it, cut off.
  CitationMark broken() {
    if (at_ == text_.size()) return unreadable(stop_);
    if (!has_number_) return {};
    const std::size_t end = end_of_rest();
    if (end == std::string_view::npos) return unreadable(stop_);
    std::size_t ignored = 0;
    for (at_ = stop_; at_ < end;)
      if (!take({" "}) && !separator() && !dash() && !number(ignored)) return {};
    return closing() ? unreadable(at_) : CitationMark{};
  }

  CitationMark unreadable(std::size_t end) { return {mark_.begin, end, {}}; }

  std::string_view text_;
  std::size_t at_, stop_ = 0;  // stop_: after the last that was part of the mark, blanks left out
  CitationMark mark_;
  bool has_number_ = false, is_sound_ = true;
};
using MarkReader = BasicMarkReader<>;

/// The code of a text, in backticks: as many as began it end it, and three or more that open a line reach to the end of
/// the text where none do. Backticks that nothing closes are text.
RAG_LAZY class BasicCodeReader {
 public:
  explicit BasicCodeReader(std::string_view text) : text_(text) {
    for (std::size_t at = text.find('`'); at != std::string_view::npos; at = text.find('`', run_end(at)))
      last_[run_end(at) - at] = at;
  }

  /// The end of the code, or of the backticks, that begin at `at`.
  std::size_t skip(std::size_t at) const {
    const std::size_t open_end = run_end(at), length = open_end - at;
    if (last_.find(length)->second > at)
      for (std::size_t next = text_.find('`', open_end);; next = text_.find('`', run_end(next)))
        if (run_end(next) - next == length) return next + length;
    return length >= 3 && (at == 0 || text_[at - 1] == '\n') ? text_.size() : open_end;
  }

 private:
  std::size_t run_end(std::size_t from) const { return std::min(text_.find_first_not_of('`', from), text_.size()); }

  std::string_view text_;
  std::map<std::size_t, std::size_t> last_;  // run of each length
};
using CodeReader = BasicCodeReader<>;

/// The marks of a text, in order, also those that can't be read; in time linear in its length. What looks like one
/// inside of backticks is code and none.
RAG_LAZY std::vector<CitationMark> find_citations(std::string_view text) {
  std::vector<CitationMark> marks;
  const CodeReader code(text);
  constexpr std::string_view wanted = "`[\xE3\xEF";  // the first bytes of what read() takes, and of code
  for (std::size_t at = text.find_first_of(wanted); at != std::string_view::npos; at = text.find_first_of(wanted, at)) {
    if (text[at] == '`') {
      at = code.skip(at);
    } else if (CitationMark mark = MarkReader(text, at).read(); mark.end != 0) {
      at = mark.end;
      marks.push_back(std::move(mark));
    } else {
      ++at;
    }
  }
  return marks;
}

/// Where the answer begins after the thoughts that some models write before it, <think> … </think>; the end where they
/// are not closed.
inline std::size_t end_of_thoughts(std::string_view text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t\r\n"), text.size());
  if (!text.substr(begin).starts_with("<think>")) return 0;
  const std::size_t end = text.find("</think>", begin);
  return end == std::string_view::npos ? text.size() : end + 8;
}

/// Fills citations, cited and unknown from the text and the number of sources, each number once a mark, and once in
/// cited or unknown. Of a range only the ends can be unknown; marks in thoughts don't count. Takes time in proportion to the text and, where it has
/// ranges, to the sources.
RAG_LAZY void resolve_citations(Answer& answer) {
  answer.citations.clear();
  answer.cited.clear();
  answer.unknown.clear();
  const std::size_t count = answer.sources.size();
  std::map<std::size_t, std::size_t> seen;  // the last mark with this number, from 1
  const auto add = [&](std::size_t number) {
    const bool known = number >= 1 && number <= count;
    std::size_t& last = seen[number];
    if (last == 0) (known ? answer.cited : answer.unknown).push_back(number);
    Citation& citation = answer.citations.back();
    if (std::exchange(last, answer.citations.size()) != answer.citations.size())
      (known ? citation.numbers : citation.unknown).push_back(number);
  };
  const std::size_t begin = end_of_thoughts(answer.text);
  for (const CitationMark& mark : find_citations(std::string_view(answer.text).substr(begin))) {
    answer.citations.push_back({begin + mark.begin, begin + mark.end});
    for (const auto& [first, last] : mark.ranges) {
      add(first);
      for (std::size_t number = first + 1; number < last && number <= count; ++number) add(number);
      if (last != first) add(last);
    }
  }
}

}  // namespace detail
RAG_END
#endif
