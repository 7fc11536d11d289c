// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_COLLECTION_SEARCH_HPP
#define RAG_DETAIL_COLLECTION_SEARCH_HPP
#include <rag/detail/collection_state.hpp>
#include <rag/detail/row_checks.hpp>
#include <rag/detail/scan.hpp>

#include <algorithm>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

RAG_LAZY std::vector<ScanSegment> segments_of(const CollectionState& state) {
  std::vector<ScanSegment> segments;
  for (const Extent& extent : state.extents) {
    ScanSegment segment;
    segment.rows = extent.rows();
    segment.count = extent.used;
    segment.capacity = extent.capacity;
    if (state.info.planes != 0) {
      segment.planes = extent.at<std::byte>(extent.layout.planes);
      segment.planed = extent.used / plane_block * plane_block;
    }
    if (state.info.has_lengths()) segment.lengths = extent.at<float>(extent.layout.lengths);
    segment.order = extent.at<std::uint64_t>(extent.layout.order);
    segments.push_back(segment);
  }
  return segments;
}

/// What a search may find: what lives, and what the filter keeps. Nothing: all rows.
template <class Keep>
std::optional<Bitmap> findable(const CollectionState& state, const Keep& keep) {
  std::optional<Bitmap> bits = keep(state);
  if (state.dead_count == 0) return bits;
  Bitmap living = state.dead;
  living.resize(state.slots);
  living.flip();
  if (bits) living &= *bits;
  return living;
}

RAG_LAZY std::vector<Hit> hits_of(const CollectionState& state, const std::vector<Found>& found) {
  std::vector<Hit> hits;
  hits.reserve(found.size());
  for (const Found& one : found) hits.push_back({state.chunk(one.slot), one.score});
  return hits;
}

inline ScanMetric scan_metric(const CollectionInfo& info) { return static_cast<ScanMetric>(info.metric); }

template <class Keep>
std::vector<Hit> search_collection(const CollectionState& state, std::span<const float> query, std::size_t k,
                                   const Keep& keep, const ScanOptions& options, const std::string& who) {
  if (state.info.dimension == 0) return {};
  const auto dimension = static_cast<std::size_t>(state.info.dimension);
  std::vector<float> unit;
  query = check_query(query, dimension, state.info.has_lengths(), unit, who);
  if (k == 0 || state.size() == 0) return {};
  const std::optional<Bitmap> bits = findable(state, keep);
  return hits_of(state, scan_top_k(scan_metric(state.info), segments_of(state), dimension, query,
                                   std::min(k, state.size()), bits ? &*bits : nullptr, options));
}

template <class Keep>
std::vector<std::vector<Hit>> search_collection(const CollectionState& state, const Matrix& queries, std::size_t k,
                                                const Keep& keep, const ScanOptions& options, const std::string& who) {
  std::vector<std::vector<Hit>> all(queries.rows());
  if (state.info.dimension == 0) return all;
  const auto dimension = static_cast<std::size_t>(state.info.dimension);
  Matrix checked = queries;
  for (std::size_t i = 0; i < queries.rows(); ++i) {
    std::vector<float> unit;
    const auto query = check_query(queries.row(i), dimension, state.info.has_lengths(), unit, who);
    std::copy(query.begin(), query.end(), checked.row(i).begin());
  }
  if (k == 0 || state.size() == 0) return all;
  const std::optional<Bitmap> bits = findable(state, keep);
  const auto found = scan_top_k_batch(scan_metric(state.info), segments_of(state), dimension, checked,
                                      std::min(k, state.size()), bits ? &*bits : nullptr, options);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = hits_of(state, found[i]);
  return all;
}

template <class Keep>
std::vector<Hit> search_collection_above(const CollectionState& state, std::span<const float> query, float threshold,
                                         const Keep& keep, const ScanOptions& options, const std::string& who) {
  if (state.info.dimension == 0) return {};
  const auto dimension = static_cast<std::size_t>(state.info.dimension);
  std::vector<float> unit;
  query = check_query(query, dimension, state.info.has_lengths(), unit, who);
  const std::optional<Bitmap> bits = findable(state, keep);
  return hits_of(state, scan_at_least(scan_metric(state.info), segments_of(state), dimension, query, threshold,
                                      bits ? &*bits : nullptr, options));
}

RAG_LAZY std::vector<Id> ids_in_order(const CollectionState& state) {
  std::vector<std::pair<std::uint64_t, Id>> ordered;
  ordered.reserve(state.size());
  for (std::size_t slot = 0; slot < state.slots; ++slot)
    if (state.lives(slot)) ordered.push_back({state.order(slot), state.id(slot)});
  std::sort(ordered.begin(), ordered.end());
  std::vector<Id> ids;
  ids.reserve(ordered.size());
  for (const auto& entry : ordered) ids.push_back(entry.second);
  return ids;
}

}  // namespace detail
RAG_END
#endif
