// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_CASCADE_HPP
#define RAG_DETAIL_CASCADE_HPP
#include <rag/detail/chunk_bits.hpp>
#include <rag/detail/plane_eight.hpp>
#include <rag/detail/scan_plain.hpp>
#include <rag/detail/shortlist.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

// One query and one chunk of rows: 4-bit numbers for all rows, 8-bit numbers for those that could still be
// wanted, and what is left waits in a shortlist for its fp32 score.

RAG_BEGIN
namespace detail {

/// What the parts of a search have in common.
struct ScanContext {
  ScanMetric metric;
  std::size_t dimension;
  std::span<const ScanChunk> chunks;
  const Bitmap* keep;
  Isa isa;
  PlaneKernel kernel;
  ScanPath path;
};

/// One query on its way: what several threads share.
RAG_LAZY class BasicScanQuery {
 public:
  BasicScanQuery(const ScanContext& context, const float* floats, std::size_t k, float floor = nothing_below)
      : query(floats), code(context.metric, context.dimension, floats), context_(context), list_(k, floor) {
    threshold_ = list_.threshold();
    few_ = k < chunk_rows / 8 ? 4 * k : 0;
  }

  /// Rows whose score is certainly lower are not wanted.
  float threshold() const { return threshold_.load(std::memory_order_relaxed); }

  void offer(std::span<const Candidate> items) {
    if (items.empty()) return;
    const std::lock_guard lock(mutex_);
    for (const Candidate& item : items) list_.offer(item, scorer());
    threshold_ = list_.threshold();
  }
  void offer(std::span<const Found> items) {
    if (items.empty()) return;
    const std::lock_guard lock(mutex_);
    for (const Found& item : items) list_.offer(item);
    threshold_ = list_.threshold();
  }

  /// After all chunks: the answer, best first.
  std::vector<Found> finish() {
    list_.settle(scorer());
    return std::move(list_).sorted();
  }

  const float* query;
  const QueryCode code;

  /// How many rows of a chunk, the best by 4 bits, are tried first where the threshold is poor; 0: so many are wanted
  /// that none is tried.
  std::size_t few() const { return few_; }

  /// The share of rows that 4 bits could not rule out lately, and how many chunks were done.
  std::atomic<float> survivors = 0.05f;
  std::atomic<std::uint32_t> turns = 0;

 private:
  /// Gives rows their fp32 scores.
  struct Scorer {
    const ScanContext& context;
    const float* query;

    void ask_early(const Candidate& item) const {
#if RAG_X86
      const ScanChunk& chunk = context.chunks[item.chunk];
      const auto* row =
          reinterpret_cast<const char*>(chunk.segment->rows + (chunk.first + item.row) * context.dimension);
      for (std::size_t i = 0; i < context.dimension * sizeof(float); i += 64)
        prefetch(row + i);
#endif
      (void)item;
    }
    Found operator()(const Candidate& item) const {
      const ScanChunk& chunk = context.chunks[item.chunk];
      const std::size_t row = chunk.first + item.row;
      float score;
      score_rows(context.metric, *chunk.segment, row, 1, context.dimension, query, context.isa, &score);
      return chunk.found(row, score);
    }
  };
  Scorer scorer() const { return {context_, query}; }

  const ScanContext& context_;
  std::size_t few_;
  std::mutex mutex_;
  std::atomic<float> threshold_;
  Shortlist list_;
};
using ScanQuery = BasicScanQuery<>;

/// The work of one thread on chunks; holds its scratch memory.
RAG_LAZY class BasicChunkScan {
 public:
  explicit BasicChunkScan(const ScanContext& context) : context_(context), layout_(context.dimension, 0) {}

  void scan(std::size_t index, ScanQuery& query) {
    index_ = static_cast<std::uint32_t>(index);
    chunk_ = &context_.chunks[index];
    query_ = &query;
    bits_.find(*chunk_, context_.keep, context_.isa);
    const std::size_t kept = bits_.kept();
    if (kept == 0) return;
    switch (path(kept)) {
      case ScanPath::plain:
        return scan_plain();
      case ScanPath::eight:
        return scan_eight();
      default:
        return scan_four(kept);
    }
  }

 private:
  /// The path with the fewest bytes. A row read alone costs as much as some more bytes.
  ScanPath path(std::size_t kept) {
    if (!chunk_->planed()) return ScanPath::plain;
    if (context_.path != ScanPath::automatic) return context_.path;
    constexpr float alone = 256;
    const auto row = static_cast<float>(layout_.eight_bytes + sizeof(EightHead));
    const auto rows = static_cast<float>(kept), all = static_cast<float>(bits_.blocks() * block_rows);
    const float eight = rows * row + std::min(rows, all - rows) * alone;
    const float four = all * static_cast<float>(layout_.four_bytes / block_rows + 12) +
                       query_->survivors.load(std::memory_order_relaxed) * rows * (row + alone);
    if (four < eight) return ScanPath::four;
    // Now and then 4 bits get another chance, where they would be better if they ruled out enough.
    const bool again = query_->turns.fetch_add(1, std::memory_order_relaxed) % 16 == 15;
    return again && 2 * rows > all ? ScanPath::four : ScanPath::eight;
  }

  void scan_plain() {
    exact_.clear();
    const float threshold = query_->threshold();
    for_plain_scores(context_.metric, *chunk_, context_.dimension, query_->query, context_.keep, context_.isa,
                     [&](std::size_t row, float score) {
                       if (score >= threshold) exact_.push_back(chunk_->found(row, score));
                     });
    query_->offer(exact_);
  }

  void scan_eight() {
    constexpr std::size_t run = 256;  // rows between two looks at the threshold
    std::size_t count = 0;
    for (std::size_t i = 0; i < bits_.words(); ++i) {
      count = list_rows(64 * i, bits_.word(i), count);
      if (count < run) continue;
      bound_listed(0, count);
      count = 0;
    }
    bound_listed(0, count);
  }

  void scan_four(std::size_t kept) {
    const std::size_t few = query_->few();
    if (query_->threshold() == nothing_below && (few == 0 || kept <= few)) return scan_eight();
    run_four(query_->threshold());
    std::size_t count = 0;
    for (std::size_t block = 0; block * block_rows < chunk_->count; ++block)
      count = list_rows(block * block_rows, masks_[block], count);
    std::uint32_t* rows = rows_.get();
    std::size_t bounded = 0;
    if (few != 0 && count > std::max(2 * few, kept / 4)) {  // the threshold is poor: the best few give a better one
      std::nth_element(rows, rows + few, rows + count, [this](std::uint32_t a, std::uint32_t b) { return upper(a) > upper(b); });
      bound_listed(0, few);
      bounded = few;
      count = wanted_from(few, count);
    }
    bound_listed(bounded, count);
    // What the next chunk may meet: how many would have been left with the threshold that holds now. A few rows tell
    // little.
    if (kept < chunk_rows / 4) return;
    const auto left = static_cast<float>(wanted_from(0, count));
    query_->survivors.store(left / static_cast<float>(kept), std::memory_order_relaxed);
  }

  float upper(std::uint32_t row) const { return uppers_[row - chunk_->first]; }

  /// Of the listed rows [begin, end) only those stay that 4 bits do not rule out now; gives the new end.
  std::size_t wanted_from(std::size_t begin, std::size_t end) {
    const float threshold = query_->threshold();
    const auto last = std::remove_if(rows_.get() + begin, rows_.get() + end, [&](std::uint32_t row) { return !(upper(row) >= threshold); });
    return static_cast<std::size_t>(last - rows_.get());
  }

  /// Fills masks_ and uppers_ for the blocks that hold rows to keep; the masks of the others are 0.
  void run_four(float threshold) {
    const std::size_t blocks = (chunk_->count + block_rows - 1) / block_rows;
    const ScanSegment& segment = *chunk_->segment;
    const PlaneLayout layout(context_.dimension, segment.capacity);
    const FourKernel kernel = four_kernel(context_.kernel);
    for (std::size_t begin = 0, end; begin < blocks; begin = end) {
      const bool wanted = bits_.of_block(begin) != 0;
      for (end = begin + 1; end < blocks && (bits_.of_block(end) != 0) == wanted; ++end) {
      }
      if (!wanted) {
        std::fill(masks_.get() + begin, masks_.get() + end, std::uint16_t{0});
        continue;
      }
      const std::size_t block = chunk_->first / block_rows + begin;
      const FourRun run = {segment.planes + block * layout.four_bytes,
                           segment.planes + layout.four_heads + block * PlaneLayout::four_head_bytes,
                           segment.lengths == nullptr ? nullptr : segment.lengths + block * block_rows,
                           layout.four_bytes,
                           end - begin,
                           &query_->code,
                           threshold};
      kernel(run, masks_.get() + begin, uppers_.get() + begin * block_rows);
      for (std::size_t i = begin; i < end; ++i)
        masks_[i] = static_cast<std::uint16_t>(masks_[i] & bits_.of_block(i));
    }
  }

  /// Appends to rows_ those from row `first` of the chunk on whose bit is 1; they count from the segment's
  /// first.
  std::size_t list_rows(std::size_t first, std::uint64_t bits, std::size_t count) {
    const std::size_t row = chunk_->first + first;
    for (; bits != 0; bits &= bits - 1)
      rows_[count++] = static_cast<std::uint32_t>(row + static_cast<std::size_t>(std::countr_zero(bits)));
    return count;
  }

  /// Offers the listed rows [begin, end) that 8 bits do not rule out.
  void bound_listed(std::size_t begin, std::size_t end) {
    if (begin == end) return;
    const ScanSegment& segment = *chunk_->segment;
    const PlaneLayout layout(context_.dimension, segment.capacity);
    const EightPlane plane = {segment.planes + layout.eight,
                              reinterpret_cast<const EightHead*>(segment.planes + layout.eight_heads),
                              layout.eight_bytes};
    eight_kernel(context_.kernel)(plane, rows_.get() + begin, end - begin, query_->code, dots_.get());
    const float threshold = query_->threshold();
    found_.clear();
    for (std::size_t i = begin; i < end; ++i) {
      const std::uint32_t row = rows_[i];
      const float length = segment.lengths == nullptr ? 0 : segment.lengths[row];
      const Bounds both = score_bounds(query_->code.terms, plane.heads[row], dots_[i - begin], length);
      if (both.upper >= threshold)
        found_.push_back({both.lower, both.upper, index_, row - static_cast<std::uint32_t>(chunk_->first)});
    }
    query_->offer(found_);
  }

  const ScanContext& context_;
  PlaneLayout layout_;
  ChunkBits bits_;
  template <class T>
  static std::unique_ptr<T[]> scratch(std::size_t size) {
    return std::make_unique_for_overwrite<T[]>(size);  // most searches touch little of it
  }
  std::unique_ptr<std::uint16_t[]> masks_ = scratch<std::uint16_t>(sparse_chunk_rows / block_rows);
  std::unique_ptr<std::uint32_t[]> rows_ = scratch<std::uint32_t>(sparse_chunk_rows);
  std::unique_ptr<std::int32_t[]> dots_ = scratch<std::int32_t>(sparse_chunk_rows);
  std::unique_ptr<float[]> uppers_ = scratch<float>(sparse_chunk_rows);
  std::vector<Candidate> found_;
  std::vector<Found> exact_;
  const ScanChunk* chunk_ = nullptr;
  ScanQuery* query_ = nullptr;
  std::uint32_t index_ = 0;
};
using ChunkScan = BasicChunkScan<>;

}  // namespace detail
RAG_END
#endif
