// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_NORMAL_FORMS_HPP
#define RAG_DETAIL_NORMAL_FORMS_HPP
#include <rag/detail/normal_tables.hpp>
#include <rag/detail/utf8.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Unicode's normal forms, lower case and the cut into clusters, as the tokenizers library has them.

RAG_BEGIN
namespace detail {

/// The tables of normal_tables.hpp, unpacked on first use.
RAG_LAZY class BasicNormalTables {
 public:
  static const BasicNormalTables& instance() {
    static const BasicNormalTables tables;
    return tables;
  }

  /// normal::Flag; 0 past U+10FFFF.
  std::uint8_t flags(char32_t c) const {
    return c < 0x110000 ? flags_[pages_[c >> 8] * std::size_t{256} + (c & 0xFF)] : std::uint8_t{0};
  }
  normal::Break break_of(char32_t c) const { return static_cast<normal::Break>(flags(c) >> 4); }

  /// The rank of the combining class; 0: a starter.
  std::uint8_t rank(char32_t c) const {
    if (c < 0x300) return 0;
    const auto after =
        std::upper_bound(ranks_.begin(), ranks_.end(), c, [](char32_t x, const Rank& r) { return x < r.first; });
    if (after == ranks_.begin()) return 0;
    const Rank& range = *(after - 1);
    return c - range.first < range.count ? range.rank : std::uint8_t{0};
  }

  std::u32string_view canonical(char32_t c) const { return c < 0xC0 ? std::u32string_view() : canonical_.find(c); }
  std::u32string_view compatible(char32_t c) const { return c < 0xA0 ? std::u32string_view() : compatible_.find(c); }
  std::u32string_view lower(char32_t c) const { return lower_.find(c); }

  /// What two code points compose to; 0: nothing.
  char32_t composed(char32_t first, char32_t second) const {
    if (first - 0x1100 < 19 && second - 0x1161 < 21) return 0xAC00 + ((first - 0x1100) * 21 + (second - 0x1161)) * 28;
    if (first - 0xAC00 < 11172 && (first - 0xAC00) % 28 == 0 && second - 0x11A8 < 27) return first + (second - 0x11A7);
    const auto at =
        std::lower_bound(pairs_.begin(), pairs_.end(), std::pair(first, second),
                         [](const Pair& pair, const auto& key) { return std::pair(pair.first, pair.second) < key; });
    return at != pairs_.end() && at->first == first && at->second == second ? at->whole : 0;
  }

 private:
  struct Rank {
    char32_t first, count;
    std::uint8_t rank;
  };
  struct Pair {
    char32_t first, second, whole;
  };

  /// A sorted table from a code point to several.
  struct Mapping {
    struct Entry {
      char32_t from;
      std::uint32_t begin, count;
    };
    std::vector<Entry> entries;
    std::u32string targets;

    std::u32string_view find(char32_t c) const {
      const auto at =
          std::lower_bound(entries.begin(), entries.end(), c, [](const Entry& e, char32_t x) { return e.from < x; });
      if (at == entries.end() || at->from != c) return {};
      return std::u32string_view(targets).substr(at->begin, at->count);
    }

    void read(const char* text, std::size_t count) {
      entries.reserve(count);
      char32_t from = 0, target = 0;
      for (std::size_t i = 0; i < count; ++i) {
        from += number(text);
        entries.push_back({from, static_cast<std::uint32_t>(targets.size()), number(text)});
        for (std::uint32_t j = 0; j < entries.back().count; ++j) targets += target += difference(text);
      }
    }
  };

  BasicNormalTables() {
    canonical_.read(normal::canonical, normal::canonical_count);
    compatible_.read(normal::compatible, normal::compatible_count);
    lower_.read(normal::lower, normal::lower_count);
    read_flags();
    const char* text = normal::pairs;
    Pair pair = {0, 0, 0};
    for (std::size_t i = 0; i < normal::pair_count; ++i) {
      pair.first += difference(text), pair.second += difference(text), pair.whole += difference(text);
      pairs_.push_back(pair);
    }
    text = normal::ranks;
    char32_t end = 0;
    for (std::size_t i = 0; i < normal::rank_count; ++i) {
      const char32_t first = end + number(text), count = number(text);
      ranks_.push_back({first, count, static_cast<std::uint8_t>(number(text))});
      end = first + count;
    }
  }

  void read_flags() {
    const char* runs = normal::runs;
    std::uint8_t flags = 0;
    char32_t left = 0;
    bool whole = false;  // the last page is all of the run that we are in: the next may be the same page
    for (char32_t page = 0; page < 0x1100; ++page) {
      if (whole && left >= 256) {
        left -= 256;
      } else {
        whole = left >= 256;
        for (int i = 0; i < 256; ++i, --left) {
          if (left == 0) left = number(runs), flags = normal::kinds[number(runs)];
          flags_.push_back(flags);
        }
      }
      pages_[page] = static_cast<std::uint16_t>(flags_.size() / 256 - 1);
    }
  }

  static std::uint32_t number(const char*& text) {
    std::uint32_t value = 0;
    for (std::uint32_t scale = 1;; scale *= 28) {
      const auto digit = static_cast<std::uint32_t>(*text++);
      if (digit < 0x5D) return value + (digit - 0x40) * scale;
      value += (digit - 0x5D) * scale;
    }
  }
  static char32_t difference(const char*& text) {
    const std::uint32_t step = number(text);
    return (step & 1) != 0 ? ~(step >> 1) : step >> 1;
  }

  std::uint16_t pages_[0x1100] = {};
  std::vector<std::uint8_t> flags_;
  std::vector<Rank> ranks_;
  std::vector<Pair> pairs_;
  Mapping canonical_, compatible_, lower_;
};
using NormalTables = BasicNormalTables<>;

enum class NormalForm { nfd, nfc, nfkd, nfkc };

inline bool is_ascii(std::string_view text) {
  for (const char c : text)
    if ((static_cast<unsigned char>(c) & 0x80) != 0) return false;
  return true;
}

/// Gives each code point of a valid text.
template <class Sink>
void each_code_point(std::string_view text, Sink&& sink) {
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    sink(point.value);
    at += point.length;
  }
}

