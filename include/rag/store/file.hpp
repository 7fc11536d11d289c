// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_FILE_HPP
#define RAG_STORE_FILE_HPP
#include <rag/concepts.hpp>
#include <rag/detail/collection_changes.hpp>
#include <rag/detail/collection_search.hpp>
#include <rag/detail/collection_view.hpp>
#include <rag/detail/store_core.hpp>
#include <rag/store/disk_file.hpp>
#include <rag/store/filter.hpp>
#include <rag/store/metric.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

/// What a collection is for, told once when it is created.
struct CollectionOptions {
  std::size_t dimension = 0;  ///< 0: that of the first rows
  AnyMetric metric = InnerProduct{};
  std::string embedder = {};  ///< which model made the vectors: its name(); another one is refused at opening
};

template <class File, class Clock, class Random>
class BasicFileCollections;

/// Chunks and their vectors in a file: one collection of it. Search is exact, on the rows where they lie in
/// the file, so a store may be larger than memory and is ready as soon as it is open. Scores and their order
/// are those of FlatStore, bit for bit. Fulfils ReplacingStore.
///
///     rag::FileStore notes{"notes.rag"};                                            // its collection "default"
///     rag::FileStore notes{"notes.rag", {.dimension = 384, .embedder = embedder.name()}};
///     auto faq = rag::open_store("./milvus_demo.db").open("my_rag_collection");     // one of several
///
/// A change is on the disk when the call returns (Durability::each_batch), whole, and none of it after an
/// Error. A file has one writer, in whatever process (Errc::busy), and any number of readers (Access::read),
/// which see it as it was when they opened it or called refresh(). Copies are the same store; any thread may
/// call anything at any time.
///
/// What is erased or replaced takes room until the file is compacted, which happens by itself when more than
/// half of it is dead. docs/store-format.md describes the file.
///
/// File, Clock and Random are policies: DiskFile, SystemClock, SystemRandom.
template <class File = DiskFile, class Clock = SystemClock, class Random = SystemRandom>
class BasicFileStore {
 public:
  using Collections = BasicFileCollections<File, Clock, Random>;

  /// Opens the collection "default" of a file, and makes either if it is not there. Errors: busy (open for
  /// writing elsewhere), dimension_mismatch, unsupported (another metric or embedder, a newer format),
  /// corrupt (with the byte), invalid_format (another kind of file), io.
  explicit BasicFileStore(const std::string& path, const CollectionOptions& options = {},
                          StoreOptions store = {})
      : BasicFileStore(Collections(path, std::move(store)).open_or_create("default", options)) {}

  /// Appends chunks[i] with row i, all or none. A chunk without an id gets the next number, one with an id
  /// keeps it; an id in use, another number of columns, NaN and infinity are Errors. The first rows set a
  /// dimension not known yet.
  std::vector<Id> add(std::span<const Chunk> chunks, const Matrix& vectors) {
    return put(detail::PutKind::add, {}, chunks, vectors);
  }
  /// Puts each chunk, which must have an id, in the place of the one of that id, or appends it.
  std::vector<Id> upsert(std::span<const Chunk> chunks, const Matrix& vectors) {
    return put(detail::PutKind::upsert, {}, chunks, vectors);
  }
  /// Puts the chunks, all of `source`, in the place of those that came from it; no chunks: erases the source.
  std::vector<Id> replace(std::string_view source, std::span<const Chunk> chunks, const Matrix& vectors) {
    return put(detail::PutKind::replace, source, chunks, vectors);
  }
  /// Takes out the chunks of these ids and gives their number; an id that is not there is no error.
  std::size_t erase(std::span<const Id> ids) {
    return core_->change([&](auto& writer, bool sync) {
      return detail::erase_ids(writer, here(writer.states(), "erase"), ids, sync);
    });
  }
  /// The same of all that the filter keeps: a default one keeps everything.
  std::size_t erase(const Filter& filter) {
    return core_->change([&](auto& writer, bool sync) {
      detail::CollectionState& state = here(writer.states(), "erase");
      return detail::erase_slots(writer, state, detail::slots_in_order(state, filter), sync);
    });
  }

  /// The k nearest chunks, best first, of those that the filter keeps:
  ///     store.search(query, 5, rag::field("language") == "en" && rag::field("year") >= 2020);
  std::vector<Hit> search(std::span<const float> query, std::size_t k, const Filter& filter = {}) const {
    return look("search", [&](const State& state) {
      return detail::search_collection(state, query, k, filter, scan_options(), who("search"));
    });
  }
  /// The same for each row of `queries`, in one pass: faster than one by one.
  std::vector<std::vector<Hit>> search(const Matrix& queries, std::size_t k,
                                       const Filter& filter = {}) const {
    return look("search", [&](const State& state) {
      return detail::search_collection(state, queries, k, filter, scan_options(), who("search"));
    });
  }
  /// All chunks with this score or a higher one, best first, of those that the filter keeps.
  std::vector<Hit> search_above(std::span<const float> query, float score, const Filter& filter = {}) const {
    return look("search_above", [&](const State& state) {
      return detail::search_collection_above(state, query, score, filter, scan_options(),
                                             who("search_above"));
    });
  }

