// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_COLLECTION_STATE_HPP
#define RAG_DETAIL_COLLECTION_STATE_HPP
#include <rag/detail/bitmap.hpp>
#include <rag/detail/field_indexes.hpp>
#include <rag/detail/flat_file.hpp>
#include <rag/detail/hash.hpp>
#include <rag/detail/slot_table.hpp>
#include <rag/detail/store_format.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

inline std::uint64_t source_key(std::string_view source) { return hash64(source, 0); }

/// What a collection is told when it is created.
struct CollectionInfo {
  std::uint32_t number = 0, metric = 0, planes = newest_planes;
  std::uint64_t dimension = 0;
  std::string name = {}, embedder = {};

  bool has_lengths() const { return metric == 1; }
  ExtentLayout layout(std::size_t capacity) const { return {dimension, capacity, planes, has_lengths()}; }
};

/// Rows in the mapped file.
struct Extent {
  const std::byte* bytes = nullptr;
  std::uint64_t offset = 0;
  std::size_t capacity = 0, first = 0, used = 0;  // `first`: slot of the first row
  ExtentLayout layout = {};

  template <class T>
  const T* at(std::uint64_t part) const {
    return reinterpret_cast<const T*>(bytes + part);
  }
  const float* rows() const { return at<float>(0); }
};

/// What a batch does to a collection. ids and sources: one a new slot.
struct BatchChange {
  std::uint64_t dimension = 0;
  Id next_id = 0;
  std::uint64_t next_order = 0;
  std::vector<Piece> pieces = {};
  std::vector<Slot> dead = {};
  std::vector<std::uint64_t> ids = {}, sources = {};
  std::uint64_t record_bytes = 0;
};

