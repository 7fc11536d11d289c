// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TURNED_SCAN_HPP
#define RAG_DETAIL_TURNED_SCAN_HPP
#include <rag/detail/cascade.hpp>
#include <rag/detail/plane_turned.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <limits>
#include <span>
#include <vector>

#if RAG_X86

RAG_BEGIN
namespace detail {

/// The numbers and the factors of many queries, side by side for turned_dots().
RAG_LAZY class BasicTurnedQueries {
 public:
  static constexpr std::size_t most = 12;  // of a group: with 32 rows they fill the registers

  explicit BasicTurnedQueries(std::deque<ScanQuery>& queries)
      : row_bytes_(queries.front().code.shifted.size()),
        count_(queries.size()),
        padded_((queries.size() + 3) / 4 * 4),
        numbers_(padded_ * row_bytes_),
        factors_(4 * padded_) {
    std::fill(cut(), cut() + padded_, std::numeric_limits<float>::infinity());
    for (std::size_t i = 0; i < count_; ++i) {
      const QueryCode& code = queries[i].code;
      const std::size_t first = i / most * most, width = this->width(first);
      std::uint8_t* to = numbers_.data() + first * row_bytes_ + 4 * (i - first);
      for (std::size_t at = 0; at < row_bytes_; at += 4, to += 4 * width)
        std::memcpy(to, code.shifted.data() + at, 4);
      factors_[i] = code.terms.scale;
      factors_[padded_ + i] = code.terms.sway;
      factors_[2 * padded_ + i] = code.terms.reach + code.terms.margin;
    }
  }

  std::size_t count() const { return count_; }
  std::size_t padded() const { return padded_; }
  /// Queries of the group that begins with query `first`: a multiple of 4.
  std::size_t width(std::size_t first) const { return std::min(most, padded_ - first); }
  const std::byte* numbers(std::size_t first) const {
    return reinterpret_cast<const std::byte*>(numbers_.data() + first * row_bytes_);
  }
  TurnedTerms terms(std::size_t first) const {
    const float* scale = factors_.data() + first;
    return {scale, scale + padded_, scale + 2 * padded_, scale + 3 * padded_};
  }
  /// Only rows that may have a score of `threshold` or more are wanted for query i.
  void set_threshold(std::size_t i, const BoundTerms& terms, float threshold) { cut()[i] = cut_of(terms, threshold); }

 private:
  float* cut() { return factors_.data() + 3 * padded_; }

  std::size_t row_bytes_, count_, padded_;
  std::vector<std::uint8_t> numbers_;
  std::vector<float> factors_;
};
using TurnedQueries = BasicTurnedQueries<>;

/// Many queries and one chunk of rows, from the 8-bit plane, on AVX512-VNNI. The work of one thread; holds its scratch
/// memory.
RAG_LAZY class BasicTurnedScan {
 public:
  BasicTurnedScan(const ScanContext& context, std::deque<ScanQuery>& queries)
      : context_(context),
        queries_(queries),
        single_(context),
        turned_(queries),
        row_bytes_(PlaneLayout(context.dimension, 0).eight_bytes),
        lines_(turned_rows * row_bytes_ / sizeof(Line)) {}

  void scan(std::size_t index) {
    index_ = static_cast<std::uint32_t>(index);
    chunk_ = &context_.chunks[index];
    if (!chunk_->planed()) {
      for (ScanQuery& query : queries_) single_.scan(index, query);
      return;
    }
    for (std::size_t i = 0; i < queries_.size(); ++i) refresh(i);
    const PlaneLayout layout(context_.dimension, chunk_->segment->capacity);
    plane_ = {chunk_->segment->planes + layout.eight + chunk_->first * row_bytes_,
              reinterpret_cast<const EightHead*>(chunk_->segment->planes + layout.eight_heads) + chunk_->first,
              row_bytes_};
    bits_.find(*chunk_, context_.keep, context_.isa);
    rows_.clear();
    for_each_bit(bits_, [&](std::size_t row) { rows_.push_back(static_cast<std::uint32_t>(row)); });
    for (std::size_t first = 0; first < rows_.size(); first += turned_rows) scan_run(first);
  }

 private:
  void refresh(std::size_t i) { turned_.set_threshold(i, queries_[i].code.terms, queries_[i].threshold()); }

  /// The listed rows from `first` on, at most 32.
  void scan_run(std::size_t first) {
    const std::size_t count = std::min(turned_rows, rows_.size() - first);
    const std::uint32_t* rows = rows_.data() + first;
    turn(rows, count);
    std::size_t early = first + turned_rows;  // rows of the next run are asked for a few at a time
    const std::size_t end = std::min(early + turned_rows, rows_.size());
    const std::size_t groups = (turned_.padded() + TurnedQueries::most - 1) / TurnedQueries::most;
    const std::size_t share = (turned_rows + groups - 1) / groups;
    for (std::size_t query = 0; query < turned_.padded(); query += TurnedQueries::most) {
      for (std::size_t i = 0; i < share && early < end; ++i) prefetch_row(plane_, rows_[early++]);
      const std::size_t width = turned_.width(query);
      multiply(query, width);
      turned_wanted(blocks_, turned_.terms(query), dots_, width, wanted_);
      const std::uint32_t there = count < turned_rows ? (std::uint32_t{1} << count) - 1 : ~std::uint32_t{0};
      for (std::size_t j = 0; j < width; ++j)
        if ((wanted_[j] & there) != 0) offer(query + j, dots_ + j * turned_rows, wanted_[j] & there, rows);
    }
  }

  void multiply(std::size_t query, std::size_t width) {
    const auto* lines = reinterpret_cast<const std::byte*>(lines_.data());
    if (width == 12) return turned_dots<12>(blocks_, lines, row_bytes_, turned_.numbers(query), dots_);
    if (width == 8) return turned_dots<8>(blocks_, lines, row_bytes_, turned_.numbers(query), dots_);
    turned_dots<4>(blocks_, lines, row_bytes_, turned_.numbers(query), dots_);
  }

  /// Puts `count` rows and their heads side by side; the last one stands in for those that are missing.
  void turn(const std::uint32_t* list, std::size_t count) {
    const BoundTerms& terms = queries_.front().code.terms;
    for (std::size_t block = 0; block < 2; ++block) {
      const std::byte *rows[block_rows], *heads[block_rows];
      TurnedBlock& to = blocks_[block];
      for (std::size_t r = 0; r < block_rows; ++r) {
        const std::size_t row = list[std::min(block * block_rows + r, count - 1)];
        rows[r] = plane_.rows + row * row_bytes_;
        heads[r] = reinterpret_cast<const std::byte*>(plane_.heads + row);
        to.weight[r] = terms.metric == ScanMetric::cosine ? length_of(row) : 1;
      }
      turn_block(rows, row_bytes_, reinterpret_cast<std::byte*>(lines_.data()) + block * block_rows * row_bytes_);
      turn_block(heads, sizeof(EightHead), reinterpret_cast<std::byte*>(&to));
      for (std::size_t r = 0; r < block_rows; ++r) {
        const float squared = to.length[r] * to.length[r] + to.rest[r] * to.rest[r];
        to.added[r] = underflow_share - (terms.metric == ScanMetric::l2 ? 0.5f * squared * terms.low_share : 0);
      }
    }
  }

  float length_of(std::size_t row) const {
    return chunk_->segment->lengths == nullptr ? 0 : chunk_->segment->lengths[chunk_->first + row];
  }

  /// To query `number` those of the rows in `list` whose bit is 1; dots[i]: of row list[i].
  void offer(std::size_t number, const std::int32_t* dots, std::uint32_t bits, const std::uint32_t* list) {
    ScanQuery& query = queries_[number];
    const float threshold = query.threshold();
    found_.clear();
    for (; bits != 0; bits &= bits - 1) {
      const auto i = static_cast<std::size_t>(std::countr_zero(bits));
      const Bounds bounds = score_bounds(query.code.terms, plane_.heads[list[i]], dots[i], length_of(list[i]));
      if (bounds.upper >= threshold) found_.push_back({bounds.lower, bounds.upper, index_, list[i]});
    }
    if (found_.empty()) return;
    query.offer(found_);
    refresh(number);
  }

  struct alignas(64) Line {
    std::byte bytes[64];
  };

  const ScanContext& context_;
  std::deque<ScanQuery>& queries_;
  ChunkScan single_;
  TurnedQueries turned_;
  std::size_t row_bytes_;
  std::vector<Line> lines_;
  TurnedBlock blocks_[2] = {};
  std::int32_t dots_[TurnedQueries::most * turned_rows] = {};
  std::uint32_t wanted_[TurnedQueries::most] = {};
  ChunkBits bits_;
  std::vector<std::uint32_t> rows_;  // of the chunk, those to keep
  std::vector<Candidate> found_;
  const ScanChunk* chunk_ = nullptr;
  std::uint32_t index_ = 0;
  EightPlane plane_ = {};  // of the chunk
};
using TurnedScan = BasicTurnedScan<>;

}  // namespace detail
RAG_END
#endif
#endif
