// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SHORTLIST_HPP
#define RAG_DETAIL_SHORTLIST_HPP
#include <rag/detail/scan_types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// A row that may be among the best, with what is known of its score.
struct Candidate {
  float lower, upper;
  std::uint32_t chunk, row;  ///< the row counts from the chunk's first
};

/// The rows that may be among the k best, or reach a floor. A row is offered once. Those that wait for their
/// fp32 score are few: when too many wait, the best of them are scored and the rest goes.
RAG_LAZY class BasicShortlist {
 public:
  static constexpr std::size_t all = static_cast<std::size_t>(-1);

  /// `floor`: only scores of it or more are wanted.
  explicit BasicShortlist(std::size_t k, float floor = nothing_below)
      : k_(k), floor_(floor), limit_(k == all ? 16384 : std::max<std::size_t>(16384, 2 * k)), best_(k) {}

  /// No row whose score is certainly lower can be wanted.
  float threshold() const {
    const float low =
        k_ == 0 || lows_.size() < k_ ? nothing_below : lows_.front();  // of none wanted, best_ knows
    return std::max({floor_, low, best_.threshold()});
  }

  /// score(candidate) gives a Found, score.ask_early(candidate) says that it will soon be asked for.
  template <class Score>
  void offer(const Candidate& item, const Score& score) {
    if (!(item.upper >= threshold())) return;
    note_low(item.lower);
    waiting_.push_back(item);
    if (waiting_.size() >= limit_) settle(score);
  }
  /// A row whose score is known.
  void offer(const Found& item) {
    if (!(item.score >= threshold())) return;
    note_low(item.score);
    best_.offer(item);
  }

  /// Scores what waits, the most promising first, until none left can be wanted.
  template <class Score>
  void settle(const Score& score) {
    std::erase_if(waiting_, [low = threshold()](const Candidate& item) { return !(item.upper >= low); });
    std::sort(waiting_.begin(), waiting_.end(),
              [](const Candidate& a, const Candidate& b) { return a.upper > b.upper; });
    constexpr std::size_t ahead = 3;
    for (std::size_t i = 0; i < std::min(ahead, waiting_.size()); ++i) score.ask_early(waiting_[i]);
    for (std::size_t i = 0; i < waiting_.size(); ++i) {
      if (!(waiting_[i].upper >= threshold())) break;
      if (i + ahead < waiting_.size()) score.ask_early(waiting_[i + ahead]);
      const Found found = score(waiting_[i]);
      if (found.score >= floor_) best_.offer(found);
    }
    waiting_.clear();
  }

  /// Best first; nothing may wait.
  std::vector<Found> sorted() && { return std::move(best_).sorted(); }

 private:
  void note_low(float low) {
    if (k_ == all) return;
    if (lows_.size() < k_) {
      lows_.push_back(low);
      std::push_heap(lows_.begin(), lows_.end(), std::greater<>());
    } else if (k_ > 0 && low > lows_.front()) {
      std::pop_heap(lows_.begin(), lows_.end(), std::greater<>());
      lows_.back() = low;
      std::push_heap(lows_.begin(), lows_.end(), std::greater<>());
    }
  }

  std::size_t k_;
  float floor_;
  std::size_t limit_;
  std::vector<float> lows_;  // the k largest lower bounds so far, the least on top
  std::vector<Candidate> waiting_;
  BestFound best_;
};
using Shortlist = BasicShortlist<>;

}  // namespace detail
RAG_END
#endif
