// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_WORD_SEARCH_HPP
#define RAG_DETAIL_WORD_SEARCH_HPP
#include <rag/detail/word_sums.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

struct ScoredSlot {
  float score;
  Slot slot;
};

/// The k slots with the highest sums of shares over some words. The sums are those of a plain loop of doubles over the
/// words in the order of add(), to the bit, but few are made: floats, which are faster, tell what can be among the best.
/// Once k slots are known to reach a sum, a word that stands in many texts and gives none of them much is only looked up
/// for those that could still reach it (H. Turtle and J. Flood, "Query evaluation: strategies and optimizations", 1995).
/// The others are summed up a window of slots at a time.
RAG_LAZY class BasicWordSearch {
 public:
  /// slots: how many there are.
  BasicWordSearch(const TfTable& tf, std::size_t slots, Isa isa = best_isa())
      : tf_(tf), slots_(static_cast<float>(slots)), isa_(isa) {}

  /// A word with its postings, of which there are some, in order of slot. most: no share is higher.
  void add(std::span<const Posting> postings, double weight, double most) {
    asked_.push_back({postings, weight});
    words_.push_back({postings, postings.data(), static_cast<float>(weight), static_cast<float>(most)});
  }

  /// Best first, of equals the one that precedes(a, b). What is not in keep(slot) is passed over. Once.
  template <class Keep, class Precedes>
  std::vector<ScoredSlot> best(std::size_t k, const Keep& keep, const Precedes& precedes) {
    if (k == 0 || words_.empty()) return {};
    k_ = k;
    sort_words();
    const auto window = std::make_unique_for_overwrite<WordSums>();
    window->sums.fill(0);
    window->width = min_width;  // few slots are enough to learn what sum is a high one
    while ((window->first = next_slot()) != no_slot) {
      window->rises = 0;
      window->least = least_;
      for (std::size_t i = 0; i < majors_; ++i)
        words_[i].at = add_shares(words_[i].at, end_of(words_[i]), words_[i].weight, tf_, *window, isa_);
      for (const std::uint32_t place : std::span(window->risen).first(window->rises))
        collect(window->first + place, window->sums[place], keep);
      std::fill_n(window->sums.data(), window->width, 0.0F);
      window->width = std::min<std::uint32_t>(2 * window->width, WordSums::max_width);
      split();
    }
    return complete_all(keep, precedes);
  }

 private:
  static constexpr std::uint32_t min_width = 512;
  static constexpr std::size_t rarest_minor = 5;  // in one text of so many; a rarer one is added up sooner: measured
  struct Asked {
    std::span<const Posting> postings;
    double weight;
  };
  struct Word {
    std::span<const Posting> postings;
    const Posting* at;  // those before it are summed up
    float weight, most;
  };
  struct Candidate {
    Slot slot;
    float sum;            // of the first `words` words
    std::uint32_t words;
  };

  void sort_words() {
    std::stable_sort(words_.begin(), words_.end(), [](const Word& a, const Word& b) { return a.weight > b.weight; });
    rest_.assign(words_.size() + 1, 0);
    for (std::size_t i = words_.size(); i-- > 0;) rest_[i] = rest_[i + 1] + words_[i].most;
    slack_ = 1 + static_cast<float>(words_.size() + 1) * 4 * std::numeric_limits<float>::epsilon();
    majors_ = words_.size();
    least_ = cut_;
  }

  /// The last words, which together can't bring a text to the cut, are minor from here on, up to the first rare one.
  void split() {
    while (majors_ > 0 && rest_[majors_ - 1] * slack_ < cut_ &&
           static_cast<float>(words_[majors_ - 1].postings.size() * rarest_minor) >= slots_)
      --majors_;
    least_ = std::max(cut_ / (slack_ * slack_) - rest_[majors_], std::numeric_limits<float>::denorm_min());
  }

  /// The first slot that has a word that is not minor.
  Slot next_slot() const {
    Slot next = no_slot;
    for (std::size_t i = 0; i < majors_; ++i)
      if (words_[i].at != end_of(words_[i])) next = std::min(next, words_[i].at->slot);
    return next;
  }

  /// A slot whose words that are not minor sum up to that.
  template <class Keep>
  void collect(Slot slot, float sum, const Keep& keep) {
    if (!can_reach_cut(sum, majors_)) return;
    const bool is_full = high_sums_.size() == k_, is_high = !is_full || sum > high_sums_.front();
    if (is_high && !keep(slot)) return;
    candidates_.push_back({slot, sum, static_cast<std::uint32_t>(majors_)});
    if (!is_high) return;
    put(high_sums_, sum, is_full, std::greater<>());
    if (high_sums_.size() == k_) cut_ = high_sums_.front() / slack_;
  }

  /// Looks up what the candidates lack, those with the k highest sums first, and sums up what can be among the best.
  template <class Keep, class Precedes>
  std::vector<ScoredSlot> complete_all(const Keep& keep, const Precedes& precedes) {
    const auto better = [&](const ScoredSlot& a, const ScoredSlot& b) {
      return a.score != b.score ? a.score > b.score : precedes(a.slot, b.slot);
    };
    std::erase_if(candidates_, [&](const Candidate& one) { return !can_reach_cut(one.sum, one.words); });
    if (candidates_.size() > k_)
      std::nth_element(candidates_.begin(), candidates_.begin() + static_cast<std::ptrdiff_t>(k_), candidates_.end(),
                       [](const Candidate& a, const Candidate& b) { return a.sum > b.sum; });
    for (std::size_t i = 0; i < std::min(k_, candidates_.size()); ++i)
      for (const Asked& word : asked_)
        __builtin_prefetch(&word.postings[likely_place(word.postings, candidates_[i].slot)]);
    std::vector<ScoredSlot> found;  // a heap, the worst at its front
    for (Candidate& one : candidates_) {
      if (!complete(one)) continue;
      const ScoredSlot scored{static_cast<float>(whole_sum(one.slot)), one.slot};
      const bool is_full = found.size() == k_;
      if ((is_full && !better(scored, found.front())) || !keep(one.slot)) continue;
      put(found, scored, is_full, better);
      if (found.size() == k_) cut_ = std::max(cut_, found.front().score);
    }
    std::sort_heap(found.begin(), found.end(), better);
    return found;
  }

  /// False: it does not reach the cut.
  bool complete(Candidate& one) const {
    while (can_reach_cut(one.sum, one.words)) {
      if (one.words == words_.size()) return true;
      const Word& word = words_[one.words++];
      if (const Posting& posting = near(word.postings, one.slot); posting.slot == one.slot)
        one.sum += word.weight * tf_.part(posting.tf);
    }
    return false;
  }

  double whole_sum(Slot slot) const {
    double sum = 0;
    for (const Asked& word : asked_)
      if (const Posting& posting = near(word.postings, slot); posting.slot == slot)
        sum += tf_.share(word.weight, posting.tf);
    return sum;
  }

  /// Where the posting of the slot would be if they were spread evenly.
  std::size_t likely_place(std::span<const Posting> postings, Slot slot) const {
    const float density = static_cast<float>(postings.size()) / slots_;
    return std::min(postings.size() - 1, static_cast<std::size_t>(static_cast<float>(slot) * density));
  }

  /// The posting of the slot, or if there is none, one beside it: found around its likely place, or else among all.
  const Posting& near(std::span<const Posting> postings, Slot slot) const {
    const std::size_t place = likely_place(postings, slot);
    const std::size_t reach = 8 + static_cast<std::size_t>(2 * std::sqrt(static_cast<float>(postings.size())));
    std::size_t begin = place - std::min(place, reach);  // reach: four deviations or more
    std::size_t end = std::min(place + reach, postings.size());
    if (postings[begin].slot > slot) begin = 0;
    if (end < postings.size() && postings[end].slot <= slot) end = postings.size();
    const Posting* at = postings.data() + begin;
    for (std::size_t left = end - begin; left > 1;) {
      const std::size_t half = left / 2;
      at = at[half].slot <= slot ? at + half : at;
      left -= half;
    }
    return *at;
  }

  bool can_reach_cut(float sum, std::size_t words) const { return (sum + rest_[words]) * slack_ >= cut_; }

  static const Posting* end_of(const Word& word) { return word.postings.data() + word.postings.size(); }

  template <class T, class Better>
  static void put(std::vector<T>& heap, const T& one, bool is_full, const Better& better) {
    if (is_full) std::pop_heap(heap.begin(), heap.end(), better), heap.back() = one;
    else heap.push_back(one);
    std::push_heap(heap.begin(), heap.end(), better);
  }

  const TfTable& tf_;
  float slots_;
  Isa isa_;
  std::vector<Asked> asked_;  // the words as they were added
  std::vector<Word> words_;   // the heaviest first; the first majors_ are summed up in windows
  std::vector<float> rest_;   // rest_[i]: the most that the words from i on add
  std::size_t majors_ = 0, k_ = 0;
  float slack_ = 1;  // a sum of floats is at most so many times off
  float cut_ = std::numeric_limits<float>::denorm_min();  // k slots reach it
  float least_ = 0;  // sums of major words below it don't
  std::vector<float> high_sums_;  // a heap of the k highest, the least at its front
  std::vector<Candidate> candidates_;
};
using WordSearch = BasicWordSearch<>;

}  // namespace detail
RAG_END
#endif