  /// The chunk of an id, if it is there.
  std::optional<Chunk> find(Id id) const {
    return look("find", [&](const State& state) {
      const detail::Slot slot = state.find(id);
      return slot == detail::no_slot ? std::optional<Chunk>() : std::optional<Chunk>(state.chunk(slot));
    });
  }
  /// The vector of an id, empty if it is not there.
  std::vector<float> vector(Id id) const {
    return look("vector", [&](const State& state) {
      const detail::Slot slot = state.find(id);
      if (slot == detail::no_slot) return std::vector<float>();
      const float* row = state.row(slot);
      return std::vector<float>(row, row + state.info.dimension);
    });
  }
  /// The chunks of one source, in order of insertion.
  std::vector<Chunk> chunks(std::string_view source) const {
    return look("chunks", [&](const State& state) { return state.chunks_at(state.slots_of(source)); });
  }
  /// The chunks that the filter keeps, in order of insertion.
  std::vector<Chunk> chunks(const Filter& filter) const {
    return look("chunks",
                [&](const State& state) { return state.chunks_at(detail::slots_in_order(state, filter)); });
  }
  /// Their ids.
  std::vector<Id> ids(const Filter& filter = {}) const {
    return look("ids", [&](const State& state) {
      std::vector<Id> ids;
      for (const detail::Slot slot : detail::slots_in_order(state, filter)) ids.push_back(state.id(slot));
      return ids;
    });
  }
  /// Their number.
  std::size_t count(const Filter& filter) const {
    return look("count", [&](const State& state) {
      const std::optional<detail::Bitmap> bits = detail::findable(state, filter);
      return bits ? bits->count() : state.slots;
    });
  }

  std::size_t size() const {
    return look("size", [](const State& state) { return state.size(); });
  }
  std::size_t dimension() const {
    return look("dimension",
                [](const State& state) { return static_cast<std::size_t>(state.info.dimension); });
  }
  AnyMetric metric() const {
    return look("metric", [](const State& state) { return AnyMetric::of(state.info.metric); });
  }
  /// Which model made the vectors, as it was told at creation; may be empty.
  std::string embedder() const {
    return look("embedder", [](const State& state) { return state.info.embedder; });
  }
  /// Of the collection.
  std::string name() const {
    return look("name", [](const State& state) { return state.info.name; });
  }

  /// For an index beside the store, such as StoreBm25's: work(view) on the chunks where they lie, which do not change
  /// meanwhile. It may not call the store. See detail::CollectionView.
  template <class Work>
  auto view(Work&& work) const {
    return look("view", [&](const State& state) {
      return work(detail::CollectionView(state, core_->epoch(), scan_options()));
    });
  }

  /// The file, with all its collections.
  Collections collections() const { return Collections(core_); }

  /// These are for the whole file, see FileCollections.
  void flush() { core_->flush(); }
  void checkpoint() { core_->checkpoint(); }
  void compact() { core_->compact(); }
  bool refresh() { return core_->refresh(); }
  StoreReport check() const { return core_->check(); }

 private:
  friend Collections;
  using Core = detail::StoreCore<File, Clock, Random>;
  using State = detail::CollectionState;

  BasicFileStore(std::shared_ptr<Core> core, std::uint32_t number)
      : core_(std::move(core)), number_(number) {}

  static std::string who(const char* call) { return std::string("FileStore::") + call; }

  detail::CollectionState& here(const detail::CollectionStates& states, const char* call) const {
    detail::CollectionState* state = states.find(number_);
    if (state == nullptr)
      throw Error(Errc::not_found, who(call) + ": the collection was dropped from " + core_->path());
    return *state;
  }
  template <class Work>
  auto look(const char* call, Work&& work) const {
    return core_->read([&](const detail::CollectionStates& states) {
      return work(static_cast<const State&>(here(states, call)));
    });
  }

  std::vector<Id> put(detail::PutKind kind, std::string_view source, std::span<const Chunk> chunks,
                      const Matrix& vectors) {
    return core_->change([&](auto& writer, bool sync) {
      detail::CollectionState& state = here(writer.states(), detail::name_of(kind));
      detail::Put put(state, kind, source, chunks, vectors);
      put.write(writer, sync);
      return std::move(put).ids();
    });
  }

