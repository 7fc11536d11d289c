// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_FLAT_HPP
#define RAG_STORE_FLAT_HPP
#include <rag/concepts.hpp>
#include <rag/detail/dot.hpp>
#include <rag/detail/flat_file.hpp>
#include <rag/detail/top_k.hpp>
#include <rag/store/metric.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
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

/// Vectors of a greater length are refused: their inner products and distances could leave the range of a float.
inline constexpr double longest_vector = 9e18;

}  // namespace detail

/// Chunks and their vectors in memory; search is exact and reads every vector once. Scores have the same bits on
/// every instruction set. Ties come in the order of insertion.
///
///     rag::FlatStore any;                           // inner product, dimension learnt from the first vectors
///     rag::FlatStore<384> fixed;                    // checked by the compiler
///     rag::FlatStore<384, rag::Cosine> directions;  // or rag::L2
///
/// Memory: 4 bytes a column, and the chunks. Every change is all or nothing. Any number of threads may search while
/// none changes the store.
template <std::size_t Dimension = dynamic_dimension, class Metric = InnerProduct>
class FlatStore : public detail::FlatDimension<Dimension> {
  static_assert(std::is_same_v<Metric, InnerProduct> || std::is_same_v<Metric, Cosine> || std::is_same_v<Metric, L2>,
                "rag::FlatStore: argument 2 is not a metric: rag::InnerProduct, rag::Cosine or rag::L2");

 public:
  using detail::FlatDimension<Dimension>::dimension;

  /// Appends chunks[i] with row i. A chunk without an id gets the next number, one with an id keeps it; an id in
  /// use, another number of columns, NaN and infinity are Errors. The first rows set a dimension not known yet.
  std::vector<Id> add(std::span<const Chunk> chunks, const Matrix& vectors) {
    check(chunks, vectors, "add");
    std::vector<Id> ids = number(chunks, "add", [](const Chunk&) { return false; });
    put_all(chunks, ids, vectors);
    return ids;
  }

  /// Puts each chunk, which must have an id, in the place of the one of that id, or appends it.
  std::vector<Id> upsert(std::span<const Chunk> chunks, const Matrix& vectors) {
    check(chunks, vectors, "upsert");
    for (const Chunk& chunk : chunks)
      if (chunk.id == no_id) throw Error(Errc::invalid_argument, "FlatStore::upsert: chunks with ids wanted, one has none");
    std::vector<Id> ids = number(chunks, "upsert", [](const Chunk&) { return true; });
    put_all(chunks, ids, vectors);
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
    const std::string name(source);  // `source` may be the store's own and move
    const auto found = sources_.find(name);
    if (found == sources_.end() || found->second == 0) put_all(chunks, ids, vectors);
    else put_all(chunks, ids, vectors, [&](const Chunk& chunk) { return chunk.source == name; });
    return ids;
  }

  /// Takes out the chunks of these ids and gives their number; an id that is not there is no error.
  /// Time: one move of what stands behind the first of them.
  std::size_t erase(std::span<const Id> ids) {
    std::vector<Id> sorted(ids.begin(), ids.end());
    std::sort(sorted.begin(), sorted.end());
    return remove([&](const Chunk& chunk) { return std::binary_search(sorted.begin(), sorted.end(), chunk.id); }, {});
  }

  /// The k nearest chunks, best first.
  std::vector<Hit> search(std::span<const float> query, std::size_t k) const {
    return search(query, k, [](const Chunk&) { return true; });
  }

  /// The same among the chunks for which keep(chunk) is true:
  ///     store.search(query, 5, [](const rag::Chunk& chunk) { return chunk.source.ends_with(".md"); });
  template <class Keep>
    requires std::is_invocable_r_v<bool, Keep&, const Chunk&>
  std::vector<Hit> search(std::span<const float> query, std::size_t k, Keep&& keep) const {
    if (dimension() == 0) return {};
    if (query.size() != dimension()) wrong_columns("search", query.size());
    const double norm = checked_length(query, "search", "the query");
    std::vector<float> unit;
    if constexpr (std::is_same_v<Metric, Cosine>) {
      unit.assign(query.begin(), query.end());
      if (norm > 0)
        for (float& value : unit) value = static_cast<float>(value / norm);
      query = unit;
    }
    detail::TopK best(std::min(k, size()));
    for (std::size_t begin = 0; begin < size() && k > 0; begin += block) {
      const std::size_t end = std::min(begin + block, size());
      for (std::size_t from = begin; from < end;) {  // runs of rows to score
        std::size_t to = from;
        while (to < end && keep(std::as_const(chunks_[to]))) ++to;
        offer(from, to - from, query, best);
        from = to + 1;
      }
    }
    std::vector<Hit> hits;
    for (const auto& [value, place] : best.sorted()) hits.push_back({chunks_[place], value});
    return hits;
  }

