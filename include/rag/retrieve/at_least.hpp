// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_AT_LEAST_HPP
#define RAG_RETRIEVE_AT_LEAST_HPP
#include <rag/types.hpp>

#include <cmath>
#include <cstddef>
#include <string_view>
#include <vector>

RAG_BEGIN

/// A step of Refined that leaves out the hits whose score is lower, or no number. What a score means is for the step or
/// the retriever before it to say: a value for cosines fits no BM25 score, nor one of Hybrid, whose legs take one each
/// (HybridOptions::first_at_least).
///
///     rag::Refined retriever{rag::Bm25{}, rag::CrossEncoder{folder}, rag::AtLeast{0}};
RAG_LAZY class BasicAtLeast {
 public:
  /// Throws invalid_argument for NaN.
  explicit BasicAtLeast(float score) : score_(score) {
    if (std::isnan(score)) throw Error(Errc::invalid_argument, "AtLeast: a score wanted, NaN given");
  }

  std::vector<Hit> refine(std::string_view, std::vector<Hit> hits, std::size_t) const {
    std::erase_if(hits, [&](const Hit& hit) { return !(hit.score >= score_); });
    return hits;
  }

 private:
  float score_;
};
using AtLeast = BasicAtLeast<>;

RAG_END
#endif
