// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SCORE_RANGE_HPP
#define RAG_DETAIL_SCORE_RANGE_HPP
#include <rag/types.hpp>

#include <algorithm>
#include <cmath>
#include <span>

RAG_BEGIN
namespace detail {

struct ScoreRange {
  double lowest = 0, best = 0;
};

/// Of the scores that are finite, so that one that is none does not spoil the others; 0 and 0 where there are none.
RAG_LAZY ScoreRange score_range(std::span<const Hit> hits) {
  ScoreRange range;
  bool any = false;
  for (const Hit& hit : hits) {
    if (!std::isfinite(hit.score)) continue;
    const double score = hit.score;
    range.lowest = any ? std::min(range.lowest, score) : score;
    range.best = any ? std::max(range.best, score) : score;
    any = true;
  }
  return range;
}

}  // namespace detail
RAG_END
#endif
