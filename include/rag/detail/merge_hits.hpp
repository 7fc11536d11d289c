// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_MERGE_HITS_HPP
#define RAG_DETAIL_MERGE_HITS_HPP
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <utility>
#include <vector>

// One ranking of the rankings that several questions gave. Chunks are the same if source, span and text are, as in
// Hybrid.

RAG_BEGIN
namespace detail {

struct ChunkOrder {
  bool operator()(const Chunk* a, const Chunk* b) const {
    if (a->begin != b->begin) return a->begin < b->begin;
    if (a->end != b->end) return a->end < b->end;
    return a->source != b->source ? a->source < b->source : a->text < b->text;
  }
};

/// The k best by the sum of 1 / (60 + rank), rank from 1 (Cormack, Clarke and Büttcher, SIGIR 2009); of equals the one
/// with the lower id. A chunk that one ranking names twice counts once in it.
RAG_LAZY std::vector<Hit> fuse_ranks(const std::vector<std::vector<Hit>>& rankings, std::size_t k) {
  struct Sum {
    const Chunk* chunk;
    double score;
    std::size_t last;  // ranking that named it
  };
  std::vector<Sum> sums;  // in the order of the first mention
  std::map<const Chunk*, std::size_t, ChunkOrder> places;
  for (std::size_t i = 0; i < rankings.size(); ++i)
    for (std::size_t rank = 1; rank <= rankings[i].size(); ++rank) {
      const Chunk* chunk = &rankings[i][rank - 1].chunk;
      const auto [place, is_new] = places.emplace(chunk, sums.size());
      if (is_new) sums.push_back({chunk, 0, rankings.size()});
      Sum& sum = sums[place->second];
      if (sum.last != i) sum.score += 1 / (60 + static_cast<double>(rank));
      sum.last = i;
    }
  std::vector<Hit> hits;
  for (const Sum& sum : sums) hits.push_back({*sum.chunk, static_cast<float>(sum.score)});
  std::stable_sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) {
    return a.score != b.score ? a.score > b.score : a.chunk.id < b.chunk.id;
  });
  if (hits.size() > k) hits.resize(k);
  return hits;
}

/// k hits, of each ranking in turn its best that is not there yet, so that the first of each is among the k where k
/// rankings or fewer are given. A score is 1 / place: those of different questions can't be compared.
RAG_LAZY std::vector<Hit> take_turns(const std::vector<std::vector<Hit>>& rankings, std::size_t k) {
  std::vector<Hit> hits;
  std::set<const Chunk*, ChunkOrder> taken;
  std::vector<std::size_t> next(rankings.size());
  for (bool is_over = false; !is_over;) {
    is_over = true;
    for (std::size_t i = 0; i < rankings.size() && hits.size() < k; ++i) {
      while (next[i] < rankings[i].size() && !taken.insert(&rankings[i][next[i]].chunk).second) ++next[i];
      if (next[i] == rankings[i].size()) continue;
      hits.push_back({rankings[i][next[i]++].chunk, 1 / static_cast<float>(hits.size() + 1)});
      is_over = false;
    }
  }
  return hits;
}

}  // namespace detail
RAG_END
#endif
