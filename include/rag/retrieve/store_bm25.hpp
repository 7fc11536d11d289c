// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_STORE_BM25_HPP
#define RAG_RETRIEVE_STORE_BM25_HPP
#include <rag/concepts.hpp>
#include <rag/detail/bitmap.hpp>
#include <rag/detail/fair_shared_mutex.hpp>
#include <rag/detail/parallel.hpp>
#include <rag/retrieve/bm25.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// The words of the chunks of a store, as far as they were looked at.
template <class Words>
class StoreWords {
 public:
  explicit StoreWords(WordIndex<Words> empty) : empty_(std::move(empty)), index_(empty_) {}

  template <class View>
  bool is_current(const View& view) const {
    return epoch_ == view.epoch() && index_.slots() == view.slots() && dead_ == view.dead_count();
  }

  /// Looks at what went since and at the next chunks that came, so few that the store is not held for long.
  template <class View>
  void step(const View& view) {
    try {
      if (epoch_ != view.epoch()) begin_anew(view.epoch());
      if (dead_ != view.dead_count()) take_out_dead(view);
      put_next(view);
      index_.settle();
    } catch (...) {
      begin_anew(view.epoch());
      throw;
    }
  }

  template <class View, class Keep>
  std::vector<Hit> search(const View& view, std::string_view question, std::size_t k, const Keep& keep) const {
    std::vector<Hit> hits;
    for (const auto& [score, slot] : index_.search(question, k, keep, [&](Slot a, Slot b) {
           return view.order(a) < view.order(b);
         }))
      hits.push_back({view.chunk(slot), score});
    return hits;
  }

 private:
  static constexpr std::size_t step_slots = 16384, part_slots = 2048;

  void begin_anew(std::uint64_t epoch) {
    index_ = empty_;
    taken_out_ = Bitmap();
    epoch_ = epoch, dead_ = 0;
  }

  template <class View>
  void take_out_dead(const View& view) {
    std::vector<Slot> dead;
    for (Slot slot = 0; slot < index_.slots(); ++slot)
      if (!taken_out_[slot] && !view.lives(slot)) dead.push_back(slot);
    for (std::size_t at = 0; at < dead.size(); at += part_slots)
      index_.take_out(std::span(dead).subspan(at, std::min(part_slots, dead.size() - at)),
                      [&](Slot slot) { return indexed_text(view.chunk(slot)); });
    for (const Slot slot : dead) taken_out_.set(slot);
    dead_ = view.dead_count();
  }

  template <class View>
  void put_next(const View& view) {
    const std::size_t first = index_.slots(), end = std::min(view.slots(), first + step_slots);
    taken_out_.resize(end);
    for (std::size_t slot = first; slot < end; ++slot)
      if (!view.lives(slot)) taken_out_.set(slot);
    const auto put = [&](WordIndex<Words>& index, std::size_t begin, std::size_t part_end) {
      for (std::size_t slot = begin; slot < part_end; ++slot)
        if (view.lives(slot)) index.put(indexed_text(view.chunk(slot)));
        else index.skip();
    };
    const std::size_t threads = std::min(thread_count(view.options().threads), (end - first) / part_slots);
    if (threads <= 1) return put(index_, first, end);
    std::vector<WordIndex<Words>> parts(threads, empty_);
    const auto begin_of = [&](std::size_t part) { return first + (end - first) * part / threads; };
    const auto make_work = [&] { return [&](std::size_t i) { put(parts[i], begin_of(i), begin_of(i + 1)); }; };
    parallel_for(threads, threads, make_work, view.options().executor);
    for (const WordIndex<Words>& part : parts) index_.append(part);
  }

  WordIndex<Words> empty_, index_;
  Bitmap taken_out_;  // slots that are empty in the index
  std::uint64_t epoch_ = 0;
  std::size_t dead_ = 0;  // in the store when it was looked at last
};

}  // namespace detail

/// Finds by words, as Bm25 does, the chunks that lie in a FileStore: what the store holds is what can be found, whoever
/// wrote it, in whatever way, in this process or an earlier one. Scores, filters and order are those of a Bm25 that was
/// given store.chunks({}), to the bit.
///
///     rag::FileStore store{"notes.rag"};
///     rag::Hybrid hybrid{rag::DenseRetriever{embedder, store}, rag::StoreBm25{store}};   // copies are the same store
///
/// It keeps the words alone, in memory, and reads the chunks that it finds from the store. Before each search it looks at
/// what changed in the store since the last one, which costs nothing where nothing did. The first search reads all chunks
/// (on StoreOptions::threads; seconds for 100,000), and so does the first one after the file was compacted; catch_up() does
/// that at a time of your choice.
///
/// It writes nothing: chunks come into the store by the store itself or the first leg of a Hybrid; add() and replace() only
/// make sure that they are there. Copies share one index; any thread may call anything at any time.
template <class S, class Words = EnglishWords>
class StoreBm25 {
  static_assert(requires(const S& store) { store.view([](const auto&) { return true; }); },
                "rag::StoreBm25: argument 1 is not a FileStore; use rag::Bm25 beside another store");