/// One collection as a snapshot of the file has it: the rows and the tables of the checkpoint where they lie
/// in the map, and in memory what came after the checkpoint. Keeps nothing of a chunk: each is read from its
/// record.
RAG_LAZY class BasicCollectionState {
 public:
  CollectionInfo info = {};
  Id next_id = 0;
  std::uint64_t next_order = 0;
  std::size_t slots = 0, dead_count = 0;
  std::vector<Extent> extents = {};
  Bitmap dead = Bitmap(0);  // may have more bits than there are slots
  SlotTable id_table = {}, source_table = {};
  SlotChains new_ids = SlotChains(0), new_sources = SlotChains(0);
  std::uint64_t record_bytes = 0;  // of all slots
  FieldIndexes indexes = {};

  std::size_t size() const { return slots - dead_count; }
  bool lives(std::size_t slot) const { return !dead[slot]; }

  const Extent& extent_of(std::size_t slot) const {
    return *(std::upper_bound(extents.begin(), extents.end(), slot,
                              [](std::size_t value, const Extent& extent) { return value < extent.first; }) -
             1);
  }
  const float* row(std::size_t slot) const {
    const Extent& extent = extent_of(slot);
    return extent.rows() + (slot - extent.first) * info.dimension;
  }
  Id id(std::size_t slot) const { return part<Id>(slot, &ExtentLayout::ids); }
  std::uint64_t order(std::size_t slot) const { return part<std::uint64_t>(slot, &ExtentLayout::order); }
  float length(std::size_t slot) const { return part<float>(slot, &ExtentLayout::lengths); }
  std::uint64_t record_offset(std::size_t slot) const {
    return part<std::uint64_t>(slot, &ExtentLayout::texts);
  }

  /// The living slot of an id, or no_slot.
  Slot find(Id wanted) const {
    Slot found = no_slot;
    if (wanted < 0) return found;
    each_slot(id_table, new_ids, static_cast<std::uint64_t>(wanted), [&](Slot slot) {
      if (id(slot) == wanted) found = slot;
      return found == no_slot;
    });
    return found;
  }

  /// The living slots of a source, in order of insertion.
  std::vector<Slot> slots_of(std::string_view source) const {
    std::vector<Slot> found;
    each_slot(source_table, new_sources, source_key(source), [&](Slot slot) {
      if (chunk(slot).source == source) found.push_back(slot);
      return true;
    });
    std::sort(found.begin(), found.end(), [&](Slot a, Slot b) { return order(a) < order(b); });
    return found;
  }

  /// The chunk of a slot, from its record, whose checksum is looked at.
  Chunk chunk(std::size_t slot) const {
    const std::uint64_t offset = record_offset(slot);
    Chunk chunk = read_record(offset);
    if (chunk.id != id(slot)) damaged(offset, "the record of another chunk");
    return chunk;
  }
  std::vector<Chunk> chunks_at(const std::vector<Slot>& wanted) const {
    std::vector<Chunk> found;
    found.reserve(wanted.size());
    for (const Slot slot : wanted) found.push_back(chunk(slot));
    return found;
  }
  Chunk read_record(std::uint64_t offset) const {
    if (offset < first_frame || offset > file_end_ || file_end_ - offset < record_head)
      damaged(offset, "no record can be there");
    const std::string_view file(reinterpret_cast<const char*>(file_), static_cast<std::size_t>(file_end_));
    const std::size_t at = static_cast<std::size_t>(offset);
    const std::size_t size = value_at<std::uint32_t>(file, at);
    if (size > file.size() - at - record_head) damaged(offset, "a record longer than the file");
    const std::string_view bytes = file.substr(at + record_head, size);
    if (value_at<std::uint32_t>(file, at + 4) != crc32c(bytes))
      damaged(offset, "the checksum of a record is wrong");
    ByteReader in(bytes, where_, at + record_head);
    return take_chunk(in);
  }

  /// Makes room, so that apply() can't fail.
  void prepare(const BatchChange& change) {
    const std::size_t rows = change.ids.size();
    extents.reserve(extents.size() + change.pieces.size());
    new_ids.reserve(rows);
    new_sources.reserve(rows);
    if (dead.size() < slots + rows) dead.resize(slots + rows);
  }
  void apply(const BatchChange& change) noexcept {
    info.dimension = change.dimension;
    for (const Slot slot : change.dead) dead.set(slot);
    dead_count += change.dead.size();
    for (const Piece& piece : change.pieces) {
      if (piece.first == 0)
        extents.push_back({file_ + piece.offset, piece.offset, static_cast<std::size_t>(piece.capacity),
                           slots, 0, info.layout(static_cast<std::size_t>(piece.capacity))});
      extents.back().used += static_cast<std::size_t>(piece.count);
      slots += static_cast<std::size_t>(piece.count);
    }
    for (const std::uint64_t id : change.ids) new_ids.push(id);
    for (const std::uint64_t source : change.sources) new_sources.push(source);
    next_id = change.next_id;
    next_order = change.next_order;
    record_bytes += change.record_bytes;
    keep_indexes(change);
  }

  /// Takes over the tables of a checkpoint of the same rows.
  void adopt(BasicCollectionState& other) noexcept {
    id_table = other.id_table;
    source_table = other.source_table;
    std::swap(new_ids, other.new_ids);
    std::swap(new_sources, other.new_sources);
  }

  /// The file's bytes [0, end); `where` begins the texts of errors.
  void look_at(const std::byte* file, std::uint64_t end, std::string where = {}) noexcept {
    file_ = file, file_end_ = end;
    if (!where.empty()) where_.swap(where);
  }
  const std::byte* file() const { return file_; }

  [[noreturn]] void damaged(std::uint64_t offset, const std::string& what) const {
    throw Error(Errc::corrupt, where_ + ": damaged at byte " + std::to_string(offset) + ": " + what);
  }

 private:
  void keep_indexes(const BatchChange& change) noexcept {
    if (indexes.empty()) return;
    for (const Slot slot : change.dead) indexes.take_out(slot);
    try {
      for (std::size_t slot = slots - change.ids.size(); slot < slots; ++slot) indexes.put(slot, chunk(slot));
    } catch (...) {
      indexes = FieldIndexes();  // the next filter makes them anew
    }
  }

  template <class T>
  T part(std::size_t slot, std::uint64_t ExtentLayout::*begin) const {
    const Extent& extent = extent_of(slot);
    return extent.at<T>(extent.layout.*begin)[slot - extent.first];
  }

  template <class Use>
  void each_slot(const SlotTable& table, const SlotChains& chains, std::uint64_t key, Use&& use) const {
    bool more = true;
    chains.each(key, [&](Slot slot) { return !lives(slot) || (more = use(slot)); });
    if (!more) return;
    table.each(key, [&](Slot slot) {
      if (slot >= chains.first()) damaged(0, "a table of the checkpoint names a row that is not there");
      return !lives(slot) || use(slot);
    });
  }

  const std::byte* file_ = nullptr;
  std::uint64_t file_end_ = 0;
  std::string where_ = "FileStore";
};
using CollectionState = BasicCollectionState<>;

}  // namespace detail
RAG_END
#endif
