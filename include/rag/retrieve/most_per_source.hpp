// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_MOST_PER_SOURCE_HPP
#define RAG_RETRIEVE_MOST_PER_SOURCE_HPP
#include <rag/types.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

RAG_BEGIN

/// A step of Refined that keeps the first hits of each document, at most so many, in their order. Where one document
/// has most of the hits, fewer than k may be left: RefinedOptions::depth says how many are looked at.
///
///     rag::Refined retriever{rag::Bm25{}, rag::MostPerSource{3}};
RAG_LAZY class BasicMostPerSource {
 public:
  /// Throws invalid_argument for 0.
  explicit BasicMostPerSource(std::size_t most) : most_(most) {
    if (most == 0) throw Error(Errc::invalid_argument, "MostPerSource: 1 hit or more wanted, 0 given");
  }

  std::vector<Hit> refine(std::string_view, std::vector<Hit> hits, std::size_t) const {
    std::unordered_map<std::string, std::size_t> taken;
    std::vector<Hit> kept;
    for (Hit& hit : hits)
      if (++taken[hit.chunk.source] <= most_) kept.push_back(std::move(hit));
    return kept;
  }

 private:
  std::size_t most_;
};
using MostPerSource = BasicMostPerSource<>;

RAG_END
#endif
