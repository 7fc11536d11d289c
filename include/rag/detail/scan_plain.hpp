// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SCAN_PLAIN_HPP
#define RAG_DETAIL_SCAN_PLAIN_HPP
#include <rag/detail/dot.hpp>
#include <rag/detail/scan_types.hpp>

#include <algorithm>
#include <cstddef>

// The fp32 scores of rows. Every path of a search ends here, so that all give the same bits.

RAG_BEGIN
namespace detail {

/// scores[i] of row first + i, for `count` rows that follow one another. Cosine asks for a query of length 1
/// or 0.
RAG_LAZY void score_rows(ScanMetric metric, const ScanSegment& segment, std::size_t first, std::size_t count,
                         std::size_t dimension, const float* query, Isa isa, float* scores) {
  const float* rows = segment.rows + first * dimension;
  if (metric == ScanMetric::l2) {
    scan_rows<RowOperation::squared_distance>(rows, count, dimension, query, scores, isa);
    for (std::size_t i = 0; i < count; ++i) scores[i] = 0.0f - scores[i];
    return;
  }
  scan_rows<RowOperation::dot>(rows, count, dimension, query, scores, isa);
  if (metric == ScanMetric::cosine)
    for (std::size_t i = 0; i < count; ++i) {
      const float length = segment.lengths[first + i];
      scores[i] = length > 0 ? scores[i] / length : 0.0f;
    }
}

/// Calls visit(row, score) for the rows of a chunk that `keep` (null: all) lets pass.
template <class Visit>
void for_plain_scores(ScanMetric metric, const ScanChunk& chunk, std::size_t dimension, const float* query,
                      const Bitmap* keep, Isa isa, const Visit& visit) {
  constexpr std::size_t run = 256;
  float scores[run];
  const std::size_t end = chunk.first + chunk.count, shift = chunk.slot - chunk.first;
  for (std::size_t from = chunk.first; from < end;) {
    if (keep != nullptr && !(*keep)[shift + from]) {
      ++from;
      continue;
    }
    std::size_t to = from + 1;
    const std::size_t last = std::min(end, from + run);
    while (to < last && (keep == nullptr || (*keep)[shift + to])) ++to;
    score_rows(metric, *chunk.segment, from, to - from, dimension, query, isa, scores);
    for (std::size_t row = from; row < to; ++row) visit(row, scores[row - from]);
    from = to;
  }
}

}  // namespace detail
RAG_END
#endif
