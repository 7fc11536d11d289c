// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_BM25_HPP
#define RAG_RETRIEVE_BM25_HPP
#include <rag/concepts.hpp>
#include <rag/detail/words.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

RAG_BEGIN

struct Bm25Options {
  double k1 = 1.2;  ///< how soon more of the same word stops to count, from 0
  double b = 0.75;  ///< how much a long chunk pays for its length, 0 to 1
};

/// The words of a text as Bm25 takes them: letters and digits of any script, case and accents folded; an English plural
/// loses its s; Chinese and Japanese go by characters and pairs of them. Of stop words, those of English.
struct EnglishWords {
  template <class Visit>
  void operator()(std::string_view text, Visit&& visit) const {
    detail::for_each_word<true, true>(text, visit);
  }
};

/// The same without anything of English: no stem, no stop words.
struct PlainWords {
  template <class Visit>
  void operator()(std::string_view text, Visit&& visit) const {
    detail::for_each_word<false, true>(text, visit);
  }
};

/// Finds chunks by the words of the question: no model, no download, measured best of what needs neither.
/// What a word is says the policy `Words`, of which Bm25 has EnglishWords: it calls visit(std::string_view word, bool
/// stop) for the words of a text, in order. Stop words of the question count only if it has no others.
///
/// The score is BM25's sum over the question's words (Robertson and Zaragoza, "The Probabilistic Relevance
/// Framework", 2009), with log(1 + (N - n + 0.5) / (n + 0.5)) as the weight of a word that n of N chunks
/// have: it is comparable within one search only. A chunk without any of the words is no hit.
///
///     rag::Bm25 index;
///     index.add(rag::SeparatorChunker{"# "}.chunk(document));
///     index.search("How is data stored?", 3);
///     rag::BasicBm25<MyGermanWords> german;   // a policy of your own
template <class Words = EnglishWords>
class BasicBm25 {
  static_assert(std::is_invocable_v<const Words&, std::string_view, void (&)(std::string_view, bool)>,
                "rag::BasicBm25: argument 1 does not call visit(std::string_view word, bool stop) for a text's words");

 public:
  BasicBm25() = default;
  explicit BasicBm25(Bm25Options options, Words words = {}) : options_(options), split_(std::move(words)) {
    if (!(options.k1 >= 0 && std::isfinite(options.k1)))
      throw Error(Errc::invalid_argument,
                  "Bm25: k1 of 0 or more wanted, " + std::to_string(options.k1) + " given");
    if (!(options.b >= 0 && options.b <= 1))
      throw Error(Errc::invalid_argument,
                  "Bm25: b of 0 to 1 wanted, " + std::to_string(options.b) + " given");
  }

  /// Indexes all of the chunks or, on an Error, none. A chunk keeps its id or gets the next number.
  std::vector<Id> add(std::span<const Chunk> chunks) {
    std::vector<Id> ids = number(chunks, nullptr);
    insert(chunks, ids);
    return ids;
  }

  /// Puts the chunks, all of that source, in the place of those that came from it; no chunks: erases the
  /// source.
  std::vector<Id> replace(std::string_view source, std::span<const Chunk> chunks) {
    for (const Chunk& chunk : chunks)
      if (chunk.source != source)
        throw Error(Errc::invalid_argument,
                    "Bm25::replace: a chunk comes from another source than the one named");
    std::vector<Id> ids = number(chunks, &source);
    remove(source);
    insert(chunks, ids);
    return ids;
  }

  void erase(std::string_view source) { remove(source); }

  /// The k chunks with the highest score, ties in order of insertion. Time: one pass over the entries of the
  /// question's words, and one number a chunk.
  std::vector<Hit> search(std::string_view question, std::size_t k) const {
    return best(question, k, [](const Chunk&) { return true; });
  }
  /// The same among the chunks that a rag::Filter keeps. What a word weighs is still counted over all chunks.
  template <class F>
    requires requires(const F& filter, const Chunk& chunk) { { matches(filter, chunk) } -> std::same_as<bool>; }
  std::vector<Hit> search(std::string_view question, std::size_t k, const F& filter) const {
    return best(question, k, [&](const Chunk& chunk) { return matches(filter, chunk); });
  }

