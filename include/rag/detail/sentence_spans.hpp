// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SENTENCE_SPANS_HPP
#define RAG_DETAIL_SENTENCE_SPANS_HPP
#include <rag/detail/span.hpp>
#include <rag/detail/utf8.hpp>
#include <rag/detail/words.hpp>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Where sentences end, after the rules SB6 to SB11 of Unicode's UAX #29, with what those leave to a tailoring:
// abbreviations, lines, marks of Markdown.

RAG_BEGIN
namespace detail {

/// A small letter of the Latin, Greek or Cyrillic script, by the order of their blocks.
inline bool is_small(char32_t c) {
  if (c < 0x80) return c >= 'a' && c <= 'z';
  if (c < 0x100) return c >= 0xDF && c != 0xF7;
  if ((c >= 0x139 && c <= 0x148) || (c >= 0x179 && c <= 0x17E)) return c % 2 == 0;
  return (c < 0x180 && c % 2 == 1) || (c >= 0x3AC && c <= 0x3CE) || (c >= 0x430 && c <= 0x45F) ||
         (c >= 0x460 && c <= 0x52F && c % 2 == 1) || (c >= 0x1E00 && c <= 0x1EFF && c % 2 == 1);
}

RAG_LAZY class BasicSentenceScanner {
 public:
  BasicSentenceScanner(std::string_view text, Span whole)
      : text_(text.substr(0, whole.end)), begin_(whole.begin), at_(whole.begin), line_(whole.begin) {}

  std::vector<Span> scan() {
    while (at_ < text_.size()) {
      const CodePoint point = decode_utf8(text_, at_);
      if (is_line_end(point.value)) line_end();
      else if (is_any(point.value, narrow_stops_) || is_any(point.value, wide_stops_)) stop(point);
      else at_ += point.length;
    }
    cut(text_.size());
    return std::move(spans_);
  }

 private:
  static constexpr std::u32string_view narrow_stops_ = U".!?…؟۔։।॥።၊။៕‼⁇⁈⁉‽", wide_stops_ = U"。！？．｡";

  static bool is_any(char32_t c, std::u32string_view set) { return set.find(c) != std::u32string_view::npos; }
  static bool is_line_end(char32_t c) { return (c >= 0x0A && c <= 0x0D) || c == 0x85 || c == 0x2028 || c == 0x2029; }
  static bool is_digit(char32_t c) { return c >= '0' && c <= '9'; }

  char32_t point_at(std::size_t at) const { return at < text_.size() ? decode_utf8(text_, at).value : U'\0'; }

  std::size_t skip(std::size_t at, std::u32string_view set) const {
    while (at < text_.size() && is_any(point_at(at), set)) at += decode_utf8(text_, at).length;
    return at;
  }
  std::size_t skip_space(std::size_t at) const {
    while (at < text_.size() && is_space(point_at(at))) at += decode_utf8(text_, at).length;
    return at;
  }

  void cut(std::size_t end) {
    const Span sentence = trim(text_, {begin_, end});
    if (!sentence.empty()) spans_.push_back(sentence);
    begin_ = end;
  }

  /// Does white space from `at` to `next` end a paragraph, or does a block of Markdown begin after it?
  bool ends_block(std::size_t at, std::size_t next) const {
    std::size_t lines = 0;
    for (std::size_t i = at; i < next; i += decode_utf8(text_, i).length) {
      const char32_t c = point_at(i);
      if (c == 0x2029) return true;
      lines += is_line_end(c) && !(c == '\r' && point_at(i + 1) == '\n');
    }
    return lines > 1 || (lines == 1 && opens_block(next));
  }

  bool opens_block(std::size_t at) const {
    const std::string_view rest = text_.substr(at, 8);
    for (const std::string_view mark : {"```", "~~~", "|", ">"})
      if (rest.starts_with(mark)) return true;
    const std::size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    const std::size_t hashes = std::min(rest.find_first_not_of('#'), rest.size());
    std::size_t mark = 0;
    const char after = digits < rest.size() ? rest[digits] : ' ';
    if (digits > 0 && digits < 4 && (after == '.' || after == ')')) mark = digits + 1;
    else if (hashes > 0 && hashes < 7) mark = hashes;
    else if (!rest.empty() && std::string_view("-*+").find(rest[0]) != std::string_view::npos) mark = 1;
    return mark > 0 && (rest.substr(mark).starts_with(' ') || rest.substr(mark).starts_with('\t'));
  }

  void line_end() {
    const std::size_t next = skip_space(at_);
    const std::size_t start = std::min(text_.find_first_not_of(" \t", line_), text_.size());
    if (ends_block(at_, next) || (start < at_ && text_[start] == '#' && opens_block(start))) cut(next);
    at_ = line_ = next;
  }

  void stop(CodePoint point) {
    const std::size_t from = at_, dot_end = at_ + point.length;
    at_ = skip(dot_end, U".!?…。！？｡)]}\"'”’»›」』）】》〉］｝*_`");
    const bool wide = is_any(point.value, wide_stops_), bare = at_ == dot_end;
    const std::size_t next = skip_space(at_);
    const char32_t follows = point_at(next);
    if (next == at_) {  // nothing between the stop and what follows
      const bool in_number = point.value == U'．' && ((follows >= U'０' && follows <= U'９') || is_digit(follows));
      if ((wide && !in_number && !is_any(follows, U",，、;；:：")) || is_unspaced(follows)) cut(next);
      return;
    }
    const bool ends = ends_block(at_, next) || (!is_any(follows, U",，、;；") && !goes_on(point.value, from, bare, next));
    if (ends) cut(next);
    for (std::size_t i = at_; i < next; ++i)
      if (text_[i] == '\n' || text_[i] == '\r') line_ = next;
    at_ = next;
  }

  /// Does the sentence go on after a stop and white space: before a small letter, after an abbreviation?
  bool goes_on(char32_t stop, std::size_t at, bool bare, std::size_t next) const {
    if (is_small(point_at(skip(next, U"([{\"'“‘«‹")))) return true;
    if (stop != U'.' || !bare) return false;
    const std::string_view before = text_.substr(begin_, at - begin_);
    const std::size_t start = std::min(before.find_last_of(" \t\r\n([{\"'/*_-"), before.size());
    std::string word(start == before.size() ? before : before.substr(start + 1));
    if (word.find_first_not_of("0123456789") == std::string::npos) return start == before.size();  // "3. An item"
    return is_initials(word) || is_abbreviation(std::move(word), is_digit(point_at(next)));
  }

  /// J, J.R, U.S
  static bool is_initials(std::string_view word) {
    for (std::size_t i = 0; i < word.size(); ++i)
      if (i % 2 == 0 ? word[i] < 'A' || word[i] > 'Z' : word[i] != '.') return false;
    return word.size() % 2 == 1;
  }

  static bool is_abbreviation(std::string word, bool before_number) {
    constexpr std::string_view known[] = {"adm", "approx", "bzw", "ca",  "capt", "cf", "col",    "d.h", "dr",  "e.g",
                                          "gen", "gov",    "hon", "i.e", "incl", "lt", "messrs", "mr",  "mrs", "ms",
                                          "mt",  "prof",   "rev", "sen", "sgt",  "st", "u.a",    "viz", "vs",  "z.b"};
    constexpr std::string_view numbered[] = {"apr", "art", "aug", "ch", "dec", "eq", "feb", "fig", "figs", "jan",
                                             "no",  "nos", "nov", "nr", "oct", "p",  "pp",  "sec", "sept", "vol"};
    for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return std::find(std::begin(known), std::end(known), word) != std::end(known) ||
           (before_number && std::find(std::begin(numbered), std::end(numbered), word) != std::end(numbered));
  }

  std::string_view text_;
  std::size_t begin_, at_, line_;  ///< of the sentence, of what is read next, of its line
  std::vector<Span> spans_;
};
using SentenceScanner = BasicSentenceScanner<>;

/// The sentences of text[whole] without the white space around them, in order; only white space is in none. One ends
/// after . ! ? … and their like of other scripts, with the closing quotes and brackets, before white space, and after
/// 。！？．｡ before anything; at a blank line; before a line that begins a list item, a heading, a quotation, a table row
/// or a fence; after a heading's line. A stop before a small letter, a comma or a semicolon, after an abbreviation,
/// initials or the number that begins an item ends none, and a line end alone is white space.
RAG_LAZY std::vector<Span> sentence_spans(std::string_view text, Span whole) {
  return SentenceScanner(text, whole).scan();
}

}  // namespace detail
RAG_END
#endif
