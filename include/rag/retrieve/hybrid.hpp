// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_HYBRID_HPP
#define RAG_RETRIEVE_HYBRID_HPP
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <exception>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN

struct HybridOptions {
  std::size_t depth = 50;     ///< hits asked of each leg; k where that is more
  double rank_constant = 60;  ///< larger: the first ranks stand out less
  double first_weight = 1;    ///< 0 leaves a leg out of the search
  double second_weight = 1;
};

/// Two retrievers over the same chunks, their rankings merged by reciprocal rank fusion (Cormack, Clarke and
/// Büttcher, SIGIR 2009). The score of a hit is the sum over the legs of weight / (rank_constant + rank),
/// rank from 1; the legs' own scores, which do not compare, play no part. Chunks are the same if source, span
/// and text are.
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
  std::vector<Hit> search(std::string_view question, std::size_t k) {
    if (k == 0) return {};
    const std::size_t depth = std::max(k, options_.depth);
    std::vector<Hit> found;
    if (options_.first_weight > 0) found = first_.search(question, depth);
    const std::size_t of_first = found.size();
    if (options_.second_weight > 0)
      for (Hit& hit : second_.search(question, depth)) found.push_back(std::move(hit));
    std::vector<Hit> hits = fuse(found, of_first);
    if (hits.size() > k) hits.resize(k);
    return hits;
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
    const std::set<Id> added(ids.begin(), ids.end());
    std::set<std::string_view> sources;
    for (const Chunk& chunk : chunks) sources.insert(chunk.source);
    for (const std::string_view source : sources) {
      std::vector<Chunk> kept = first_.chunks(source);
      std::erase_if(kept, [&](const Chunk& chunk) { return added.count(chunk.id) != 0; });
      first_.replace(source, kept);
    }
  }

  std::vector<Hit> fuse(std::vector<Hit>& found, std::size_t of_first) const {
    struct Fused {
      std::size_t place;  // in `found`
      double score;
    };
    std::map<std::tuple<std::size_t, std::size_t, std::string_view, std::string_view>, std::size_t> known;
    std::vector<Fused> fused;
    for (std::size_t i = 0; i < found.size(); ++i) {
      const Chunk& chunk = found[i].chunk;
      const bool is_first = i < of_first;
      const double weight = is_first ? options_.first_weight : options_.second_weight;
      const auto rank = static_cast<double>(is_first ? i + 1 : i - of_first + 1);
      const auto [at, is_new] =
          known.try_emplace({chunk.begin, chunk.end, chunk.source, chunk.text}, fused.size());
      if (is_new) fused.push_back({i, 0});
      fused[at->second].score += weight / (options_.rank_constant + rank);
    }
    known.clear();  // it looks into the hits that move now
    std::vector<Hit> hits;
    hits.reserve(fused.size());
    for (const Fused& hit : fused)
      hits.push_back({std::move(found[hit.place].chunk), static_cast<float>(hit.score)});
    std::stable_sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) {
      return a.score != b.score ? a.score > b.score : a.chunk.id < b.chunk.id;
    });
    return hits;
  }

  First first_;
  Second second_;
  HybridOptions options_;
};

RAG_END
#endif
