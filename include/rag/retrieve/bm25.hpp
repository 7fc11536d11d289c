// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_BM25_HPP
#define RAG_RETRIEVE_BM25_HPP
#include <rag/concepts.hpp>
#include <rag/detail/words.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

RAG_BEGIN

struct Bm25Options {
  double k1 = 1.2;  ///< how soon more of the same word stops to count, from 0
  double b = 0.75;  ///< how much a long chunk pays for its length, 0 to 1
};

/// Finds chunks by the words of the question: no model, no download, measured best of what needs neither. Words are
/// folded and lose a plural s; Chinese and Japanese go by pairs of characters. Stop words of the question count
/// only if it has no others.
///
/// The score is BM25's sum over the question's words (Robertson and Zaragoza, "The Probabilistic Relevance
/// Framework", 2009), with log(1 + (N - n + 0.5) / (n + 0.5)) as the weight of a word that n of N chunks have: it
/// is comparable within one search only. A chunk without any of the words is no hit.
///
///     rag::Bm25 index;
///     index.add(rag::SeparatorChunker{"# "}.chunk(document));
///     index.search("How is data stored?", 3);
class Bm25 {
 public:
  Bm25() = default;
  explicit Bm25(Bm25Options options) : options_(options) {
    if (!(options.k1 >= 0 && std::isfinite(options.k1)))
      throw Error(Errc::invalid_argument, "Bm25: k1 of 0 or more wanted, " + std::to_string(options.k1) + " given");
    if (!(options.b >= 0 && options.b <= 1))
      throw Error(Errc::invalid_argument, "Bm25: b of 0 to 1 wanted, " + std::to_string(options.b) + " given");
  }

  /// Indexes all of the chunks or, on an Error, none. A chunk keeps its id or gets the next number.
  std::vector<Id> add(std::span<const Chunk> chunks) {
    std::vector<Id> ids = number(chunks, nullptr);
    insert(chunks, ids, count(chunks));
    return ids;
  }

  /// Puts the chunks, all of that source, in the place of those that came from it; no chunks: erases the source.
  std::vector<Id> replace(std::string_view source, std::span<const Chunk> chunks) {
    for (const Chunk& chunk : chunks)
      if (chunk.source != source)
        throw Error(Errc::invalid_argument, "Bm25::replace: a chunk comes from another source than the one named");
    std::vector<Id> ids = number(chunks, &source);
    const std::vector<Counted> counted = count(chunks);
    remove(source);
    insert(chunks, ids, counted);
    return ids;
  }

  void erase(std::string_view source) { remove(source); }

  /// The k chunks with the highest score, ties in order of insertion. Time: one pass over the entries of the
  /// question's words, and one number a chunk.
  std::vector<Hit> search(std::string_view question, std::size_t k) const {
    struct Found {
      float score;
      Slot slot;
    };
    std::vector<double> scores(entries_.size());
    for (const auto& [word, times] : query(question)) {
      const auto found = terms_.find(word);
      if (found != terms_.end()) add_scores(found->second, static_cast<double>(times), scores);
    }
    std::vector<Found> found;
    for (Slot slot = 0; slot < scores.size(); ++slot)
      if (scores[slot] > 0) found.push_back({static_cast<float>(scores[slot]), slot});
    const auto middle = found.begin() + static_cast<std::ptrdiff_t>(std::min(k, found.size()));
    std::partial_sort(found.begin(), middle, found.end(), [](const Found& a, const Found& b) {
      return a.score != b.score ? a.score > b.score : a.slot < b.slot;
    });
    std::vector<Hit> hits;
    hits.reserve(static_cast<std::size_t>(middle - found.begin()));
    for (auto at = found.begin(); at != middle; ++at) hits.push_back({entries_[at->slot].chunk, at->score});
    return hits;
  }

  /// The chunks of one source, in order of insertion.
  std::vector<Chunk> chunks(std::string_view source) const {
    std::vector<Chunk> chunks;
    if (const auto found = sources_.find(source); found != sources_.end())
      for (const Slot slot : found->second) chunks.push_back(entries_[slot].chunk);
    return chunks;
  }

  /// The number of chunks.
  std::size_t size() const { return ids_.size(); }

 private:
  using Slot = std::uint32_t;  // the place of a chunk in entries_, in order of insertion
  struct Entry {
    Chunk chunk;
    std::uint32_t length = 0;  // in words
    bool live = true;
  };
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
  /// The words of one chunk with their number, in order of first appearance.
  struct Counted {
    std::vector<std::pair<std::string, std::uint32_t>> words;
    std::uint32_t length = 0;
  };

