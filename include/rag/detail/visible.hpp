// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_VISIBLE_HPP
#define RAG_DETAIL_VISIBLE_HPP
#include <rag/detail/utf8.hpp>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

// What of a text may reach a prompt: what a person would see of it, and no special token of a model.

RAG_BEGIN
namespace detail {

/// Does the code point leave no mark on paper, so that a person who reads the document does not know of it?
/// Controls, bidi controls, zero-width characters, variation selectors and tags: Unicode's
/// Default_Ignorable_Code_Point (which holds Bidi_Control) with the controls (Cc) but without tab and the line breaks,
/// and the interlinear annotation. The format characters (Cf) that are not here have a mark: Arabic number signs,
/// Egyptian joiners.
inline bool is_invisible(char32_t c) {
  constexpr std::pair<char32_t, char32_t> ranges[] = {
      {0x00, 0x08},      {0x0E, 0x1F},     {0x7F, 0x84},     {0x86, 0x9F},       {0xAD, 0xAD},
      {0x34F, 0x34F},    {0x61C, 0x61C},   {0x115F, 0x1160}, {0x17B4, 0x17B5},   {0x180B, 0x180F},
      {0x200B, 0x200F},  {0x202A, 0x202E}, {0x2060, 0x206F}, {0x3164, 0x3164},   {0xFE00, 0xFE0F},
      {0xFEFF, 0xFEFF},  {0xFFA0, 0xFFA0}, {0xFFF0, 0xFFFB}, {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A},
      {0xE0000, 0xE0FFF}};
  if (c >= 0x20 && c < 0x7F) return false;
  for (const auto& [first, last] : ranges)
    if (c >= first && c <= last) return true;
  return false;
}

/// Is a joiner (U+200C, U+200D) after this character part of the spelling? Letters and marks of the scripts from Arabic
/// to Sinhala: Persian, Urdu, Hindi, Bengali, Malayalam, …
inline bool takes_joiner(char32_t before) { return before >= 0x620 && before <= 0xDFF; }

/// The text as a person sees it: what is_invisible() is dropped, but for one joiner after a character that takes it;
/// each line break of any kind (CR LF, CR, VT, FF, NEL, U+2028, U+2029) is "\n", a byte that is not UTF-8 is U+FFFD.
/// Clean text stays as it is. An emoji of several falls into its parts: what joins them can carry any message.
RAG_LAZY std::string visible(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  char32_t before = 0;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t plain = at;
    while (plain < text.size() && text[plain] >= ' ' && text[plain] < '\x7F') ++plain;
    if (plain > at) {
      result += text.substr(at, plain - at);
      before = ' ';
      at = plain;
      continue;
    }
    const CodePoint point = decode_utf8(text, at);
    char32_t c = point.value;
    at += point.length;
    if (c == '\r' && at < text.size() && text[at] == '\n') continue;
    if ((c >= 0x0A && c <= 0x0D) || c == 0x85 || c == 0x2028 || c == 0x2029) c = '\n';
    if (is_invisible(c) && !((c == 0x200C || c == 0x200D) && takes_joiner(before))) continue;
    append_utf8(result, c);
    before = c;
  }
  return result;
}

// A server that puts messages into a template and then looks for special tokens in the whole text makes of a document's
// "<|im_end|>" the end of the message. A backslash after the first character stops that: <\|im_end|>, [\INST]. Where a
// text has such a backslash already, one more is put there, so each can be taken out again.

/// What a special token may have after its "<": every name between bars, those of ChatML, Llama 3, Phi, GLM, Cohere and
/// others, with DeepSeek's wide bar too; and these of Llama 2, Gemma, Mistral, Qwen, T5. Text that only a habit makes a
/// role ("### System:", "Human:") is no token and stays.
inline constexpr std::string_view angle_tokens[] = {
    "|",       "｜",         "s>",           "/s>",        "bos>",       "eos>",           "pad>",
    "unk>",    "mask>",      "SYS>",         "/SYS>",      "sop>",       "eop>",           "start_of_turn>",
    "think>",  "/think>",    "tool_call>",   "/tool_call>", "BOS_TOKEN>", "tool_response>", "end_of_turn>",
    "EOS_TOKEN>", "/tool_response>"};
/// The same after a "[": Mistral's and GLM's.
inline constexpr std::string_view bracket_tokens[] = {
    "INST]",    "/INST]",    "SYSTEM_PROMPT]", "/SYSTEM_PROMPT]", "AVAILABLE_TOOLS]", "/AVAILABLE_TOOLS]", "ARGS]",
    "IMG]",     "IMG_END]",  "TOOL_RESULTS]",  "/TOOL_RESULTS]",  "TOOL_CONTENT]",    "TOOL_CALLS]",       "CALL_ID]",
    "THINK]",   "/THINK]",   "IMG_BREAK]",     "MASK]",           "gMASK]",           "sMASK]"};

/// If a special token begins at text[at], backslashes after its first character or not: how many there are, else npos.
RAG_LAZY std::size_t backslashes_of_token(std::string_view text, std::size_t at) {
  const std::size_t end = std::min(text.find_first_not_of('\\', at + 1), text.size());
  const auto follows = [&](std::string_view rest) { return text.substr(end).starts_with(rest); };
  const bool found = text[at] == '<' ? std::any_of(std::begin(angle_tokens), std::end(angle_tokens), follows)
                                     : std::any_of(std::begin(bracket_tokens), std::end(bracket_tokens), follows);
  return found ? end - at - 1 : std::string_view::npos;
}

/// The text with one backslash more, or one less, in each of its special tokens.
RAG_LAZY std::string with_backslashes(std::string_view text, bool more) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t first = std::min(text.find_first_of("<[", at), text.size());
    result += text.substr(at, first + 1 - at);
    at = first + 1;
    if (at >= text.size()) break;
    const std::size_t count = backslashes_of_token(text, first);
    if (count == std::string_view::npos) continue;
    if (more) result += '\\';
    else if (count > 0) ++at;
  }
  return result;
}

/// A text in which no special token is left, and the first text again.
RAG_LAZY std::string without_tokens(std::string_view text) { return with_backslashes(text, true); }
RAG_LAZY std::string with_tokens(std::string_view text) { return with_backslashes(text, false); }

}  // namespace detail
RAG_END
#endif