  /// The chunk of an id, or null. It is there until the store changes.
  const Chunk* find(Id id) const {
    const auto found = places_.find(id);
    return found == places_.end() ? nullptr : &chunks_[found->second];
  }
  /// The vector of an id, empty if it is not there.
  std::span<const float> vector(Id id) const {
    const auto found = places_.find(id);
    return found == places_.end() ? std::span<const float>{} : row(found->second);
  }
  /// The chunks of one source, in order of insertion.
  std::vector<Chunk> chunks(std::string_view source) const {
    std::vector<Chunk> found;
    if (sources_.find(std::string(source)) == sources_.end()) return found;
    for (const Chunk& chunk : chunks_)
      if (chunk.source == source) found.push_back(chunk);
    return found;
  }
  std::size_t size() const { return chunks_.size(); }

  /// Writes one file, whole or not at all: a crash leaves the old file or the new one. Readable by its owner alone.
  void save(const std::string& path) const {
    detail::write_flat_file(path, dimension(), metric_number, next_id_, chunks_, rows_);
  }

  /// Reads what save() wrote. Errors: not_found, io, corrupt (with the byte), invalid_format (another kind of file),
  /// unsupported (a newer format, another metric), dimension_mismatch.
  static FlatStore load(const std::string& path) {
    const detail::FlatImage image = detail::read_flat_file(path);
    const std::string who = "FlatStore::load: " + path + ": ";
    if (image.metric != metric_number)
      throw Error(Errc::unsupported, who + Metric::name + " wanted, metric " + std::to_string(image.metric) + " met");
    if (Dimension != 0 && image.dimension != 0 && image.dimension != Dimension)
      throw Error(Errc::dimension_mismatch, who + std::to_string(Dimension) + " columns wanted, " +
                                                std::to_string(image.dimension) + " met");
    FlatStore store;
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
  static constexpr std::size_t block = 256;  // rows scored at a time
  static constexpr std::uint32_t metric_number =
      std::is_same_v<Metric, InnerProduct> ? 0 : std::is_same_v<Metric, Cosine> ? 1 : 2;

  std::span<const float> row(std::size_t place) const { return {rows_.data() + place * dimension(), dimension()}; }

  // Scores a run of at most `block` rows.
  void offer(std::size_t begin, std::size_t count, std::span<const float> query, detail::TopK& best) const {
    constexpr auto operation =
        std::is_same_v<Metric, L2> ? detail::RowOperation::squared_distance : detail::RowOperation::dot;
    if (count == 0) return;
    float scores[block];
    detail::scan_rows<operation>(row(begin).data(), count, dimension(), query.data(), scores);
    for (std::size_t i = 0; i < count; ++i) {
      float score = scores[i];
      if constexpr (std::is_same_v<Metric, L2>) score = 0.0f - score;
      if constexpr (std::is_same_v<Metric, Cosine>)
        score = lengths_[begin + i] > 0 ? score / lengths_[begin + i] : 0.0f;
      best.offer(score, begin + i);
    }
  }

  // A product of two floats is exact in double, so this sum has the same bits with and without fused products.
  static double length(std::span<const float> values) {
    double sum = 0;
    for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
    return std::sqrt(sum);
  }

  static double checked_length(std::span<const float> values, const char* call, const std::string& which) {
    const double result = length(values);
    if (!(result <= detail::longest_vector))
      throw Error(Errc::invalid_argument, std::string("FlatStore::") + call + ": " + which +
                                              " holds NaN or infinity, or is longer than 9e18");
    return result;
  }

  [[noreturn]] void wrong_columns(const char* call, std::size_t given) const {
    throw Error(Errc::dimension_mismatch, std::string("FlatStore::") + call + ": " + std::to_string(dimension()) +
                                              " columns wanted, " + std::to_string(given) + " given");
  }

  void check(std::span<const Chunk> chunks, const Matrix& vectors, const char* call) const {
    if (vectors.rows() != chunks.size())
      throw Error(Errc::invalid_argument, std::string("FlatStore::") + call + ": " + std::to_string(chunks.size()) +
                                              " rows wanted, one a chunk, " + std::to_string(vectors.rows()) + " given");
    if (chunks.empty()) return;
    if (vectors.columns() == 0)
      throw Error(Errc::dimension_mismatch, std::string("FlatStore::") + call + ": 1 column or more wanted, 0 given");
    if (dimension() != 0 && vectors.columns() != dimension()) wrong_columns(call, vectors.columns());
    for (std::size_t i = 0; i < vectors.rows(); ++i)
      checked_length(vectors.row(i), call, "row " + std::to_string(i));
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

  /// Takes out what is unwanted, then puts each chunk in the place of the one of its id or behind the last.
  template <class Unwanted = std::nullptr_t>
  void put_all(std::span<const Chunk> chunks, std::span<const Id> ids, const Matrix& vectors, Unwanted unwanted = {}) {
    std::vector<Chunk> copies(chunks.begin(), chunks.end());
    std::vector<Id> sorted(ids.begin(), ids.end());
    std::sort(sorted.begin(), sorted.end());
    reserve(copies, ids, vectors);  // `chunks` may be the store's own and move
    // From here on nothing throws.
    if constexpr (!std::is_same_v<Unwanted, std::nullptr_t>) remove(unwanted, sorted);
    if (vectors.rows() > 0) this->learn_dimension(vectors.columns());
    for (std::size_t i = 0; i < copies.size(); ++i) put(std::move(copies[i]), ids[i], vectors.row(i));
    forget_empty_sources();
  }

  // Everything that can run out of memory happens here, before anything is changed. After a failure room and sources
  // without a chunk may stay behind, which nobody sees.
  void reserve(std::span<const Chunk> chunks, std::span<const Id> ids, const Matrix& vectors) {
    const auto grow = [](auto& vector, std::size_t extra) {
      if (vector.capacity() - vector.size() < extra)
        vector.reserve(std::max(vector.size() + extra, vector.capacity() + vector.capacity() / 2));
    };
    grow(chunks_, chunks.size());
    grow(rows_, chunks.size() * vectors.columns());
    if constexpr (std::is_same_v<Metric, Cosine>) grow(lengths_, chunks.size());
    for (const Chunk& chunk : chunks) sources_.try_emplace(chunk.source, 0);
    std::size_t done = 0;
    try {
      for (; done < ids.size(); ++done) places_.try_emplace(ids[done], unplaced);
    } catch (...) {
      for (std::size_t i = 0; i < done; ++i)
        if (const auto found = places_.find(ids[i]); found->second == unplaced) places_.erase(found);
      throw;
    }
  }

  void put(Chunk&& chunk, Id id, std::span<const float> values) {
    chunk.id = id;
    ++sources_.find(chunk.source)->second;
    std::size_t& place = places_.find(id)->second;
    if (place == unplaced) {
      place = chunks_.size();
      rows_.insert(rows_.end(), values.begin(), values.end());
      chunks_.push_back(std::move(chunk));
      if constexpr (std::is_same_v<Metric, Cosine>) lengths_.push_back(0);
    } else {
      leave(chunks_[place].source);
      std::copy(values.begin(), values.end(), rows_.begin() + static_cast<std::ptrdiff_t>(place * values.size()));
      chunks_[place] = std::move(chunk);
    }
    if constexpr (std::is_same_v<Metric, Cosine>) lengths_[place] = static_cast<float>(length(values));
    next_id_ = std::max(next_id_, id + 1);
  }

  /// Takes out chunks and closes the gaps. The ids of `coming`, sorted, keep their entry for what is put next.
  template <class Unwanted>
  std::size_t remove(Unwanted unwanted, std::span<const Id> coming) {
    const auto columns = static_cast<std::ptrdiff_t>(dimension());
    std::size_t kept = 0;
    for (std::size_t i = 0; i < chunks_.size(); ++i) {
      const auto place = places_.find(chunks_[i].id);
      if (unwanted(std::as_const(chunks_[i]))) {
        leave(chunks_[i].source);
        if (std::binary_search(coming.begin(), coming.end(), chunks_[i].id)) place->second = unplaced;
        else places_.erase(place);
        continue;
      }
      if (kept != i) {
        place->second = kept;
        chunks_[kept] = std::move(chunks_[i]);
        const auto from = rows_.begin() + static_cast<std::ptrdiff_t>(i) * columns;
        std::copy(from, from + columns, rows_.begin() + static_cast<std::ptrdiff_t>(kept) * columns);
        if constexpr (std::is_same_v<Metric, Cosine>) lengths_[kept] = lengths_[i];
      }
      ++kept;
    }
    const std::size_t removed = chunks_.size() - kept;
    chunks_.resize(kept);
    rows_.resize(kept * dimension());
    if constexpr (std::is_same_v<Metric, Cosine>) lengths_.resize(kept);
    if (coming.empty()) forget_empty_sources();
    return removed;
  }

  void leave(const std::string& source) {
    if (--sources_.find(source)->second == 0) has_empty_sources_ = true;
  }
  void forget_empty_sources() {
    if (has_empty_sources_) std::erase_if(sources_, [](const auto& entry) { return entry.second == 0; });
    has_empty_sources_ = false;
  }

  static constexpr std::size_t unplaced = std::numeric_limits<std::size_t>::max();

  std::vector<Chunk> chunks_;   // in order of insertion
  std::vector<float> rows_;     // chunks_.size() x dimension()
  std::vector<float> lengths_;  // of the rows, for Cosine
  std::unordered_map<Id, std::size_t> places_;
  std::unordered_map<std::string, std::size_t> sources_;  // the number of chunks of each
  bool has_empty_sources_ = false;
  Id next_id_ = 0;
};

RAG_END
#endif
