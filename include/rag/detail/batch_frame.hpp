// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_BATCH_FRAME_HPP
#define RAG_DETAIL_BATCH_FRAME_HPP
#include <rag/detail/collection_state.hpp>
#include <rag/detail/store_format.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

template <class T>
void append_value(std::string& out, const T& value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

/// Bytes for a place in the file.
struct PlacedBytes {
  std::uint64_t offset = 0;
  std::span<const std::byte> bytes = {};
};

using FileRanges = std::vector<std::pair<std::uint64_t, std::uint64_t>>;  // [begin, end)

/// The bytes that a piece filled, in the order of its checksum.
RAG_LAZY FileRanges ranges_of(const CollectionInfo& info, const Piece& piece) {
  const auto capacity = static_cast<std::size_t>(piece.capacity);
  const ExtentLayout layout = info.layout(capacity);
  FileRanges ranges;
  const auto rows = [&](std::uint64_t part, std::uint64_t width) {
    const std::uint64_t begin = piece.offset + part + piece.first * width;
    ranges.push_back({begin, begin + piece.count * width});
  };
  rows(0, info.dimension * sizeof(float));
  rows(layout.order, 8);
  rows(layout.ids, 8);
  rows(layout.texts, 8);
  if (info.has_lengths()) rows(layout.lengths, sizeof(float));
  if (piece.first_block < piece.end_block)
    for (const auto& [begin, end] : planes_ranges(static_cast<std::size_t>(info.dimension), capacity,
                                                  static_cast<std::size_t>(piece.first_block),
                                                  static_cast<std::size_t>(piece.end_block)))
      if (begin < end)
        ranges.push_back({piece.offset + layout.planes + begin, piece.offset + layout.planes + end});
  return ranges;
}

/// Chunks as records, one behind the other, and where each begins.
RAG_LAZY struct BasicRecords {
  std::string bytes = {};
  std::vector<std::uint64_t> begins = {};

  /// Gives the size of the chunk's record.
  std::size_t add(const Chunk& chunk, Id id) {
    ByteWriter out;
    put_chunk(out, chunk);
    begins.push_back(bytes.size());
    std::string text = out.bytes();
    std::memcpy(text.data(), &id, sizeof id);  // the first field
    append_value(bytes, static_cast<std::uint32_t>(text.size()));
    append_value(bytes, crc32c(text));
    bytes += text;
    return text.size();
  }
};
using Records = BasicRecords<>;

/// Rows on their way into the file: row i at rows + i * dimension, or at pointers[i] where there are any.
struct NewRows {
  const float* rows = nullptr;
  std::size_t count = 0;
  std::vector<std::uint64_t> order = {};
  std::vector<float> lengths = {};  // cosine alone
};

/// A batch made ready to be written: its frame's body, and the bytes for the extents.
RAG_LAZY class BasicBatchFrame {
 public:
  BatchChange change;
  std::string body = {};
  std::uint64_t next = 0;  // offset of the frame behind it

  /// For a frame at `offset`. `change` comes without its pieces; `expected`: how many rows will come, these
  /// among them.
  BasicBatchFrame(const CollectionState& state, BatchChange what, const NewRows& rows, const Records& records,
                  std::uint64_t offset, std::size_t expected)
      : change(std::move(what)), info_(state.info) {
    info_.dimension = change.dimension;
    change.record_bytes = records.bytes.size();
    cut_pieces(state, rows.count, std::max(rows.count, expected));
    const std::uint64_t dead_bytes = round_up(change.dead.size() * sizeof(Slot), 8);
    const std::uint64_t head = sizeof(BatchHead) + change.pieces.size() * sizeof(Piece) + dead_bytes;
    next = round_up(offset + sizeof(FrameHeader) + head + records.bytes.size(), frame_step);
    for (Piece& piece : change.pieces) {
      if (piece.first != 0) continue;
      piece.offset = round_up(next, store_page);
      next = piece.offset + info_.layout(static_cast<std::size_t>(piece.capacity)).size;
    }
    texts_.reserve(rows.count);
    for (const std::uint64_t begin : records.begins)
      texts_.push_back(offset + sizeof(FrameHeader) + head + begin);
    std::size_t done = 0;
    for (Piece& piece : change.pieces)
      place(state, piece, rows, std::exchange(done, done + static_cast<std::size_t>(piece.count)));
    encode(state, records, dead_bytes);
  }

  /// What is to be written into the extents; rows, orders and lengths are still the caller's.
  const std::vector<PlacedBytes>& placed() const { return placed_; }

 private:
  void cut_pieces(const CollectionState& state, std::size_t rows, std::size_t expected) {
    std::size_t slots = state.slots;
    if (!state.extents.empty() && rows > 0) {
      const Extent& last = state.extents.back();
      if (const std::size_t count = std::min(rows, last.capacity - last.used); count > 0) {
        change.pieces.push_back({last.offset, last.capacity, last.used, count});
        rows -= count, expected -= count, slots += count;
      }
    }
    while (rows > 0) {
      const std::size_t capacity = next_capacity(slots, expected, static_cast<std::size_t>(info_.dimension));
      const std::size_t count = std::min(rows, capacity);
      change.pieces.push_back({0, capacity, 0, count});
      rows -= count, expected -= count, slots += count;
    }
  }

  void place(const CollectionState& state, Piece& piece, const NewRows& rows, std::size_t done) {
    const auto count = static_cast<std::size_t>(piece.count),
               dimension = static_cast<std::size_t>(info_.dimension);
    if (info_.planes != 0) {
      piece.first_block = piece.first / plane_block;
      piece.end_block = (piece.first + piece.count) / plane_block;
      if (piece.first_block < piece.end_block) add_planes(state, piece, rows.rows + done * dimension);
    }
    std::vector<std::span<const std::byte>> parts = {
        std::as_bytes(std::span(rows.rows + done * dimension, count * dimension)),
        std::as_bytes(std::span(rows.order).subspan(done, count)),
        std::as_bytes(std::span(change.ids).subspan(done, count)),
        std::as_bytes(std::span<const std::uint64_t>(texts_).subspan(done, count))};
    if (info_.has_lengths()) parts.push_back(std::as_bytes(std::span(rows.lengths).subspan(done, count)));
    const FileRanges ranges = ranges_of(info_, piece);
    if (piece.first_block < piece.end_block) {
      const std::vector<std::byte>& planes = planes_.back();
      for (const auto& [begin, end] : scratch_ranges(piece))
        if (begin < end) parts.push_back(std::span(planes).subspan(begin, end - begin));
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
      placed_.push_back({ranges[i].first, parts[i]});
      piece.check = crc32c(text_of(parts[i]), piece.check);
    }
  }

  ByteRanges scratch_ranges(const Piece& piece) const {
    const auto blocks = static_cast<std::size_t>(piece.end_block - piece.first_block);
    return planes_ranges(static_cast<std::size_t>(info_.dimension), blocks * plane_block, 0, blocks);
  }

  // The first block may have begun in an earlier batch: its older rows come from the file.
  void add_planes(const CollectionState& state, const Piece& piece, const float* rows) {
    const auto dimension = static_cast<std::size_t>(info_.dimension);
    const auto blocks = static_cast<std::size_t>(piece.end_block - piece.first_block);
    const auto old = static_cast<std::size_t>(piece.first - piece.first_block * plane_block);
    std::vector<float> whole;
    if (old > 0) {
      const Extent& extent = state.extents.back();
      const float* begin = extent.rows() + piece.first_block * plane_block * dimension;
      whole.reserve(blocks * plane_block * dimension);
      whole.assign(begin, begin + old * dimension);
      whole.insert(whole.end(), rows, rows + (blocks * plane_block - old) * dimension);
      rows = whole.data();
    }
    planes_.push_back(make_planes(dimension, rows, blocks));
  }

  void encode(const CollectionState& state, const Records& records, std::uint64_t dead_bytes) {
    append_value(body, BatchHead{info_.number, 0, info_.dimension, state.slots, change.next_id,
                                 change.next_order, static_cast<std::uint32_t>(change.pieces.size()),
                                 static_cast<std::uint32_t>(change.dead.size())});
    for (const Piece& piece : change.pieces) append_value(body, piece);
    const std::size_t begin = body.size();
    for (const Slot slot : change.dead) append_value(body, slot);
    body.resize(begin + static_cast<std::size_t>(dead_bytes));
    body += records.bytes;
  }

  CollectionInfo info_;
  std::vector<std::uint64_t> texts_;
  std::vector<std::vector<std::byte>> planes_;
  std::vector<PlacedBytes> placed_;
};
using BatchFrame = BasicBatchFrame<>;

}  // namespace detail
RAG_END
#endif