 public:
  explicit StoreBm25(S store, Bm25Options options = {}, Words words = {})
      : store_(std::move(store)), shared_(std::make_shared<Shared>(detail::word_index(options, std::move(words)))) {}

  /// The ids of the chunks, which must be in the store already: an Error (invalid_argument) where one is not.
  std::vector<Id> add(std::span<const Chunk> chunks) {
    std::vector<Id> ids;
    ids.reserve(chunks.size());
    store_.view([&](const auto& view) {
      for (const Chunk& chunk : chunks) {
        check_there(view, view.find(chunk.id), chunk, "add");
        ids.push_back(chunk.id);
      }
      return true;
    });
    return ids;
  }
  /// The same of all chunks of a source.
  std::vector<Id> replace(std::string_view source, std::span<const Chunk> chunks) {
    std::vector<Id> ids;
    ids.reserve(chunks.size());
    store_.view([&](const auto& view) {
      const std::vector<detail::Slot> slots = view.slots_of(source);
      if (slots.size() != chunks.size())
        not_there("replace", std::to_string(chunks.size()) + " chunks of '" + std::string(source) +
                                 "' wanted in the store, " + std::to_string(slots.size()) + " met");
      for (std::size_t i = 0; i < chunks.size(); ++i) {
        check_there(view, slots[i], chunks[i], "replace");
        ids.push_back(chunks[i].id);
      }
      return true;
    });
    return ids;
  }

  /// The k chunks with the highest score, ties in order of insertion.
  std::vector<Hit> search(std::string_view question, std::size_t k) const {
    return current([&](const auto& view, const Index& index) {
      return index.search(view, question, k, [](detail::Slot) { return true; });
    });
  }
  /// The same among the chunks that a rag::Filter keeps. What a word weighs is still counted over all chunks.
  template <class F>
    requires requires(const F& filter, const Chunk& chunk) { { matches(filter, chunk) } -> std::same_as<bool>; }
  std::vector<Hit> search(std::string_view question, std::size_t k, const F& filter) const {
    return current([&](const auto& view, const Index& index) {
      const std::optional<detail::Bitmap> kept = view.kept(filter);
      return index.search(view, question, k, [&](detail::Slot slot) { return !kept || (*kept)[slot]; });
    });
  }

  /// Does now what the next search would do first.
  void catch_up() const {
    current([](const auto&, const Index&) { return true; });
  }

  /// The chunks of one source, in order of insertion.
  std::vector<Chunk> chunks(std::string_view source) const { return store_.chunks(source); }
  /// The number of chunks.
  std::size_t size() const { return store_.size(); }

  S& store() { return store_; }
  const S& store() const { return store_; }

 private:
  using Index = detail::StoreWords<Words>;
  struct Shared {
    explicit Shared(detail::WordIndex<Words> empty) : index(std::move(empty)) {}
    Index index;
    detail::FairSharedMutex mutex;  // taken before the store's
  };

  /// work(view, index) on an index that has all that the store has.
  template <class Work>
  auto current(const Work& work) const {
    const auto try_it = [&](const auto& view) {
      using Result = std::optional<decltype(work(view, std::as_const(shared_->index)))>;
      return shared_->index.is_current(view) ? Result(work(view, std::as_const(shared_->index))) : Result();
    };
    if (const std::shared_lock lock(shared_->mutex); auto result = store_.view(try_it)) return *std::move(result);
    for (;;) {
      const std::unique_lock lock(shared_->mutex);
      auto result = store_.view([&](const auto& view) {
        shared_->index.step(view);
        return try_it(view);
      });
      if (result) return *std::move(result);
    }
  }

  template <class View>
  static void check_there(const View& view, detail::Slot slot, const Chunk& wanted, const char* call) {
    if (slot != detail::no_slot) {
      const Chunk met = view.chunk(slot);
      if (met.id == wanted.id && met.source == wanted.source && met.text == wanted.text) return;
    }
    not_there(call, "a chunk wanted that is in the store, one of '" + wanted.source + "' given that is not");
  }
  [[noreturn]] static void not_there(const char* call, const std::string& what) {
    throw Error(Errc::invalid_argument, std::string("StoreBm25::") + call + ": " + what +
                                            "; the store itself or the first leg of a Hybrid writes");
  }

  S store_;
  std::shared_ptr<Shared> shared_;
};

RAG_END
#endif
