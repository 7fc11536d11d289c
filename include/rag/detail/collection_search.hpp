// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_COLLECTION_SEARCH_HPP
#define RAG_DETAIL_COLLECTION_SEARCH_HPP
#include <rag/detail/collection_state.hpp>
#include <rag/detail/row_checks.hpp>
#include <rag/detail/scan.hpp>

#include <algorithm>
#include <cmath>
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
    if (state.info.planes != 0 && state.slots >= fewest_planed) {
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
template <class F>
std::optional<Bitmap> findable(const CollectionState& state, const F& filter) {
  std::optional<Bitmap> bits;
  if (!filter.keeps_everything())
    bits = state.indexes.select(filter, state.slots, [&](std::size_t slot) {
      return state.lives(slot) ? std::optional<Chunk>(state.chunk(slot)) : std::optional<Chunk>();
    });
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

template <class F>
std::vector<Hit> search_collection(const CollectionState& state, std::span<const float> query, std::size_t k,
                                   const F& filter, const ScanOptions& options, const std::string& who) {
  if (state.info.dimension == 0) return {};
  const auto dimension = static_cast<std::size_t>(state.info.dimension);
  std::vector<float> unit;
  query = check_query(query, dimension, state.info.has_lengths(), unit, who);
  if (k == 0 || state.size() == 0) return {};
  const std::optional<Bitmap> bits = findable(state, filter);
  return hits_of(state, scan_top_k(scan_metric(state.info), segments_of(state), dimension, query,
                                   std::min(k, state.size()), bits ? &*bits : nullptr, options));
}

template <class F>
std::vector<std::vector<Hit>> search_collection(const CollectionState& state, const Matrix& queries,
                                                std::size_t k, const F& filter, const ScanOptions& options,
                                                const std::string& who) {
  std::vector<std::vector<Hit>> all(queries.rows());
  if (state.info.dimension == 0) return all;
  const auto dimension = static_cast<std::size_t>(state.info.dimension);
  Matrix checked = queries;
  for (std::size_t i = 0; i < queries.rows(); ++i) {
    std::vector<float> unit;
    const auto query = check_query(queries.row(i), dimension, state.info.has_lengths(), unit, who, i);
    std::copy(query.begin(), query.end(), checked.row(i).begin());
  }
  if (k == 0 || state.size() == 0) return all;
  const std::optional<Bitmap> bits = findable(state, filter);
  const auto found = scan_top_k_batch(scan_metric(state.info), segments_of(state), dimension, checked,
                                      std::min(k, state.size()), bits ? &*bits : nullptr, options);
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = hits_of(state, found[i]);
  return all;
}

template <class F>
std::vector<Hit> search_collection_above(const CollectionState& state, std::span<const float> query,
                                         float threshold, const F& filter, const ScanOptions& options,
                                         const std::string& who) {
  if (state.info.dimension == 0) return {};
  const auto dimension = static_cast<std::size_t>(state.info.dimension);
  std::vector<float> unit;
  query = check_query(query, dimension, state.info.has_lengths(), unit, who);
  if (std::isnan(threshold)) throw Error(Errc::invalid_argument, who + ": a score wanted, NaN given");
  const std::optional<Bitmap> bits = findable(state, filter);
  return hits_of(state, scan_at_least(scan_metric(state.info), segments_of(state), dimension, query,
                                      threshold, bits ? &*bits : nullptr, options));
}

/// The living slots that the filter keeps, in order of insertion.
template <class F>
std::vector<Slot> slots_in_order(const CollectionState& state, const F& filter) {
  const std::optional<Bitmap> bits = findable(state, filter);
  std::vector<std::pair<std::uint64_t, Slot>> ordered;
  for (std::size_t slot = 0; slot < state.slots; ++slot)
    if (!bits || (*bits)[slot]) ordered.push_back({state.order(slot), static_cast<Slot>(slot)});
  if (!std::is_sorted(ordered.begin(), ordered.end())) std::sort(ordered.begin(), ordered.end());
  std::vector<Slot> slots;
  slots.reserve(ordered.size());
  for (const auto& entry : ordered) slots.push_back(entry.second);
  return slots;
}

}  // namespace detail
RAG_END
#endif
