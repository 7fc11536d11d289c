// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_BM25_HPP
#define RAG_RETRIEVE_BM25_HPP
#include <rag/concepts.hpp>
#include <rag/detail/word_index.hpp>
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

namespace detail {

/// An empty index; throws where the options are out of their range.
template <class Words>
WordIndex<Words> word_index(const Bm25Options& options, Words words) {
  if (!(options.k1 >= 0 && std::isfinite(options.k1)))
    throw Error(Errc::invalid_argument, "Bm25: k1 of 0 or more wanted, " + std::to_string(options.k1) + " given");
  if (!(options.b >= 0 && options.b <= 1))
    throw Error(Errc::invalid_argument, "Bm25: b of 0 to 1 wanted, " + std::to_string(options.b) + " given");
  return {options.k1, options.b, std::move(words)};
}

}  // namespace detail

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
  BasicBm25() : BasicBm25(Bm25Options()) {}
  explicit BasicBm25(Bm25Options options, Words words = {}) : index_(detail::word_index(options, std::move(words))) {}

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

  /// The k chunks with the highest score, ties in order of insertion. Time: one pass over the entries of the question's
  /// rare words; common ones are looked up where they can still matter.
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
  using Slot = detail::Slot;  // the place of a chunk in chunks_, in order of insertion

  /// Asks memory for what will be copied, so that the copies don't wait for it one after the other.
  static void fetch(const void* begin, std::size_t size) {
    const char* at = static_cast<const char*>(begin);
    for (const char* const end = at + std::min<std::size_t>(size, 2048); at < end; at += 64) __builtin_prefetch(at);
  }

  template <class Keep>
  std::vector<Hit> best(std::string_view question, std::size_t k, const Keep& keep) const {
    const auto found =
        index_.search(question, k, [&](Slot at) { return keep(chunks_[at]); }, std::less<>());
    for (const auto& one : found) fetch(&chunks_[one.slot], sizeof(Chunk));
    for (const auto& one : found) fetch(chunks_[one.slot].text.data(), chunks_[one.slot].text.size());
    std::vector<Hit> hits;
    hits.reserve(found.size());
    for (const auto& [score, slot] : found) hits.push_back({chunks_[slot], score});
    return hits;
  }

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

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
      index_.put(indexed_text(chunks[i]));
      sources_[chunks[i].source].push_back(slot);
      ids_.emplace(ids[i], slot);
      next_id_ = std::max(next_id_, ids[i] + 1);
    }
    index_.settle();
  }

  void remove(std::string_view source) {
    const auto found = sources_.find(source);
    if (found == sources_.end()) return;
    index_.take_out(found->second, [&](Slot slot) { return indexed_text(chunks_[slot]); });
    for (const Slot slot : found->second) {
      ids_.erase(chunks_[slot].id);
      chunks_[slot] = {};
    }
    sources_.erase(found);
    if (chunks_.size() > 2 * size() + 1000) compact();
    index_.settle();
  }

  // Closes the gaps that removed chunks left, keeping the order.
  void compact() {
    std::vector<Slot> moved(chunks_.size());
    Slot next = 0;
    for (Slot slot = 0; slot < chunks_.size(); ++slot) {
      moved[slot] = next;
      if (chunks_[slot].id == no_id) continue;
      if (next != slot) chunks_[next] = std::move(chunks_[slot]);
      ++next;
    }
    chunks_.resize(next);
    index_.compact(moved, next);
    for (auto& [source, slots] : sources_)
      for (Slot& slot : slots) slot = moved[slot];
    for (auto& [id, slot] : ids_) slot = moved[slot];
  }

  detail::WordIndex<Words> index_;
  std::vector<Chunk> chunks_;  // a removed one is empty and without an id
  std::unordered_map<std::string, std::vector<Slot>, Hash, std::equal_to<>> sources_;
  std::unordered_map<Id, Slot> ids_;
  Id next_id_ = 0;
};
using Bm25 = BasicBm25<>;

RAG_END
#endif
