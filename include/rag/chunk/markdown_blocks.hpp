// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_MARKDOWN_BLOCKS_HPP
#define RAG_CHUNK_MARKDOWN_BLOCKS_HPP
#include <rag/chunk/span.hpp>

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

// The blocks of a Markdown text, as far as they decide where a heading is one (CommonMark 0.31, GFM tables).

RAG_BEGIN
namespace detail {

/// A block and the blank lines after it; blocks lie end to end.
struct MarkdownBlock {
  enum Kind { front_matter, heading, text, solid } kind;  ///< solid: a fence, a table, a comment, raw HTML
  Span span;
  std::size_t level = 0;        ///< of a heading, 1 to 6
  std::string_view title = {};  ///< of a heading, without its marks
  std::size_t rank = 0;         ///< for a cut before it: 2 for each list around it, 1 more for an item without a blank
                                ///< line before it
};

RAG_LAZY class BasicMarkdownScanner {
 public:
  BasicMarkdownScanner(std::string_view text, Span whole) : text_(text.substr(0, whole.end)), at_(whole.begin) {}

  std::vector<MarkdownBlock> scan() {
    front_matter();
    while (at_ < text_.size()) {
      Line line = line_at(at_);
      if (line.blank()) {
        append(line.next, true);
        open_ = paragraph_ = code_ = false;
        continue;
      }
      while (!lists_.empty() && line.indent < lists_.back()) lists_.pop_back();
      const std::size_t before = lists_.size();
      enter_lists(line);
      const bool plain = lists_.size() == before;
      rank_ = 2 * std::min(before, max_depth_) + (!plain && open_ ? 1 : 0);
      if (fence(line) || raw_html(line) || table(line)) continue;
      if (plain && lists_.empty() && (atx_heading(line) || setext_heading(line))) continue;
      if (plain && depth(line) < 4 && is_break(line.rest)) {
        close(MarkdownBlock::text, line.next);
        continue;
      }
      const bool code = plain && !paragraph_ && depth(line) > 3;
      append(line.next, open_ && plain && (code || !code_));
      paragraph_ = plain && !code && line.rest.front() != '>' && (paragraph_ || !open_ || code_);
      code_ = code;
      open_ = true;
    }
    return std::move(blocks_);
  }

 private:
  struct Line {
    std::size_t next;       ///< where the next line begins
    std::size_t indent;     ///< columns before the rest
    std::string_view rest;  ///< from the first character that is no space or tab, without white space at the end
    bool blank() const { return rest.empty(); }
  };

  static constexpr std::string_view spaces_ = " \t\r\f\v";
  static constexpr std::size_t max_depth_ = 8;  ///< lists deeper than this are cut as one text

  Line line_at(std::size_t begin) const {
    const std::size_t end = std::min(text_.find('\n', begin), text_.size());
    Line line{std::min(end + 1, text_.size()), 0, text_.substr(begin, end - begin)};
    skip_indent(line);
    line.rest = line.rest.substr(0, line.rest.find_last_not_of(spaces_) + 1);
    return line;
  }

  void skip_indent(Line& line) const {
    for (; !line.rest.empty() && (line.rest.front() == ' ' || line.rest.front() == '\t'); line.rest.remove_prefix(1))
      line.indent += line.rest.front() == '\t' ? 4 - line.indent % 4 : 1;
  }

  /// The columns of a line within the innermost list it belongs to.
  std::size_t depth(const Line& line) const { return line.indent - (lists_.empty() ? 0 : lists_.back()); }

  /// Puts bytes up to `end` to the last block, or to a new block of text.
  void append(std::size_t end, bool to_last) {
    if (blocks_.empty() || !to_last) blocks_.push_back({MarkdownBlock::text, {at_, end}, 0, {}, rank_});
    blocks_.back().span.end = end;
    at_ = end;
  }

  bool close(MarkdownBlock::Kind kind, std::size_t end, std::size_t level = 0, std::string_view title = {}) {
    blocks_.push_back({kind, {at_, end}, level, title, rank_});
    at_ = end;
    open_ = paragraph_ = code_ = false;
    return true;
  }

  void front_matter() {
    if (at_ >= text_.size() || line_at(at_).rest != "---" || text_[at_] != '-') return;
    for (std::size_t at = line_at(at_).next; at < text_.size();) {
      const Line line = line_at(at);
      if (line.indent == 0 && (line.rest == "---" || line.rest == "...")) {
        close(MarkdownBlock::front_matter, line.next);
        return;
      }
      at = line.next;
    }
  }

  /// Takes "- ", "3. " and their like off the line, which then stands at the list's own column.
  void enter_lists(Line& line) {
    while (!line.blank() && depth(line) < 4 && !is_break(line.rest)) {
      std::size_t marker = std::min(line.rest.find_first_not_of("0123456789"), line.rest.size());
      if (marker > 9 || marker == line.rest.size()) return;
      if (std::string_view(marker == 0 ? "-+*" : ".)").find(line.rest[marker]) == std::string_view::npos) return;
      ++marker;
      if (marker == line.rest.size() && paragraph_) return;  // an empty item does not end a paragraph
      if (marker < line.rest.size() && line.rest[marker] != ' ' && line.rest[marker] != '\t') return;
      const std::size_t column = line.indent + marker;
      line.rest.remove_prefix(marker);
      line.indent = column;
      skip_indent(line);
      // Five columns or more after the marker are one, and then indented code.
      lists_.push_back(line.blank() || line.indent > column + 4 ? column + 1 : line.indent);
      if (line.blank()) return;
    }
  }

  /// A thematic break: three or more of one of * - _ and nothing else.
  static bool is_break(std::string_view rest) {
    const char mark = rest.front();
    return (mark == '*' || mark == '-' || mark == '_') && std::count(rest.begin(), rest.end(), mark) > 2 &&
           rest.find_first_not_of(mark == '*' ? "* \t" : mark == '-' ? "- \t" : "_ \t") == std::string_view::npos;
  }

  static std::size_t run(std::string_view rest, char mark) {
    return std::min(rest.find_first_not_of(mark), rest.size());
  }

  bool fence(const Line& open) {
    if (open.blank() || depth(open) > 3 || (open.rest.front() != '`' && open.rest.front() != '~')) return false;
    const char mark = open.rest.front();
    const std::size_t length = run(open.rest, mark);
    if (length < 3 || (mark == '`' && open.rest.find('`', length) != std::string_view::npos)) return false;
    const std::size_t list = lists_.empty() ? 0 : lists_.back();
    std::size_t end = open.next;
    while (end < text_.size()) {
      const Line line = line_at(end);
      if (!line.blank() && line.indent < list) break;
      end = line.next;
      if (line.indent < list + 4 && run(line.rest, mark) >= length && run(line.rest, mark) == line.rest.size()) break;
    }
    return close(MarkdownBlock::solid, end);
  }

  /// A comment, or an element whose content is raw, up to the line that closes it or the end of the list. A table
  /// of HTML is taken whole too, which CommonMark ends at a blank line.
  bool raw_html(const Line& open) {
    if (open.blank() || depth(open) > 3 || open.rest.front() != '<') return false;
    constexpr std::string_view marks[][2] = {{"<!--", "-->"},          {"<pre", "</pre>"},
                                             {"<script", "</script>"}, {"<style", "</style>"},
                                             {"<table", "</table>"},   {"<textarea", "</textarea>"}};
    for (const auto& [first, last] : marks) {
      if (!starts_with(open.rest, first)) continue;
      if (first != "<!--" && open.rest.size() > first.size() && is_letter(open.rest[first.size()])) continue;
      const std::size_t list = lists_.empty() ? 0 : lists_.back();
      std::size_t end = open.next;
      // From the third byte on: "<!-->" is a comment.
      for (bool closed = contains(open.rest.substr(2), last); !closed && end < text_.size();) {
        const Line line = line_at(end);
        if (!line.blank() && line.indent < list) break;
        closed = contains(line.rest, last);
        end = line.next;
      }
      return close(MarkdownBlock::solid, end);
    }
    return false;
  }

  static char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
  static bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
  static bool starts_with(std::string_view rest, std::string_view lower_case) {
    return rest.size() >= lower_case.size() &&
           std::equal(lower_case.begin(), lower_case.end(), rest.begin(), [](char a, char b) { return a == lower(b); });
  }

  static bool contains(std::string_view rest, std::string_view lower_case) {
    for (std::size_t at = 0; (at = rest.find(lower_case.front(), at)) != std::string_view::npos; ++at)
      if (starts_with(rest.substr(at), lower_case)) return true;
    return false;
  }

  /// A row with a bar, a row of dashes and bars, and all lines up to a blank one. A row that begins like a heading
  /// is still a row while it has a bar.
  bool table(const Line& head) {
    const auto has_bar = [](std::string_view row) { return row.find('|') != std::string_view::npos; };
    if (head.blank() || depth(head) > 3 || !has_bar(head.rest) || head.next >= text_.size()) return false;
    const Line rule = line_at(head.next);
    if (!has_bar(rule.rest) || rule.rest.find('-') == std::string_view::npos ||
        rule.rest.find_first_not_of("|-: \t") != std::string_view::npos)
      return false;
    std::size_t end = rule.next;
    while (end < text_.size()) {
      const Line line = line_at(end);
      const bool row = has_bar(line.rest);
      if (line.blank() || (!row && (heading_level(line) > 0 || run(line.rest, '`') > 2 || run(line.rest, '~') > 2)))
        break;
      end = line.next;
    }
    return close(MarkdownBlock::solid, end);
  }

  static std::size_t heading_level(const Line& line) {
    const std::size_t level = run(line.rest, '#');
    const bool ends = level == line.rest.size() || line.rest[level] == ' ' || line.rest[level] == '\t';
    return level >= 1 && level <= 6 && line.indent < 4 && ends ? level : 0;
  }

  bool atx_heading(const Line& line) {
    const std::size_t level = heading_level(line);
    if (level == 0) return false;
    std::string_view title = line.rest.substr(level);
    const std::size_t last = title.find_last_not_of('#');
    if (last == std::string_view::npos) title = {};
    else if (title[last] == ' ' || title[last] == '\t') title = title.substr(0, last);
    return close(MarkdownBlock::heading, line.next, level, strip(title));
  }

  /// A paragraph with a line of = or - under it.
  bool setext_heading(const Line& line) {
    if (!paragraph_ || line.indent > 3) return false;
    const char mark = line.rest.front();
    if ((mark != '=' && mark != '-') || run(line.rest, mark) != line.rest.size()) return false;
    const std::size_t begin = blocks_.back().span.begin;
    const std::string_view title = strip(text_.substr(begin, at_ - begin));
    blocks_.pop_back();
    at_ = begin;
    return close(MarkdownBlock::heading, line.next, mark == '=' ? 1 : 2, title);
  }

  static std::string_view strip(std::string_view text) {
    const Span inner = trim(text, {0, text.size()});
    return bytes(text, inner);
  }

  std::string_view text_;
  std::size_t at_;
  std::vector<MarkdownBlock> blocks_;
  std::size_t rank_ = 0;            ///< of a block that begins at this line
  std::vector<std::size_t> lists_;  ///< the column at which the content of each open list begins
  bool open_ = false;               ///< the last block is text that a further line continues
  bool paragraph_ = false;          ///< … and nothing but a paragraph so far
  bool code_ = false;               ///< … and ends with an indented line of code
};
using MarkdownScanner = BasicMarkdownScanner<>;

}  // namespace detail
RAG_END
#endif
