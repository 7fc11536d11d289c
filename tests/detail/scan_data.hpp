// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_DETAIL_SCAN_DATA_HPP
#define RAG_TESTS_DETAIL_SCAN_DATA_HPP
#include <rag/detail/dot.hpp>
#include <rag/detail/planes.hpp>
#include <rag/detail/scan_types.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

// Rows of every kind that could mislead a bound, and the plain scan that each search is compared with.

namespace tests {

using rag::detail::Found;
using rag::detail::ScanMetric;
using rag::detail::ScanSegment;

inline constexpr ScanMetric scan_metrics[] = {ScanMetric::inner_product, ScanMetric::cosine, ScanMetric::l2};

inline constexpr const char* data_kinds[] = {"clustered", "uniform", "ties",     "zeros",
                                             "denormals", "norms",   "outliers", "offset", "nothing"};

inline float length_of(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return static_cast<float>(std::sqrt(sum));
}

inline void scale_to(std::span<float> row, double length) {
  double sum = 0;
  for (const float value : row) sum += static_cast<double>(value) * static_cast<double>(value);
  if (sum > 0)
    for (float& value : row) value = static_cast<float>(value * (length / std::sqrt(sum)));
}

/// Draws rows, queries among them, of one kind; rows of one kind and seed belong together.
class RowSource {
 public:
  RowSource(std::string kind, std::size_t dimension, unsigned seed)
      : kind_(std::move(kind)), dimension_(dimension), random_(seed) {
    for (std::size_t i = 0; i < 20; ++i) centres_.push_back(normal_row());
  }

  /// Rows out of many given ones.
  RowSource(std::span<const float> given, std::size_t dimension, unsigned seed)
      : RowSource("given", dimension, seed) {
    given_ = given;
  }

  std::vector<float> row() {
    if (!given_.empty()) {
      const float* row = given_.data() + below(given_.size() / dimension_) * dimension_;
      return {row, row + dimension_};
    }
    std::vector<float> row = normal_row();
    if (kind_ == "clustered") {
      const std::vector<float>& centre = centres_[below(20)];
      for (std::size_t i = 0; i < dimension_; ++i) row[i] = centre[i] + 0.5f * row[i];
      scale_to(row, 1);
    } else if (kind_ == "uniform") {
      scale_to(row, 1);
    } else if (kind_ == "ties") {  // few distinct rows of small whole numbers
      row = centres_[below(20)];
      for (float& value : row) value = std::round(value);
    } else if (kind_ == "zeros") {
      if (below(3) == 0)
        row.assign(dimension_, 0.0f);
      else
        for (float& value : row) value = below(4) == 0 ? value : 0.0f;
    } else if (kind_ == "nothing") {  // all scores are equal, and all bounds of the cosine are that score
      row.assign(dimension_, 0.0f);
    } else if (kind_ == "denormals") {
      scale_to(row, std::pow(10.0, -36 - static_cast<double>(below(9))));
    } else if (kind_ == "norms") {
      scale_to(row, std::pow(10.0, static_cast<double>(below(49)) - 30));
    } else if (kind_ == "outliers") {
      row[below(dimension_)] *= 100;
      row[0] = -50;
    } else if (kind_ == "offset") {  // far from the origin, near to one another
      for (std::size_t i = 0; i < dimension_; ++i) row[i] = 10 + centres_[0][i] + 0.1f * row[i];
    }
    return row;
  }

  std::size_t below(std::size_t n) { return static_cast<std::size_t>(random_() % n); }

 private:
  std::vector<float> normal_row() {
    std::vector<float> row(dimension_);
    for (float& value : row) value = normal_(random_);
    return row;
  }

