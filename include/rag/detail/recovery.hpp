// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_RECOVERY_HPP
#define RAG_DETAIL_RECOVERY_HPP
#include <rag/detail/collection_state.hpp>
#include <rag/detail/frame_log.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// All collections of a snapshot, by ascending number.
RAG_LAZY struct BasicCollectionStates {
  std::vector<std::shared_ptr<CollectionState>> list = {};
  std::uint32_t next_number = 1;

  CollectionState* find(std::uint32_t number) const {
    for (const auto& state : list)
      if (state->info.number == number) return state.get();
    return nullptr;
  }
  CollectionState* find(std::string_view name) const {
    for (const auto& state : list)
      if (state->info.name == name) return state.get();
    return nullptr;
  }
  void drop(std::uint32_t number) noexcept {
    std::erase_if(list, [&](const auto& state) { return state->info.number == number; });
  }
};

using CollectionStates = BasicCollectionStates<>;

RAG_LAZY std::string encode_create(const CollectionInfo& info) {
  ByteWriter out;
  for (const std::uint32_t value : {info.number, info.metric, info.planes, std::uint32_t{0}}) out.put(value);
  out.put(info.dimension);
  out.put(std::string_view(info.name));
  out.put(std::string_view(info.embedder));
  return out.bytes();
}
RAG_LAZY CollectionInfo take_info(ByteReader& in) {
  CollectionInfo info;
  info.number = in.take<std::uint32_t>();
  info.metric = in.take<std::uint32_t>();
  info.planes = in.take<std::uint32_t>();
  in.take<std::uint32_t>();
  info.dimension = in.take<std::uint64_t>();
  info.name = in.take_text();
  info.embedder = in.take_text();
  if (info.metric > 2 || info.planes > newest_planes || info.dimension > largest_dimension)
    in.fail("a collection of an unknown kind");
  return info;
}

/// Reads the frames behind the log's end into the states, as far as they are whole.
template <class File>
class Replay {
 public:
  using OnCheckpoint = std::function<void(const Frame&)>;

  /// `file`: the bytes of the file, mapped as far as it reached before.
  Replay(FrameLog<File>& log, CollectionStates& states, const std::byte* file, std::uint64_t mapped,
         OnCheckpoint on_checkpoint = {})
      : log_(log), states_(states), file_(file), mapped_(mapped), on_checkpoint_(std::move(on_checkpoint)) {}

  /// Stops at the first frame that is not whole. Throws if that one was promised to be on the disk; a frame
  /// that its writer finishes just now is looked at again.
  void run() {
    for (int tries = 0;;) {
      const bool whole = log_.read_next(frame_);
      if (whole && frame_.header.next > mapped_) return;  // written since the file was mapped
      if (whole && take()) {
        log_.accept(frame_);
        ++frames_;
        touched_.push_back({frame_.offset, frame_.offset + sizeof(FrameHeader) + frame_.header.body});
        tries = 0;
      } else if (log_.file().size() <= log_.end() || !log_.is_promised()) {
        return;
      } else if (++tries == 3) {
        log_.damaged(log_.end(), "the frame is not as it was written");
      }
    }
  }

  /// What the frames wrote, to be written once more.
  const FileRanges& touched() const { return touched_; }
  std::size_t frames() const { return frames_; }

 private:
  bool take() {
    ByteReader in(frame_.body, log_.where(), static_cast<std::size_t>(frame_.offset + sizeof(FrameHeader)));
    switch (frame_.header.kind) {
      case FrameKind::batch:
        return take_batch(in);
      case FrameKind::create: {
        auto state = std::make_shared<CollectionState>();
        state->info = take_info(in);
        state->look_at(file_, mapped_, log_.where());
        if (state->info.number < states_.next_number || states_.find(state->info.name) != nullptr)
          in.fail("a collection is created twice");
        states_.next_number = state->info.number + 1;
        states_.list.push_back(std::move(state));
        return true;
      }
      case FrameKind::drop: {
        const auto number = in.take<std::uint32_t>();
        if (states_.find(number) == nullptr) in.fail("a collection is dropped that is not there");
        states_.drop(number);
        return true;
      }
      case FrameKind::checkpoint:
        if (on_checkpoint_) on_checkpoint_(frame_);
        return true;
      case FrameKind::end:
        return true;
    }
    in.fail("a frame of an unknown kind");
  }

