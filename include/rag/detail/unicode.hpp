// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_UNICODE_HPP
#define RAG_DETAIL_UNICODE_HPP
#include <rag/detail/unicode_tables.hpp>
#include <rag/detail/utf8.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// Unicode as the BERT uncased tokenizer knows it: tables older than today's standard, on purpose.

RAG_BEGIN
namespace detail {

/// The tables of unicode_tables.hpp, unpacked on first use.
class UnicodeTables {
 public:
  static const UnicodeTables& instance() {
    static const UnicodeTables tables;
    return tables;
  }

  /// The flags of a code point; 0 past U+10FFFF.
  std::uint8_t flags(char32_t c) const {
    return c < 0x110000 ? flags_[pages_[c >> 8]][c & 0xFF] : std::uint8_t{0};
  }

  /// The first code point that a mapped one folds to.
  char32_t target(char32_t c) const {
    std::size_t low = 0;
    for (std::size_t count = unicode::mapped_count; count > 1; count -= count / 2)
      if (mapped_[low + count / 2].from <= c) low += count / 2;
    return mapped_[low].to;
  }

 private:
  UnicodeTables() {
    const char* runs = unicode::runs;
    std::uint8_t flags = 0;
    char32_t left = 0;
    bool whole = false;  // the last page is all of the run that we are in: the next may be the same page
    std::size_t count = 0;
    for (char32_t page = 0; page < 0x1100; ++page) {
      if (whole && left >= 256)
        left -= 256;
      else {
        whole = left >= 256;
        for (char32_t i = 0; i < 256; flags_[count][i++] = flags, --left)
          if (left == 0) {
            left = number(runs), flags = unicode::kinds[number(runs)];
            if ((flags & unicode::mapped) != 0) map(page * 256 + i, left);
          }
        ++count;
      }
      pages_[page] = static_cast<std::uint16_t>(count - 1);
    }
  }

  void map(char32_t first, char32_t count) {
    for (const char32_t end = first + count; first < end; ++first) {
      const char32_t step = number(targets_);
      target_ += (step & 1) != 0 ? ~(step >> 1) : step >> 1;
      mapped_[mapped_count_++] = {first, target_};
    }
  }

  static char32_t number(const char*& text) {
    char32_t value = 0;
    for (char32_t scale = 1;; scale *= 28) {
      const auto digit = static_cast<char32_t>(*text++);
      if (digit < 0x5D) return value + (digit - 0x40) * scale;
      value += (digit - 0x5D) * scale;
    }
  }

  struct Mapping {
    char32_t from, to;
  };
  std::uint16_t pages_[0x1100] = {};
  std::uint8_t flags_[unicode::page_count][256] = {};
  Mapping mapped_[unicode::mapped_count] = {};
  const char* targets_ = unicode::targets;
  std::size_t mapped_count_ = 0;
  char32_t target_ = 0;
};

inline std::uint8_t unicode_flags(char32_t c) { return UnicodeTables::instance().flags(c); }

/// White space; tab, line feed and carriage return too.
inline bool is_whitespace(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= '\t' && c <= '\r');
  return (unicode_flags(c) & unicode::space) != 0;
}

/// Every ASCII character that is no letter, digit, space or control ('$' and '+' too), and category P.
inline bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
           (c >= '{' && c <= '~');
  return (unicode_flags(c) & unicode::punctuation) != 0;
}

/// What BERT's cleaning throws away: control (but tab, line feed and carriage return), format, private use,
/// U+FFFD.
inline bool is_control(char32_t c) {
  if (c < 0x80) return (c < ' ' && c != '\t' && c != '\n' && c != '\r') || c == 0x7F;
  return (unicode_flags(c) & unicode::removed) != 0;
}

/// A letter, mark or number.
inline bool is_word(char32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  return (unicode_flags(c) & unicode::word) != 0;
}