  /// The chunks of one source, in order of insertion.
  std::vector<Chunk> chunks(std::string_view source) const {
    std::vector<Chunk> chunks;
    if (const auto found = sources_.find(source); found != sources_.end())
      for (const Slot slot : found->second) chunks.push_back(chunks_[slot]);
    return chunks;
  }

  /// The chunks that a rag::Filter keeps, in order of insertion.
  template <class F>
    requires requires(const F& filter, const Chunk& chunk) { { matches(filter, chunk) } -> std::same_as<bool>; }
  std::vector<Chunk> chunks(const F& filter) const {
    std::vector<Chunk> chunks;
    for (const Chunk& chunk : chunks_)
      if (chunk.id != no_id && matches(filter, chunk)) chunks.push_back(chunk);
    return chunks;
  }

  /// The number of chunks.
  std::size_t size() const { return ids_.size(); }

 private:
  template <class Keep>
  std::vector<Hit> best(std::string_view question, std::size_t k, const Keep& keep) const {
    struct Found {
      float score;
      Slot slot;
    };
    std::vector<double> scores(chunks_.size());
    for (const auto& [word, times] : query(question, false)) {
      const auto found = terms_.find(word);
      if (found != terms_.end()) add_scores(found->second, static_cast<double>(times), scores);
    }
    std::vector<Found> found;
    for (Slot slot = 0; slot < scores.size(); ++slot)
      if (scores[slot] > 0 && keep(chunks_[slot])) found.push_back({static_cast<float>(scores[slot]), slot});
    const auto middle = found.begin() + static_cast<std::ptrdiff_t>(std::min(k, found.size()));
    std::partial_sort(found.begin(), middle, found.end(), [](const Found& a, const Found& b) {
      return a.score != b.score ? a.score > b.score : a.slot < b.slot;
    });
    std::vector<Hit> hits;
    hits.reserve(static_cast<std::size_t>(middle - found.begin()));
    for (auto at = found.begin(); at != middle; ++at) hits.push_back({chunks_[at->slot], at->score});
    return hits;
  }

  using Slot = std::uint32_t;  // the place of a chunk in chunks_, in order of insertion
  struct Posting {
    Slot slot;
    std::uint32_t times;
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };
  template <class T>
  using Map = std::unordered_map<std::string, T, Hash, std::equal_to<>>;

  /// The question's words with their number, in order of first appearance.
  std::vector<std::pair<std::string, std::uint32_t>> query(std::string_view question,
                                                           bool with_stop_words) const {
    std::vector<std::pair<std::string, std::uint32_t>> counts;
    Map<std::size_t> places;
    split_(question, [&](std::string_view word, bool stop) {
      if (stop && !with_stop_words) return;
      const auto [place, is_new] = places.try_emplace(std::string(word), counts.size());
      if (is_new) counts.emplace_back(word, 0);
      ++counts[place->second].second;
    });
    return counts.empty() && !with_stop_words ? query(question, true) : counts;
  }

  // Every chunk's terms are added in the order of the question, so equal input gives equal bits.
  void add_scores(const std::vector<Posting>& postings, double times, std::vector<double>& scores) const {
    const auto all = static_cast<double>(size()), with = static_cast<double>(postings.size());
    const double weight = times * std::log(1 + (all - with + 0.5) / (with + 0.5));
    const double mean = static_cast<double>(words_) / all;
    for (const Posting& posting : postings) {
      const double relative = static_cast<double>(lengths_[posting.slot]) / mean;
      const double often = posting.times;
      scores[posting.slot] += weight * often * (options_.k1 + 1) /
                              (often + options_.k1 * (1 - options_.b + options_.b * relative));
    }
  }

