// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_MERGE_NEIGHBOURS_HPP
#define RAG_RETRIEVE_MERGE_NEIGHBOURS_HPP
#include <rag/detail/join_hits.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// Knows no document.
struct NoText {
  template <class... T>
  explicit NoText(T&&...) {}
  std::string operator()(std::string_view, std::size_t, std::size_t) const { return {}; }
};

}  // namespace detail

struct MergeNeighboursOptions {
  std::size_t gap = 16;  ///< bytes, at most, between two hits that are made one
};

/// A step of Refined, to stand last: of the k best hits, those of one document that overlap, touch or are near are made
/// one, so that a model reads a passage once and in its order. It has the score, the id, the metadata and the place of
/// its best part. There may be fewer than k then, of hardly more text than the k had.
///
/// The text of a hit is the bytes of its span, and most chunkers leave out the white space between two chunks. So hits
/// with a gap between them are made one only with a function that gives the bytes [begin, end) of a document by its id;
/// they must begin and end with those of the two hits. Without it, and where it gives something else ("": it can't),
/// only hits that touch or overlap are joined, with the same bytes in both. Time grows with the square of k.
///
///     rag::Refined retriever{rag::Bm25{}, rag::MergeNeighbours{}};
///     rag::MergeNeighbours near{[&](std::string_view source, std::size_t begin, std::size_t end) {
///       return texts.at(std::string(source)).substr(begin, end - begin);
///     }};
template <class Read = detail::NoText>
class MergeNeighbours {
  static constexpr bool reads = std::is_invocable_r_v<std::string, Read&, std::string_view, std::size_t, std::size_t>;
  static_assert(reads, "rag::MergeNeighbours: argument 1 is not a function std::string(std::string_view source, "
                       "std::size_t begin, std::size_t end)");
  using Reader = std::conditional_t<reads, Read, detail::NoText>;

 public:
  MergeNeighbours() requires std::is_same_v<Read, detail::NoText> : read_() {}
  explicit MergeNeighbours(Read read, MergeNeighboursOptions options = {})
      : read_(std::move(read)), options_(options) {}

  std::vector<Hit> refine(std::string_view, std::span<const Hit> hits, std::size_t k) {
    std::vector<Hit> merged;
    for (const Hit& hit : hits.first(std::min(k, hits.size())))
      detail::join(merged, hit, k, [&](Hit& a, const Hit& b) { return takes(a.chunk, b.chunk); });
    return merged;
  }

 private:
  bool takes(Chunk& chunk, const Chunk& other) {
    return detail::unite(chunk, other) || (!std::is_same_v<Reader, detail::NoText> && bridge(chunk, other));
  }

  bool bridge(Chunk& chunk, const Chunk& other) {
    const Chunk& left = chunk.begin <= other.begin ? chunk : other;
    const Chunk& right = chunk.begin <= other.begin ? other : chunk;
    if (chunk.source != other.source || right.begin <= left.end || right.begin - left.end > options_.gap) return false;
    if (!detail::fills_its_span(left) || !detail::fills_its_span(right)) return false;
    const std::size_t begin = left.begin, end = right.end;
    std::string text = read_(std::string_view(left.source), begin, end);
    if (text.size() != end - begin || !text.starts_with(left.text) || !text.ends_with(right.text)) return false;
    chunk.text = std::move(text);
    chunk.begin = begin;
    chunk.end = end;
    return true;
  }

  Reader read_;
  MergeNeighboursOptions options_ = {};
};

RAG_END
#endif
