// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_COLLECTION_VIEW_HPP
#define RAG_DETAIL_COLLECTION_VIEW_HPP
#include <rag/detail/bitmap.hpp>
#include <rag/detail/collection_search.hpp>
#include <rag/detail/collection_state.hpp>
#include <rag/detail/scan_types.hpp>
#include <rag/types.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

RAG_BEGIN
namespace detail {

/// What an index beside a store sees of a collection while the store is held: chunks at slots. In one epoch a slot is given
/// once and new ones come behind the last; a chunk that is taken out leaves its slot, dead, and can still be read. A file
/// written anew begins another epoch.
RAG_LAZY class BasicCollectionView {
 public:
  BasicCollectionView(const CollectionState& state, std::uint64_t epoch, const ScanOptions& options)
      : state_(state), epoch_(epoch), options_(options) {}

  std::uint64_t epoch() const { return epoch_; }
  std::size_t slots() const { return state_.slots; }
  std::size_t dead_count() const { return state_.dead_count; }
  bool lives(std::size_t slot) const { return state_.lives(slot); }
  Chunk chunk(std::size_t slot) const { return state_.chunk(slot); }
  /// Grows from chunk to chunk in the order of insertion; a chunk that was put in the place of another has that one's.
  std::uint64_t order(std::size_t slot) const { return state_.order(slot); }
  /// The living slot of an id, or no_slot.
  Slot find(Id id) const { return state_.find(id); }
  std::vector<Slot> slots_of(std::string_view source) const { return state_.slots_of(source); }
  /// The living slots that a filter keeps; nothing: all slots.
  template <class F>
  std::optional<Bitmap> kept(const F& filter) const {
    return findable(state_, filter);
  }
  /// The threads that the store may use.
  const ScanOptions& options() const { return options_; }

 private:
  const CollectionState& state_;
  std::uint64_t epoch_;
  ScanOptions options_;
};
using CollectionView = BasicCollectionView<>;

}  // namespace detail
RAG_END
#endif
