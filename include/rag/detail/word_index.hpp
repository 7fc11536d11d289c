// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_WORD_INDEX_HPP
#define RAG_DETAIL_WORD_INDEX_HPP
#include <rag/detail/term_table.hpp>
#include <rag/detail/word_search.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// Which words stand in the texts of some slots, and how often. Slots are given in order; the texts are not kept. settle()
/// comes between a change and a search.
template <class Words>
class WordIndex {
 public:
  WordIndex(double k1, double b, Words words) : tf_(k1, b), split_(std::move(words)) {}

  std::size_t slots() const { return slots_; }

  /// Gives a text the next slot.
  void put(std::string_view text) {
    const auto slot = static_cast<Slot>(slots_);
    std::uint32_t length = 0;
    touched_.clear();
    split_(text, [&](std::string_view word, bool) {
      ++length;
      const Term term = terms_.number(word);
      if (term == entries_.size()) entries_.emplace_back();
      std::vector<Posting>& postings = entries_[term].postings;
      if (postings.empty() || postings.back().slot != slot) {
        postings.push_back({slot, 0});
        touched_.push_back(term);
      }
      ++postings.back().tf;  // the number of times, until the length is known
    });
    for (const Term term : touched_) {
      std::uint32_t& tf = entries_[term].postings.back().tf;
      entries_[term].widen(tf, length);
      tf = tf_.number(tf, length);
    }
    words_ += length;
    ++slots_, ++texts_;
  }
  /// Leaves the next slot empty.
  void skip() { ++slots_; }

  /// Empties slots, in ascending order; text_at(slot) is what was put there.
  template <class TextAt>
  void take_out(std::span<const Slot> slots, const TextAt& text_at) {
    touched_.clear();
    for (const Slot slot : slots)
      split_(std::string_view(text_at(slot)), [&](std::string_view word, bool) {
        --words_;
        if (const Term term = terms_.find(word); term != no_term) touched_.push_back(term);
      });
    std::sort(touched_.begin(), touched_.end());
    touched_.erase(std::unique(touched_.begin(), touched_.end()), touched_.end());
    for (const Term term : touched_) remove(entries_[term].postings, slots);
    texts_ -= slots.size();
  }

  /// Closes the gaps of empty slots: what was at `slot` is at moved[slot] then, in the same order, and `size` slots are
  /// left. Forgets the words that no text has.
  void compact(std::span<const Slot> moved, std::size_t size) {
    slots_ = size;
    TermTable terms;
    std::vector<Entry> entries;
    for (Term term = 0; term < entries_.size(); ++term) {
      if (entries_[term].postings.empty()) continue;
      terms.number(terms_.word(term));
      Entry& entry = entries.emplace_back();
      entry.postings.swap(entries_[term].postings);
      for (Posting& posting : entry.postings) {
        posting.slot = moved[posting.slot];
        entry.widen(tf_.times(posting.tf), tf_.length(posting.tf));
      }
    }
    std::swap(terms_, terms);
    entries_.swap(entries);
  }

  /// Puts the slots of another index behind those of this one.
  void append(const WordIndex& tail) {
    const auto first = static_cast<Slot>(slots_);
    std::vector<std::uint32_t> tf(tail.tf_.size());
    for (std::uint32_t i = 0; i < tf.size(); ++i) tf[i] = tf_.number(tail.tf_.times(i), tail.tf_.length(i));
    for (Term term = 0; term < tail.entries_.size(); ++term) {
      const Entry& from = tail.entries_[term];
      const Term here = terms_.number(tail.terms_.word(term));
      if (here == entries_.size()) entries_.emplace_back();
      entries_[here].widen(from.most_times, from.least_length);
      std::vector<Posting>& postings = entries_[here].postings;
      for (const Posting& posting : from.postings) postings.push_back({posting.slot + first, tf[posting.tf]});
    }
    slots_ += tail.slots_;
    words_ += tail.words_;
    texts_ += tail.texts_;
  }

  /// Takes the lengths of the texts into account.
  void settle() {
    if (words_ != 0) tf_.set_mean(static_cast<double>(words_) / static_cast<double>(texts_));
  }

  /// The k slots that answer the question best, see WordSearch::best().
  template <class Keep, class Precedes>
  std::vector<ScoredSlot> search(std::string_view question, std::size_t k, const Keep& keep,
                                 const Precedes& precedes) const {
    const double all = static_cast<double>(texts_);
    WordSearch search(tf_, slots_);
    for (const auto& [term, times] : query(question, false)) {
      const Entry& entry = entries_[term];
      const auto with = static_cast<double>(entry.postings.size());
      const double weight = static_cast<double>(times) * std::log(1 + (all - with + 0.5) / (with + 0.5));
      search.add(entry.postings, weight, tf_.share(weight, entry.most_times, entry.least_length));
    }
    return search.best(k, keep, precedes);
  }

 private:
  struct Entry {
    std::vector<Posting> postings = {};  // in order of slot
    std::uint32_t most_times = 0;  // no text has more of it, and none is shorter
    std::uint32_t least_length = std::numeric_limits<std::uint32_t>::max();

    void widen(std::uint32_t times, std::uint32_t length) {
      most_times = std::max(most_times, times);
      least_length = std::min(least_length, length);
    }
  };

  /// The terms of the question's words that some text has, with their number, in order of first appearance. Stop words
  /// count if there are no others.
  std::vector<std::pair<Term, std::uint32_t>> query(std::string_view question, bool with_stop_words) const {
    std::vector<std::pair<Term, std::size_t>> met;
    bool has_words = false;
    split_(question, [&](std::string_view word, bool stop) {
      if (stop && !with_stop_words) return;
      has_words = true;
      const Term term = terms_.find(word);
      if (term != no_term && !entries_[term].postings.empty()) met.emplace_back(term, met.size());
    });
    if (!has_words && !with_stop_words) return query(question, true);
    std::sort(met.begin(), met.end());
    std::vector<std::pair<std::size_t, std::pair<Term, std::uint32_t>>> terms;  // by the first place
    for (const auto& [term, place] : met) {
      if (terms.empty() || terms.back().second.first != term) terms.push_back({place, {term, 0}});
      ++terms.back().second.second;
    }
    std::sort(terms.begin(), terms.end());
    std::vector<std::pair<Term, std::uint32_t>> counts;
    for (const auto& entry : terms) counts.push_back(entry.second);
    return counts;
  }

  // Both are in order of slot.
  static void remove(std::vector<Posting>& postings, std::span<const Slot> slots) {
    auto kept = std::lower_bound(postings.begin(), postings.end(), slots.front(),
                                 [](const Posting& posting, Slot slot) { return posting.slot < slot; });
    auto gone = slots.begin();
    auto at = kept;
    for (; at != postings.end() && gone != slots.end(); ++at) {
      while (gone != slots.end() && *gone < at->slot) ++gone;
      if (gone == slots.end() || *gone != at->slot) *kept++ = *at;
    }
    postings.erase(kept, at);
  }

  TfTable tf_;
  Words split_;
  TermTable terms_;
  std::vector<Entry> entries_;  // of each term; without postings: no text has it any more
  std::vector<Term> touched_;   // scratch
  std::uint64_t words_ = 0;
  std::size_t slots_ = 0, texts_ = 0;
};

}  // namespace detail
RAG_END
#endif
