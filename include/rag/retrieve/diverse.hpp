// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_DIVERSE_HPP
#define RAG_RETRIEVE_DIVERSE_HPP
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>
#include <rag/detail/cosine.hpp>
#include <rag/detail/score_range.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// The scores of hits from 0, the lowest, to 1, the best; where all are equal each is 1. Infinite ones are 1 and 0, what
/// is no number is 0.
RAG_LAZY std::vector<double> scaled_scores(std::span<const Hit> hits) {
  const auto [lowest, best] = score_range(hits);
  std::vector<double> scaled;
  for (const Hit& hit : hits) {
    if (std::isfinite(hit.score)) scaled.push_back(best > lowest ? (hit.score - lowest) / (best - lowest) : 1);
    else scaled.push_back(hit.score > 0 ? 1 : 0);
  }
  return scaled;
}

}  // namespace detail

struct DiverseOptions {
  double relevance = 0.8;  ///< 1: the order given; 0: nothing but difference after the first
};

/// A step of Refined that puts hits first which say something new (maximal marginal relevance; Carbonell and Goldstein,
/// SIGIR 1998). Picks one hit after the other, each time the one with the largest
///
///     relevance * score - (1 - relevance) * similarity to the most similar of those picked
///
/// which is then its score. Scores of retrievers have no common scale, so the hits' own are brought to 0 … 1 first, from
/// the lowest of the hits given to the best. The similarity is the cosine of two vectors, at least 0. Of equals the
/// first one given is picked. None is left out.
///
/// It embeds the indexed_text() of all hits for each question, which with a model costs far more than the search. A
/// CachedEmbedder has those vectors from the time when they were added; HashingEmbedder, which goes by shared words,
/// needs no model. Time beside the embedding: square of the hits x dimension. The default was chosen on chunks with and
/// without overlap: docs/retrieval-figures.md.
///
///     rag::Refined retriever{rag::Bm25{}, rag::Diverse{rag::HashingEmbedder{}}};
template <class E>
class Diverse {
  static_assert(Embedder<E>, "rag::Diverse: argument 1 is not an Embedder, see rag/concepts.hpp");

 public:
  // An argument that is not of its role is replaced, so that nothing else fails after the assertion.
  using EmbedderType = std::conditional_t<Embedder<E>, E, detail::EmbedderArchetype>;

  /// Throws invalid_argument: a relevance that is not 0 to 1.
  explicit Diverse(E embedder, DiverseOptions options = {}) : embedder_(std::move(embedder)), options_(options) {
    if (!(options.relevance >= 0 && options.relevance <= 1))
      throw Error(Errc::invalid_argument,
                  "Diverse: a relevance of 0 to 1 wanted, " + std::to_string(options.relevance) + " given");
  }

  std::vector<Hit> refine(std::string_view, std::vector<Hit> hits, std::size_t) {
    const Matrix vectors = embed(hits);
    const std::vector<double> scores = detail::scaled_scores(hits);
    std::vector<double> nearest(hits.size());  // of those picked
    std::vector<std::size_t> left(hits.size());
    std::iota(left.begin(), left.end(), std::size_t{0});
    const auto value = [&](std::size_t i) {
      return options_.relevance * scores[i] - (1 - options_.relevance) * nearest[i];
    };
    std::vector<Hit> picked;
    while (!left.empty()) {
      const auto best =
          std::max_element(left.begin(), left.end(), [&](std::size_t a, std::size_t b) { return value(a) < value(b); });
      const std::size_t i = *best;
      picked.push_back({std::move(hits[i].chunk), static_cast<float>(value(i))});
      left.erase(best);
      for (const std::size_t other : left)
        nearest[other] = std::max(nearest[other], detail::cosine(vectors.row(i), vectors.row(other)));
    }
    return picked;
  }

 private:
  Matrix embed(std::span<const Hit> hits) {
    std::vector<std::string> read;
    for (const Hit& hit : hits) read.push_back(indexed_text(hit.chunk));
    const std::vector<std::string_view> texts(read.begin(), read.end());
    Matrix vectors = embedder_.embed(texts);
    if (vectors.rows() != hits.size())
      throw Error(Errc::invalid_argument, "Diverse: " + std::to_string(hits.size()) +
                                              " rows wanted from the embedder, " + std::to_string(vectors.rows()) +
                                              " given");
    return vectors;
  }

  EmbedderType embedder_;
  DiverseOptions options_;
};

RAG_END
#endif