  std::string kind_;
  std::size_t dimension_;
  std::mt19937_64 random_;
  std::normal_distribution<float> normal_;
  std::vector<std::vector<float>> centres_;
  std::span<const float> given_;
};

/// Segments of rows as a store holds them. Each ends where its memory ends, so that a sanitizer sees a step
/// too far.
class Rows {
 public:
  Rows(std::size_t dimension, std::span<const std::size_t> sizes, RowSource& source, bool shuffled_order)
      : dimension_(dimension) {
    std::size_t total = 0;
    for (const std::size_t size : sizes) total += size;
    order_.resize(total);
    for (std::size_t i = 0; i < total; ++i) order_[i] = i;
    if (shuffled_order)
      for (std::size_t i = total; i > 1; --i) std::swap(order_[i - 1], order_[source.below(i)]);
    std::size_t slot = 0;
    for (const std::size_t size : sizes) {
      Part& part = parts_.emplace_back();
      for (std::size_t i = 0; i < size; ++i) {
        const std::vector<float> row = source.row();
        part.rows.insert(part.rows.end(), row.begin(), row.end());
        part.lengths.push_back(length_of(row));
      }
      part.rows.shrink_to_fit();
      const std::size_t planed = size / 16 * 16, capacity = planed + 16;
      const rag::detail::PlaneLayout layout(dimension, capacity);
      part.planes.resize((layout.size() + 63) / 64);
      auto* area = reinterpret_cast<std::byte*>(part.planes.data());
      rag::detail::quantise_blocks(layout, part.rows.data(), 0, planed / 16, area);
      segments_.push_back({part.rows.data(), size, planed > 0 ? area : nullptr, planed, capacity,
                           part.lengths.data(), shuffled_order ? order_.data() + slot : nullptr});
      slot += size;
    }
  }

  std::span<const ScanSegment> segments() const { return segments_; }
  std::size_t size() const { return order_.size(); }
  std::size_t dimension() const { return dimension_; }
  std::uint64_t order(std::size_t slot) const { return order_[slot]; }

  /// What a plain scan finds: every row that `keep` lets pass, best first.
  std::vector<Found> all(ScanMetric metric, std::span<const float> query,
                         const rag::detail::Bitmap* keep) const {
    std::vector<Found> found;
    std::size_t slot = 0;
    for (const ScanSegment& segment : segments_)
      for (std::size_t i = 0; i < segment.count; ++i, ++slot)
        if (keep == nullptr || (*keep)[slot])
          found.push_back({score(metric, segment, i, query), order_[slot], slot});
    std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
      return a.score != b.score ? a.score > b.score : a.order < b.order;
    });
    return found;
  }

 private:
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  struct Part {
    std::vector<float> rows, lengths;
    std::vector<Line> planes;
  };

  float score(ScanMetric metric, const ScanSegment& segment, std::size_t i,
              std::span<const float> query) const {
    using rag::detail::RowOperation;
    const float* row = segment.rows + i * dimension_;
    float sum = 0;
    if (metric == ScanMetric::l2) {
      rag::detail::scan_rows<RowOperation::squared_distance>(row, 1, dimension_, query.data(), &sum);
      return 0.0f - sum;
    }
    rag::detail::scan_rows<RowOperation::dot>(row, 1, dimension_, query.data(), &sum);
    if (metric == ScanMetric::inner_product) return sum;
    return segment.lengths[i] > 0 ? sum / segment.lengths[i] : 0.0f;
  }

  std::size_t dimension_;
  std::vector<std::uint64_t> order_;
  std::vector<Part> parts_;
  std::vector<ScanSegment> segments_;
};

/// A query for the metric: for cosine of length 1, unless zero.
inline std::vector<float> query_for(ScanMetric metric, std::vector<float> row) {
  if (metric == ScanMetric::cosine) scale_to(row, 1);
  return row;
}

inline rag::detail::Bitmap random_bits(std::size_t size, double density, RowSource& source) {
  rag::detail::Bitmap bits(size);
  for (std::size_t i = 0; i < size; ++i)
    if (static_cast<double>(source.below(1000000)) < density * 1e6) bits.set(i);
  return bits;
}

}  // namespace tests
#endif
