// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SCAN_HPP
#define RAG_DETAIL_SCAN_HPP
#include <rag/detail/scan_plain.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <span>
#include <vector>

// Exact search of rows: the ids and the scores of a plain fp32 scan, bit for bit, on every path, instruction set and
// number of threads. Ties come in the order of insertion. Queries hold no NaN and are no longer than longest_vector;
// for cosine they have length 1, or are zero.

RAG_BEGIN
namespace detail {

inline constexpr std::size_t chunk_rows = 2048;

/// All rows, cut into units of work.
RAG_LAZY std::vector<ScanChunk> scan_chunks(std::span<const ScanSegment> segments) {
  std::vector<ScanChunk> chunks;
  std::size_t slot = 0;
  for (const ScanSegment& segment : segments)
    for (std::size_t first = 0; first < segment.count; first += chunk_rows) {
      const std::size_t count = std::min(chunk_rows, segment.count - first);
      chunks.push_back({&segment, first, count, slot});
      slot += count;
    }
  return chunks;
}

/// The k best rows, best first. Only slots whose bit in `keep` is 1 take part; null: all.
RAG_LAZY std::vector<Found> scan_top_k(ScanMetric metric, std::span<const ScanSegment> segments, std::size_t dimension,
                                       std::span<const float> query, std::size_t k, const Bitmap* keep,
                                       const ScanOptions& options) {
  const std::vector<ScanChunk> chunks = scan_chunks(segments);
  BestFound best(k);
  std::mutex mutex;
  const auto make_work = [&] {
    return [&](std::size_t i) {
      BestFound mine(k);
      for_plain_scores(metric, chunks[i], dimension, query.data(), keep, options.isa,
                       [&](std::size_t row, float score) { mine.offer(chunks[i].found(row, score)); });
      const std::lock_guard lock(mutex);
      for (const Found& item : std::move(mine).sorted()) best.offer(item);
    };
  };
  if (k > 0) parallel_for(options.threads, chunks.size(), make_work, options.executor);
  return std::move(best).sorted();
}

/// The same for each row of `queries`, in one pass.
RAG_LAZY std::vector<std::vector<Found>> scan_top_k_batch(ScanMetric metric, std::span<const ScanSegment> segments,
                                                          std::size_t dimension, const Matrix& queries, std::size_t k,
                                                          const Bitmap* keep, const ScanOptions& options) {
  std::vector<std::vector<Found>> found;
  for (std::size_t i = 0; i < queries.rows(); ++i)
    found.push_back(scan_top_k(metric, segments, dimension, queries.row(i), k, keep, options));
  return found;
}

/// All rows with score >= threshold, best first.
RAG_LAZY std::vector<Found> scan_at_least(ScanMetric metric, std::span<const ScanSegment> segments,
                                          std::size_t dimension, std::span<const float> query, float threshold,
                                          const Bitmap* keep, const ScanOptions& options) {
  const std::vector<ScanChunk> chunks = scan_chunks(segments);
  std::vector<Found> found;
  std::mutex mutex;
  const auto make_work = [&] {
    return [&](std::size_t i) {
      std::vector<Found> mine;
      for_plain_scores(metric, chunks[i], dimension, query.data(), keep, options.isa,
                       [&](std::size_t row, float score) {
                         if (score >= threshold) mine.push_back(chunks[i].found(row, score));
                       });
      const std::lock_guard lock(mutex);
      found.insert(found.end(), mine.begin(), mine.end());
    };
  };
  parallel_for(options.threads, chunks.size(), make_work, options.executor);
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return ranks_before(a, b); });
  return found;
}

// The metric as a type: rag::InnerProduct, rag::Cosine, rag::L2.
template <class Metric>
std::vector<Found> scan_top_k(std::span<const ScanSegment> segments, std::size_t dimension,
                              std::span<const float> query, std::size_t k, const Bitmap* keep,
                              const ScanOptions& options = {}) {
  return scan_top_k(ScanMetric{Metric::number}, segments, dimension, query, k, keep, options);
}
template <class Metric>
std::vector<std::vector<Found>> scan_top_k_batch(std::span<const ScanSegment> segments, std::size_t dimension,
                                                 const Matrix& queries, std::size_t k, const Bitmap* keep,
                                                 const ScanOptions& options = {}) {
  return scan_top_k_batch(ScanMetric{Metric::number}, segments, dimension, queries, k, keep, options);
}
template <class Metric>
std::vector<Found> scan_at_least(std::span<const ScanSegment> segments, std::size_t dimension,
                                 std::span<const float> query, float threshold, const Bitmap* keep,
                                 const ScanOptions& options = {}) {
  return scan_at_least(ScanMetric{Metric::number}, segments, dimension, query, threshold, keep, options);
}

}  // namespace detail
RAG_END
#endif