/// A valid text in a normal form.
RAG_LAZY class BasicNormalizing {
 public:
  static std::string apply(std::string_view text, NormalForm form) {
    if (is_ascii(text)) return std::string(text);
    BasicNormalizing self(form);
    each_code_point(text, [&](char32_t c) { self.decompose(c); });
    self.settle();
    if (form == NormalForm::nfc || form == NormalForm::nfkc) self.compose();
    std::string out;
    out.reserve(text.size() + text.size() / 4);
    for (const char32_t c : self.points_) append_utf8(out, c);
    return out;
  }

 private:
  explicit BasicNormalizing(NormalForm form)
      : tables_(NormalTables::instance()), compatible_(form == NormalForm::nfkd || form == NormalForm::nfkc) {}

  void decompose(char32_t c) {
    if (c - 0xAC00 < 11172) {  // Hangul, by arithmetic: the Unicode Standard, 3.12
      const char32_t index = c - 0xAC00;
      put(0x1100 + index / 588), put(0x1161 + index % 588 / 28);
      if (index % 28 != 0) put(0x11A7 + index % 28);
      return;
    }
    std::u32string_view parts = compatible_ ? tables_.compatible(c) : std::u32string_view();
    if (parts.empty()) parts = tables_.canonical(c);
    if (parts.empty()) return put(c);
    for (const char32_t part : parts) put(part);
  }

  void put(char32_t c) {
    if (tables_.rank(c) == 0) settle();
    points_ += c;
    if (tables_.rank(c) == 0) settled_ = points_.size();
  }

  /// Puts the nonstarters at the end into canonical order.
  void settle() {
    if (points_.size() - settled_ > 1)
      std::stable_sort(points_.begin() + static_cast<std::ptrdiff_t>(settled_), points_.end(),
                       [&](char32_t a, char32_t b) { return tables_.rank(a) < tables_.rank(b); });
    settled_ = points_.size();
  }

  void compose() {
    std::size_t out = 0, starter = std::u32string::npos;
    int last = -1;  // the rank of what stands between the starter and here; -1: nothing
    for (const char32_t c : points_) {
      const int rank = tables_.rank(c);
      if (starter != std::u32string::npos && last < rank) {
        if (const char32_t whole = tables_.composed(points_[starter], c); whole != 0) {
          points_[starter] = whole;
          continue;
        }
      }
      if (rank == 0)
        starter = out, last = -1;
      else
        last = rank;
      points_[out++] = c;
    }
    points_.resize(out);
  }

  const NormalTables& tables_;
  bool compatible_;
  std::u32string points_;
  std::size_t settled_ = 0;
};
using Normalizing = BasicNormalizing<>;

