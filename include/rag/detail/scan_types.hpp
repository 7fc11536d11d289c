// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SCAN_TYPES_HPP
#define RAG_DETAIL_SCAN_TYPES_HPP
#include <rag/detail/bitmap.hpp>
#include <rag/detail/cpu.hpp>
#include <rag/detail/parallel.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

// What a search of the rows of a store takes and gives.

RAG_BEGIN
namespace detail {

/// By the numbers of store/metric.hpp.
enum class ScanMetric : unsigned { inner_product, cosine, l2 };

/// Rows that lie together. All pointers stay the store's. No row has a length beyond longest_vector.
struct ScanSegment {
  const float* rows = nullptr;  ///< count x dimension, without gaps
  std::size_t count = 0;
  const std::byte* planes = nullptr;     ///< laid out by PlaneLayout(dimension, capacity), or null
  std::size_t planed = 0;                ///< rows from the first on that have planes, a multiple of 16
  std::size_t capacity = 0;              ///< a multiple of 16
  const float* lengths = nullptr;        ///< cosine: the length of each row, rounded to float
  const std::uint64_t* order = nullptr;  ///< the rank of each row in the order of insertion; null: the slot
};

/// A row that was found. Its slot counts the rows of all segments, in their order.
struct Found {
  float score = 0;
  std::uint64_t order = 0;
  std::size_t slot = 0;

  bool operator==(const Found&) const = default;
};

/// Larger scores first; of equal ones the lower order.
inline bool ranks_before(const Found& a, const Found& b) {
  return a.score != b.score ? a.score > b.score : a.order < b.order;
}

/// Which planes are read before fp32. Results are the same bits on each; automatic chooses while it runs.
enum class ScanPath : unsigned char { automatic, plain, eight, four };

struct ScanOptions {
  Isa isa = best_isa();
  ScanPath path = ScanPath::automatic;
  std::size_t threads = 1;  ///< 0: all of the machine
  Executor executor = {};
};

inline constexpr float nothing_below = -std::numeric_limits<float>::infinity();

/// Keeps the k best of what is offered: a heap with the worst of them on top.
RAG_LAZY class BasicBestFound {
 public:
  explicit BasicBestFound(std::size_t k) : k_(k) {}

  void offer(const Found& item) {
    if (heap_.size() < k_) {
      heap_.push_back(item);
      std::push_heap(heap_.begin(), heap_.end(), order);
    } else if (k_ > 0 && ranks_before(item, heap_.front())) {
      std::pop_heap(heap_.begin(), heap_.end(), order);
      heap_.back() = item;
      std::push_heap(heap_.begin(), heap_.end(), order);
    }
  }

  /// No row with a lower score can enter.
  float threshold() const {
    if (k_ == 0) return std::numeric_limits<float>::infinity();
    return heap_.size() < k_ ? nothing_below : heap_.front().score;
  }

  /// Best first.
  std::vector<Found> sorted() && {
    std::sort(heap_.begin(), heap_.end(), order);
    return std::move(heap_);
  }

 private:
  static constexpr auto order = [](const Found& a, const Found& b) { return ranks_before(a, b); };

  std::size_t k_;
  std::vector<Found> heap_;
};
using BestFound = BasicBestFound<>;

inline constexpr std::size_t chunk_rows = 2048;

/// A run of rows of one segment, the unit of work of a thread. All of its rows have planes, or none.
struct ScanChunk {
  const ScanSegment* segment = nullptr;
  std::size_t first = 0, count = 0;  ///< rows of the segment
  std::size_t slot = 0;              ///< of row `first`

  bool planed() const { return first < segment->planed; }

  Found found(std::size_t row, float score) const {
    const std::size_t place = slot + (row - first);
    return {score, segment->order != nullptr ? segment->order[row] : place, place};
  }
};

}  // namespace detail
RAG_END
#endif
