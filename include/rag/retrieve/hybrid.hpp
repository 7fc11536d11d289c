// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_HYBRID_HPP
#define RAG_RETRIEVE_HYBRID_HPP
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>
#include <rag/detail/merge_hits.hpp>
#include <rag/detail/score_range.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN

/// How Hybrid makes one ranking of two.
enum class Fusion : std::uint8_t {
  relative_score,   ///< by how far a hit stands above the last one of its leg
  reciprocal_rank,  ///< by ranks alone: for legs whose scores mean nothing
};

struct HybridOptions {
  std::size_t depth = 50;     ///< hits asked of each leg; k where that is more
  double rank_constant = 60;  ///< of reciprocal_rank; larger: the first ranks stand out less
  double first_weight = 1;    ///< 0 leaves a leg out of the search
  double second_weight = 1;
  Fusion fusion = Fusion::relative_score;
  std::optional<float> first_at_least = {};   ///< hits of the leg with a lower score of its own are not taken from it
  std::optional<float> second_at_least = {};  ///< no value fits both a cosine and a BM25 score
};

/// Two retrievers over the same chunks, their rankings merged into one. The score of a hit is a sum over the legs that
/// found it. Chunks are the same if source, span and text are.
///
/// relative_score: weight * (score - last) / best, where `best` is the leg's highest score of this question and `last`
/// its lowest, or 0 from a leg that has no more hits; where scores are below 0, what divides is the largest of
/// best - last and the magnitudes of both, so that a leg adds at most its weight. A leg whose scores lie close together,
/// as those of a model do for a language that it was not trained on, can't tell its hits apart and moves little; equal
/// weights so fit legs of any quality (docs/retrieval-figures.md has the figures). A score that is not finite adds nothing.
/// reciprocal_rank: weight / (rank_constant + rank), rank from 1 (Cormack, Clarke and Büttcher, SIGIR 2009). A bad leg
/// counts as much as a good one.
///
/// With the least score of a leg, its hits below that are left out; what the others add stays the same.
///
/// add() and replace() take all or nothing in both legs: the first leg numbers the chunks, and is put back
/// when the second one fails, which is why it must be a ReplacingRetriever. What is put back counts as
/// inserted anew.
///
///     rag::Hybrid hybrid{rag::DenseRetriever{embedder, rag::FlatStore{}}, rag::Bm25{}};
template <class A, class B>
class Hybrid {
  static_assert(
      ReplacingRetriever<A>,
      "rag::Hybrid: argument 1 is not a ReplacingRetriever (the second may be less), see rag/concepts.hpp");
  static_assert(Retriever<B>, "rag::Hybrid: argument 2 is not a Retriever, see rag/concepts.hpp");

 public:
  // An argument that is not of its role is replaced, so that nothing else fails after the assertion.
  using First = std::conditional_t<ReplacingRetriever<A>, A, detail::ReplacingRetrieverArchetype>;
  using Second = std::conditional_t<Retriever<B>, B, detail::ReplacingRetrieverArchetype>;

  Hybrid(A first, B second, HybridOptions options = {})
      : first_(std::move(first)), second_(std::move(second)), options_(options) {
    for (const double value : {options.rank_constant, options.first_weight, options.second_weight})
      if (!(value >= 0 && std::isfinite(value)))
        throw Error(Errc::invalid_argument, "Hybrid: weights and a rank constant of 0 or more wanted, " +
                                                std::to_string(value) + " given");
    for (const auto& least : {options.first_at_least, options.second_at_least})
      if (least && std::isnan(*least)) throw Error(Errc::invalid_argument, "Hybrid: a least score wanted, NaN given");
  }

  std::vector<Id> add(std::span<const Chunk> chunks) {
    std::vector<Id> ids = first_.add(chunks);
    try {
      second_.add(numbered(chunks, ids));
    } catch (...) {
      undo([&] { take_out(chunks, ids); });
    }
    return ids;
  }

  std::vector<Id> replace(std::string_view source,
                          std::span<const Chunk> chunks) requires ReplacingRetriever<Second> {
    const std::vector<Chunk> before = first_.chunks(source);
    std::vector<Id> ids = first_.replace(source, chunks);
    try {
      second_.replace(source, numbered(chunks, ids));
    } catch (...) {
      undo([&] { first_.replace(source, before); });
    }
    return ids;
  }

  std::vector<Chunk> chunks(std::string_view source) { return first_.chunks(source); }

