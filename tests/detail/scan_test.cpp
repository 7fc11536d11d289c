// SPDX-License-Identifier: MIT
#include <rag/detail/scan.hpp>

#include <rag/store/metric.hpp>

#include "detail/amx_emulator.hpp"
#include "detail/scan_exact.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

using namespace tests;

TEST_CASE(
    "a search gives what sorting all rows gives: kinds of rows, dimensions, metrics, paths, kernels, "
    "threads, filters") {
  ExactCount count;
  const std::vector<PlaneKernel> kernels = plane_kernels();
  unsigned turn = 0;
  for (const std::string kind : data_kinds)
    for (const std::size_t dimension : {1u, 7u, 65u}) {
      RowSource source(kind, dimension, 1);
      const Rows rows(dimension, std::vector<std::size_t>{5, 0, 300, 16}, source, dimension == 7);
      for (const ScanMetric metric : scan_metrics) {
        const std::size_t ks[] = {0, 1, 10, 1000};
        const auto keep = filter_of(turn % 5, rows.size(), source);
        ExactCheck(rows, count)
            .check(metric, queries_for(metric, 5 + turn % 9, rows, source), ks[turn % 4], keep ? &*keep : nullptr,
                   kernels);
        ++turn;
      }
    }
  INFO(count.first_wrong);
  CHECK(count.wrong == 0);
  CHECK(count.searches > 10000);
}

TEST_CASE("several chunks of rows: thresholds from other chunks rule rows out, and none too many") {
  ExactCount count;
  for (const std::string kind : {"clustered", "ties", "offset", "nothing"}) {
    RowSource source(kind, 33, 2);
    const Rows rows(33, std::vector<std::size_t>{2100, 4100}, source, true);
    for (const ScanMetric metric : scan_metrics) {
      const PlaneKernel kernel = plane_kernels().back();
      const auto queries = queries_for(metric, 4, rows, source);
      for (const std::size_t filter : {0u, 1u, 3u, 4u}) {
        const auto keep = filter_of(filter, rows.size(), source);
        ExactCheck(rows, count).check(metric, queries, 10, keep ? &*keep : nullptr, std::span(&kernel, 1));
      }
    }
  }
  INFO(count.first_wrong);
  CHECK(count.wrong == 0);
}

#if RAG_X86 && defined(__linux__)
TEST_CASE("batches on the tiles of AMX give what sorting all rows gives") {
  if (!rag::detail::has_vnni(rag::detail::best_isa())) return;
  std::optional<AmxEmulator> emulator;
  if (!rag::detail::has_amx_int8(rag::detail::best_isa())) emulator.emplace();
  ExactCount count;
  for (const std::string kind : {"clustered", "norms"}) {
    RowSource source(kind, 40, 3);
    const Rows rows(40, std::vector<std::size_t>{200}, source, false);
    const PlaneKernel kernel = PlaneKernel::amx;
    for (const std::size_t filter : {0u, 3u}) {
      const auto keep = filter_of(filter, rows.size(), source);
      const auto queries = queries_for(ScanMetric::inner_product, 5, rows, source);
      ExactCheck(rows, count)
          .check(ScanMetric::inner_product, queries, 3, keep ? &*keep : nullptr, std::span(&kernel, 1));
    }
  }
  INFO(count.first_wrong);
  CHECK(count.wrong == 0);
  if (emulator) CHECK(AmxEmulator::executed() > 0);
}
#endif

TEST_CASE("the portable kernels scan few rows in fp32, the others choose while they run") {
  const std::vector<float> floats(4096);
  const auto path_of = [&](std::size_t rows, const ScanOptions& options) {
    const ScanSegment segment{floats.data(), rows};
    const std::vector<rag::detail::ScanChunk> chunks = rag::detail::scan_chunks({&segment, 1}, 2048);
    return rag::detail::scan_context(ScanMetric::inner_product, chunks, 1, nullptr, options).path;
  };
  CHECK(path_of(4095, {.isa = Isa::portable}) == ScanPath::plain);
  CHECK(path_of(4096, {.isa = Isa::portable}) == ScanPath::automatic);
  CHECK(path_of(100, {.isa = Isa::portable, .path = ScanPath::four}) == ScanPath::four);
  CHECK(path_of(100, {.isa = Isa::avx2}) == ScanPath::automatic);
}

TEST_CASE("a store without rows has nothing to find") {
  const std::vector<float> query = {1, 2};
  CHECK(rag::detail::scan_top_k<rag::InnerProduct>({}, 2, query, 3, nullptr).empty());
  CHECK(rag::detail::scan_at_least<rag::L2>({}, 2, query, -1e30f, nullptr).empty());
  CHECK(rag::detail::scan_top_k_batch<rag::Cosine>({}, 2, rag::Matrix(2, 2), 3, nullptr).size() == 2);
}

TEST_CASE("an executor of the caller does the work, and what it throws comes through") {
  RowSource source("uniform", 20, 4);
  const Rows rows(20, std::vector<std::size_t>{5000}, source, false);
  const auto query = source.row();
  auto wanted = rows.all(ScanMetric::l2, query, nullptr);
  wanted.resize(7);
  std::size_t calls = 0;
  ScanOptions options = {.threads = 4,
                         .executor = [&](std::size_t count, const std::function<void(std::size_t)>& work) {
                           for (std::size_t i = count; i > 0; --i) ++calls, work(i - 1);
                         }};

  CHECK(rag::detail::scan_top_k(ScanMetric::l2, rows.segments(), 20, query, 7, nullptr, options) == wanted);
  CHECK(calls > 1);

  options.executor = [](std::size_t, const std::function<void(std::size_t)>&) {
    throw std::runtime_error("no");
  };
  CHECK_THROWS_AS(rag::detail::scan_top_k(ScanMetric::l2, rows.segments(), 20, query, 7, nullptr, options),
                  std::runtime_error);
}