/// The cut of a valid text into extended grapheme clusters: the end of the one that begins at `at`.
RAG_LAZY class BasicClusters {
 public:
  explicit BasicClusters(std::string_view text) : text_(text), tables_(NormalTables::instance()) {}

  std::size_t end(std::size_t at) {
    CodePoint point = decode_utf8(text_, at);
    std::size_t next = at + point.length;
    // Two letters of ASCII, the most common case.
    if (point.value >= 0x20 && point.value < 0x7F && next < text_.size() &&
        static_cast<unsigned char>(text_[next]) < 0x80)
      return next;
    pictures_ = joined_ = false, regional_ = 0, consonant_ = 0;
    for (;;) {
      note(point.value);
      if (next >= text_.size()) return next;
      const CodePoint after = decode_utf8(text_, next);
      if (is_break(point.value, after.value)) return next;
      point = after;
      next += point.length;
    }
  }

 private:
  static bool is_syllable(char32_t c) { return c - 0xAC00 < 11172; }

  /// What the rules for emoji, flags and Indic conjuncts ask of the code points before.
  void note(char32_t c) {
    const normal::Break kind = tables_.break_of(c);
    const bool extends = kind == normal::extend || kind == normal::linker;
    joined_ = pictures_ && kind == normal::joiner;
    pictures_ = kind == normal::pictographic || (pictures_ && extends);
    regional_ = kind == normal::regional ? regional_ + 1 : 0;
    if (kind == normal::consonant)
      consonant_ = 1;
    else if (kind == normal::linker)
      consonant_ = consonant_ ? 2 : 0;
    else if (!extends && kind != normal::joiner)
      consonant_ = 0;
  }

  bool is_break(char32_t before, char32_t after) const {
    const normal::Break a = tables_.break_of(before), b = tables_.break_of(after);
    if (before == '\r' && after == '\n') return false;
    if (a == normal::control || b == normal::control) return true;
    if (b == normal::extend || b == normal::linker || b == normal::joiner || b == normal::spacing) return false;
    if (a == normal::prepend) return false;
    if (a == normal::leading) return !(b == normal::leading || b == normal::vowel || is_syllable(after));
    const bool open = is_syllable(before) && (before - 0xAC00) % 28 == 0;
    if (open || a == normal::vowel) return !(b == normal::vowel || b == normal::trailing);
    if (is_syllable(before) || a == normal::trailing) return b != normal::trailing;
    if (joined_ && b == normal::pictographic) return false;
    if (consonant_ == 2 && b == normal::consonant) return false;
    return !(b == normal::regional && regional_ % 2 == 1);
  }

  std::string_view text_;
  const NormalTables& tables_;
  bool pictures_ = false, joined_ = false;
  std::size_t regional_ = 0;
  int consonant_ = 0;  // 1: a consonant before, with extenders; 2: and a linker among them
};
using Clusters = BasicClusters<>;

}  // namespace detail
RAG_END
#endif
