// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SALVAGE_SCAN_HPP
#define RAG_DETAIL_SALVAGE_SCAN_HPP
#include <rag/detail/checkpoint.hpp>
#include <rag/detail/frame_log.hpp>
#include <rag/detail/recovery.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// The number that a checksum was begun with, so that these bytes gave this one: crc32c, run backwards.
inline std::uint32_t crc32c_begin(std::string_view bytes, std::uint32_t check) {
  std::uint32_t state = ~check;
  for (std::size_t i = bytes.size(); i > 0; --i) {
    for (int bit = 0; bit < 8; ++bit)
      state = (state & 0x80000000u) != 0 ? (state ^ 0x82F63B78u) << 1 | 1 : state << 1;
    state ^= static_cast<unsigned char>(bytes[i - 1]);
  }
  return ~state;
}

/// A row whose every byte is as it was written.
struct WholeRow {
  std::uint64_t order = 0, record = 0, values = 0;  // the last two: offsets
  Id id = 0;
};

struct SalvagedCollection {
  CollectionInfo info = {};
  bool is_known = false;  // by its create frame or a checkpoint, not by its rows alone
  std::map<Slot, WholeRow> rows = {};
};

/// Finds all frames of a damaged file that are whole, wherever they lie, and the living rows that they tell
/// of.
template <class File>
class SalvageScan {
 public:
  explicit SalvageScan(FrameLog<File>& log) : log_(log), size_(log.file().size()) {}

  void run() {
    try {
      log_.read_superblocks(false);
    } catch (const Error& error) {
      if (error.code() != Errc::corrupt && error.code() != Errc::invalid_format) throw;
      log_.set_seed(guess_seed());
    }
    std::map<std::uint64_t, std::uint64_t> offsets;  // by sequence; of two the one that lies further on
    log_.each_header(first_frame, [&](std::uint64_t offset, const FrameHeader& header) {
      if (header.next <= size_ && header.sequence > 0) offsets[header.sequence] = offset;
      return true;
    });
    std::uint64_t last = 0;
    for (const auto& [sequence, offset] : offsets) {
      lost_frames += static_cast<std::size_t>(sequence - last - 1);
      last = sequence;
      Frame frame;
      if (log_.read_at(offset, frame))
        take(frame);
      else
        ++lost_frames;
    }
  }

  std::map<std::uint32_t, SalvagedCollection> collections = {};
  std::size_t frames = 0, lost_frames = 0, lost_rows = 0;

 private:
  /// That which most of what looks like a frame agrees on.
  std::uint32_t guess_seed() const {
    std::map<std::uint32_t, std::size_t> votes;
    log_.each_candidate(first_frame, [&](std::uint64_t, const FrameHeader& header) {
      ++votes[crc32c_begin(text_of(bytes_of(header)).substr(0, sizeof header - 4), header.check)];
      return true;
    });
    std::uint32_t best = 0;
    std::size_t most = 0;
    for (const auto& [seed, count] : votes)
      if (count > most) best = seed, most = count;
    if (most == 0) throw Error(Errc::invalid_format, log_.where() + ": not a file of FileStore");
    return best;
  }

  void take(const Frame& frame) {
    try {
      ByteReader in(frame.body, log_.where(), static_cast<std::size_t>(frame.offset));
      if (frame.header.kind == FrameKind::create) know(take_info(in));
      if (frame.header.kind == FrameKind::drop) collections.erase(in.take<std::uint32_t>());
      if (frame.header.kind == FrameKind::checkpoint) take_checkpoint(in);
      if (frame.header.kind == FrameKind::batch) take_batch(frame, in);
      ++frames;
    } catch (const Error& error) {
      if (error.code() != Errc::corrupt) throw;
      ++lost_frames;
    }
  }
  void know(CollectionInfo info) {
    SalvagedCollection& collection = collections[info.number];
    const std::uint64_t dimension = collection.info.dimension;
    collection.info = std::move(info);
    if (collection.info.dimension == 0) collection.info.dimension = dimension;
    collection.is_known = true;
  }
  // Names and metrics alone: its rows are in the batches.
  void take_checkpoint(ByteReader& in) {
    in.take(3 * sizeof(std::uint32_t));
    const auto count = in.take<std::uint32_t>();
    for (std::uint32_t i = 0; i < count; ++i) {
      know(take_info(in));
      in.take(5 * sizeof(std::uint64_t));
      for (auto extents = in.take<std::uint64_t>(); extents > 0; --extents) in.take(16);
      in.take(3 * sizeof(TableEntry));
    }
  }

  void take_batch(const Frame& frame, ByteReader& in) {
    const auto head = value_at<BatchHead>(in.take(sizeof(BatchHead)), 0);
    SalvagedCollection& collection = collections[head.collection];
    collection.info.number = head.collection;
    collection.info.dimension = head.dimension;
    std::vector<Piece> pieces;
    for (std::uint32_t i = 0; i < head.pieces; ++i)
      pieces.push_back(value_at<Piece>(in.take(sizeof(Piece)), 0));
    for (std::uint32_t i = 0; i < head.dead; ++i) collection.rows.erase(in.take<Slot>());
    if (head.dead % 2 != 0) in.take(sizeof(Slot));
    std::uint64_t slot = head.slots;
    for (const Piece& piece : pieces) {
      if (!is_capacity(piece.capacity) || piece.first > piece.capacity ||
          piece.count > piece.capacity - piece.first || piece.offset > size_ || head.dimension == 0 ||
          head.dimension > largest_dimension)
        in.fail("rows that do not fit their extent");
      const bool right = log_.is_right(collection.info, piece);
      if (!right) lost_rows += static_cast<std::size_t>(piece.count);
      for (std::uint64_t i = 0; i < piece.count; ++i, ++slot)
        take_record(frame, in, collection, piece, i, slot, right);
    }
  }
  void take_record(const Frame& frame, ByteReader& in, SalvagedCollection& collection, const Piece& piece,
                   std::uint64_t i, std::uint64_t slot, bool right) {
    const std::uint64_t offset = frame.offset + sizeof(FrameHeader) + frame.header.body - in.left();
    const auto size = in.take<std::uint32_t>(), check = in.take<std::uint32_t>();
    const std::string_view bytes = in.take(size);
    if (!right) return;
    if (size < sizeof(Id) || crc32c(bytes) != check) {
      ++lost_rows;
      return;
    }
    WholeRow row;
    row.record = offset;
    row.values = piece.offset + (piece.first + i) * collection.info.dimension * sizeof(float);
    row.id = value_at<Id>(bytes, 0);
    const std::uint64_t order = piece.offset +
                                collection.info.layout(static_cast<std::size_t>(piece.capacity)).order +
                                (piece.first + i) * sizeof row.order;
    log_.file().read(order, std::as_writable_bytes(std::span<std::uint64_t, 1>(&row.order, 1)));
    collection.rows[static_cast<Slot>(slot)] = row;
  }

  FrameLog<File>& log_;
  std::uint64_t size_;
};

}  // namespace detail
RAG_END
#endif
