// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_FLAT_HPP
#define RAG_STORE_FLAT_HPP
#include <rag/concepts.hpp>
#include <rag/detail/field_indexes.hpp>
#include <rag/detail/flat_file.hpp>
#include <rag/detail/row_segments.hpp>
#include <rag/detail/scan.hpp>
#include <rag/detail/vector_length.hpp>
#include <rag/store/filter.hpp>
#include <rag/store/metric.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

RAG_BEGIN

/// The dimension of a store that learns it from the first vectors.
inline constexpr std::size_t dynamic_dimension = 0;

struct FlatOptions {
  std::size_t threads = 1;  ///< that one search may use; 0: all of the machine
  Executor executor = {};   ///< a pool of your own for them
};

namespace detail {

// dimension() is static constexpr where the type knows it, so that static_dimension sees it.
template <std::size_t Dimension>
struct FlatDimension {
  static constexpr std::size_t dimension() { return Dimension; }

 protected:
  void learn_dimension(std::size_t) {}
};
template <>
struct FlatDimension<dynamic_dimension> {
  std::size_t dimension() const { return dimension_; }

 protected:
  void learn_dimension(std::size_t dimension) { dimension_ = dimension; }

 private:
  std::size_t dimension_ = 0;
};

}  // namespace detail

/// Chunks and their vectors in memory. Search is exact: the hits and scores of a plain scan in fp32, with the same bits
/// on every instruction set and any number of threads, though of a large store only a part of the bytes is read. Ties
/// come in the order of insertion.
///
///     rag::FlatStore any;                           // inner product, dimension learnt from the first vectors
///     rag::FlatStore<384> fixed;                    // checked by the compiler
///     rag::FlatStore<384, rag::Cosine> directions;  // or rag::L2
///     rag::FlatStore wide{{.threads = 4}};
///
/// Memory: 4 bytes a column, from some thousand chunks on 5.6, and the chunks. Erased ones give theirs back. Every change
/// is all or nothing, also where memory runs out. Any number of threads may search while none changes the store.
template <std::size_t Dimension = dynamic_dimension, class Metric = InnerProduct>
class FlatStore : public detail::FlatDimension<Dimension> {
  static_assert(std::is_same_v<Metric, InnerProduct> || std::is_same_v<Metric, Cosine> || std::is_same_v<Metric, L2>,
                "rag::FlatStore: argument 2 is not a metric: rag::InnerProduct, rag::Cosine or rag::L2");

 public:
  using detail::FlatDimension<Dimension>::dimension;

  FlatStore() = default;
  FlatStore(const FlatStore&) = default;
  FlatStore(FlatStore&&) noexcept = default;
  FlatStore& operator=(const FlatStore& other) { return *this = FlatStore(other); }  // all or nothing
  FlatStore& operator=(FlatStore&&) noexcept = default;
  explicit FlatStore(FlatOptions options) : options_(std::move(options)) {}

  /// Appends chunks[i] with row i. A chunk without an id gets the next number, one with an id keeps it; an id in
  /// use, another number of columns, NaN and infinity are Errors. The first rows set a dimension not known yet.
  std::vector<Id> add(std::span<const Chunk> chunks, const Matrix& vectors) {
    check(chunks, vectors, "add");
    std::vector<Id> ids = number(chunks, "add", [](const Chunk&) { return false; });
    put_all(chunks, ids, vectors, {});
    return ids;
  }

  /// Puts each chunk, which must have an id, in the place of the one of that id, or appends it.
  std::vector<Id> upsert(std::span<const Chunk> chunks, const Matrix& vectors) {
    check(chunks, vectors, "upsert");
    for (const Chunk& chunk : chunks)
      if (chunk.id == no_id) throw Error(Errc::invalid_argument, "FlatStore::upsert: chunks with ids wanted, one has none");
    std::vector<Id> ids = number(chunks, "upsert", [](const Chunk&) { return true; });
    put_all(chunks, ids, vectors, {});
    return ids;
  }

  /// Puts the chunks, all of `source`, in the place of those that came from it; no chunks: erases the source.
  std::vector<Id> replace(std::string_view source, std::span<const Chunk> chunks, const Matrix& vectors) {
    check(chunks, vectors, "replace");
    for (const Chunk& chunk : chunks)
      if (chunk.source != source)
        throw Error(Errc::invalid_argument, "FlatStore::replace: a chunk comes from another source than the one named");
    std::vector<Id> ids =
        number(chunks, "replace", [&](const Chunk& there) { return there.source == source; });
    put_all(chunks, ids, vectors, indexes_.of_source(source, size(), entry_at()));
    return ids;
  }

