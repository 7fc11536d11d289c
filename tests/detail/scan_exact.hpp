// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_DETAIL_SCAN_EXACT_HPP
#define RAG_TESTS_DETAIL_SCAN_EXACT_HPP
#include <rag/detail/scan.hpp>

#include "detail/scan_data.hpp"

#include <algorithm>
#include <cstddef>
#include <deque>
#include <iterator>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

// Compares searches with the plain scan, on every path, kernel, number of threads, kind of filter and k.

namespace tests {

using rag::detail::Bitmap;
using rag::detail::Isa;
using rag::detail::PlaneKernel;
using rag::detail::ScanOptions;
using rag::detail::ScanPath;

inline std::vector<PlaneKernel> plane_kernels() {
  std::vector<PlaneKernel> all = {PlaneKernel::portable};
  for (const Isa isa : {Isa::avx2, Isa::avx512})
    if (isa <= rag::detail::best_isa())
      all.push_back(isa == Isa::avx2 ? PlaneKernel::avx2 : PlaneKernel::avx512);
  if (rag::detail::has_vnni(rag::detail::best_isa())) all.push_back(PlaneKernel::vnni);
  if (rag::detail::has_amx_int8(rag::detail::best_isa())) all.push_back(PlaneKernel::amx);
  return all;
}

struct ExactCount {
  std::size_t searches = 0, wrong = 0;
  std::string first_wrong = {};
};

/// One store of rows, and searches of it in many ways.
class ExactCheck {
 public:
  ExactCheck(const Rows& rows, ExactCount& count) : rows_(rows), count_(count) {}

  /// Every path and kernel, one query at a time and all together.
  void check(ScanMetric metric, const rag::Matrix& queries, std::size_t k, const Bitmap* keep,
             std::span<const PlaneKernel> kernels) {
    std::vector<std::vector<Found>> all, wanted;
    for (std::size_t i = 0; i < queries.rows(); ++i) {
      all.push_back(rows_.all(metric, queries.row(i), keep));
      wanted.emplace_back(all[i].begin(),
                          all[i].begin() + static_cast<std::ptrdiff_t>(std::min(k, all[i].size())));
    }
    for (const PlaneKernel kernel : kernels)
      for (const ScanPath path : {ScanPath::automatic, ScanPath::plain, ScanPath::eight, ScanPath::four})
        for (const std::size_t threads : {1u, 2u, 3u}) {
          // The kernel is the one asked for, which need not be the widest of its instruction set.
          const Isa isa = std::min(rag::detail::best_isa(), kernel == PlaneKernel::portable ? Isa::portable
                                                            : kernel == PlaneKernel::avx2   ? Isa::avx2
                                                                                            : Isa::avx512);
          const ScanOptions options = {.isa = isa, .path = path, .threads = threads};
          std::ostringstream how;
          how << "metric " << static_cast<int>(metric) << ", kernel " << static_cast<int>(kernel) << ", path "
              << static_cast<int>(path) << ", " << threads << " threads, " << k << " wanted, " << rows_.size()
              << " x " << rows_.dimension() << " rows" << (keep != nullptr ? ", some kept" : "");
          const auto together = search(metric, queries, k, keep, kernel, options, true);
          const auto apart = search(metric, queries, k, keep, kernel, options, false);
          for (std::size_t i = 0; i < queries.rows(); ++i) {
            compare(together[i], wanted[i], how.str() + ", together");
            compare(apart[i], wanted[i], how.str());
            if (threads == 1 && !all[i].empty()) check_range(metric, queries.row(i), all[i], keep, options);
          }
        }
  }

 private:
  std::vector<std::vector<Found>> search(ScanMetric metric, const rag::Matrix& queries, std::size_t k,
                                         const Bitmap* keep, PlaneKernel kernel, const ScanOptions& options,
                                         bool together) {
    using namespace rag::detail;
    const auto chunks = scan_chunks(rows_.segments(), rows_per_chunk(keep, options.isa));
    ScanContext context = scan_context(metric, chunks, rows_.dimension(), keep, options);
    context.kernel = kernel;
    std::deque<ScanQuery> all;
    for (std::size_t i = 0; i < queries.rows(); ++i) all.emplace_back(context, queries.row(i).data(), k);
    if (together)
      scan_together(context, all, options);
    else
      scan_one_by_one(context, all, options);
    std::vector<std::vector<Found>> found;
    for (ScanQuery& query : all) found.push_back(query.finish());
    return found;
  }

  void check_range(ScanMetric metric, std::span<const float> query, const std::vector<Found>& all,
                   const Bitmap* keep, const ScanOptions& options) {
    const float threshold = all[all.size() / 7].score;
    const auto end =
        std::find_if(all.begin(), all.end(), [&](const Found& found) { return found.score < threshold; });
    compare(rag::detail::scan_at_least(metric, rows_.segments(), rows_.dimension(), query, threshold, keep,
                                       options),
            {all.begin(), end}, "above a threshold, metric " + std::to_string(static_cast<int>(metric)));
  }

  void compare(const std::vector<Found>& found, const std::vector<Found>& wanted, const std::string& how) {
    ++count_.searches;
    if (found == wanted) return;
    if (count_.wrong++ == 0) count_.first_wrong = how;
  }

  const Rows& rows_;
  ExactCount& count_;
};

/// Queries like the rows, and some of the rows themselves.
inline rag::Matrix queries_for(ScanMetric metric, std::size_t count, const Rows& rows, RowSource& source) {
  rag::Matrix queries(count, rows.dimension());
  for (std::size_t i = 0; i < count; ++i) {
    std::vector<float> row = source.row();
    if (i % 3 == 2 && rows.segments()[0].count > 0) {
      const float* there =
          rows.segments()[0].rows + source.below(rows.segments()[0].count) * rows.dimension();
      row.assign(there, there + rows.dimension());
    }
    const std::vector<float> query = query_for(metric, row);
    std::copy(query.begin(), query.end(), queries.row(i).begin());
  }
  return queries;
}

/// A filter of one of five kinds, the first of which is none.
inline std::optional<Bitmap> filter_of(std::size_t kind, std::size_t size, RowSource& source) {
  if (kind == 0) return std::nullopt;
  if (kind == 4) {  // one run
    Bitmap bits(size);
    for (std::size_t i = size / 3; i < size / 2; ++i) bits.set(i);
    return bits;
  }
  return random_bits(size, kind == 1 ? 0.01 : kind == 2 ? 0.1 : 0.5, source);
}

}  // namespace tests
#endif
