// SPDX-License-Identifier: MIT
#ifndef RAG_RENDER_HPP
#define RAG_RENDER_HPP
#include <rag/detail/prompt_text.hpp>
#include <rag/detail/utf8.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN

/// A text as a browser shows it and never runs it: & < > " ' are escaped.
RAG_LAZY std::string escape_html(std::string_view text) {
  std::string html;
  html.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&': html += "&amp;"; break;
      case '<': html += "&lt;"; break;
      case '>': html += "&gt;"; break;
      case '"': html += "&quot;"; break;
      case '\'': html += "&#39;"; break;
      default: html += c;
    }
  }
  return html;
}

namespace detail {

/// The lines of a text, none longer than `width` code points: broken at spaces, a longer word anywhere.
RAG_LAZY std::vector<std::string> wrap(std::string_view text, std::size_t width) {
  std::vector<std::string> lines;
  std::string line;
  std::size_t length = 0, space = std::string::npos;
  const auto end_line = [&] { lines.push_back(std::move(line)), line.clear(), length = 0, space = std::string::npos; };
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bytes = std::min(decode_utf8(text, at).length, text.size() - at);
    const std::string_view character = text.substr(at, bytes);
    at += bytes;
    if (character == "\n") {
      end_line();
      continue;
    }
    if (character == "\r") continue;
    if (length == width) {
      std::string rest;
      if (character != " " && space != std::string::npos) {
        rest = line.substr(space + 1);
        line.resize(space);
      }
      end_line();
      line = std::move(rest), length = count_code_points(line);
      if (character == " ") continue;
    }
    if (character == " ") space = line.size();
    line += character;
    ++length;
  }
  if (!line.empty()) end_line();
  return lines;
}

}  // namespace detail

/// Where an answer comes from, for a person: a line for each snippet cited, with its headings and the bytes of its
/// source, and one for each thing that a reader should be warned of. All on one line each, without controls, whatever the
/// source is called.
///
///     [1] borrowing.md, Borrowing > Late books, bytes 331 to 521
///     No snippet has the number of [7], [9].
///     Not readable as a mark: [1
///     No snippet is cited: nothing shows that this answer is true.
RAG_LAZY std::string references(const Answer& answer) {
  const auto plain = [](std::string_view text) {
    std::string line = detail::visible(text);
    std::replace(line.begin(), line.end(), '\n', ' ');
    return line;
  };
  std::string text, unknown, unreadable;
  for (const std::size_t number : answer.cited) {
    const Chunk& chunk = answer.sources.at(number - 1).chunk;
    const std::string path = heading_path(chunk);
    text += '[' + std::to_string(number) + "] " + plain(chunk.source) + (path.empty() ? "" : ", " + plain(path)) +
            ", bytes " + std::to_string(chunk.begin) + " to " + std::to_string(chunk.end) + '\n';
  }
  for (const std::size_t number : answer.unknown)
    unknown += (unknown.empty() ? "[" : ", [") + std::to_string(number) + ']';
  for (const Citation& mark : answer.citations)
    if (mark.numbers.empty() && mark.unknown.empty())
      unreadable += (unreadable.empty() ? "" : ", ") + plain(answer.text.substr(mark.begin, mark.end - mark.begin));
  if (!unknown.empty()) text += "No snippet has the number of " + unknown + ".\n";
  if (!unreadable.empty()) text += "Not readable as a mark: " + unreadable + '\n';
  if (!answer.supported()) text += "No snippet is cited: nothing shows that this answer is true.\n";
  return text;
}

/// Both answers of a comparison as two columns of a terminal, `columns` characters wide in all, the first with its
/// references().
RAG_LAZY std::string side_by_side(const Comparison& comparison, std::size_t columns = 120) {
  const std::size_t width = std::max<std::size_t>(columns, 23) / 2 - 2;
  const Answer& with = comparison.with_retrieval;
  const auto left = detail::wrap("WITH RETRIEVAL\n\n" + with.text + "\n\n" + references(with), width);
  const auto right = detail::wrap("WITHOUT RETRIEVAL\n\n" + comparison.without_retrieval.text, width);
  std::string text;
  for (std::size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
    const std::string cell = i < left.size() ? left[i] : std::string();
    text += cell + std::string(width - detail::count_code_points(cell), ' ') + " |";
    if (i < right.size() && !right[i].empty()) text += " " + right[i];
    text += '\n';
  }
  return text;
}

RAG_END
#endif
