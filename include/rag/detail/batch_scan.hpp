// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_BATCH_SCAN_HPP
#define RAG_DETAIL_BATCH_SCAN_HPP
#include <rag/detail/cascade.hpp>
#include <rag/detail/plane_batch.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <span>
#include <vector>

#if RAG_X86

RAG_BEGIN
namespace detail {

/// Many queries and one chunk of rows, from the 8-bit plane, on AMX. The work of one thread; holds its scratch
/// memory.
RAG_LAZY class BasicBatchScan {
 public:
  BasicBatchScan(const ScanContext& context, std::deque<ScanQuery>& queries)
      : context_(context),
        queries_(queries),
        single_(context),
        row_bytes_(PlaneLayout(context.dimension, 0).eight_bytes),
        dots_(run_rows * group_queries) {
    groups_.resize((queries.size() + group_queries - 1) / group_queries, QueryGroup(row_bytes_));
    for (std::size_t i = 0; i < queries.size(); ++i)
      groups_[i / group_queries].set(i % group_queries, queries[i].code);
    if (context.keep != nullptr) gathered_.resize(run_rows * row_bytes_);
  }

  void scan(std::size_t index) {
    index_ = static_cast<std::uint32_t>(index);
    chunk_ = &context_.chunks[index];
    if (!chunk_->planed()) {
      for (ScanQuery& query : queries_) single_.scan(index, query);
      return;
    }
    for (std::size_t i = 0; i < queries_.size(); ++i) refresh(i);
    const TileUse tiles(true);
    const PlaneLayout layout(context_.dimension, chunk_->segment->capacity);
    rows_ = chunk_->segment->planes + layout.eight + chunk_->first * row_bytes_;
    heads_ = reinterpret_cast<const EightHead*>(chunk_->segment->planes + layout.eight_heads) + chunk_->first;
    if (context_.keep == nullptr)
      scan_all_rows();
    else
      scan_kept_rows();
  }

 private:
  void refresh(std::size_t i) {
    groups_[i / group_queries].set_threshold(i % group_queries, queries_[i].code.terms,
                                             queries_[i].threshold());
  }

  void scan_all_rows() {
    for (std::size_t first = 0; first < chunk_->count; first += run_rows) {
      const std::size_t count = std::min(run_rows, chunk_->count - first);
      for (std::size_t i = 0; i < count; ++i) row_of_[i] = static_cast<std::uint32_t>(first + i);
      scan_run(rows_ + first * row_bytes_, heads_ + first, count, count);
    }
  }

  /// Puts the rows to keep side by side first, up to 96 at a time.
  void scan_kept_rows() {
    std::size_t count = 0;
    const auto flush = [&] {
      if (count == 0) return;
      const std::size_t whole = (count + block_rows - 1) / block_rows * block_rows;
      scan_run(gathered_.data(), gathered_heads_, count, whole);
      count = 0;
    };
    bits_.find(*chunk_, context_.keep, context_.isa);
    for_each_bit(bits_, [&](std::size_t row) {
      std::memcpy(gathered_.data() + count * row_bytes_, rows_ + row * row_bytes_, row_bytes_);
      gathered_heads_[count] = heads_[row];
      row_of_[count++] = static_cast<std::uint32_t>(row);
      if (count == run_rows) flush();
    });
    flush();
  }

  /// `count` rows, and what follows them up to a whole number of blocks.
  void scan_run(const std::byte* rows, const EightHead* heads, std::size_t count, std::size_t whole) {
    const BoundTerms& terms = queries_.front().code.terms;
    for (std::size_t i = 0; i < whole; ++i) {
      const float squared = heads[i].length * heads[i].length + heads[i].rest * heads[i].rest;
      added_[i] = underflow_share - (terms.metric == ScanMetric::l2 ? 0.5f * squared * terms.low_share : 0);
      weight_[i] = terms.metric == ScanMetric::cosine && i < count ? length_of(i) : 1;
    }
    const RowRun run = {rows, row_bytes_, whole, heads, added_, weight_};
    for (std::size_t group = 0; group < groups_.size(); ++group) {
      batch_amx(run, reinterpret_cast<const std::byte*>(groups_[group].numbers.data()), dots_.data());
      batch_wanted(run, groups_[group], dots_.data(), wanted_);
      for (std::size_t i = 0; i < count; ++i)
        for (std::uint32_t bits = wanted_[i]; bits != 0; bits &= bits - 1)
          offer(group, i, static_cast<std::size_t>(std::countr_zero(bits)), heads[i]);
    }
  }

  float length_of(std::size_t i) const {
    return chunk_->segment->lengths == nullptr ? 0 : chunk_->segment->lengths[chunk_->first + row_of_[i]];
  }

  void offer(std::size_t group, std::size_t i, std::size_t place, const EightHead& head) {
    const std::size_t number = group * group_queries + place;
    ScanQuery& query = queries_[number];
    const std::int32_t dot = dots_[i * group_queries + place] + head.offset;
    const Bounds bounds = score_bounds(query.code.terms, head, dot, length_of(i));
    if (!(bounds.upper >= query.threshold())) return;
    const Candidate item = {bounds.lower, bounds.upper, index_, row_of_[i]};
    query.offer(std::span(&item, 1));
    refresh(number);
  }

  const ScanContext& context_;
  std::deque<ScanQuery>& queries_;
  ChunkScan single_;
  std::size_t row_bytes_;
  std::vector<QueryGroup> groups_;
  std::vector<std::int32_t> dots_;
  std::vector<std::byte> gathered_;
  EightHead gathered_heads_[run_rows] = {};
  float added_[run_rows] = {}, weight_[run_rows] = {};
  std::uint32_t row_of_[run_rows] = {}, wanted_[run_rows] = {};
  ChunkBits bits_;
  const ScanChunk* chunk_ = nullptr;
  std::uint32_t index_ = 0;
  const std::byte* rows_ = nullptr;
  const EightHead* heads_ = nullptr;
};
using BatchScan = BasicBatchScan<>;

}  // namespace detail
RAG_END
#endif

#endif
