// SPDX-License-Identifier: MIT
#ifndef EVALUATE_TIKTOKEN_HPP
#define EVALUATE_TIKTOKEN_HPP
#include <rag/error.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

/// Counts the tokens of cl100k_base, in which published chunk sizes are given, from its file of ranks: a line a token,
/// base64 and number. Characters beyond ASCII are classed by their blocks: exact for the languages of the data here,
/// not for every rare sign.
class TokenCounter {
 public:
  explicit TokenCounter(const std::string& path) {
    std::ifstream file(path);
    if (!file)
      throw rag::Error(rag::Errc::not_found,
                       "--unit: characters, tokens or a file of BPE ranks wanted, '" + path + "' can't be opened");
    std::string token;
    for (std::uint32_t rank = 0; file >> token >> rank;) ranks_.emplace(decoded(token), rank);
    if (ranks_.size() < 256 || !file.eof())
      throw rag::Error(rag::Errc::invalid_format, "--unit: " + path + ": lines of a base64 token and its rank wanted");
  }

  std::size_t operator()(std::string_view text) const {
    std::size_t count = 0;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = end_of_word(text, at);
      const std::string word(text.substr(at, end - at));
      const auto [place, is_new] = counts_.try_emplace(word, 0);
      if (is_new) place->second = merged(word);
      count += place->second;
      at = end;
    }
    return count;
  }

 private:
  enum Kind { letter, digit, space, newline, other, none };
  struct Next {
    Kind kind = none;
    std::size_t end = 0;
  };

  static std::string decoded(const std::string& text) {
    std::string bytes;
    std::uint32_t bits = 0;
    int held = 0;
    for (const char c : text) {
      const std::size_t value =
          std::string_view("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/").find(c);
      if (value == std::string_view::npos) break;
      bits = bits << 6 | static_cast<std::uint32_t>(value);
      if ((held += 6) >= 8) bytes += static_cast<char>(bits >> (held -= 8) & 0xFF);
    }
    return bytes;
  }

  static Kind kind_of(char32_t c) {
    if (c == '\r' || c == '\n') return newline;
    if (c == ' ' || (c >= 9 && c <= 13) || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
        c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000)
      return space;
    if (c < 0x80) return c >= '0' && c <= '9' ? digit : (c | 32) >= 'a' && (c | 32) <= 'z' ? letter : other;
    if (c == 0xB2 || c == 0xB3 || c == 0xB9 || (c >= 0xBC && c <= 0xBE) || (c >= 0x660 && c <= 0x669) ||
        (c >= 0x966 && c <= 0x96F) || c == 0x2070 || (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089) ||
        (c >= 0x2150 && c <= 0x2189) || (c >= 0x2460 && c <= 0x249B) || (c >= 0xFF10 && c <= 0xFF19))
      return digit;
    const bool sign = (c < 0xC0 && c != 0xAA && c != 0xB5 && c != 0xBA) || c == 0xD7 || c == 0xF7 ||
                      (c >= 0x300 && c <= 0x36F) || (c >= 0x2000 && c <= 0x2BFF) || (c >= 0x3001 && c <= 0x3004) ||
                      (c >= 0x3007 && c <= 0x3030) || c == 0x30FB || (c >= 0xFE00 && c <= 0xFE6F) ||
                      (c >= 0xFF00 && c <= 0xFF20) || (c >= 0xFF5B && c <= 0xFF65) || c >= 0x1F000;
    return sign ? other : letter;
  }

  static Next next(std::string_view text, std::size_t at) {
    if (at >= text.size()) return {none, at};
    const auto first = static_cast<unsigned char>(text[at]);
    const std::size_t length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    char32_t c = first & (length == 1 ? 0x7Fu : 0x7Fu >> length);
    for (std::size_t i = 1; i < length && at + i < text.size(); ++i) c = c << 6 | (static_cast<unsigned char>(text[at + i]) & 0x3Fu);
    return {kind_of(c), std::min(at + length, text.size())};
  }

  static std::size_t run(std::string_view text, std::size_t at, Kind kind, std::size_t most = std::size_t(-1)) {
    for (Next step = next(text, at); step.kind == kind && most > 0; step = next(text, at), --most) at = step.end;
    return at;
  }

  static std::size_t contraction(std::string_view text, std::size_t at) {
    constexpr std::array<std::string_view, 7> ends{"s", "t", "re", "ve", "m", "ll", "d"};
    for (const std::string_view end : ends) {
      const std::string_view given = text.substr(at + 1, end.size());
      if (given.size() == end.size() &&
          std::equal(end.begin(), end.end(), given.begin(), [](char a, char b) { return a == (b | 32); }))
        return at + 1 + end.size();
    }
    return at;
  }

  /// The end of the word at `at`, by the expression of cl100k_base:
  /// '(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s+$|\s*[\r\n]|\s+(?!\S)|\s
  static std::size_t end_of_word(std::string_view text, std::size_t at) {
    if (text[at] == '\'')
      if (const std::size_t end = contraction(text, at); end > at) return end;
    const Next first = next(text, at), second = next(text, first.end);
    if (first.kind == letter) return run(text, at, letter);
    if ((first.kind == space || first.kind == other) && second.kind == letter) return run(text, first.end, letter);
    if (first.kind == digit) return run(text, at, digit, 3);
    if (first.kind == other) return run(text, run(text, at, other), newline);
    if (text[at] == ' ' && second.kind == other) return run(text, run(text, first.end, other), newline);
    std::size_t end = at, last_line = at, before_last = at;  // of the run of white space
    for (Next step = next(text, at); step.kind == space || step.kind == newline; step = next(text, end)) {
      before_last = end;
      end = step.end;
      if (step.kind == newline) last_line = end;
    }
    if (end == text.size()) return end;
    if (last_line > at) return last_line;
    return before_last == at ? end : before_last;
  }

  std::size_t merged(const std::string& word) const {
    if (ranks_.count(word) != 0) return 1;
    std::vector<std::size_t> cuts;  // between tokens, with both ends
    for (std::size_t i = 0; i <= word.size(); ++i) cuts.push_back(i);
    for (;;) {
      std::uint32_t best = std::numeric_limits<std::uint32_t>::max();
      std::size_t place = 0;
      for (std::size_t i = 0; i + 2 < cuts.size(); ++i) {
        const auto found = ranks_.find(word.substr(cuts[i], cuts[i + 2] - cuts[i]));
        if (found != ranks_.end() && found->second < best) best = found->second, place = i + 1;
      }
      if (place == 0) return cuts.size() - 1;
      cuts.erase(cuts.begin() + static_cast<std::ptrdiff_t>(place));
    }
  }

  std::unordered_map<std::string, std::uint32_t> ranks_;
  mutable std::unordered_map<std::string, std::size_t> counts_;  // by word
};

#endif
