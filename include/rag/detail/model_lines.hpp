// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_MODEL_LINES_HPP
#define RAG_DETAIL_MODEL_LINES_HPP
#include <rag/detail/prompt_text.hpp>
#include <rag/detail/sentences.hpp>
#include <rag/detail/trim.hpp>
#include <rag/detail/utf8.hpp>
#include <rag/detail/words.hpp>

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Reads what a model writes when it is asked for lines of text, one an entry, in all the forms that models give it.

RAG_BEGIN
namespace detail {

/// A text without the blocks <think>…</think> and <thinking>…</thinking> that some models write first. One that is not
/// closed reaches to the end; one that is not opened, as where the prompt of the model opened it, begins with the text.
RAG_LAZY std::string without_thoughts(std::string_view text) {
  std::string result;
  std::vector<std::size_t> open;  // where in the result the blocks begin that are open
  for (std::size_t at = 0; at < text.size();) {
    std::size_t length = 0;
    for (const std::string_view tag : {"<think>", "<thinking>"})
      if (text.substr(at).starts_with(tag)) length = tag.size(), open.push_back(result.size());
    for (const std::string_view tag : {"</think>", "</thinking>"})
      if (text.substr(at).starts_with(tag)) {
        length = tag.size();
        result.resize(open.empty() ? 0 : open.back());
        if (!open.empty()) open.pop_back();
      }
    if (length == 0) result += text[at];
    at += std::max<std::size_t>(length, 1);
  }
  if (!open.empty()) result.resize(open.front());
  return result;
}

/// Appends the character that a JSON escape means; text[at] follows the backslash, and `at` moves behind the escape.
RAG_LAZY void append_json_escape(std::string& result, std::string_view text, std::size_t& at) {
  const auto unit = [&](std::size_t from) {  // four hexadecimal digits; 0x10000: they are none
    char32_t value = 0;
    for (std::size_t i = from; i < from + 4; ++i) {
      const std::size_t digit = i < text.size() ? std::string_view("0123456789abcdef").find(static_cast<char>(
                                                      text[i] >= 'A' && text[i] <= 'F' ? text[i] + 32 : text[i]))
                                                : std::string_view::npos;
      if (digit == std::string_view::npos) return char32_t{0x10000};
      value = value << 4 | static_cast<char32_t>(digit);
    }
    return value;
  };
  const char c = text[at++];
  if (c != 'u') {
    constexpr std::string_view letters = "bfnrt", meant = "\b\f\n\r\t";
    const std::size_t letter = letters.find(c);
    result += letter == std::string_view::npos ? c : meant[letter];
    return;
  }
  char32_t value = unit(at);
  if (value == 0x10000) return append_utf8(result, 0xFFFD);
  at += 4;
  if (value >= 0xD800 && value <= 0xDFFF) {
    const char32_t low = value <= 0xDBFF && text.substr(at).starts_with("\\u") ? unit(at + 2) : 0;
    const bool is_pair = low >= 0xDC00 && low <= 0xDFFF;
    value = is_pair ? 0x10000 + ((value - 0xD800) << 10) + (low - 0xDC00) : 0xFFFD;
    if (is_pair) at += 6;
  }
  append_utf8(result, value);
}

/// The strings of the JSON array that begins at text[at] == '['; those before the end of a text that breaks off. None
/// if it holds anything else.
RAG_LAZY std::vector<std::string> read_json_strings(std::string_view text, std::size_t at) {
  std::vector<std::string> strings;
  const auto next = [&] {
    while (at < text.size() && (text[at] == ' ' || text[at] == '\n' || text[at] == '\t')) ++at;
    return at < text.size() ? text[at] : '\0';
  };
  do {
    ++at;
    if (next() != '"') break;
    std::string string;
    for (++at; at < text.size() && text[at] != '"';) {
      if (text[at] == '\\' && at + 1 < text.size()) append_json_escape(string, text, ++at);
      else string += text[at++];
    }
    if (at == text.size()) return strings;  // its end is missing
    ++at;
    strings.push_back(std::move(string));
  } while (next() == ',');
  return next() == ']' || next() == '\0' ? strings : std::vector<std::string>{};
}

/// The strings of the first JSON array of strings in a text that begins a line or follows a colon.
RAG_LAZY std::vector<std::string> find_json_strings(std::string_view text) {
  bool fits = true;  // is only white space since the line's begin or the colon?
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '[' && fits)
      if (std::vector<std::string> strings = read_json_strings(text, at); !strings.empty()) return strings;
    fits = c == '\n' || c == ':' || (fits && c == ' ');
  }
  return {};
}

