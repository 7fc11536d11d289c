// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PLANE_QUERY_HPP
#define RAG_DETAIL_PLANE_QUERY_HPP
#include <rag/detail/planes.hpp>
#include <rag/detail/scan_types.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

// What the whole numbers of a query and of a row prove of the score that the fp32 scan gives. The proof, with
// every rounding counted, is in docs/search.md; the names here are those of the proof.

RAG_BEGIN
namespace detail {

/// Roundings of the fp32 scan in units of 2^-24, and those of the bounds themselves.
constexpr float rounding_share(std::size_t dimension) {
  return (static_cast<float>((dimension + 63) / 64) + 32) * 0x1p-24f;
}

/// Covers all that underflows; no score so small is told apart.
inline constexpr float underflow_share = 0x1p-116f;

/// The factors of a bound that depend on the query alone.
struct BoundTerms {
  ScanMetric metric = ScanMetric::inner_product;
  float scale = 0;        ///< of the query's numbers
  float sway = 0;         ///< |q - its numbers| + margin: times a row's length
  float reach = 0;        ///< |q|, rounded up
  float margin = 0;       ///< reach x rounding share
  float inverse = 0;      ///< 1 / reach; 0 for a query that has no numbers
  float near = 0;         ///< |q - its numbers| / reach
  float squared_low = 0;  ///< L2: |q|^2, below and above, the roundings of a distance included
  float squared_high = 0;
  float low_share = 1, high_share = 1;  ///< L2: the same for |x|^2
};

/// A query as planes meet it.
RAG_LAZY struct BasicQueryCode {
  BasicQueryCode(ScanMetric metric, std::size_t dimension, const float* query) {
    RowCoder coder(dimension);
    coder.take(query);
    const auto head = coder.code_eight();
    numbers = coder.numbers();
    sum = head.sum;
    for (const std::int8_t number : numbers) shifted.push_back(static_cast<std::uint8_t>(number + 128));
    const float share = rounding_share(dimension);
    terms.metric = metric;
    terms.scale = head.scale;
    terms.reach = rounded_up(std::sqrt(coder.squares()) * (1 + 1e-10));
    terms.margin = terms.reach * share * 1.0001f;
    terms.sway = (head.rest + terms.margin) * 1.000001f;
    terms.inverse = coder.coded() ? 1 / terms.reach : 0;
    terms.near = terms.inverse * head.rest * 1.000001f;
    terms.low_share = 1 - 2 * share, terms.high_share = 1 + 2 * share;
    terms.squared_low = static_cast<float>(coder.squares()) * terms.low_share;
    terms.squared_high = static_cast<float>(coder.squares()) * terms.high_share;
  }

  std::vector<std::int8_t> numbers;   ///< filled up with 0 to a multiple of 64
  std::vector<std::uint8_t> shifted;  ///< the numbers + 128
  std::int32_t sum = 0;               ///< of the numbers
  BoundTerms terms;
};
using QueryCode = BasicQueryCode<>;

struct Bounds {
  float lower, upper;
};

/// The score lies within these. `dot`: of the numbers of the row and the query; `length`: of the row, for
/// cosine.
inline Bounds score_bounds(const BoundTerms& terms, const EightHead& head, std::int32_t dot, float length) {
  const float middle = static_cast<float>(dot) * terms.scale * head.scale;
  const float around = terms.sway * head.length + (terms.reach + terms.margin) * head.rest + underflow_share;
  if (terms.metric == ScanMetric::l2) {
    const float squared = head.length * head.length + head.rest * head.rest;
    return {2 * (middle - around) - squared * terms.high_share - terms.squared_high,
            2 * (middle + around) - squared * terms.low_share - terms.squared_low};
  }
  if (terms.metric == ScanMetric::inner_product) return {middle - around, middle + around};
  if (!(length > 0)) return {0, 0};
  return {(middle - around) / length, (middle + around) / length};
}

/// What the bounds of many queries are compared with, for a threshold: a little lower, for the roundings of that
/// comparison.
inline float cut_of(const BoundTerms& terms, float threshold) {
  if (terms.metric == ScanMetric::l2) {
    const float size = std::fabs(threshold) + terms.squared_low;
    return 0.5f * (threshold + terms.squared_low) - 0x1p-22f * size;
  }
  if (terms.metric == ScanMetric::inner_product) return threshold;
  return std::max(threshold - 0x1p-21f * std::fabs(threshold), std::numeric_limits<float>::lowest());
}

}  // namespace detail
RAG_END
#endif