  /// The k best of what both legs found; of equals the one with the lower id.
  ///
  /// With a filter, which both legs must take: the best of the chunks that it keeps.
  template <class... F>
    requires(sizeof...(F) <= 1 && (FilteringRetriever<First, F> && ...) && (FilteringRetriever<Second, F> && ...))
  std::vector<Hit> search(std::string_view question, std::size_t k, const F&... filter) {
    if (k == 0) return {};
    const std::size_t depth = std::max(k, options_.depth);
    std::vector<detail::Vote> votes;
    if (options_.first_weight > 0)
      take(first_.search(question, depth, filter...), depth, 0, options_.first_weight, options_.first_at_least, votes);
    if (options_.second_weight > 0)
      take(second_.search(question, depth, filter...), depth, 1, options_.second_weight, options_.second_at_least, votes);
    return detail::sum_up(std::move(votes), k);
  }

  /// How much of a text the leg reads that counts tokens; of two such legs, the first.
  std::size_t count_tokens(std::string_view text) const
      requires(TokenCounter<First> || TokenCounter<Second>) {
    if constexpr (TokenCounter<First>)
      return static_cast<std::size_t>(first_.count_tokens(text));
    else
      return static_cast<std::size_t>(second_.count_tokens(text));
  }
  std::size_t max_tokens() const requires(TokenCounter<First> || TokenCounter<Second>) {
    if constexpr (TokenCounter<First>)
      return static_cast<std::size_t>(first_.max_tokens());
    else
      return static_cast<std::size_t>(second_.max_tokens());
  }

  First& first() { return first_; }
  const First& first() const { return first_; }
  Second& second() { return second_; }
  const Second& second() const { return second_; }

 private:
  std::vector<Chunk> numbered(std::span<const Chunk> chunks, std::span<const Id> ids) const {
    if (ids.size() != chunks.size())
      throw Error(Errc::invalid_argument, "Hybrid: " + std::to_string(chunks.size()) +
                                              " ids wanted from the first leg, " +
                                              std::to_string(ids.size()) + " given");
    std::vector<Chunk> copies(chunks.begin(), chunks.end());
    for (std::size_t i = 0; i < copies.size(); ++i) copies[i].id = ids[i];
    return copies;
  }

  // Rethrows what is being handled, after `put_back`. If that fails too, both reasons are told.
  template <class F>
  [[noreturn]] void undo(F put_back) const {
    std::string reason = "the second leg failed";
    try {
      throw;
    } catch (const std::exception& error) {
      reason = error.what();
    } catch (...) {
    }
    try {
      put_back();
    } catch (const std::exception& error) {
      throw Error(Errc::io, "Hybrid: the legs differ now: " + reason +
                                "; the first leg was not put back: " + error.what());
    }
    throw;
  }

  void take_out(std::span<const Chunk> chunks, const std::vector<Id>& ids) {
    std::vector<std::string_view> sources;
    for (const Chunk& chunk : chunks)
      if (std::find(sources.begin(), sources.end(), chunk.source) == sources.end()) sources.push_back(chunk.source);
    for (const std::string_view source : sources) {
      std::vector<Chunk> kept = first_.chunks(source);
      std::erase_if(kept, [&](const Chunk& chunk) { return std::find(ids.begin(), ids.end(), chunk.id) != ids.end(); });
      first_.replace(source, kept);
    }
  }

  /// Puts what each hit of a leg gets behind `votes`. `asked`: the hits that it was asked for.
  void take(std::vector<Hit> leg, std::size_t asked, std::size_t number, double weight, const std::optional<float>& least,
            std::vector<detail::Vote>& votes) const {
    const auto [lowest, best] = detail::score_range(leg);
    const double last = leg.size() < asked && lowest > 0 ? 0 : lowest;
    const double scale = std::max({best - last, std::abs(best), std::abs(last)});
    for (std::size_t i = 0; i < leg.size(); ++i) {
      if (least && !(leg[i].score >= *least)) continue;
      const bool by_rank = options_.fusion == Fusion::reciprocal_rank;
      const double value = by_rank ? 1 / (options_.rank_constant + static_cast<double>(i + 1))
                                   : (static_cast<double>(leg[i].score) - last) / scale;
      votes.push_back({std::move(leg[i].chunk), std::isfinite(value) ? weight * std::max(value, 0.0) : 0, number});
    }
  }

  First first_;
  Second second_;
  HybridOptions options_;
};

RAG_END
#endif
