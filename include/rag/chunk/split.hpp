// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_SPLIT_HPP
#define RAG_CHUNK_SPLIT_HPP
#include <rag/chunk/span.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// Cutting a text at separators and putting the pieces together again up to a size.

RAG_BEGIN
namespace detail {

/// The first place of `separator` in text[from, end), an empty span if there is none. A "\n" of the separator
/// stands for "\r\n" too, and takes the "\r" with it.
RAG_LAZY Span find_separator(std::string_view text, Span within, std::string_view separator) {
  text = text.substr(0, within.end);
  const auto match_end = [&](std::size_t at) {
    for (const char c : separator) {
      if (c == '\n' && text.substr(at, 2) == "\r\n") ++at;
      if (at >= text.size() || text[at] != c) return std::string_view::npos;
      ++at;
    }
    return at;
  };
  for (std::size_t at = within.begin; (at = text.find(separator.front(), at)) != std::string_view::npos; ++at) {
    const std::size_t end = match_end(at);
    if (end == std::string_view::npos) continue;
    const bool crlf = separator.front() == '\n' && at > within.begin && text[at - 1] == '\r';
    return {crlf ? at - 1 : at, end};
  }
  return {};
}

/// A separator that begins with the mark at the end of a sentence, a clause or a block of code.
inline bool is_stop(std::string_view separator) {
  if (separator.empty()) return false;
  const char32_t first = decode_utf8(separator, 0).value;
  return std::u32string_view(U".?!,;:}。！？，、；：．｡､").find(first) != std::u32string_view::npos;
}

/// Cuts at every place of the separator, which closes the piece before it or opens the one after it. An empty
/// separator cuts between all characters. The pieces lie end to end and none is empty.
RAG_LAZY std::vector<Span> split_at(std::string_view text, Span whole, std::string_view separator, bool closes) {
  std::vector<Span> pieces;
  std::size_t begin = whole.begin;
  const auto cut = [&](std::size_t at) {
    if (at > begin) pieces.push_back({begin, at});
    begin = at;
  };
  if (separator.empty()) {
    while (begin < whole.end) cut(std::min(begin + decode_utf8(text, begin).length, whole.end));
    return pieces;
  }
  for (std::size_t from = whole.begin;;) {
    const Span found = find_separator(text, {from, whole.end}, separator);
    if (found.empty()) break;
    cut(closes ? found.end : found.begin);
    from = found.end;
  }
  cut(whole.end);
  return pieces;
}

/// The largest n in [fits, limit] for which `test` holds, found by doubling steps and then halving. test(fits)
/// holds; where `test` goes to and fro the answer is one of the places where it turns false.
template <class Test>
std::size_t largest(std::size_t fits, std::size_t limit, Test test) {
  std::size_t fails = limit + 1;
  for (std::size_t step = 1; fits < limit; step *= 2) {
    const std::size_t probe = limit - fits < step ? limit : fits + step;
    if (!test(probe)) {
      fails = probe;
      break;
    }
    fits = probe;
  }
  while (fails - fits > 1) {
    const std::size_t middle = fits + (fails - fits) / 2;
    (test(middle) ? fits : fails) = middle;
  }
  return fits;
}

/// A part of a text and how good a cut before it is: 0 is the best.
struct RankedSpan {
  Span span;
  std::size_t rank;
};

/// Cuts a text into spans of at most `size` by `length`. Merged pieces are measured as one text, since tokens do
/// not add up; for code points that is the same as the sum.
template <class Length>
struct Splitter {
  std::string_view text;
  const Length& length;
  std::size_t size;
  std::size_t overlap;
  bool stops_close;
  std::vector<Span> spans = {};

  std::size_t measure(std::size_t begin, std::size_t end) const {
    return static_cast<std::size_t>(length(text.substr(begin, end - begin)));
  }

  /// Cuts at the first separator that occurs; pieces that are too long are cut at the separators after it.
  void split(Span whole, std::span<const std::string> separators) {
    for (; !separators.empty(); separators = separators.subspan(1)) {
      const std::string& separator = separators.front();
      if (!separator.empty() && find_separator(text, whole, separator).empty()) continue;
      const auto rest = separator.empty() ? separators.first(0) : separators.subspan(1);
      return pack(split_at(text, whole, separator, stops_close && is_stop(separator)), rest);
    }
    spans.push_back(whole);
  }

  /// Merges pieces that lie end to end; one that is too long stands alone, cut at the separators.
  void pack(std::span<const Span> pieces, std::span<const std::string> separators) {
    pack_by(pieces, [&](std::size_t i) { split(pieces[i], separators); });
  }

  /// The same; cut(i) adds the spans of pieces[i] that is too long.
  template <class Cut>
  void pack_by(std::span<const Span> pieces, Cut cut) {
    std::size_t first = 0;
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      if (measure(pieces[i].begin, pieces[i].end) <= size) continue;
      merge(pieces.subspan(first, i - first));
      cut(i);
      first = i + 1;
    }
    merge(pieces.subspan(first));
  }

  /// Cuts before the parts of the least rank, and what is too long before those of the next; cut(part) adds the spans
  /// of a part that stands alone. One call deeper for each rank that occurs: a small number of ranks is wanted.
  template <class Cut>
  void pack_ranked(std::span<const RankedSpan> parts, const Cut& cut) {
    if (parts.size() < 2) return parts.empty() ? void() : cut(parts.front().span);
    std::size_t least = parts[1].rank;
    for (const RankedSpan& part : parts.subspan(1)) least = std::min(least, part.rank);
    std::vector<Span> pieces;
    std::vector<std::size_t> starts;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (i == 0 || parts[i].rank == least) pieces.push_back(parts[i].span), starts.push_back(i);
      pieces.back().end = parts[i].span.end;
    }
    starts.push_back(parts.size());
    pack_by(pieces, [&](std::size_t i) {
      const std::size_t before = spans.size();
      pack_ranked(parts.subspan(starts[i], starts[i + 1] - starts[i]), cut);
      if (i == 1 && before > 0 && spans[before - 1] == pieces[0]) join(before - 1);  // a heading, the head of a loop
    });
  }

  /// Makes one of two neighbours where they fit.
  void join(std::size_t i) {
    if (i + 1 >= spans.size() || measure(spans[i].begin, spans[i + 1].end) > size) return;
    spans[i].end = spans[i + 1].end;
    spans.erase(spans.begin() + static_cast<std::ptrdiff_t>(i) + 1);
  }

  /// Takes as many pieces as fit; the next span starts with as many of their last ones as fit into the overlap
  /// and leave room for one more.
  void merge(std::span<const Span> pieces) {
    const auto fits = [&](std::size_t first, std::size_t last, std::size_t limit) {
      return first == last || measure(pieces[first].begin, pieces[last - 1].end) <= limit;
    };
    std::size_t first = 0, last = 0;
    while (last < pieces.size()) {
      last = largest(last + 1, pieces.size(), [&](std::size_t n) { return fits(first, n, size); });
      spans.push_back({pieces[first].begin, pieces[last - 1].end});
      if (last == pieces.size()) return;
      const auto shared = [&](std::size_t n) {
        return fits(last - n, last, overlap) && fits(last - n, last + 1, size);
      };
      first = last - (overlap == 0 ? 0 : largest(0, last - first - 1, shared));
    }
  }
};

}  // namespace detail
RAG_END
#endif
