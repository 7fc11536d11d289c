// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_STORE_CHECK_HPP
#define RAG_DETAIL_STORE_CHECK_HPP
#include <rag/detail/checkpoint.hpp>
#include <rag/detail/frame_log.hpp>
#include <rag/detail/recovery.hpp>
#include <rag/detail/store_options.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

RAG_BEGIN
namespace detail {

/// Does a checkpoint say what the frames before it say?
RAG_LAZY bool agrees(const CollectionState& checkpoint, const CollectionState& frames) {
  const auto numbers = [](const CollectionState& state) {
    return std::array<std::uint64_t, 6>{static_cast<std::uint64_t>(state.next_id),
                                        state.next_order,
                                        state.slots,
                                        state.dead_count,
                                        state.record_bytes,
                                        state.extents.size()};
  };
  if (encode_create(checkpoint.info) != encode_create(frames.info) || numbers(checkpoint) != numbers(frames))
    return false;
  for (std::size_t i = 0; i < frames.extents.size(); ++i)
    if (checkpoint.extents[i].offset != frames.extents[i].offset ||
        checkpoint.extents[i].capacity != frames.extents[i].capacity)
      return false;
  for (std::size_t slot = 0; slot < frames.slots; ++slot)
    if (checkpoint.lives(slot) != frames.lives(slot)) return false;
  return merged_table(checkpoint, checkpoint.id_table, checkpoint.new_ids) ==
             merged_table(frames, frames.id_table, frames.new_ids) &&
         merged_table(checkpoint, checkpoint.source_table, checkpoint.new_sources) ==
             merged_table(frames, frames.source_table, frames.new_sources);
}

/// Reads every byte that a file's frames vouch for, from the first frame on.
template <class File>
StoreReport check_file(File opened, const std::string& where) {
  StoreReport report;
  const auto attempt = [&](auto&& work) {
    try {
      work();
    } catch (const Error& error) {
      if (error.code() != Errc::corrupt) throw;
      report.problems.push_back(error.what());
    }
  };
  FrameLog<File> log(std::move(opened), where);
  attempt([&] { log.read_superblocks(false); });
  if (!report.clean()) return report;
  const std::uint64_t size = report.bytes = log.file().size();
  const std::byte* map = log.file().map(size);
  CollectionStates states;
  bool named = log.superblock().checkpoint == 0;
  Replay<File> replay(log, states, map, size, [&](const Frame& frame) {
    CheckpointReader reader(map, size, frame.offset, frame.header.body, where);
    const CollectionStates there = reader.read(true);
    bool same = there.next_number >= states.next_number && there.list.size() == states.list.size();
    for (std::size_t i = 0; same && i < states.list.size(); ++i)
      same = agrees(*there.list[i], *states.list[i]);
    if (!same)
      report.problems.push_back(where + ": the checkpoint at byte " + std::to_string(frame.offset) +
                                " is not what the frames before it say");
    named = named || frame.offset == log.superblock().checkpoint;
  });
  attempt([&] { replay.run(); });
  report.frames = replay.frames();
  report.torn_bytes = size - std::min(size, log.end());
  for (const auto& state : states.list) report.rows += state->size();
  if (report.clean() && !named)
    report.problems.push_back(where + ": the superblock names a checkpoint that is not in the chain");
  return report;
}

}  // namespace detail
RAG_END
#endif
