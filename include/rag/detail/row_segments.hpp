// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_ROW_SEGMENTS_HPP
#define RAG_DETAIL_ROW_SEGMENTS_HPP
#include <rag/detail/aligned_bytes.hpp>
#include <rag/detail/parallel.hpp>
#include <rag/detail/planes.hpp>
#include <rag/detail/scan_types.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// The chunks of a store, their rows, and what a search reads beside them. Slots 0 … size() - 1 are all in use: the hole
/// that a removed one leaves is filled with the last. A segment never moves, and the next is twice as large, so growing
/// copies nothing.
///
/// reserve() gets all memory that a change needs. Then push(), set(), remove() and settle(), which ends each change, do
/// not fail. From `fewest_planed` rows on complete blocks of 16 have planes; a block that found no memory for its planes
/// is scanned in fp32 until a later change finds some.
RAG_LAZY class BasicRowSegments {
 public:
  static constexpr std::size_t first_capacity = 64, most_capacity = 65536;
  static constexpr std::size_t most_bytes = std::size_t{1} << 27;  // of the rows of a segment beyond the first

  /// `with_lengths`: for the cosine.
  explicit BasicRowSegments(bool with_lengths) : with_lengths_(with_lengths) {}
  BasicRowSegments(const BasicRowSegments& other)
      : with_lengths_(other.with_lengths_),
        size_(other.size_),
        dimension_(other.dimension_),
        doublings_(other.doublings_),
        next_order_(other.next_order_) {
    for (const Segment& segment : other.segments_)
      if (!segment.chunks.empty()) segments_.push_back(copy_of(segment));
  }
  BasicRowSegments(BasicRowSegments&& other) noexcept : with_lengths_(other.with_lengths_) { swap(other); }
  BasicRowSegments& operator=(BasicRowSegments other) noexcept {
    swap(other);
    return *this;
  }

  std::size_t size() const { return size_; }
  const Chunk& chunk(std::size_t slot) const {
    const Place at = place_of(slot);
    return segments_[at.segment].chunks[at.row];
  }
  const float* row(std::size_t slot) const {
    const Place at = place_of(slot);
    return segments_[at.segment].row(at.row, dimension_);
  }
  std::uint64_t order(std::size_t slot) const {
    const Place at = place_of(slot);
    return segments_[at.segment].order[at.row];
  }
  /// What a search reads.
  std::vector<ScanSegment> scan_segments() const {
    std::vector<ScanSegment> all;
    all.reserve(segments_.size());
    for (const Segment& segment : segments_)
      all.push_back({segment.row(0, dimension_), segment.chunks.size(), segment.planes.get(), segment.planed,
                     segment.capacity, with_lengths_ ? segment.lengths.data() : nullptr, segment.order.data()});
    return all;
  }

  /// Room for `rows` rows in all, of which `changed` are changed or removed before the next settle().
  void reserve(std::size_t rows, std::size_t dimension, std::size_t changed) {
    dirty_.reserve(changed);
    if (dimension == 0) return;
    if (dimension_ != dimension) {  // no row is in use
      segments_.clear();
      dimension_ = dimension;
      doublings_ = 0;
      while (first_capacity << doublings_ < most_capacity &&
             (first_capacity << (doublings_ + 1)) * dimension * sizeof(float) <= most_bytes)
        ++doublings_;
    }
    while (rows > start_of(segments_.size())) segments_.push_back(make(segments_.size()));
    if (rows >= fewest_planed)
      for (Segment& segment : segments_)
        if (!segment.planes) segment.planes = AlignedBytes(layout(segment).size());
  }

  /// Puts a row behind the last.
  void push(Chunk&& chunk, const float* values, float length) noexcept {
    Segment& segment = segments_[place_of(size_++).segment];
    std::memcpy(segment.row(segment.chunks.size(), dimension_), values, dimension_ * sizeof(float));
    if (with_lengths_) segment.lengths.push_back(length);
    segment.order.push_back(next_order_++);
    segment.chunks.push_back(std::move(chunk));
  }
  /// Puts another row in the place of one, which keeps its rank.
  void set(std::size_t slot, Chunk&& chunk, const float* values, float length) noexcept {
    const Place at = place_of(slot);
    Segment& segment = segments_[at.segment];
    std::memcpy(segment.row(at.row, dimension_), values, dimension_ * sizeof(float));
    if (with_lengths_) segment.lengths[at.row] = length;
    segment.chunks[at.row] = std::move(chunk);
    dirty_.push_back(slot / block_rows);
  }
  /// Takes a row out; the last one fills its slot.
  void remove(std::size_t slot) noexcept {
    const Place from = place_of(--size_);
    Segment& last = segments_[from.segment];
    if (slot != size_) {
      const Place at = place_of(slot);
      Segment& segment = segments_[at.segment];
      std::memcpy(segment.row(at.row, dimension_), last.row(from.row, dimension_), dimension_ * sizeof(float));
      if (with_lengths_) segment.lengths[at.row] = last.lengths[from.row];
      segment.order[at.row] = last.order[from.row];
      segment.chunks[at.row] = std::move(last.chunks[from.row]);
      dirty_.push_back(slot / block_rows);
    }
    if (with_lengths_) last.lengths.pop_back();
    last.order.pop_back();
    last.chunks.pop_back();
    last.planed = std::min(last.planed, last.complete() * block_rows);
  }
  /// Brings the planes up to date and gives back memory that is no longer needed.
  void settle(std::size_t threads = 1, const Executor& executor = {}) noexcept {
    std::sort(dirty_.begin(), dirty_.end());
    dirty_.erase(std::unique(dirty_.begin(), dirty_.end()), dirty_.end());
    while (!dirty_.empty() && dirty_.back() * block_rows >= size_) dirty_.pop_back();
    const auto half_empty = [](const Segment& segment) { return segment.chunks.size() <= segment.capacity / 2; };
    while (segments_.size() > 1 && segments_.back().chunks.empty() && half_empty(segments_[segments_.size() - 2]))
      segments_.pop_back();
    if (size_ < fewest_planed / 2)
      for (Segment& segment : segments_) segment.planes = {}, segment.planed = 0;
    try {
      quantise(threads, executor);
    } catch (...) {  // what is not up to date has no planes, until there is memory
      for (const std::size_t block : dirty_) {
        const Place at = place_of(block * block_rows);
        segments_[at.segment].planed = std::min(segments_[at.segment].planed, at.row);
      }
    }
    dirty_.clear();
  }

 private:
  struct Segment {
    std::size_t capacity = 0;
    AlignedBytes rows = {};
    AlignedBytes planes = {};
    std::size_t planed = 0;
    std::vector<float> lengths = {};  // one, like what follows, for each row in use; none without the cosine
    std::vector<std::uint64_t> order = {};
    std::vector<Chunk> chunks = {};

    std::size_t complete() const { return chunks.size() / block_rows; }  // blocks
    float* row(std::size_t i, std::size_t dimension) const {
      return reinterpret_cast<float*>(rows.get()) + i * dimension;
    }
  };
  struct Place {
    std::size_t segment, row;
  };

  // Segment i has room for first_capacity << min(i, doublings_) rows.
  std::size_t capacity_of(std::size_t segment) const { return first_capacity << std::min(segment, doublings_); }
  std::size_t start_of(std::size_t segment) const {
    const std::size_t growing = std::min(segment, doublings_);
    return first_capacity * ((std::size_t{1} << growing) - 1) + (segment - growing) * (first_capacity << doublings_);
  }
  Place place_of(std::size_t slot) const {
    const std::size_t grown = start_of(doublings_);
    const std::size_t segment = slot < grown
                                    ? static_cast<std::size_t>(std::bit_width(slot / first_capacity + 1)) - 1
                                    : doublings_ + (slot - grown) / (first_capacity << doublings_);
    return {segment, slot - start_of(segment)};
  }

  PlaneLayout layout(const Segment& segment) const { return {dimension_, segment.capacity}; }

  Segment make(std::size_t index) const {
    Segment segment;
    segment.capacity = capacity_of(index);
    segment.rows = AlignedBytes(segment.capacity * dimension_ * sizeof(float));
    if (with_lengths_) segment.lengths.reserve(segment.capacity);
    segment.order.reserve(segment.capacity);
    segment.chunks.reserve(segment.capacity);
    return segment;
  }

  Segment copy_of(const Segment& other) const {
    Segment segment = make(static_cast<std::size_t>(segments_.size()));
    segment.lengths.insert(segment.lengths.end(), other.lengths.begin(), other.lengths.end());
    segment.order.insert(segment.order.end(), other.order.begin(), other.order.end());
    segment.chunks.insert(segment.chunks.end(), other.chunks.begin(), other.chunks.end());
    std::memcpy(segment.rows.get(), other.rows.get(), other.chunks.size() * dimension_ * sizeof(float));
    if (other.planes) {
      segment.planes = AlignedBytes(layout(segment).size());
      for (const auto& [begin, end] : layout(segment).ranges(0, other.planed / block_rows))
        std::memcpy(segment.planes.get() + begin, other.planes.get() + begin, end - begin);
      segment.planed = other.planed;
    }
    return segment;
  }

  struct Blocks {
    const Segment* segment;
    std::size_t first, last;
  };

  /// Planes for the blocks that changed and those that are new.
  void quantise(std::size_t threads, const Executor& executor) {
    constexpr std::size_t at_once = 64;
    std::vector<Blocks> work;
    for (const std::size_t block : dirty_) {
      const Place at = place_of(block * block_rows);
      if (at.row < segments_[at.segment].planed)
        work.push_back({&segments_[at.segment], at.row / block_rows, at.row / block_rows + 1});
    }
    for (const Segment& segment : segments_)
      if (segment.planes)
        for (std::size_t first = segment.planed / block_rows; first < segment.complete(); first += at_once)
          work.push_back({&segment, first, std::min(first + at_once, segment.complete())});
    if (work.empty()) return;
    const auto make_work = [&] {
      return [&](std::size_t i) {
        const auto& [segment, first, last] = work[i];
        quantise_blocks(layout(*segment), segment->row(first * block_rows, dimension_), first, last,
                        segment->planes.get());
      };
    };
    parallel_for(threads, work.size(), make_work, executor);
    for (Segment& segment : segments_)
      if (segment.planes) segment.planed = segment.complete() * block_rows;
  }

  void swap(BasicRowSegments& other) noexcept {
    std::swap(with_lengths_, other.with_lengths_);
    std::swap(size_, other.size_);
    std::swap(dimension_, other.dimension_);
    std::swap(doublings_, other.doublings_);
    std::swap(next_order_, other.next_order_);
    segments_.swap(other.segments_);
    dirty_.swap(other.dirty_);
  }

  bool with_lengths_;
  std::size_t size_ = 0, dimension_ = 0, doublings_ = 0;
  std::uint64_t next_order_ = 0;
  std::vector<Segment> segments_;
  std::vector<std::size_t> dirty_;  // blocks with a row that changed
};
using RowSegments = BasicRowSegments<>;

}  // namespace detail
RAG_END
#endif