  Counted count(std::string_view text, bool with_stop_words) const {
    Counted counted;
    Map<std::size_t> places;
    detail::for_each_word(text, [&](std::string_view word, bool stop) {
      if (stop && !with_stop_words) return;
      ++counted.length;
      const auto [place, is_new] = places.try_emplace(std::string(word), counted.words.size());
      if (is_new) counted.words.emplace_back(word, 0);
      ++counted.words[place->second].second;
    });
    return counted;
  }

  std::vector<Counted> count(std::span<const Chunk> chunks) const {
    std::vector<Counted> counted;
    counted.reserve(chunks.size());
    for (const Chunk& chunk : chunks) counted.push_back(count(chunk.text, true));
    return counted;
  }

  std::vector<std::pair<std::string, std::uint32_t>> query(std::string_view question) const {
    Counted counted = count(question, false);
    return counted.words.empty() ? count(question, true).words : std::move(counted.words);
  }

  // Every chunk's terms are added in the order of the question, so equal input gives equal bits.
  void add_scores(const std::vector<Posting>& postings, double times, std::vector<double>& scores) const {
    const auto all = static_cast<double>(size()), with = static_cast<double>(postings.size());
    const double weight = times * std::log(1 + (all - with + 0.5) / (with + 0.5));
    const double mean = static_cast<double>(words_) / all;
    for (const Posting& posting : postings) {
      const double relative = static_cast<double>(entries_[posting.slot].length) / mean;
      const double often = posting.times;
      scores[posting.slot] +=
          weight * often * (options_.k1 + 1) / (often + options_.k1 * (1 - options_.b + options_.b * relative));
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
      const bool is_free = used == ids_.end() || (replaced && entries_[used->second].chunk.source == *replaced);
      if (id < 0 || id == std::numeric_limits<Id>::max() || !is_free || !given.try_emplace(id).second)
        throw Error(Errc::invalid_argument, "Bm25: a free id of 0 or more wanted, " + std::to_string(id) + " given");
      ids.push_back(id);
      next = std::max(next, id + 1);
    }
    return ids;
  }

  void insert(std::span<const Chunk> chunks, std::span<const Id> ids, std::span<const Counted> counted) {
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const auto slot = static_cast<Slot>(entries_.size());
      for (const auto& [word, times] : counted[i].words) terms_[word].push_back({slot, times});
      entries_.push_back({chunks[i], counted[i].length, true});
      entries_.back().chunk.id = ids[i];
      sources_[chunks[i].source].push_back(slot);
      ids_.emplace(ids[i], slot);
      words_ += counted[i].length;
      next_id_ = std::max(next_id_, ids[i] + 1);
    }
  }

  void remove(std::string_view source) {
    const auto found = sources_.find(source);
    if (found == sources_.end()) return;
    Map<bool> touched;
    for (const Slot slot : found->second) {
      Entry& entry = entries_[slot];
      detail::for_each_word(entry.chunk.text, [&](std::string_view word, bool) { touched.try_emplace(std::string(word)); });
      ids_.erase(entry.chunk.id);
      words_ -= entry.length;
      entry = {{}, 0, false};
    }
    for (const auto& [word, unused] : touched) {
      const auto term = terms_.find(word);
      std::erase_if(term->second, [&](const Posting& posting) { return !entries_[posting.slot].live; });
      if (term->second.empty()) terms_.erase(term);
    }
    sources_.erase(found);
    if (entries_.size() > 2 * size() + 1000) compact();
  }

  // Closes the gaps that removed chunks left, keeping the order.
  void compact() {
    std::vector<Slot> moved(entries_.size());
    Slot next = 0;
    for (Slot slot = 0; slot < entries_.size(); ++slot) {
      moved[slot] = next;
      if (!entries_[slot].live) continue;
      if (next != slot) entries_[next] = std::move(entries_[slot]);
      ++next;
    }
    entries_.resize(next);
    for (auto& [word, postings] : terms_)
      for (Posting& posting : postings) posting.slot = moved[posting.slot];
    for (auto& [source, slots] : sources_)
      for (Slot& slot : slots) slot = moved[slot];
    for (auto& [id, slot] : ids_) slot = moved[slot];
  }

  Bm25Options options_;
  std::vector<Entry> entries_;
  Map<std::vector<Posting>> terms_;  // postings in order of slot
  Map<std::vector<Slot>> sources_;
  std::unordered_map<Id, Slot> ids_;
  std::uint64_t words_ = 0;
  Id next_id_ = 0;
};

RAG_END
#endif
