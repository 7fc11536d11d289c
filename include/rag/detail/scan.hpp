// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SCAN_HPP
#define RAG_DETAIL_SCAN_HPP
#include <rag/detail/batch_scan.hpp>
#include <rag/detail/cascade.hpp>
#include <rag/detail/turned_scan.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <numeric>
#include <span>
#include <vector>

// Exact search of rows: the ids and the scores of a plain fp32 scan, bit for bit, on every path, instruction
// set and number of threads. Ties come in the order of insertion. Queries hold no NaN and are no longer than
// longest_vector; for cosine they have length 1, or are zero.

RAG_BEGIN
namespace detail {

/// All rows, cut into units of work.
RAG_LAZY std::vector<ScanChunk> scan_chunks(std::span<const ScanSegment> segments,
                                            std::size_t rows = chunk_rows) {
  std::vector<ScanChunk> chunks;
  std::size_t slot = 0;
  for (const ScanSegment& segment : segments)
    for (std::size_t first = 0; first < segment.count;) {
      const std::size_t end = first < segment.planed ? segment.planed : segment.count;
      const std::size_t count = std::min(rows, end - first);
      chunks.push_back({&segment, first, count, slot});
      first += count, slot += count;
    }
  return chunks;
}

/// Calls make_work()(i) for the index of each chunk. Not in their order, so that rows sorted by what they say
/// do not raise the threshold slowly: one step is a fixed share of the chunks that has no factor in common
/// with their number.
template <class MakeWork>
void for_chunks(std::size_t count, const ScanOptions& options, const MakeWork& make_work) {
  std::size_t step = count * 5 / 8 + 1;
  while (std::gcd(step, count) > 1) ++step;
  const auto shuffled = [&] {
    return [&, work = make_work()](std::size_t i) mutable { work(i * step % count); };
  };
  parallel_for(options.threads, count, shuffled, options.executor);
}

/// Each chunk for each query, one query after the other.
template <class Queries>
void scan_one_by_one(const ScanContext& context, Queries& queries, const ScanOptions& options) {
  for_chunks(context.chunks.size(), options, [&] {
    return [&, scan = ChunkScan(context)](std::size_t i) mutable {
      for (ScanQuery& query : queries) scan.scan(i, query);
    };
  });
}

/// Each chunk for all queries at once, where the processor is fast at it.
RAG_LAZY void scan_together(const ScanContext& context, std::deque<ScanQuery>& queries,
                            const ScanOptions& options) {
#if RAG_X86
  const bool path = context.path == ScanPath::automatic || context.path == ScanPath::eight;
  const auto together = [&]<class Scan>(const Scan*) {
    for_chunks(context.chunks.size(), options, [&] {
      return [scan = Scan(context, queries)](std::size_t i) mutable { scan.scan(i); };
    });
  };
  if (path && queries.size() >= 4 && context.kernel == PlaneKernel::amx)
    return together(static_cast<const BatchScan*>(nullptr));
  if (path && queries.size() >= 4 && context.kernel == PlaneKernel::vnni)
    return together(static_cast<const TurnedScan*>(nullptr));
#endif
  scan_one_by_one(context, queries, options);
}

RAG_LAZY ScanContext scan_context(ScanMetric metric, std::span<const ScanChunk> chunks, std::size_t dimension,
                                  const Bitmap* keep, const ScanOptions& options) {
  const bool small = !chunks.empty() && chunks.back().slot + chunks.back().count < fewest_planed_portable;
  const bool plain = options.isa == Isa::portable && options.path == ScanPath::automatic && small;
  return {metric,      dimension, chunks, keep, options.isa, plane_kernel(options.isa),
          plain ? ScanPath::plain : options.path};
}

/// The k best rows, best first. Only slots whose bit in `keep` is 1 take part; null: all.
RAG_LAZY std::vector<Found> scan_top_k(ScanMetric metric, std::span<const ScanSegment> segments,
                                       std::size_t dimension, std::span<const float> query, std::size_t k,
                                       const Bitmap* keep, const ScanOptions& options) {
  if (k == 0) return {};
  const std::vector<ScanChunk> chunks = scan_chunks(segments, rows_per_chunk(keep, options.isa));
  const ScanContext context = scan_context(metric, chunks, dimension, keep, options);
  std::array<ScanQuery, 1> one = {ScanQuery(context, query.data(), k)};
  scan_one_by_one(context, one, options);
  return one[0].finish();
}

/// The same for each row of `queries`, in one pass.
RAG_LAZY std::vector<std::vector<Found>> scan_top_k_batch(ScanMetric metric,
                                                          std::span<const ScanSegment> segments,
                                                          std::size_t dimension, const Matrix& queries,
                                                          std::size_t k, const Bitmap* keep,
                                                          const ScanOptions& options) {
  std::vector<std::vector<Found>> found(queries.rows());
  if (k == 0) return found;
  const std::vector<ScanChunk> chunks = scan_chunks(segments, rows_per_chunk(keep, options.isa));
  const ScanContext context = scan_context(metric, chunks, dimension, keep, options);
  std::deque<ScanQuery> all;
  for (std::size_t i = 0; i < queries.rows(); ++i) all.emplace_back(context, queries.row(i).data(), k);
  scan_together(context, all, options);
  const auto make_work = [&] { return [&](std::size_t i) { found[i] = all[i].finish(); }; };
  parallel_for(options.threads, found.size(), make_work, options.executor);
  return found;
}

/// All rows with score >= threshold, best first.
RAG_LAZY std::vector<Found> scan_at_least(ScanMetric metric, std::span<const ScanSegment> segments,
                                          std::size_t dimension, std::span<const float> query,
                                          float threshold, const Bitmap* keep, const ScanOptions& options) {
  const std::vector<ScanChunk> chunks = scan_chunks(segments, rows_per_chunk(keep, options.isa));
  const ScanContext context = scan_context(metric, chunks, dimension, keep, options);
  std::array<ScanQuery, 1> one = {ScanQuery(context, query.data(), Shortlist::all, threshold)};
  scan_one_by_one(context, one, options);
  return one[0].finish();
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