/// A Chinese character, by the blocks that BERT takes for that; no kana, no Hangul.
inline bool is_cjk(char32_t c) {
  return c >= 0x3400 && ((c >= 0x4E00 && c <= 0x9FFF) || c <= 0x4DBF || (c >= 0xF900 && c <= 0xFAFF) ||
                         (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) ||
                         (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0x2F800 && c <= 0x2FA1F));
}

/// Gives what one code point folds to, one by one: nothing for control and nonspacing marks, U+0020 for white
/// space, else its canonical decomposition without nonspacing marks, in lower case.
template <class Sink>
void fold_point(char32_t c, Sink&& sink) {
  if (c < 0x80) {
    if (is_control(c)) return;
    return void(sink(is_whitespace(c) ? U' ' : c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c));
  }
  if (c >= 0xAC00 && c < 0xAC00 + 11172) {  // Hangul decomposes by arithmetic: the Unicode Standard, 3.12
    const char32_t index = c - 0xAC00;
    sink(0x1100 + index / 588), sink(0x1161 + index % 588 / 28);
    if (index % 28 != 0) sink(0x11A7 + index % 28);
    return;
  }
  const UnicodeTables& tables = UnicodeTables::instance();
  const std::uint8_t flags = tables.flags(c);
  if ((flags & (unicode::removed | unicode::mark)) != 0) return;
  if ((flags & unicode::space) != 0) return void(sink(U' '));
  sink((flags & unicode::mapped) != 0 ? tables.target(c) : c);
  if ((flags & unicode::has_tail) == 0) return;
  for (std::size_t i = 0; i < 3 * unicode::tail_count; i += 3)
    if (unicode::tails[i] == c)
      for (std::size_t j = i + 1; j < i + 3 && unicode::tails[j] != 0; ++j) sink(unicode::tails[j]);
}

/// The rank of the combining class of a nonstarter that folding keeps; 0 for all else.
inline std::uint8_t order_rank(char32_t c) {
  for (const unicode::Order& order : unicode::order)
    if (c >= order.first && c - order.first < order.count) return order.rank;
  return 0;
}

/// Folds a text, code point by code point, and puts the nonstarters that stand together into canonical order.
RAG_LAZY class BasicFolder {
 public:
  /// Takes the next code point; gives what is settled with it.
  template <class Sink>
  void push(char32_t c, Sink&& sink) {
    if (is_control(c)) return;
    const std::uint8_t flags = c < 0x80 ? std::uint8_t{0} : unicode_flags(c);
    if ((flags & unicode::nonstarter) == 0) flush(sink);
    if ((flags & (unicode::nonstarter | unicode::has_tail)) == 0) return fold_point(c, sink);
    fold_point(c, [&](char32_t folded) {
      if (order_rank(folded) != 0)
        append_utf8(waiting_, folded);
      else
        sink(folded);
    });
  }

  /// Gives what still waits: to be called at the end.
  template <class Sink>
  void flush(Sink&& sink) {
    if (waiting_.empty()) return;
    // A walk a rank: stable, and linear for a text of nothing but nonstarters.
    for (std::uint8_t rank = 1; rank <= unicode::order_ranks; ++rank)
      for (std::size_t at = 0; at < waiting_.size();) {
        const CodePoint point = decode_utf8(waiting_, at);
        at += point.length;
        if (order_rank(point.value) == rank) sink(point.value);
      }
    waiting_.clear();
  }

 private:
  std::string waiting_;
};
using Folder = BasicFolder<>;

/// Appends what one code point alone folds to.
RAG_LAZY void append_folded(std::string& out, char32_t c) {
  fold_point(c, [&](char32_t folded) { append_utf8(out, folded); });
}

/// A text without case and accents, as BERT's uncased normaliser gives it, but with no spaces put around
/// Chinese characters. A byte that is not UTF-8 gives nothing.
RAG_LAZY std::string fold(std::string_view text) {
  std::string folded;
  folded.reserve(text.size());
  const auto put = [&](char32_t c) { append_utf8(folded, c); };
  Folder folder;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    at += point.length;
    folder.push(point.value, put);
  }
  folder.flush(put);
  return folded;
}

}  // namespace detail
RAG_END
#endif
