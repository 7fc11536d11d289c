// SPDX-License-Identifier: MIT
#include <rag/detail/scan.hpp>

#include <rag/store/metric.hpp>

#include "detail/scan_data.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

using namespace tests;
using rag::detail::Bitmap;
using rag::detail::ScanOptions;

namespace {

std::vector<Found> first(std::vector<Found> all, std::size_t k) {
  all.resize(std::min(k, all.size()));
  return all;
}

}  // namespace

TEST_CASE("a search gives what sorting all rows gives, in every metric") {
  for (const std::string kind : data_kinds)
    for (const std::size_t dimension : {1u, 7u, 65u})
      for (const ScanMetric metric : scan_metrics) {
        CAPTURE(kind);
        CAPTURE(dimension);
        CAPTURE(static_cast<int>(metric));
        RowSource source(kind, dimension, 1);
        const Rows rows(dimension, std::vector<std::size_t>{5, 0, 300, 16}, source, dimension == 7);
        const auto query = query_for(metric, source.row());
        const Bitmap some = random_bits(rows.size(), 0.3, source), none(rows.size());
        for (const Bitmap* keep : {static_cast<const Bitmap*>(nullptr), &some, &none}) {
          const auto all = rows.all(metric, query, keep);
          for (const std::size_t k : {0u, 1u, 10u, 1000u})
            CHECK(rag::detail::scan_top_k(metric, rows.segments(), dimension, query, k, keep, {}) == first(all, k));
          for (const std::size_t at : {0u, 20u}) {
            if (all.size() <= at) continue;
            const float threshold = all[at].score;
            auto wanted = all;
            std::erase_if(wanted, [&](const Found& found) { return !(found.score >= threshold); });
            CHECK(rag::detail::scan_at_least(metric, rows.segments(), dimension, query, threshold, keep, {}) == wanted);
          }
        }
      }
}

TEST_CASE("a store without rows has nothing to find") {
  const std::vector<float> query = {1, 2};
  CHECK(rag::detail::scan_top_k<rag::InnerProduct>({}, 2, query, 3, nullptr).empty());
  CHECK(rag::detail::scan_at_least<rag::L2>({}, 2, query, -1e30f, nullptr).empty());
  CHECK(rag::detail::scan_top_k_batch<rag::Cosine>({}, 2, rag::Matrix(2, 2), 3, nullptr).size() == 2);
}
