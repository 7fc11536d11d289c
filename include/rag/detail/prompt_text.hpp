// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PROMPT_TEXT_HPP
#define RAG_DETAIL_PROMPT_TEXT_HPP
#include <rag/detail/utf8.hpp>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The text form of a prompt, written and read back:
//
//     <context>
//     <snippet id="1" source="faq.md">
//     text
//     </snippet>
//     </context>
//     <question>
//     text
//     </question>
//
// No text between two tags holds a `<`, so none can close its block, open another or be taken for one.

RAG_BEGIN
namespace detail {

/// Does the code point leave no mark on paper, so that a person who reads the document does not know of it?
/// Controls, bidi controls, zero-width characters, variation selectors and tags: Unicode's
/// Default_Ignorable_Code_Point with the controls (Cc) but without tab and the line breaks.
inline bool is_invisible(char32_t c) {
  constexpr std::pair<char32_t, char32_t> ranges[] = {
      {0x00, 0x08},      {0x0E, 0x1F},     {0x7F, 0x84},     {0x86, 0x9F},       {0xAD, 0xAD},
      {0x34F, 0x34F},    {0x61C, 0x61C},   {0x115F, 0x1160}, {0x17B4, 0x17B5},   {0x180B, 0x180F},
      {0x200B, 0x200F},  {0x202A, 0x202E}, {0x2060, 0x206F}, {0x3164, 0x3164},   {0xFE00, 0xFE0F},
      {0xFEFF, 0xFEFF},  {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFFB}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
      {0xE0000, 0xE0FFF}};
  for (const auto& [first, last] : ranges)
    if (c >= first && c <= last) return true;
  return false;
}

/// The text as a person sees it: what is_invisible() is dropped, each line break of any kind (CR LF, CR, VT,
/// FF, NEL, U+2028, U+2029) is "\n", a byte that is not UTF-8 is U+FFFD. Clean text stays as it is.
RAG_LAZY std::string visible(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    const char32_t c = point.value;
    at += point.length;
    if (c == '\r' && at < text.size() && text[at] == '\n') continue;
    if ((c >= 0x0A && c <= 0x0D) || c == 0x85 || c == 0x2028 || c == 0x2029)
      result += '\n';
    else if (!is_invisible(c))
      append_utf8(result, c);
  }
  return result;
}

/// Appends visible text with `&`, `<` and `"` written as entities.
RAG_LAZY void append_escaped(std::string& result, std::string_view text, bool is_attribute) {
  for (const char c : text) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (is_attribute && c == '"')
      result += "&quot;";
    else if (is_attribute && (c == '\n' || c == '\t'))
      result += ' ';
    else
      result += c;
  }
}

/// The inverse of append_escaped(), but for the blanks of an attribute.
RAG_LAZY std::string unescaped(std::string_view text) {
  constexpr std::pair<std::string_view, char> entities[] = {{"&amp;", '&'}, {"&lt;", '<'}, {"&quot;", '"'}};
  std::string result;
  result.reserve(text.size());
  for (std::size_t at = 0; at < text.size();) {
    char c = text[at];
    std::size_t length = 1;
    for (const auto& [entity, meant] : entities)
      if (c == '&' && text.substr(at).starts_with(entity)) c = meant, length = entity.size();
    result += c;
    at += length;
  }
  return result;
}

struct Snippet {
  std::size_t number = 0;
  std::string source;
  std::string text;
};

struct ParsedPrompt {
  std::vector<Snippet> snippets;
  std::string question;
};

RAG_LAZY void append_snippet(std::string& prompt, std::size_t number, std::string_view source,
                           std::string_view text) {
  prompt += "<snippet id=\"" + std::to_string(number) + "\" source=\"";
  append_escaped(prompt, visible(source), true);
  prompt += "\">\n";
  append_escaped(prompt, visible(text), false);
  prompt += "\n</snippet>\n";
}

RAG_LAZY void append_question(std::string& prompt, std::string_view question) {
  prompt += "<question>\n";
  append_escaped(prompt, visible(question), false);
  prompt += "\n</question>";
}

/// Reads a prompt of exactly the form above; nothing if it has another.
RAG_LAZY std::optional<ParsedPrompt> parse_prompt(std::string_view prompt) {
  ParsedPrompt parsed;
  const auto take = [&](std::string_view expected) {
    if (!prompt.starts_with(expected)) return false;
    prompt.remove_prefix(expected.size());
    return true;
  };
  // Everything up to the next `stop`, which ends a text since none holds it.
  const auto take_until = [&](std::string_view stop, std::string_view& text) {
    const std::size_t end = prompt.find(stop);
    if (end == std::string_view::npos) return false;
    text = prompt.substr(0, end);
    prompt.remove_prefix(end + stop.size());
    return true;
  };
  std::string_view source, text;
  if (!take("<context>\n")) return std::nullopt;
  while (!take("</context>\n")) {
    const std::size_t number = parsed.snippets.size() + 1;
    if (!take("<snippet id=\"" + std::to_string(number) + "\" source=\"") || !take_until("\">\n", source) ||
        !take_until("\n</snippet>\n", text))
      return std::nullopt;
    parsed.snippets.push_back({number, unescaped(source), unescaped(text)});
  }
  if (!take("<question>\n") || !take_until("\n</question>", text) || !prompt.empty()) return std::nullopt;
  parsed.question = unescaped(text);
  return parsed;
}

}  // namespace detail
RAG_END
#endif
