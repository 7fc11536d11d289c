// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SLOT_TABLE_HPP
#define RAG_DETAIL_SLOT_TABLE_HPP
#include <rag/version.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

using Slot = std::uint32_t;
inline constexpr Slot no_slot = std::numeric_limits<Slot>::max();

/// Slots by key, ascending, in memory of another's: a checkpoint is searched where it lies.
struct SlotTable {
  const std::uint64_t* keys = nullptr;
  const Slot* slots = nullptr;
  std::size_t size = 0;

  /// use(slot) for each slot of the key, until it gives false.
  template <class Use>
  void each(std::uint64_t key, Use&& use) const {
    for (const std::uint64_t* at = std::lower_bound(keys, keys + size, key); at != keys + size && *at == key;
         ++at)
      if (!use(slots[at - keys])) return;
  }
};

/// Keys of the slots from first() on, in memory. The newest slot of a key comes first.
RAG_LAZY class BasicSlotChains {
 public:
  explicit BasicSlotChains(std::size_t first = 0) : first_(first) {}

  std::size_t first() const { return first_; }
  const std::vector<std::uint64_t>& keys() const { return keys_; }

  /// Makes room, so that so many push() can't fail.
  void reserve(std::size_t extra) {
    const std::size_t wanted = keys_.size() + extra;
    if (wanted > keys_.capacity()) {
      const std::size_t room = std::max(wanted, 2 * keys_.capacity());
      next_.reserve(room);
      keys_.reserve(room);
    }
    if (wanted <= heads_.size()) return;
    std::vector<Slot> heads(std::bit_ceil(std::max<std::size_t>(wanted, 16)), no_slot);
    heads_.swap(heads);
    for (std::size_t i = 0; i < keys_.size(); ++i) link(i);
  }
  void push(std::uint64_t key) noexcept {
    keys_.push_back(key);
    next_.push_back(no_slot);
    link(keys_.size() - 1);
  }
  template <class Use>
  void each(std::uint64_t key, Use&& use) const {
    if (heads_.empty()) return;
    for (Slot at = heads_[place(key)]; at != no_slot; at = next_[at])
      if (keys_[at] == key && !use(static_cast<Slot>(first_ + at))) return;
  }

 private:
  std::size_t place(std::uint64_t key) const {
    return static_cast<std::size_t>(key * 0x9E3779B97F4A7C15u >> 32) & (heads_.size() - 1);
  }
  void link(std::size_t i) noexcept {
    Slot& head = heads_[place(keys_[i])];
    next_[i] = std::exchange(head, static_cast<Slot>(i));
  }

  std::size_t first_;
  std::vector<std::uint64_t> keys_;
  std::vector<Slot> next_, heads_;
};
using SlotChains = BasicSlotChains<>;

}  // namespace detail
RAG_END
#endif
