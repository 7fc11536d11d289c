// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SPAN_HPP
#define RAG_DETAIL_SPAN_HPP
#include <rag/detail/utf8.hpp>

#include <cstddef>
#include <string_view>

RAG_BEGIN
namespace detail {

/// Bytes [begin, end) of a document's text.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
  bool empty() const { return begin >= end; }
  bool operator==(const Span&) const = default;
};

RAG_LAZY std::string_view bytes(std::string_view text, Span span) {
  return text.substr(span.begin, span.end - span.begin);
}

/// All of a text but a byte order mark at its start.
RAG_LAZY Span without_mark(std::string_view text) { return {text.starts_with("\xEF\xBB\xBF") ? 3u : 0u, text.size()}; }

/// White space as Unicode has it, and the four separators of ASCII (U+001C to U+001F).
inline bool is_space(char32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/// The boundary before the character that ends at byte `at` (at > 0).
RAG_LAZY std::size_t step_back(std::string_view text, std::size_t at) {
  const std::size_t lowest = at > 4 ? at - 4 : 0;
  for (std::size_t begin = at; begin-- > lowest;)
    if (is_boundary(text, begin)) return begin + decode_utf8(text, begin).length == at ? begin : at - 1;
  return at - 1;
}

RAG_LAZY Span trim_end(std::string_view text, Span span) {
  while (!span.empty()) {
    const std::size_t begin = step_back(text, span.end);
    if (!is_space(decode_utf8(text, begin).value)) break;
    span.end = begin;
  }
  return span;
}

/// The span without the white space around it.
RAG_LAZY Span trim(std::string_view text, Span span) {
  span = trim_end(text, span);
  while (!span.empty()) {
    const CodePoint point = decode_utf8(text, span.begin);
    if (!is_space(point.value)) break;
    span.begin += point.length;
  }
  return span;
}

/// The span without blank lines before it and white space after it; a first line that is whole keeps its
/// indentation.
RAG_LAZY Span trim_lines(std::string_view text, Span span) {
  const Span inner = trim(text, span);
  std::size_t begin = inner.begin;
  while (begin > span.begin && text[begin - 1] != '\n') --begin;
  const bool whole_line = begin == without_mark(text).begin || text[begin - 1] == '\n';
  return {whole_line ? begin : inner.begin, inner.end};
}

}  // namespace detail
RAG_END
#endif
