// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PAGE_TEXT_HPP
#define RAG_DETAIL_PAGE_TEXT_HPP
#include <rag/version.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

RAG_BEGIN
namespace detail {

/// Writes the text of a page with marks: runs of white space are one space, blocks stand apart by an empty line.
RAG_LAZY class BasicPageText {
 public:
  /// Running text.
  void words(std::string_view text) {
    for (const char c : text) {
      if (is_space(c)) {
        space_ = true;
        continue;
      }
      begin_word();
      text_ += c;
    }
  }
  /// Text with its own spaces and line breaks.
  void verbatim(std::string_view text) {
    if (text.empty()) return;
    begin_word();
    text_ += text;
  }
  /// What follows begins a line, or, with 2, a block.
  void breaks(std::size_t lines) {
    if (lines == 0) return;
    lines_ = std::max(lines_, lines);
    space_ = false;
  }
  /// What the next words begin with, "- " or "## "; of two marks before the same words the last one. A mark that begins
  /// with a space stands within a line alone.
  void mark(std::string_view text) { mark_ = text; }

  std::string take() && { return std::move(text_); }

 private:
  static bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

  void begin_word() {
    if ((text_.empty() || lines_ > 0) && mark_.starts_with(' ')) mark_.clear();
    if (!text_.empty() && lines_ > 0) text_.append(lines_, '\n');
    else if (!text_.empty() && space_ && mark_.empty() && text_.back() != '\n') text_ += ' ';
    text_ += mark_;
    mark_.clear();
    lines_ = 0;
    space_ = false;
  }

  std::string text_;
  std::string mark_;
  std::size_t lines_ = 0;
  bool space_ = false;
};
using PageText = BasicPageText<>;

}  // namespace detail
RAG_END
#endif
