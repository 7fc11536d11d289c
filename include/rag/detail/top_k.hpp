// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TOP_K_HPP
#define RAG_DETAIL_TOP_K_HPP
#include <rag/version.hpp>

#include <algorithm>
#include <cstddef>
#include <vector>

RAG_BEGIN
namespace detail {

struct Ranked {
  float score;
  std::size_t place;

  bool operator==(const Ranked&) const = default;
};

/// Larger scores first; of equal ones the lower place.
inline bool ranks_before(const Ranked& a, const Ranked& b) {
  return a.score != b.score ? a.score > b.score : a.place < b.place;
}

/// Keeps the k best of what is offered: a heap with the worst of them on top. No NaN.
RAG_LAZY class BasicTopK {
 public:
  explicit BasicTopK(std::size_t k) : k_(k) {}

  void offer(float score, std::size_t place) {
    const Ranked item{score, place};
    if (heap_.size() < k_) {
      heap_.push_back(item);
      std::push_heap(heap_.begin(), heap_.end(), ranks_before);
    } else if (k_ > 0 && ranks_before(item, heap_.front())) {
      std::pop_heap(heap_.begin(), heap_.end(), ranks_before);
      heap_.back() = item;
      std::push_heap(heap_.begin(), heap_.end(), ranks_before);
    }
  }

  /// Best first.
  std::vector<Ranked> sorted() const {
    std::vector<Ranked> items = heap_;
    std::sort(items.begin(), items.end(), ranks_before);
    return items;
  }

 private:
  std::size_t k_;
  std::vector<Ranked> heap_;
};
using TopK = BasicTopK<>;

}  // namespace detail
RAG_END
#endif
