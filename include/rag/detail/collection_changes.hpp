// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_COLLECTION_CHANGES_HPP
#define RAG_DETAIL_COLLECTION_CHANGES_HPP
#include <rag/detail/batch_frame.hpp>
#include <rag/detail/collection_state.hpp>
#include <rag/detail/recovery.hpp>
#include <rag/detail/row_checks.hpp>
#include <rag/detail/utf8.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

enum class PutKind { add, upsert, replace };
constexpr const char* name_of(PutKind kind) {
  return kind == PutKind::add ? "add" : kind == PutKind::upsert ? "upsert" : "replace";
}

/// Chunks on their way into a collection, checked and made ready; nothing is changed before write().
RAG_LAZY class BasicPut {
 public:
  BasicPut(CollectionState& state, PutKind kind, std::string_view source, std::span<const Chunk> chunks,
           const Matrix& vectors)
      : state_(state), who_(std::string("FileStore::") + name_of(kind)) {
    const auto dimension = static_cast<std::size_t>(state.info.dimension);
    rows_.lengths = check_rows(chunks.size(), vectors, dimension, who_);
    check_limits(chunks, vectors, kind, source);
    change_ = {dimension != 0 ? dimension : vectors.columns(), state.next_id, state.next_order};
    if (kind == PutKind::replace) change_.dead = state.slots_of(source);
    std::sort(change_.dead.begin(), change_.dead.end());
    ids_ = number_chunks(chunks, change_.next_id, who_, [&](Id id) {
      const Slot slot = state.find(id);
      return slot == no_slot || kind == PutKind::upsert ||
             std::binary_search(change_.dead.begin(), change_.dead.end(), slot);
    });
    for (std::size_t i = 0; i < chunks.size(); ++i) take(chunks[i], ids_[i], kind == PutKind::upsert);
    std::sort(change_.dead.begin(), change_.dead.end());
    if (!state.info.has_lengths()) rows_.lengths.clear();
    rows_.rows = vectors.data(), rows_.count = chunks.size();
    if (records_.bytes.size() + vectors.rows() * vectors.columns() * sizeof(float) > largest_batch)
      refuse("a batch of 1 GiB or less wanted");
  }

  template <class Writer>
  void write(Writer& writer, bool sync) {
    if (ids_.empty() && change_.dead.empty()) return;
    writer.write_batch(state_, std::move(change_), rows_, records_, ids_.size(), sync);
  }
  /// Once.
  std::vector<Id> ids() && noexcept { return std::move(ids_); }

 private:
  void take(const Chunk& chunk, Id id, bool in_place) {
    const Slot old = in_place ? state_.find(id) : no_slot;
    rows_.order.push_back(old != no_slot ? state_.order(old) : change_.next_order++);
    if (old != no_slot) change_.dead.push_back(old);
    if (records_.add(chunk, id) > largest_record)
      refuse("at most 16 MiB of text and metadata a chunk wanted");
    change_.ids.push_back(static_cast<std::uint64_t>(id));
    change_.sources.push_back(source_key(chunk.source));
  }

  void check_limits(std::span<const Chunk> chunks, const Matrix& vectors, PutKind kind,
                    std::string_view source) const {
    if (vectors.rows() > 0 && vectors.columns() > largest_dimension)
      throw Error(Errc::dimension_mismatch, who_ + ": at most " + std::to_string(largest_dimension) +
                                                " columns wanted, " + std::to_string(vectors.columns()) +
                                                " given");
    if (chunks.size() > no_slot - state_.slots)
      refuse("at most 2^32 - 1 rows wanted between two compactions");
    for (const Chunk& chunk : chunks) {
      if (kind == PutKind::upsert && chunk.id == no_id) refuse("chunks with ids wanted, one has none");
      if (kind == PutKind::replace && chunk.source != source)
        refuse("a chunk comes from another source than the one named");
      if (chunk.source.size() > largest_source) refuse("a source of at most 65535 bytes wanted");
    }
  }
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(Errc::invalid_argument, who_ + ": " + what);
  }

  CollectionState& state_;
  std::string who_;
  BatchChange change_ = {};
  NewRows rows_ = {};
  Records records_ = {};
  std::vector<Id> ids_ = {};
};
using Put = BasicPut<>;

/// Takes out rows, each named once, and gives their number.
template <class Writer>
std::size_t erase_slots(Writer& writer, CollectionState& state, std::vector<Slot> slots, bool sync) {
  std::sort(slots.begin(), slots.end());
  BatchChange change{state.info.dimension, state.next_id, state.next_order};
  change.dead = std::move(slots);
  const std::size_t count = change.dead.size();
  if (count > 0) writer.write_batch(state, std::move(change), {}, {}, 0, sync);
  return count;
}

/// Takes out the rows of these ids and gives their number.
template <class Writer>
std::size_t erase_ids(Writer& writer, CollectionState& state, std::span<const Id> ids, bool sync) {
  std::vector<Slot> slots;
  for (const Id id : ids)
    if (const Slot slot = state.find(id); slot != no_slot) slots.push_back(slot);
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  return erase_slots(writer, state, std::move(slots), sync);
}

/// Gives the number of the new collection.
template <class Writer>
std::uint32_t create_collection(Writer& writer, std::string_view name, std::size_t dimension, unsigned metric,
                                const std::string& embedder, bool sync) {
  const auto refuse = [&](const std::string& what) {
    throw Error(Errc::invalid_argument, writer.log().where() + ": " + what);
  };
  if (name.empty() || name.size() > largest_name || invalid_utf8(name) < name.size())
    refuse("a name of 1 to 255 bytes of UTF-8 wanted for a collection");
  if (writer.states().find(name) != nullptr)
    refuse("the collection '" + std::string(name) + "' is there already");
  if (dimension > largest_dimension)
    refuse("a dimension of at most " + std::to_string(largest_dimension) + " wanted, " +
           std::to_string(dimension) + " given");
  if (embedder.size() > largest_source) refuse("an embedder's name of at most 65535 bytes wanted");
  const std::uint32_t number = writer.states().next_number;
  writer.create({number, metric, newest_planes, dimension, std::string(name), embedder}, sync);
  return number;
}

/// Throws where a collection is not what is wanted; 0 and "" want nothing.
RAG_LAZY void check_collection(const CollectionInfo& info, std::size_t dimension, unsigned metric,
                               const std::string& metric_wanted, const std::string& metric_met,
                               const std::string& embedder, const std::string& where) {
  const std::string who = where + ": collection '" + info.name + "': ";
  if (dimension != 0 && info.dimension != 0 && dimension != info.dimension)
    throw Error(Errc::dimension_mismatch, who + std::to_string(dimension) + " columns wanted, " +
                                              std::to_string(info.dimension) + " met");
  if (metric != info.metric)
    throw Error(Errc::unsupported, who + metric_wanted + " wanted, " + metric_met + " met");
  if (!embedder.empty() && !info.embedder.empty() && embedder != info.embedder)
    throw Error(Errc::unsupported,
                who + "vectors of '" + embedder + "' wanted, those of '" + info.embedder + "' met");
}

}  // namespace detail
RAG_END
#endif
