// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PROMPT_TEXT_HPP
#define RAG_DETAIL_PROMPT_TEXT_HPP
#include <rag/detail/hash.hpp>
#include <rag/detail/span.hpp>
#include <rag/detail/utf8.hpp>
#include <rag/detail/visible.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
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
// No text between two tags holds a `<`, so none can close its block, open another or be taken for one. Or the tags' names
// end in a nonce, <context-0f…>, that no text holds: then the texts have their `<`.

RAG_BEGIN
namespace detail {

/// How the texts of a prompt are told from its tags.
struct PromptForm {
  std::string nonce = {};  ///< ends the tags' names, and the texts are not escaped
  bool marked = false;     ///< the white space of documents has marks; the texts are escaped

  std::string tag(std::string_view name) const {
    return nonce.empty() ? std::string(name) : std::string(name) + "-" + nonce;
  }
  /// The prompt's first line.
  std::string opening() const {
    return "<" + tag("context") + (marked ? " marker=\"U+E000\">\n" : ">\n");
  }
};

/// U+E000, which means nothing by itself: what stands between the words of a document.
inline constexpr std::string_view datamark = "\xEE\x80\x80", escaped_datamark = "&#xE000;";

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
  constexpr std::pair<std::string_view, std::string_view> entities[] = {
      {"&amp;", "&"}, {"&lt;", "<"}, {"&quot;", "\""}, {escaped_datamark, datamark}};
  std::string result;
  result.reserve(text.size());
  while (!text.empty()) {
    const std::size_t plain = std::min(text.find('&'), text.size());
    result += text.substr(0, plain);
    text.remove_prefix(plain);
    std::size_t length = std::min<std::size_t>(1, text.size());
    std::string_view meant = text.substr(0, length);
    for (const auto& [entity, character] : entities)
      if (text.starts_with(entity)) meant = character, length = entity.size();
    result += meant;
    text.remove_prefix(length);
  }
  return result;
}

/// An escaped text whose blanks are datamarks, with one before all other white space; the datamarks that it has itself
/// become entities. A question has only the entities.
RAG_LAZY std::string with_datamarks(std::string_view text, bool is_question) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    const std::string_view character = text.substr(at, point.length);
    at += point.length;
    const bool mark = !is_question && is_space(point.value);
    if (mark) result += datamark;
    if (!mark || point.value != ' ') result += character == datamark ? escaped_datamark : character;
  }
  return result;
}

/// A datamark before white space is dropped, any other becomes a blank.
RAG_LAZY std::string without_datamarks(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t mark = std::min(text.find(datamark, at), text.size());
    result += text.substr(at, mark - at);
    at = mark + datamark.size();
    if (mark == text.size()) break;
    if (at >= text.size() || !is_space(decode_utf8(text, at).value)) result += ' ';
  }
  return result;
}

