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

// One ranking of the rankings that several retrievers or several questions gave. Chunks are the same if source, span and
// text are.

RAG_BEGIN
namespace detail {

struct ChunkOrder {
  bool operator()(const Chunk* a, const Chunk* b) const {
    if (a->begin != b->begin) return a->begin < b->begin;
    if (a->end != b->end) return a->end < b->end;
    return a->source != b->source ? a->source < b->source : a->text < b->text;
  }
};

/// What a chunk gets from one of several rankings.
struct Vote {
  Chunk chunk;
  double value;
  std::size_t ranking;
};

/// The k chunks with the highest sums of votes; of equals the one with the lower id. A chunk that one ranking names twice
/// counts by its first vote there. The votes of a ranking come one after the other.
RAG_LAZY std::vector<Hit> sum_up(std::vector<Vote> votes, std::size_t k) {
  struct Sum {
    std::size_t vote;  // the first
    double value;
    std::size_t last;  // ranking that named it
  };
  std::vector<Sum> sums;  // in the order of the first mention
  std::map<const Chunk*, std::size_t, ChunkOrder> places;
  for (std::size_t i = 0; i < votes.size(); ++i) {
    const auto [place, is_new] = places.emplace(&votes[i].chunk, sums.size());
    if (is_new) {
      sums.push_back({i, votes[i].value, votes[i].ranking});
    } else if (Sum& sum = sums[place->second]; sum.last != votes[i].ranking) {
      sum.value += votes[i].value;
      sum.last = votes[i].ranking;
    }
  }
  std::vector<Hit> hits;
  for (const Sum& sum : sums) hits.push_back({std::move(votes[sum.vote].chunk), static_cast<float>(sum.value)});
  std::stable_sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) {
    return a.score != b.score ? a.score > b.score : a.chunk.id < b.chunk.id;
  });
  if (hits.size() > k) hits.resize(k);
  return hits;
}

/// The k best by the sum of 1 / (60 + rank), rank from 1 (Cormack, Clarke and Büttcher, SIGIR 2009).
RAG_LAZY std::vector<Hit> fuse_ranks(std::vector<std::vector<Hit>> rankings, std::size_t k) {
  std::vector<Vote> votes;
  for (std::size_t i = 0; i < rankings.size(); ++i)
    for (std::size_t n = 0; n < rankings[i].size(); ++n)
      votes.push_back({std::move(rankings[i][n].chunk), 1 / (60 + static_cast<double>(n + 1)), i});
  return sum_up(std::move(votes), k);
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