  /// Takes out the chunks of these ids and gives their number; an id that is not there is no error.
  std::size_t erase(std::span<const Id> ids) {
    std::vector<std::size_t> slots;
    for (const Id id : ids)
      if (const auto found = slots_.find(id); found != slots_.end()) slots.push_back(found->second);
    return erase_slots(std::move(slots));
  }
  /// The same of all that the filter keeps: a default one keeps everything.
  std::size_t erase(const Filter& filter) { return erase_slots(slots_of(filter)); }

  /// The k nearest chunks, best first, of those that the filter keeps:
  ///     store.search(query, 5, rag::field("language") == "en" && rag::field("year") >= 2020);
  std::vector<Hit> search(std::span<const float> query, std::size_t k, const Filter& filter = {}) const {
    check_query(query, "search");
    const std::optional<detail::Bitmap> keep = bitmap(filter);
    if (k == 0 || size() == 0) return {};
    return hits(detail::scan_top_k<Metric>(rows_.scan_segments(), dimension(), unit_of(query), std::min(k, size()),
                                           keep ? &*keep : nullptr, scan_options()));
  }

  /// The same for each row of `queries`, in one pass: faster than one by one.
  std::vector<std::vector<Hit>> search(const Matrix& queries, std::size_t k, const Filter& filter = {}) const {
    for (std::size_t i = 0; i < queries.rows(); ++i) check_query(queries.row(i), "search", i);
    const std::optional<detail::Bitmap> keep = bitmap(filter);
    std::vector<std::vector<Hit>> all(queries.rows());
    if (k == 0 || size() == 0 || all.empty()) return all;
    const auto found =
        detail::scan_top_k_batch<Metric>(rows_.scan_segments(), dimension(), units_of(queries), std::min(k, size()),
                                         keep ? &*keep : nullptr, scan_options());
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = hits(found[i]);
    return all;
  }

  /// All chunks with this score or a higher one, best first, of those that the filter keeps.
  std::vector<Hit> search_above(std::span<const float> query, float score, const Filter& filter = {}) const {
    check_query(query, "search_above");
    if (std::isnan(score)) throw Error(Errc::invalid_argument, "FlatStore::search_above: a score wanted, NaN given");
    const std::optional<detail::Bitmap> keep = bitmap(filter);
    if (size() == 0) return {};
    return hits(detail::scan_at_least<Metric>(rows_.scan_segments(), dimension(), unit_of(query), score,
                                              keep ? &*keep : nullptr, scan_options()));
  }

  /// The chunk of an id, or null. It is there until the store changes.
  const Chunk* find(Id id) const {
    const auto found = slots_.find(id);
    return found == slots_.end() ? nullptr : &rows_.chunk(found->second);
  }
  /// The vector of an id, empty if it is not there.
  std::span<const float> vector(Id id) const {
    const auto found = slots_.find(id);
    return found == slots_.end() ? std::span<const float>{} : row(found->second);
  }
  /// The chunks of one source, in order of insertion.
  std::vector<Chunk> chunks(std::string_view source) const {
    return chunks_at(in_order(indexes_.of_source(source, size(), entry_at())));
  }
  /// The chunks that the filter keeps, in order of insertion.
  std::vector<Chunk> chunks(const Filter& filter) const { return chunks_at(in_order(slots_of(filter))); }
  /// Their ids.
  std::vector<Id> ids(const Filter& filter = {}) const {
    std::vector<Id> all;
    for (const std::size_t slot : in_order(slots_of(filter))) all.push_back(rows_.chunk(slot).id);
    return all;
  }
  /// Their number.
  std::size_t count(const Filter& filter) const {
    const std::optional<detail::Bitmap> keep = bitmap(filter);
    return keep ? keep->count() : size();
  }
  std::size_t size() const { return rows_.size(); }

  /// Writes one file, whole or not at all: a crash leaves the old file or the new one. Readable by its owner alone.
  void save(const std::string& path) const {
    std::vector<const Chunk*> chunks;
    std::vector<std::string_view> rows;  // of chunks whose rows follow one another, in one piece
    for (const std::size_t slot : in_order(slots_of({}))) {
      chunks.push_back(&rows_.chunk(slot));
      const std::string_view bytes = detail::as_bytes(row(slot));
      if (!rows.empty() && rows.back().data() + rows.back().size() == bytes.data())
        rows.back() = {rows.back().data(), rows.back().size() + bytes.size()};
      else rows.push_back(bytes);
    }
    detail::write_flat_file(path, dimension(), metric_number, next_id_, chunks, rows);
  }