/// A text as it stands in a block or in an attribute, and the text again.
RAG_LAZY std::string written(std::string_view text, const PromptForm& form, bool is_attribute, bool is_question) {
  std::string result = visible(text);
  if (is_attribute || form.nonce.empty()) {
    std::string escaped;
    escaped.reserve(result.size());
    append_escaped(escaped, result, is_attribute);
    result = std::move(escaped);
  }
  result = without_tokens(result);
  return form.marked ? with_datamarks(result, is_question) : result;
}
RAG_LAZY std::string read_back(std::string_view text, const PromptForm& form, bool is_attribute, bool is_question) {
  const std::string bare = form.marked && !is_question ? without_datamarks(text) : std::string(text);
  const std::string whole = with_tokens(bare);
  return is_attribute || form.nonce.empty() ? unescaped(whole) : whole;
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

RAG_LAZY void append_snippet(std::string& prompt, std::size_t number, std::string_view source, std::string_view text,
                           const PromptForm& form = {}) {
  const std::string tag = form.tag("snippet");
  prompt += "<" + tag + " id=\"" + std::to_string(number) + "\" source=\"" + written(source, form, true, false) + "\">\n";
  prompt += written(text, form, false, false) + "\n</" + tag + ">\n";
}

RAG_LAZY void append_question(std::string& prompt, std::string_view question, const PromptForm& form = {}) {
  const std::string tag = form.tag("question");
  prompt += "<" + tag + ">\n" + written(question, form, false, true) + "\n</" + tag + ">";
}

RAG_LAZY std::string write_prompt(std::string_view question, std::span<const Hit> hits, const PromptForm& form) {
  std::string prompt = form.opening();
  for (std::size_t i = 0; i < hits.size(); ++i)
    append_snippet(prompt, i + 1, hits[i].chunk.source, hits[i].chunk.text, form);
  prompt += "</" + form.tag("context") + ">\n";
  append_question(prompt, question, form);
  return prompt;
}

/// 32 hexadecimal digits that stand nowhere in the text: those of `first`, or of the next number that fits.
RAG_LAZY std::string absent_digits(std::string_view text, ContentHash first) {
  while (text.find(first.text()) != std::string_view::npos) ++first.low;
  return first.text();
}

/// A prompt whose tags bear digits that none of its texts holds. They are a hash of all that the prompt says, so the same
/// prompt has the same ones, and drawn again as long as they stand in it: no text can hold them, whoever wrote it and
/// whatever he knows. So they need not be secret, nor the hash be a strong one.
RAG_LAZY std::string write_nonce_prompt(std::string_view question, std::span<const Hit> hits) {
  const std::string draft = write_prompt(question, hits, {.nonce = "draft"});
  return write_prompt(question, hits, {.nonce = absent_digits(draft, ContentHash{}.add(draft))});
}

/// Takes expected things off the front of a text.
class PromptReader {
 public:
  explicit PromptReader(std::string_view left) : left_(left) {}

  bool take(std::string_view expected) {
    if (!left_.starts_with(expected)) return false;
    left_.remove_prefix(expected.size());
    return true;
  }
  /// Everything up to the next `stop`, which ends a text since none holds it.
  bool take_until(std::string_view stop, std::string_view& text) {
    const std::size_t end = left_.find(stop);
    if (end == std::string_view::npos) return false;
    text = left_.substr(0, end);
    left_.remove_prefix(end + stop.size());
    return true;
  }
  bool at_end() const { return left_.empty(); }

 private:
  std::string_view left_;
};

/// The form that a prompt's first line tells of.
RAG_LAZY PromptForm form_of(std::string_view prompt) {
  constexpr std::string_view tag = "<context-";
  const std::string_view digits = prompt.substr(std::min(tag.size(), prompt.size()), 32);
  const bool has_nonce = prompt.starts_with(tag) && digits.size() == 32 &&
                         digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  return {.nonce = std::string(has_nonce ? digits : ""), .marked = prompt.starts_with("<context ")};
}

/// Reads a prompt of exactly one of the forms above; nothing if it has another.
RAG_LAZY std::optional<ParsedPrompt> parse_prompt(std::string_view prompt) {
  const PromptForm form = form_of(prompt);
  const std::string snippet = form.tag("snippet"), question = form.tag("question");
  PromptReader reader(prompt);
  ParsedPrompt parsed;
  std::string_view source, text;
  if (!reader.take(form.opening())) return std::nullopt;
  while (!reader.take("</" + form.tag("context") + ">\n")) {
    const std::size_t number = parsed.snippets.size() + 1;
    if (!reader.take("<" + snippet + " id=\"" + std::to_string(number) + "\" source=\"") ||
        !reader.take_until("\">\n", source) || !reader.take_until("\n</" + snippet + ">\n", text))
      return std::nullopt;
    parsed.snippets.push_back({number, read_back(source, form, true, false), read_back(text, form, false, false)});
  }
  if (!reader.take("<" + question + ">\n") || !reader.take_until("\n</" + question + ">", text) || !reader.at_end())
    return std::nullopt;
  parsed.question = read_back(text, form, false, true);
  return parsed;
}

}  // namespace detail
RAG_END
#endif
