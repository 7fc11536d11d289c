// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_JOIN_HITS_HPP
#define RAG_DETAIL_JOIN_HITS_HPP
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Making one hit of several that lie side by side or over each other.

RAG_BEGIN
namespace detail {

RAG_LAZY bool overlap(const Chunk& a, const Chunk& b) {
  return a.source == b.source && a.begin < b.end && b.begin < a.end;
}

/// Its text has the length of its span.
RAG_LAZY bool fills_its_span(const Chunk& chunk) {
  return chunk.begin <= chunk.end && chunk.end - chunk.begin == chunk.text.size();
}

/// Takes `other` into `chunk` where they touch or overlap in one source, with the same bytes.
RAG_LAZY bool unite(Chunk& chunk, const Chunk& other) {
  if (chunk.source != other.source || other.end < chunk.begin || chunk.end < other.begin) return false;
  if (!fills_its_span(chunk) || !fills_its_span(other)) return false;
  const Chunk& left = chunk.begin <= other.begin ? chunk : other;
  const Chunk& right = chunk.begin <= other.begin ? other : chunk;
  const std::string_view shared = std::string_view(left.text).substr(right.begin - left.begin);
  const std::string_view start = std::string_view(right.text).substr(0, shared.size());
  if (!shared.starts_with(start)) return false;
  std::string text = left.text;
  text += std::string_view(right.text).substr(start.size());
  const std::size_t begin = left.begin, end = std::max(left.end, right.end);
  chunk.text = std::move(text);
  chunk.begin = begin;
  chunk.end = end;
  return true;
}

/// Puts `next` into the first region that takes it, which then takes in what it meets of those after it; else behind
/// the last. False, and nothing is done: it would be one more than `most`. takes(a, b) makes `a` hold `b` too, or says
/// no.
template <class Region, class Takes>
bool join(std::vector<Region>& regions, Region next, std::size_t most, Takes takes) {
  std::size_t at = 0;
  while (at < regions.size() && !takes(regions[at], next)) ++at;
  if (at == regions.size()) {
    if (regions.size() >= most) return false;
    regions.push_back(std::move(next));
    return true;
  }
  for (std::size_t i = at + 1; i < regions.size();) {
    if (!takes(regions[at], regions[i])) ++i;
    else regions.erase(regions.begin() + static_cast<std::ptrdiff_t>(i)), i = at + 1;
  }
  return true;
}

}  // namespace detail
RAG_END
#endif
