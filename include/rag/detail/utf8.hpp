// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_UTF8_HPP
#define RAG_DETAIL_UTF8_HPP
#include <rag/version.hpp>

#include <cstddef>
#include <string>
#include <string_view>

RAG_BEGIN
namespace detail {

/// One code point and the bytes it takes. Not valid: 1 byte, U+FFFD.
struct CodePoint {
  char32_t value;
  std::size_t length;
  bool valid;
};

/// Decodes the code point at `at` (at < text.size()) by the table of well-formed sequences of the Unicode
/// Standard (table 3-7): no overlong form, no surrogate, nothing past U+10FFFF.
inline CodePoint decode_utf8(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = byte(at);
  if (first < 0x80) return {static_cast<char32_t>(first), 1, true};
  const std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return {0xFFFD, 1, false};
  const unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  const unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  if (byte(at + 1) < low || byte(at + 1) > high) return {0xFFFD, 1, false};
  char32_t value = first & (0x7Fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0) != 0x80) return {0xFFFD, 1, false};
    value = value << 6 | (byte(at + i) & 0x3F);
  }
  return {value, length, true};
}

/// Appends the UTF-8 form of a code point that is not a surrogate.
inline void append_utf8(std::string& text, char32_t value) {
  const auto put = [&](char32_t byte) { text += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (value < 0x80) return put(value);
  if (value < 0x800) return put(0xC0 | value >> 6), put(0x80 | (value & 0x3F));
  if (value < 0x10000) put(0xE0 | value >> 12);
  else put(0xF0 | value >> 18), put(0x80 | (value >> 12 & 0x3F));
  put(0x80 | (value >> 6 & 0x3F)), put(0x80 | (value & 0x3F));
}

/// The offset of the first byte that is not valid UTF-8; npos if there is none.
inline std::size_t invalid_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const CodePoint point = decode_utf8(text, at);
    if (!point.valid) return at;
    at += point.length;
  }
  return std::string_view::npos;
}

/// Is there a character boundary before byte `at`?
inline bool is_boundary(std::string_view text, std::size_t at) {
  return at >= text.size() || (static_cast<unsigned char>(text[at]) & 0xC0) != 0x80;
}

/// The number of code points of a valid text.
inline std::size_t count_code_points(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xC0) != 0x80;
  return count;
}

}  // namespace detail
RAG_END
#endif
