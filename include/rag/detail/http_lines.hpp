// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_HTTP_LINES_HPP
#define RAG_DETAIL_HTTP_LINES_HPP
#include <rag/version.hpp>

#include <cstddef>
#include <utility>

RAG_BEGIN
namespace detail {

/// Counts what is read of an answer: a line holds 8 KiB at most, a head 256 KiB. cpp-httplib before 0.20.1 reads lines of
/// any length, and matches the status line with std::regex, whose recursion on a long one ends the process.
struct HttpsLines {
  bool in_head = false, refused = false;
  std::size_t line = 0, last_line = 2, head = 0;  // bytes, line ends too; 2: a blank line

  void begin() { *this = HttpsLines{.in_head = true}; }
  /// Lines alone are read byte by byte.
  bool take(char last, std::size_t size, std::size_t wanted) {
    if (in_head) head += size;
    line = wanted > 1 ? 0 : line + 1;
    if (line > 0 && last == '\n') last_line = std::exchange(line, 0);
    return !(refused = refused || head > (256 << 10) || line > (8 << 10));
  }
};

}  // namespace detail
RAG_END
#endif