/// The line after a mark of a list: "- ", "* ", "+ ", "•", "–", "1.", "1)", "(1)", "1:". A number that goes on after
/// the mark, as 1.5, is none.
RAG_LAZY std::string_view after_list_mark(std::string_view line) {
  for (const std::string_view mark : {"- ", "* ", "+ ", "\xE2\x80\xA2", "\xE2\x80\x93 "})
    if (line.starts_with(mark)) return line.substr(mark.size());
  const auto is_digit = [&](std::size_t i) { return i < line.size() && line[i] >= '0' && line[i] <= '9'; };
  const bool in_brackets = line.starts_with('(');
  const std::size_t begin = in_brackets ? 1 : 0;
  std::size_t at = begin;
  while (is_digit(at) && at < begin + 2) ++at;
  if (at == begin || is_digit(at)) return line;
  for (const std::string_view mark : {".", ")", ":", "\xE3\x80\x81" /* 、 */, "\xEF\xBC\x8E" /* ． */})
    if (line.substr(at).starts_with(mark) && (mark == ")" || !in_brackets) && !is_digit(at + mark.size()))
      return line.substr(at + mark.size());
  return line;
}

/// A line without its place in a list, and without the quotes, the emphasis or the tags around the whole of it.
RAG_LAZY std::string_view bare_line(std::string_view line) {
  constexpr std::pair<std::string_view, std::string_view> pairs[] = {
      {"**", "**"}, {"__", "__"}, {"*", "*"}, {"`", "`"}, {"\"", "\""}, {"'", "'"},
      {"\xE2\x80\x9C", "\xE2\x80\x9D"} /* “” */, {"\xE2\x80\x9E", "\xE2\x80\x9C"} /* „“ */,
      {"\xE2\x80\x98", "\xE2\x80\x99"} /* ‘’ */, {"\xC2\xAB", "\xC2\xBB"} /* «» */,
      {"\xE3\x80\x8C", "\xE3\x80\x8D"} /* 「」 */};
  const auto inside = [&line](std::string_view open, std::string_view close) {
    if (line.size() < open.size() + close.size() || !line.starts_with(open) || !line.ends_with(close)) return;
    const std::string_view inner = line.substr(open.size(), line.size() - open.size() - close.size());
    if (inner.find(open) == std::string_view::npos && inner.find(close) == std::string_view::npos) line = inner;
  };
  for (std::size_t before = line.size() + 1; line.size() < before;) {
    before = line.size();
    line = after_list_mark(trim(line));
    if (line.starts_with('"') && line.ends_with("\",")) line.remove_suffix(1);
    for (const auto& [open, close] : pairs) inside(open, close);
    if (const std::size_t end = line.find('>'); line.starts_with('<') && end != std::string_view::npos) {
      const std::string name(line.substr(1, end - 1));
      if (end + 1 == line.size()) line = {};  // a tag alone
      else inside("<" + name + ">", "</" + name + ">");
    }
  }
  return line;
}

/// The words of a text, by which two are the same question or not; "" where it has none.
RAG_LAZY std::string word_key(std::string_view text) {
  std::string key;
  for_each_word<false>(text, [&](std::string_view word, bool) { (key += word) += ' '; });
  return key;
}

/// At most `size` bytes of a text, up to a character boundary, without white space at the end.
RAG_LAZY std::string_view cut_at(std::string_view text, std::size_t size) {
  size = std::min(size, text.size());
  while (!is_boundary(text, size)) --size;
  return trim(text.substr(0, size));
}

inline constexpr std::size_t longest_line = 1000;  // bytes; an embedder reads less

/// At most `most` entries of the list that a model wrote, in its order: the strings of a JSON array, else the lines,
/// each without what bare_line() takes away and cut at a character boundary after longest_line bytes. Lines without a
/// word, lines that end in a colon (they announce the list) and repeats, of `question` too, are left out.
RAG_LAZY std::vector<std::string> read_lines(std::string_view answer, std::size_t most,
                                             std::string_view question = {}) {
  const std::string text = visible(without_thoughts(answer));
  std::vector<std::string> entries = find_json_strings(text);
  for (std::string& entry : entries) {
    entry = visible(entry);
    std::replace(entry.begin(), entry.end(), '\n', ' ');
  }
  if (entries.empty())
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find('\n', at), text.size());
      entries.push_back(text.substr(at, end - at));
      at = end + 1;
    }
  std::vector<std::string> lines;
  std::set<std::string> seen{word_key(question), ""};
  for (const std::string& entry : entries) {
    if (lines.size() == most) break;
    std::string_view line = bare_line(entry);
    if (line.starts_with("```") || line.ends_with(':') || line.ends_with("\xEF\xBC\x9A") /* ： */) continue;
    line = cut_at(line, longest_line);
    if (seen.insert(word_key(line)).second) lines.emplace_back(line);
  }
  return lines;
}

/// The text that a model wrote, without its thoughts and the lines of a code fence, cut at a character boundary after
/// `longest` bytes; "" where it has no word.
RAG_LAZY std::string read_passage(std::string_view answer, std::size_t longest) {
  const std::string text = visible(without_thoughts(answer));
  std::string passage;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = std::string_view(text).substr(at, end - at);
    if (!line.starts_with("```")) (passage += line) += '\n';
    at = end + 1;
  }
  const std::string_view inner = cut_at(trim(passage), longest);
  return word_key(inner).empty() ? std::string() : std::string(inner);
}

}  // namespace detail
RAG_END
#endif
