// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_COMPACTION_HPP
#define RAG_DETAIL_COMPACTION_HPP
#include <rag/detail/fair_shared_mutex.hpp>
#include <rag/detail/store_writer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// About how many bytes the tables of a checkpoint take.
RAG_LAZY std::uint64_t table_bytes(const CollectionStates& states) {
  std::uint64_t bytes = 0;
  for (const auto& state : states.list) bytes += 256 + 24 * state->size() + state->slots / 8;
  return bytes;
}

/// About how many bytes would be left if all that is dead were not there.
RAG_LAZY std::uint64_t living_bytes(const CollectionStates& states) {
  std::uint64_t bytes = first_frame;
  for (const auto& state : states.list) {
    if (state->slots == 0) continue;
    std::uint64_t all = state->record_bytes;
    for (const Extent& extent : state->extents) all += extent.layout.size;
    bytes += static_cast<std::uint64_t>(static_cast<double>(all) * static_cast<double>(state->size()) /
                                        static_cast<double>(state->slots));
  }
  return bytes;
}

/// Writes the living rows of a collection to another file, a few megabytes at a time.
template <class Writer>
void copy_living(const CollectionState& from, Writer& to, CollectionState& target) {
  const auto dimension = static_cast<std::size_t>(from.info.dimension);
  std::size_t left = from.size(), slot = 0;
  do {
    BatchChange change{from.info.dimension, from.next_id, from.next_order};
    NewRows rows;
    Records records;
    std::vector<float> values;
    for (;
         slot < from.slots && (values.size() + records.bytes.size() / sizeof(float)) < (std::size_t{2} << 20);
         ++slot) {
      if (!from.lives(slot)) continue;
      const Chunk chunk = from.chunk(slot);
      records.add(chunk, chunk.id);
      values.insert(values.end(), from.row(slot), from.row(slot) + dimension);
      rows.order.push_back(from.order(slot));
      if (from.info.has_lengths()) rows.lengths.push_back(from.length(slot));
      change.ids.push_back(static_cast<std::uint64_t>(chunk.id));
      change.sources.push_back(source_key(chunk.source));
    }
    rows.rows = values.data(), rows.count = change.ids.size();
    const std::size_t expected = std::exchange(left, left - rows.count);
    to.write_batch(target, std::move(change), rows, records, expected, false);
  } while (slot < from.slots);
}

/// Writes all that lives to a new file `name`, locked, with a checkpoint, synced. Nothing is left of it after
/// an Error.
template <class File, class Clock>
std::unique_ptr<StoreWriter<File, Clock>> compacted(const StoreWriter<File, Clock>& from,
                                                    const std::string& name, const std::string& where,
                                                    std::uint32_t life, FairSharedMutex* readers) {
  File::remove(name);
  File file = File::open(name, File::Mode::create, "FileStore");
  try {
    if (!file.try_lock()) throw Error(Errc::busy, where + ": " + name + " is locked elsewhere");
    FrameLog<File> log(std::move(file), where, life);
    Superblock block;
    std::copy(std::begin(from.log().superblock().uuid), std::end(from.log().superblock().uuid), block.uuid);
    block.generation = from.log().superblock().generation + 1;
    block.version = 1;
    log.begin(block);
    // Not yet the readers' lock: nobody sees this file.
    auto to = std::make_unique<StoreWriter<File, Clock>>(std::move(log));
    for (const auto& state : from.states().list) {
      CollectionInfo info = state->info;
      info.planes = newest_planes;
      to->create(info, false);
      copy_living(*state, *to, *to->states().list.back());
    }
    to->states().next_number = from.states().next_number;
    to->checkpoint();
    to->set_readers(readers);
    return to;
  } catch (...) {
    File::remove(name);
    throw;
  }
}

}  // namespace detail
RAG_END
#endif