  detail::ScanOptions scan_options() const {
    detail::ScanOptions options;
    options.threads = core_->options().threads;
    options.executor = core_->options().executor;
    return options;
  }

  std::shared_ptr<Core> core_;
  std::uint32_t number_;
};

/// A file that holds named collections.
///
///     rag::FileCollections database{"./milvus_demo.db"};
///     if (database.has("faq")) database.drop("faq");
///     rag::FileStore faq = database.create("faq", {.dimension = 384, .metric = rag::InnerProduct{}});
template <class File = DiskFile, class Clock = SystemClock, class Random = SystemRandom>
class BasicFileCollections {
 public:
  using Store = BasicFileStore<File, Clock, Random>;

  /// Opens the file; to write, one that is not there is made. Errors: see FileStore.
  explicit BasicFileCollections(const std::string& path, StoreOptions options = {})
      : core_(std::make_shared<Core>(path, std::move(options))) {}

  bool has(std::string_view name) const {
    return core_->read([&](const detail::CollectionStates& states) { return states.find(name) != nullptr; });
  }
  /// The names, in the order of creation.
  std::vector<std::string> list() const {
    return core_->read([&](const detail::CollectionStates& states) {
      std::vector<std::string> names;
      for (const auto& state : states.list) names.push_back(state->info.name);
      return names;
    });
  }
  /// Makes a collection. A name in use is an Error (invalid_argument).
  Store create(std::string_view name, const CollectionOptions& options = {}) {
    return Store(core_, core_->change([&](auto& writer, bool sync) {
      return detail::create_collection(writer, name, options.dimension, options.metric.number(),
                                       options.embedder, sync);
    }));
  }
  /// Opens one that is there (not_found). What is wanted of it and not so is an Error that names both.
  Store open(std::string_view name) const { return Store(core_, number_of(name)); }
  Store open(std::string_view name, const CollectionOptions& wanted) const {
    core_->read([&](const detail::CollectionStates& states) {
      const detail::CollectionState* state = states.find(name);
      if (state != nullptr)
        detail::check_collection(state->info, wanted.dimension, wanted.metric.number(), wanted.metric.name(),
                                 AnyMetric::of(state->info.metric).name(), wanted.embedder, core_->where());
      return 0;
    });
    return open(name);
  }
  Store open_or_create(std::string_view name, const CollectionOptions& options = {}) {
    if (core_->writes() && !has(name))
      core_->change([&](auto& writer, bool sync) {
        if (writer.states().find(name) == nullptr)  // another thread may have been faster
          detail::create_collection(writer, name, options.dimension, options.metric.number(), options.embedder,
                                    sync);
        return 0;
      });
    return open(name, options);
  }
  /// Takes a collection away; false: there was none of that name. Its room is free after a compaction.
  bool drop(std::string_view name) {
    if (!has(name)) return false;
    return core_->change([&](auto& writer, bool sync) {
      const detail::CollectionState* state = writer.states().find(name);
      if (state != nullptr) writer.drop(state->info.number, sync);
      return state != nullptr;
    });
  }

  /// Returns when all changes are on the disk; needed with Durability::batched alone.
  void flush() { core_->flush(); }
  /// Writes the tables that make the next opening immediate. Happens by itself as the file grows, and when it
  /// is closed.
  void checkpoint() { core_->checkpoint(); }
  /// Writes the file anew without what is dead, and puts it in the place of the old one at once. Readers keep
  /// the old one until they refresh().
  void compact() { core_->compact(); }
  /// A reader sees what was written since it opened or did this last; false: nothing was.
  bool refresh() { return core_->refresh(); }
  /// Reads the whole file and compares each checksum. Damage is in the report; an Error is a failure to read.
  StoreReport check() const { return core_->check(); }
  /// Bytes behind the last whole batch that opening met: what a crash left of a batch that nobody was
  /// promised.
  std::uint64_t recovered_bytes() const { return core_->recovered_bytes(); }
  std::uint64_t file_bytes() const { return core_->file_bytes(); }
  const std::string& path() const { return core_->path(); }

 private:
  friend Store;
  using Core = detail::StoreCore<File, Clock, Random>;

  explicit BasicFileCollections(std::shared_ptr<Core> core) : core_(std::move(core)) {}

  std::uint32_t number_of(std::string_view name) const {
    return core_->read([&](const detail::CollectionStates& states) {
      const detail::CollectionState* state = states.find(name);
      if (state == nullptr)
        throw Error(Errc::not_found, core_->where() + ": no collection '" + std::string(name) + "' in it");
      return state->info.number;
    });
  }

  std::shared_ptr<Core> core_;
};

using FileStore = BasicFileStore<>;
using FileCollections = BasicFileCollections<>;

RAG_END
#endif