  bool take_batch(ByteReader& in) {
    const auto head = take_value<BatchHead>(in);
    CollectionState* state = states_.find(head.collection);
    if (state == nullptr) in.fail("rows of a collection that is not there");
    BatchChange change{head.dimension, head.next_id, head.next_order};
    if (head.slots != state->slots || head.next_id < state->next_id || head.next_order < state->next_order ||
        (state->info.dimension != 0 && head.dimension != state->info.dimension) ||
        head.dimension > largest_dimension)
      in.fail("a batch that does not fit its collection");
    for (std::uint32_t i = 0; i < head.pieces; ++i) change.pieces.push_back(take_value<Piece>(in));
    CollectionInfo info = state->info;
    info.dimension = head.dimension;
    const std::uint64_t rows = check_pieces(in, *state, info, change.pieces);
    const std::size_t dead_begin = in.left();
    for (std::uint32_t i = 0; i < head.dead; ++i) change.dead.push_back(in.take<Slot>());
    in.take(round_up(dead_begin - in.left(), 8) - (dead_begin - in.left()));
    std::vector<Slot> sorted = change.dead;
    std::sort(sorted.begin(), sorted.end());
    for (std::size_t i = 0; i < sorted.size(); ++i)
      if (sorted[i] >= state->slots || !state->lives(sorted[i]) || (i > 0 && sorted[i] == sorted[i - 1]))
        in.fail("a row is taken out that is not there");
    for (const Piece& piece : change.pieces)
      if (!log_.is_right(info, piece)) return false;
    for (std::uint64_t i = 0; i < rows; ++i) take_record(in, change);
    for (const Piece& piece : change.pieces)
      for (const auto& range : ranges_of(info, piece)) touched_.push_back(range);
    state->prepare(change);
    state->look_at(file_, mapped_);
    state->apply(change);
    return true;
  }

  void take_record(ByteReader& in, BatchChange& change) {
    const auto size = in.take<std::uint32_t>(), check = in.take<std::uint32_t>();
    const std::string_view bytes = in.take(size);
    if (crc32c(bytes) != check) in.fail("the checksum of a record is wrong");
    ByteReader record(bytes, log_.where(), static_cast<std::size_t>(frame_.offset));
    const Chunk chunk = take_chunk(record);
    if (chunk.id < 0) record.fail("an id below 0");
    change.record_bytes += size + record_head;
    change.ids.push_back(static_cast<std::uint64_t>(chunk.id));
    change.sources.push_back(source_key(chunk.source));
  }

  /// Gives the number of rows in them.
  std::uint64_t check_pieces(ByteReader& in, const CollectionState& state, const CollectionInfo& info,
                             const std::vector<Piece>& pieces) const {
    std::uint64_t offset = 0, capacity = 0, used = 0, rows = 0,
                  free = frame_.offset + sizeof(FrameHeader) + frame_.header.body;
    if (!state.extents.empty()) {
      const Extent& last = state.extents.back();
      offset = last.offset, capacity = last.capacity, used = last.used;
    }
    for (const Piece& piece : pieces) {
      if (piece.first == 0) {
        if (used != capacity || !is_capacity(piece.capacity) || piece.offset % store_page != 0 ||
            piece.offset < free || piece.offset > frame_.header.next ||
            info.layout(static_cast<std::size_t>(piece.capacity)).size > frame_.header.next - piece.offset)
          in.fail("an extent that does not fit");
        free = piece.offset + info.layout(static_cast<std::size_t>(piece.capacity)).size;
        offset = piece.offset, capacity = piece.capacity, used = 0;
      }
      if (info.dimension == 0 || piece.offset != offset || piece.capacity != capacity ||
          piece.first != used || piece.count == 0 || piece.count > capacity - used ||
          piece.first_block != (info.planes == 0 ? 0 : used / plane_block) ||
          piece.end_block != (info.planes == 0 ? 0 : (used + piece.count) / plane_block))
        in.fail("rows that do not fit their extent");
      used += piece.count, rows += piece.count;
    }
    if (rows > no_slot - state.slots) in.fail("more rows than a collection may have");
    return rows;
  }

  template <class T>
  static T take_value(ByteReader& in) {
    return value_at<T>(in.take(sizeof(T)), 0);
  }

  FrameLog<File>& log_;
  CollectionStates& states_;
  const std::byte* file_;
  std::uint64_t mapped_;
  OnCheckpoint on_checkpoint_;
  std::size_t frames_ = 0;
  Frame frame_ = {};
  FileRanges touched_ = {};
};

}  // namespace detail
RAG_END
#endif
