// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_WORD_SEARCH_HPP
#define RAG_DETAIL_WORD_SEARCH_HPP
#include <rag/detail/slot_table.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

RAG_BEGIN
namespace detail {

/// A word stands so many times in the text of a slot.
struct Posting {
  Slot slot;
  std::uint32_t times;
};

struct ScoredSlot {
  float score;
  Slot slot;
};

/// What BM25 takes from the length of a text: k1 (1 - b + b length / mean), looked up for all but long texts.
RAG_LAZY class BasicLengthNorms {
 public:
  BasicLengthNorms(double k1, double b, double mean, std::uint32_t longest) : k1_(k1), b_(b), mean_(mean) {
    norms_.resize(std::min<std::size_t>(std::size_t{longest} + 1, 1024));
    for (std::size_t length = 0; length < norms_.size(); ++length) norms_[length] = norm(length);
  }

  /// The share in a text's score of a word of this weight.
  double share(double weight, std::uint32_t times, std::uint32_t length) const {
    const double often = times;
    return weight * often * (k1_ + 1) / (often + (length < norms_.size() ? norms_[length] : norm(length)));
  }

 private:
  double norm(std::size_t length) const { return k1_ * (1 - b_ + b_ * (static_cast<double>(length) / mean_)); }

  double k1_, b_, mean_;
  std::vector<double> norms_;
};
using LengthNorms = BasicLengthNorms<>;

/// The k slots with the highest sums of shares over some words. The sums are those of a plain loop over the words in the
/// order of add(), to the bit, but not all are made: once k are known, a frequent word whose share is small whatever the
/// text is only looked up for texts that the others have brought near the k-th best (H. Turtle and J. Flood, "Query
/// evaluation: strategies and optimizations", 1995), 4,096 slots at a time.
RAG_LAZY class BasicWordSearch {
 public:
  /// lengths: one a slot.
  BasicWordSearch(const LengthNorms& norms, std::span<const std::uint32_t> lengths) : norms_(norms), lengths_(lengths) {}

  /// A word, with its postings in order of slot. most_times and least_length: no text has more of it, none is shorter.
  void add(std::span<const Posting> postings, double weight, std::uint32_t most_times, std::uint32_t least_length) {
    const Posting* begin = postings.data();
    words_.push_back({begin, begin, begin + postings.size(), postings.size(), weight,
                      norms_.share(weight, most_times, least_length)});
  }

  /// Best first, of equals the one that precedes(a, b). in_order: whether that is the lower slot. What is not in
  /// keep(slot) is passed over. Once.
  template <class Keep, class Precedes>
  std::vector<ScoredSlot> best(std::size_t k, bool in_order, const Keep& keep, const Precedes& precedes) {
    if (k == 0 || words_.empty()) return {};
    k_ = k, in_order_ = in_order;
    sort_words();
    const auto better = [&](const ScoredSlot& a, const ScoredSlot& b) {
      return a.score != b.score ? a.score > b.score : precedes(a.slot, b.slot);
    };
    std::vector<double> sums(window);
    std::vector<std::uint64_t> marks(window / 64);
    for (Slot first; (first = next_slot()) != no_slot; split()) {
      add_shares(first, sums, marks);
      for (std::size_t i = 0; i < marks.size(); ++i)
        for (; marks[i] != 0; marks[i] &= marks[i] - 1) {
          const std::size_t at = 64 * i + static_cast<std::size_t>(std::countr_zero(marks[i]));
          consider(first + static_cast<Slot>(at), sums[at], keep, better);
        }
      clear(first, sums);
    }
    std::sort_heap(found_.begin(), found_.end(), better);
    return std::move(found_);
  }

 private:
  static constexpr std::size_t window = 4096, rarest_minor = 12;  // in one text of so many: measured
  static constexpr double slack = 1 + 1e-9;  // more than any order of adding loses
  struct Word {
    const Posting *from, *at, *end;  // those before `from` are done, those before `at` are in the window
    std::size_t size;
    double weight, most;             // most: the highest share
  };

  void sort_words() {
    by_share_.resize(words_.size());
    for (std::size_t i = 0; i < words_.size(); ++i) by_share_[i] = i;
    std::stable_sort(by_share_.begin(), by_share_.end(),
                     [&](std::size_t a, std::size_t b) { return words_[a].most < words_[b].most; });
    below_.assign(1, 0);
    for (const std::size_t i : by_share_) below_.push_back(below_.back() + words_[i].most);
    minor_.assign(words_.size(), false);
  }

  /// The words of the smallest shares, which together can't bring a text in, are minor from here on, up to the first rare
  /// one: to look that up costs more than to add it up.
  void split() {
    while (minors_ < words_.size() && below_[minors_ + 1] * slack < cut_ &&
           words_[by_share_[minors_]].size * rarest_minor >= lengths_.size())
      minor_[by_share_[minors_++]] = true;
  }

  /// The first slot that has a word that is not minor.
  Slot next_slot() const {
    Slot next = no_slot;
    for (std::size_t i = minors_; i < words_.size(); ++i) {
      const Word& word = words_[by_share_[i]];
      if (word.at != word.end) next = std::min(next, word.at->slot);
    }
    return next;
  }

  /// Sums up the window, and marks the slots that consider() may take: as sums only grow, at the latest with the last share.
  void add_shares(Slot first, std::vector<double>& sums, std::vector<std::uint64_t>& marks) {
    const double least = cut_ * (2 - slack * slack) - below_[minors_];
    for (std::size_t i = 0; i < words_.size(); ++i) {
      if (minor_[i]) continue;
      Word& word = words_[i];
      word.from = word.at;
      const Posting* at = word.at;
      for (; at != word.end && at->slot - first < window; ++at) {
        const std::size_t place = at->slot - first;
        const double sum = sums[place] + share(word, *at);
        sums[place] = sum;
        if (sum >= least) marks[place / 64] |= std::uint64_t{1} << (place % 64);
      }
      word.at = at;
    }
  }

  void clear(Slot first, std::vector<double>& sums) const {
    for (std::size_t i = 0; i < words_.size(); ++i)
      if (!minor_[i])
        for (const Posting* at = words_[i].from; at != words_[i].at; ++at) sums[at->slot - first] = 0;
  }

  double share(const Word& word, const Posting& posting) const {
    return norms_.share(word.weight, posting.times, lengths_[posting.slot]);
  }

  /// A slot whose words that are not minor sum up to that.
  template <class Keep, class Better>
  void consider(Slot slot, double sum, const Keep& keep, const Better& better) {
    for (std::size_t i = minors_; (sum + below_[i]) * slack >= cut_; --i) {
      if (i == 0) return offer({static_cast<float>(minors_ == 0 ? sum : whole_sum(slot)), slot}, keep, better);
      Word& word = words_[by_share_[i - 1]];
      word.at = first_from(word.at, word.end, slot);
      if (word.at != word.end && word.at->slot == slot) sum += share(word, *word.at);
    }
  }

  double whole_sum(Slot slot) const {
    double sum = 0;
    for (std::size_t i = 0; i < words_.size(); ++i) {
      const Word& word = words_[i];
      const Posting* at = minor_[i] ? word.at : within(word.from, word.at, slot);
      if (at != word.end && at->slot == slot) sum += share(word, *at);
    }
    return sum;
  }

  /// The first posting of this slot or a later one: found in steps that double.
  static const Posting* first_from(const Posting* at, const Posting* end, Slot slot) {
    std::ptrdiff_t width = 4;
    while (width < end - at && at[width].slot < slot) at += width, width *= 2;
    return within(at, at + std::min(width + 1, end - at), slot);
  }
  /// The same without steps, and without a branch that depends on the slots.
  static const Posting* within(const Posting* at, const Posting* end, Slot slot) {
    if (at == end) return end;
    for (std::ptrdiff_t left = end - at; left > 1;) {
      const std::ptrdiff_t half = left / 2;
      at = at[half - 1].slot < slot ? at + half : at;
      left -= half;
    }
    return at + (at->slot < slot);
  }

  template <class Keep, class Better>
  void offer(const ScoredSlot& one, const Keep& keep, const Better& better) {
    const bool is_full = found_.size() == k_;
    if ((is_full && !better(one, found_.front())) || !keep(one.slot)) return;
    if (is_full) {
      std::pop_heap(found_.begin(), found_.end(), better);
      found_.back() = one;
    } else {
      found_.push_back(one);
    }
    std::push_heap(found_.begin(), found_.end(), better);
    if (found_.size() == k_) set_cut(found_.front().score);
  }

  /// A sum below cut_ becomes a float that comes behind the k-th best, which a later slot, if all come in order, has to be
  /// above.
  void set_cut(float worst) {
    const float end = std::numeric_limits<float>::infinity();
    cut_ = (static_cast<double>(worst) + static_cast<double>(std::nextafter(worst, in_order_ ? end : -end))) / 2;
  }

  const LengthNorms& norms_;
  std::span<const std::uint32_t> lengths_;
  std::vector<Word> words_;
  std::vector<std::size_t> by_share_;  // the words, the smallest share first
  std::vector<double> below_;          // below_[i]: the most that the first i of them add
  std::vector<char> minor_;            // of each word
  std::size_t minors_ = 0, k_ = 0;
  bool in_order_ = true;
  double cut_ = std::numeric_limits<double>::denorm_min();
  std::vector<ScoredSlot> found_;  // a heap, the worst at its front
};
using WordSearch = BasicWordSearch<>;

}  // namespace detail
RAG_END
#endif
