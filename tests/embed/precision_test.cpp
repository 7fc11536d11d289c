// SPDX-License-Identifier: MIT
#include <rag/embed/sentence.hpp>

#include <doctest/doctest.h>

#include "embed/faq.hpp"
#include "paths.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using rag::detail::SentenceEncoder;

namespace {

/// The places of the rows, best first.
std::vector<std::pair<double, std::size_t>> ranked(const rag::Matrix& rows, const std::vector<float>& query) {
  std::vector<std::pair<double, std::size_t>> ranks;
  for (std::size_t i = 0; i < rows.rows(); ++i) ranks.emplace_back(-tests::dot(query, rows.row(i)), i);
  std::sort(ranks.begin(), ranks.end());
  return ranks;
}

}  // namespace

TEST_CASE("bf16 and int16 give the tutorial's vectors a cosine near 1 to fp32, and close scores alone change places") {
  const auto folder = tests::model_folder();
  if (tests::skip_without(folder / "model.safetensors") || tests::skip_without(tests::data_folder() / "milvus-faq")) return;
  const SentenceEncoder exact(folder.string());
  const std::vector<std::string> chunks = tests::faq_chunks();
  const std::vector<std::string_view> views(chunks.begin(), chunks.end());
  const rag::Matrix wanted = exact.embed(views);
  struct Bound {
    rag::Precision precision;
    double cosine, apart;  // above; scores that far apart keep their places
  };
  for (const Bound& bound : {Bound{rag::Precision::bf16, 0.9999, 0.002}, Bound{rag::Precision::int16, 0.99999, 0.0002}}) {
    // Where bf16 is no faster, a SentenceEmbedder takes fp32.
    const SentenceEncoder fast(folder.string(), {.precision = bound.precision}, rag::detail::machine_isa());
    CAPTURE(bound.cosine);
    if (fast.precision() == rag::Precision::fp32) {
      std::printf("skipped: this processor has no products of %s\n", bound.precision == rag::Precision::bf16 ? "bf16" : "int16");
      continue;
    }
    const rag::Matrix found = fast.embed(views);
    CHECK(fast.name() != exact.name());
    CHECK(!(found == wanted));
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      CAPTURE(i);
      CHECK(tests::dot(found.row(i), wanted.row(i)) > bound.cosine);
    }
    for (const auto& question : tests::golden_questions()) {
      const std::string text = question["q"];
      CAPTURE(text);
      const auto before = ranked(wanted, exact.embed_query(text)), after = ranked(found, fast.embed_query(text));
      for (std::size_t rank = 0; rank < 3; ++rank) {
        CAPTURE(rank);
        const double above = rank == 0 ? 1 : before[rank].first - before[rank - 1].first;
        const double below = before[rank + 1].first - before[rank].first;
        if (above > bound.apart && below > bound.apart) CHECK(after[rank].second == before[rank].second);
      }
    }
  }
}
