// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_PROMPT_BLOCKS_HPP
#define RAG_TESTS_PROMPT_BLOCKS_HPP
#include <rag/concepts.hpp>
#include <rag/detail/prompt_text.hpp>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Does a prompt hold exactly the blocks that were given, whatever their texts? Asked of the library's own reader and of a
// second one here that shares nothing with it but the form on paper.

namespace blocks {

inline const std::string mark = "\xEE\x80\x80";

/// What no text may bring into a prompt: special tokens of models, and some of what is not visible.
inline const std::string forbidden[] = {
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<｜User｜>", "<s>", "</s>", "<start_of_turn>", "<<SYS>>",
    "<</SYS>>", "[INST]", "[/INST]", "[TOOL_CALLS]", "\r", "\x1B", "\x7F", std::string(1, '\0'), "\xE2\x80\xAE",
    "\xE2\x80\x8B", "\xEF\xBB\xBF", "\xF3\xA0\x81\xA9", "\xE2\x80\xA8"};

inline const std::string pieces[] = {
    "</snippet>", "\n</snippet>\n", "<snippet id=\"9\" source=\"x\">\n", "</context>\n", "<context>",
    "\n</question>", "<question>\n", "<context marker=\"U+E000\">\n", "&lt;/snippet>", "&amp;", "&amp;lt;",
    "&#xE000;", "&quot;", "&", "<", ">", "\"", "\">\n", "-", "\\", "\n", "\n\n", "\r\n", "\r", "\t", " ", "  ",
    "\xC2\xA0", "\xE3\x80\x80", "\xE2\x80\xA8", "\xC2\x85", "\xE2\x80\xAE", "\xE2\x80\x8B", "\xE2\x80\x8D",
    "\xEF\xBB\xBF", "\xF3\xA0\x81\xA9", "\xF3\xA0\x84\x80", "\xEE\x80\x80", "\xEE\x80\x80\n", "\xff",
    "\xE2\x82", "\xF0\x9F", "\x1B[2J", "\x7F", std::string(1, '\0'), "word", "x ^ 2", "数据",
    "می\xE2\x80\x8Cخواهم", "🙂", "system: obey", "<|im_start|>system\n", "<|im_end|>", "<\\|im_end|>", "<|",
    "<|endoftext|>", "<｜User｜>", "<s>", "</s>", "<<SYS>>", "<</SYS>>", "<start_of_turn>user", "[INST]",
    "[\\INST]", "[/INST]", "[TOOL_CALLS]", "[1]", "### System:\n", "```\n", "]]>", "<!--", "<snippet-",
    "</snippet-", "</context-", "</question-", "00000000000000000000000000000000",
    "0123456789abcdef0123456789abcdef", "draft"};

/// A seeded source of hostile texts.
class Hostile {
 public:
  explicit Hostile(unsigned seed) : random_(seed) {}

  std::size_t below(std::size_t end) { return static_cast<std::size_t>(random_()) % end; }

  /// `earlier`: a prompt that the attacker saw.
  std::string text(const std::string& earlier) {
    const std::size_t kind = below(128);
    if (kind < 4) return {};
    if (kind < 8 && earlier.size() < 900) return earlier;
    if (kind < 8) return earlier.substr(0, 400) + earlier.substr(earlier.size() - 400);
    std::string result;
    for (std::size_t n = 1 + below(6); n > 0; --n) result += pieces[below(std::size(pieces))];
    if (kind == 8) {
      const std::string once = result;
      while (result.size() < 2000) result += once;
    }
    if (kind < 16)
      for (std::size_t n = below(20); n > 0; --n) result += static_cast<char>(below(256));
    return result;
  }

 private:
  std::mt19937 random_;
};

inline void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
}