  /// Reads what save() wrote. Errors: not_found, io, corrupt (with the byte), invalid_format (another kind of file),
  /// unsupported (a newer format, another metric), dimension_mismatch.
  static FlatStore load(const std::string& path, FlatOptions options = {}) {
    const detail::FlatImage image = detail::read_flat_file(path);
    const std::string who = "FlatStore::load: " + path + ": ";
    if (image.metric != metric_number)
      throw Error(Errc::unsupported, who + Metric::name + " wanted, metric " + std::to_string(image.metric) + " met");
    if (Dimension != 0 && image.dimension != 0 && image.dimension != Dimension)
      throw Error(Errc::dimension_mismatch, who + std::to_string(Dimension) + " columns wanted, " +
                                                std::to_string(image.dimension) + " met");
    FlatStore store(std::move(options));
    try {
      store.add(image.chunks, image.vectors);
    } catch (const Error& error) {
      throw Error(Errc::corrupt, who + "damaged: " + error.what());
    }
    if (image.next_id < store.next_id_) throw Error(Errc::corrupt, who + "damaged: the next id is in use");
    store.next_id_ = image.next_id;
    store.learn_dimension(image.dimension);
    return store;
  }

 private:
  static constexpr std::uint32_t metric_number = Metric::number;
  static constexpr bool is_cosine = std::is_same_v<Metric, Cosine>;
  static constexpr std::size_t unplaced = std::numeric_limits<std::size_t>::max();

  std::span<const float> row(std::size_t slot) const { return {rows_.row(slot), dimension()}; }
  auto entry_at() const {
    return [this](std::size_t slot) { return &rows_.chunk(slot); };
  }
  detail::ScanOptions scan_options() const { return {.threads = options_.threads, .executor = options_.executor}; }

  [[noreturn]] void wrong_columns(const char* call, std::size_t given) const {
    throw Error(Errc::dimension_mismatch, std::string("FlatStore::") + call + ": " + std::to_string(dimension()) +
                                              " columns wanted, " + std::to_string(given) + " given");
  }
  void check_query(std::span<const float> query, const char* call, std::size_t number = 0) const {
    if (dimension() == 0) return;
    if (query.size() != dimension()) wrong_columns(call, query.size());
    detail::check_length(query, std::string("FlatStore::") + call, "query", number);
  }
  void check(std::span<const Chunk> chunks, const Matrix& vectors, const char* call) const {
    if (vectors.rows() != chunks.size())
      throw Error(Errc::invalid_argument, std::string("FlatStore::") + call + ": " + std::to_string(chunks.size()) +
                                              " rows wanted, one a chunk, " + std::to_string(vectors.rows()) + " given");
    if (chunks.empty()) return;
    if (vectors.columns() == 0)
      throw Error(Errc::dimension_mismatch, std::string("FlatStore::") + call + ": 1 column or more wanted, 0 given");
    if (dimension() != 0 && vectors.columns() != dimension()) wrong_columns(call, vectors.columns());
    for (std::size_t i = 0; i < vectors.rows(); ++i) detail::check_length(vectors.row(i), std::string("FlatStore::") + call, "row", i);
  }

  /// For the cosine, each query at length 1.
  static Matrix units_of(const Matrix& queries) {
    Matrix units = queries;
    if constexpr (is_cosine)
      for (std::size_t i = 0; i < units.rows(); ++i) detail::scale_to_unit(units.row(i));
    return units;
  }
  static std::vector<float> unit_of(std::span<const float> query) {
    std::vector<float> unit(query.begin(), query.end());
    if constexpr (is_cosine) detail::scale_to_unit(unit);
    return unit;
  }

  std::vector<Hit> hits(const std::vector<detail::Found>& found) const {
    std::vector<Hit> all;
    all.reserve(found.size());
    for (const detail::Found& one : found) all.push_back({rows_.chunk(one.slot), one.score});
    return all;
  }

  /// The slots that the filter keeps; none: all of them.
  std::optional<detail::Bitmap> bitmap(const Filter& filter) const {
    if (filter.keeps_everything()) return std::nullopt;
    return indexes_.select(filter, size(), entry_at());
  }
  std::vector<std::size_t> slots_of(const Filter& filter) const {
    std::vector<std::size_t> slots;
    const std::optional<detail::Bitmap> keep = bitmap(filter);
    for (std::size_t slot = 0; slot < size(); ++slot)
      if (!keep || (*keep)[slot]) slots.push_back(slot);
    return slots;
  }
  std::vector<std::size_t> in_order(std::vector<std::size_t> slots) const {
    const auto before = [&](std::size_t a, std::size_t b) { return rows_.order(a) < rows_.order(b); };
    if (!std::is_sorted(slots.begin(), slots.end(), before)) std::sort(slots.begin(), slots.end(), before);
    return slots;
  }
  std::vector<Chunk> chunks_at(const std::vector<std::size_t>& slots) const {
    std::vector<Chunk> all;
    all.reserve(slots.size());
    for (const std::size_t slot : slots) all.push_back(rows_.chunk(slot));
    return all;
  }