  /// The ids that the chunks will have. Those in use by the source `replaced` are free.
  std::vector<Id> number(std::span<const Chunk> chunks, const std::string_view* replaced) const {
    std::vector<Id> ids;
    ids.reserve(chunks.size());
    std::unordered_map<Id, Slot> given;
    Id next = next_id_;
    for (const Chunk& chunk : chunks) {
      const Id id = chunk.id == no_id ? next : chunk.id;
      const auto used = ids_.find(id);
      const bool is_free = used == ids_.end() || (replaced && chunks_[used->second].source == *replaced);
      if (id < 0 || id == std::numeric_limits<Id>::max() || !is_free || !given.try_emplace(id).second)
        throw Error(Errc::invalid_argument,
                    "Bm25: a free id of 0 or more wanted, " + std::to_string(id) + " given");
      ids.push_back(id);
      next = std::max(next, id + 1);
    }
    return ids;
  }

  void insert(std::span<const Chunk> chunks, std::span<const Id> ids) {
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const auto slot = static_cast<Slot>(chunks_.size());
      chunks_.push_back(chunks[i]);
      chunks_.back().id = ids[i];
      std::uint32_t& length = lengths_.emplace_back(0);
      split_(indexed_text(chunks[i]), [&](std::string_view word, bool) {
        ++length;
        auto term = terms_.find(word);
        if (term == terms_.end()) term = terms_.try_emplace(std::string(word)).first;
        std::vector<Posting>& postings = term->second;
        if (postings.empty() || postings.back().slot != slot) postings.push_back({slot, 0});
        ++postings.back().times;
      });
      sources_[chunks[i].source].push_back(slot);
      ids_.emplace(ids[i], slot);
      words_ += length;
      next_id_ = std::max(next_id_, ids[i] + 1);
    }
  }

  void remove(std::string_view source) {
    const auto found = sources_.find(source);
    if (found == sources_.end()) return;
    const std::vector<Slot>& slots = found->second;
    Map<bool> touched;
    for (const Slot slot : slots) {
      split_(indexed_text(chunks_[slot]), [&](std::string_view word, bool) {
        if (touched.find(word) == touched.end()) touched.try_emplace(std::string(word));
      });
    }
    for (const auto& [word, unused] : touched) {
      const auto term = terms_.find(word);
      remove(term->second, slots);
      if (term->second.empty()) terms_.erase(term);
    }
    for (const Slot slot : slots) {
      ids_.erase(chunks_[slot].id);
      words_ -= lengths_[slot];
      chunks_[slot] = {};
    }
    sources_.erase(found);
    if (chunks_.size() > 2 * size() + 1000) compact();
  }

  // Both are in order of slot.
  void remove(std::vector<Posting>& postings, const std::vector<Slot>& slots) const {
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

  // Closes the gaps that removed chunks left, keeping the order.
  void compact() {
    std::vector<Slot> moved(chunks_.size());
    Slot next = 0;
    for (Slot slot = 0; slot < chunks_.size(); ++slot) {
      moved[slot] = next;
      if (chunks_[slot].id == no_id) continue;
      if (next != slot) chunks_[next] = std::move(chunks_[slot]);
      lengths_[next++] = lengths_[slot];
    }
    chunks_.resize(next);
    lengths_.resize(next);
    for (auto& [word, postings] : terms_)
      for (Posting& posting : postings) posting.slot = moved[posting.slot];
    for (auto& [source, slots] : sources_)
      for (Slot& slot : slots) slot = moved[slot];
    for (auto& [id, slot] : ids_) slot = moved[slot];
  }

  Bm25Options options_;
  Words split_;
  std::vector<Chunk> chunks_;           // a removed one is empty and without an id
  std::vector<std::uint32_t> lengths_;  // in words
  Map<std::vector<Posting>> terms_;     // postings in order of slot
  Map<std::vector<Slot>> sources_;
  std::unordered_map<Id, Slot> ids_;
  std::uint64_t words_ = 0;
  Id next_id_ = 0;
};
using Bm25 = BasicBm25<>;

RAG_END
#endif