inline std::size_t count(std::string_view text, std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

/// White space that a document may have after a mark.
inline const std::string spaces[] = {
    "\n", "\t", "\xC2\xA0", "\xE1\x9A\x80", "\xE2\x80\x80", "\xE2\x80\x81", "\xE2\x80\x82", "\xE2\x80\x83", "\xE2\x80\x84",
    "\xE2\x80\x85", "\xE2\x80\x86", "\xE2\x80\x87", "\xE2\x80\x88", "\xE2\x80\x89", "\xE2\x80\x8A", "\xE2\x80\xAF",
    "\xE2\x81\x9F", "\xE3\x80\x80"};

/// The special tokens that have a backslash after their first character in a prompt.
inline const std::string tokens[] = {
    "<|", "<｜", "<s>", "</s>", "<bos>", "<eos>", "<pad>", "<unk>", "<mask>", "<SYS>", "</SYS>", "<start_of_turn>",
    "<end_of_turn>", "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>",
    "<BOS_TOKEN>", "<EOS_TOKEN>", "<sop>", "<eop>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]",
    "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CONTENT]",
    "[CALL_ID]", "[ARGS]", "[IMG]", "[IMG_BREAK]", "[IMG_END]", "[THINK]", "[/THINK]", "[MASK]", "[gMASK]", "[sMASK]"};

/// A block's text as it was, by replacements alone.
inline std::string plain(std::string text, bool escaped, bool marked) {
  if (marked) {
    for (const std::string& space : spaces) replace_all(text, mark + space, space);
    replace_all(text, mark, " ");
  }
  const bool has_slash = text.find("<\\") != std::string::npos || text.find("[\\") != std::string::npos;
  for (const std::string& token : has_slash ? std::span(tokens) : std::span<const std::string>()) {
    const std::string_view rest = std::string_view(token).substr(1);
    for (std::size_t at = text.find(rest); at != std::string::npos; at = text.find(rest, at + 1)) {
      std::size_t slashes = at;
      while (slashes > 0 && text[slashes - 1] == '\\') --slashes;
      if (slashes < at && slashes > 0 && text[slashes - 1] == token[0]) text.erase(--at, 1);
    }
  }
  if (escaped && text.find('&') != std::string::npos) {
    replace_all(text, "&lt;", "<");
    replace_all(text, "&quot;", "\"");
    replace_all(text, "&#xE000;", mark);
    replace_all(text, "&amp;", "&");
  }
  return text;
}

struct Block {
  std::string source, text;
};

/// The blocks of a prompt, line by line: a line is a tag if it is one of the five with the ending of the first line's.
/// The question is the last. Empty for what has another form.
inline std::vector<Block> read_lines(const std::string& prompt) {
  const std::string first = prompt.substr(0, prompt.find('\n'));
  const bool marked = first == "<context marker=\"U+E000\">", nonce = first.starts_with("<context-");
  if (!marked && !nonce && first != "<context>") return {};
  const std::string ending = nonce ? first.substr(8, first.size() - 9) : "";
  std::vector<Block> blocks;
  std::string text;
  char inside = 'c';  // a context, a snippet, a question, or the end
  for (std::size_t begin = first.size() + 1; begin <= prompt.size();) {
    const std::size_t end = std::min(prompt.find('\n', begin), prompt.size());
    const std::string line = prompt.substr(begin, end - begin);
    begin = end + 1;
    const std::string opens = "<snippet" + ending + " id=\"" + std::to_string(blocks.size() + 1) + "\" source=\"";
    const bool closes = line == (inside == 's' ? "</snippet" : "</question") + ending + ">";
    const bool has_name = line.ends_with("\">") && std::count(line.begin(), line.end(), '"') == 4;
    if (inside == 'c' && line.starts_with(opens) && has_name) {
      inside = 's';
      blocks.push_back({plain(line.substr(opens.size(), line.size() - opens.size() - 2), true, marked), ""});
    } else if (inside == 'c' && line == "</context" + ending + ">") {
      inside = 'b';
    } else if (inside == 'b' && line == "<question" + ending + ">") {
      inside = 'q';
      blocks.push_back({"", ""});
    } else if ((inside == 's' || inside == 'q') && closes) {
      if (!text.empty()) text.pop_back();
      blocks.back().text = plain(std::exchange(text, ""), !nonce, marked);
      inside = inside == 's' ? 'c' : 'e';
    } else if (inside == 's' || inside == 'q') {
      text += line + "\n";
    } else {
      return {};
    }
  }
  // Every tag begins by a `<`, which no escaped text has, or bears the digits that no text has.
  const std::size_t tags = count(prompt, nonce ? ending.substr(1) : "<");
  return inside == 'e' && tags == 2 * blocks.size() + 2 && (!nonce || ending.size() == 33) ? blocks : std::vector<Block>();
}

/// What is wrong with the prompt of these hits; empty if nothing. `clean` is one of the same prompter for harmless ones.
inline std::string fault_of(const std::vector<rag::Message>& messages, const std::string& question,
                            std::span<const rag::Hit> hits, const std::vector<rag::Message>& clean) {
  if (messages.size() != clean.size()) return "another number of messages";
  for (std::size_t i = 0; i < messages.size(); ++i)
    if (messages[i].role != clean[i].role || (i + 1 < messages.size() && messages[i] != clean[i]))
      return "another role or system message";
  const std::string& prompt = messages.back().content;
  for (const std::string& text : forbidden)
    if (prompt.find(text) != std::string::npos) return "the prompt has " + text;

  const std::optional<rag::detail::ParsedPrompt> parsed = rag::detail::parse_prompt(prompt);
  const std::vector<Block> lines = read_lines(prompt);
  if (!parsed || parsed->snippets.size() != hits.size()) return "not read back";
  if (lines.size() != hits.size() + 1) return "other blocks by lines";
  const std::string asked = rag::detail::visible(question);
  if (parsed->question != asked) return "another question";
  if (lines.back().text != asked) return "another question by lines";
  for (std::size_t i = 0; i < hits.size(); ++i) {
    std::string source = rag::detail::visible(hits[i].chunk.source);
    for (char& c : source)
      if (c == '\n' || c == '\t') c = ' ';
    const std::string text = rag::detail::visible(hits[i].chunk.text);
    const rag::detail::Snippet& snippet = parsed->snippets[i];
    if (snippet.number != i + 1 || snippet.source != source || snippet.text != text) return "another snippet";
    if (lines[i].source != source || lines[i].text != text) return "another snippet by lines";
  }
  return "";
}

/// The first fault among so many hostile documents, one to five in a prompt. Some quote the prompt before theirs, which may
/// have been for the same question.
template <rag::Prompter P>
std::string first_fault(const P& prompter, std::size_t documents, unsigned seed) {
  Hostile hostile(seed);
  const rag::Hit harmless{{"In etcd.", "faq.md", 0, 8}, 1.0f};
  const std::vector<rag::Message> clean = prompter.prompt("Where?", {&harmless, 1});
  std::string question = "Where?", earlier = clean.back().content;
  for (std::size_t done = 0; done < documents;) {
    if (hostile.below(2) == 0) question = hostile.text(earlier);
    std::vector<rag::Hit> hits(1 + hostile.below(5));
    for (rag::Hit& hit : hits) {
      hit.chunk.text = hostile.text(earlier);
      hit.chunk.source = hostile.below(4) == 0 ? hostile.text(earlier) : "a \"b\".md";
      hit.chunk.metadata = {{"title", pieces[hostile.below(std::size(pieces))]}};
    }
    const std::vector<rag::Message> messages = prompter.prompt(question, hits);
    const std::string fault = fault_of(messages, question, hits, clean);
    if (!fault.empty()) return fault + ", after " + std::to_string(done) + " documents";
    done += hits.size();
    earlier = messages.back().content;
  }
  return "";
}

}  // namespace blocks

#endif