  /// The ids that the chunks will have. An id in use is free for those that may_replace.
  template <class MayReplace>
  std::vector<Id> number(std::span<const Chunk> chunks, const char* call, MayReplace may_replace) const {
    std::vector<Id> ids;
    ids.reserve(chunks.size());
    Id next = next_id_;
    for (const Chunk& chunk : chunks) {
      const Id id = chunk.id == no_id ? next : chunk.id;
      const Chunk* there = find(id);
      if (id < 0 || id == std::numeric_limits<Id>::max() || (there != nullptr && !may_replace(*there)))
        throw Error(Errc::invalid_argument, std::string("FlatStore::") + call + ": a free id of 0 or more wanted, " +
                                                std::to_string(id) + " given");
      ids.push_back(id);
      next = std::max(next, id + 1);
    }
    std::vector<Id> sorted = ids;
    std::sort(sorted.begin(), sorted.end());
    if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end())
      throw Error(Errc::invalid_argument,
                  std::string("FlatStore::") + call + ": the id " + std::to_string(*twice) + " is given twice");
    return ids;
  }

  /// Takes out what is at the slots `gone`, then puts each chunk in the place of the one of its id or behind the last.
  void put_all(std::span<const Chunk> chunks, std::span<const Id> ids, const Matrix& vectors,
               std::vector<std::size_t> gone) {
    std::vector<Chunk> copies(chunks.begin(), chunks.end());  // `chunks` may be the store's own and move
    std::vector<Id> sorted(ids.begin(), ids.end());
    std::sort(sorted.begin(), sorted.end());
    rows_.reserve(size() + copies.size(), chunks.empty() ? dimension() : vectors.columns(), gone.size() + copies.size());
    reserve_slots(ids);
    // From here on nothing fails. What was reserved before a failure stays behind, and nobody sees it.
    remove(gone, sorted);
    if (vectors.rows() > 0) this->learn_dimension(vectors.columns());
    for (std::size_t i = 0; i < copies.size(); ++i) put(std::move(copies[i]), ids[i], vectors.row(i));
    rows_.settle(options_.threads, options_.executor);
  }

  std::size_t erase_slots(std::vector<std::size_t> slots) {
    std::sort(slots.begin(), slots.end());
    slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
    rows_.reserve(size(), dimension(), slots.size());
    remove(slots, {});
    rows_.settle(options_.threads, options_.executor);
    return slots.size();
  }

  /// An entry for each id, so that put() makes none.
  void reserve_slots(std::span<const Id> ids) {
    std::size_t done = 0;
    try {
      for (; done < ids.size(); ++done) slots_.try_emplace(ids[done], unplaced);
    } catch (...) {
      for (std::size_t i = 0; i < done; ++i)
        if (const auto found = slots_.find(ids[i]); found->second == unplaced) slots_.erase(found);
      throw;
    }
  }

  void put(Chunk&& chunk, Id id, std::span<const float> values) noexcept {
    chunk.id = id;
    const float length = is_cosine ? static_cast<float>(detail::vector_length(values)) : 0.0f;
    std::size_t& slot = slots_.find(id)->second;
    if (slot == unplaced) {
      slot = size();
      rows_.push(std::move(chunk), values.data(), length);
    } else {
      indexes_.take_out(slot);
      rows_.set(slot, std::move(chunk), values.data(), length);
    }
    indexes_.put(slot, rows_.chunk(slot));
    next_id_ = std::max(next_id_, id + 1);
  }

  /// Takes out what is at some slots, from the last on: so what fills a hole is never one that goes too. The ids of
  /// `coming`, sorted, keep their entry for what is put next.
  void remove(std::vector<std::size_t>& slots, std::span<const Id> coming) noexcept {
    std::sort(slots.begin(), slots.end(), std::greater<>());
    for (const std::size_t slot : slots) {
      const auto entry = slots_.find(rows_.chunk(slot).id);
      if (std::binary_search(coming.begin(), coming.end(), entry->first)) entry->second = unplaced;
      else slots_.erase(entry);
      indexes_.take_out(slot);
      rows_.remove(slot);
      if (slot == size()) continue;
      slots_.find(rows_.chunk(slot).id)->second = slot;
      indexes_.move(size(), slot);
    }
  }

  FlatOptions options_;
  detail::RowSegments rows_{is_cosine};
  std::unordered_map<Id, std::size_t> slots_;
  detail::FieldIndexes indexes_;
  Id next_id_ = 0;
};

RAG_END
#endif
