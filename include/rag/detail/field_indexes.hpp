// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_FIELD_INDEXES_HPP
#define RAG_DETAIL_FIELD_INDEXES_HPP
#include <rag/detail/bitmap.hpp>
#include <rag/detail/field_index.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// The indexes of a store's fields, which turn a rag::Filter into a bitmap. A field is indexed when a filter first asks
/// for it, by whichever thread comes first, and kept up from then on. Only the store knows the chunks: entry_at(slot)
/// gives a pointer to one, or an optional, empty where there is none.
///
/// An index is but a cache: what would fail for want of memory drops it, and the next filter makes it anew. So a store's
/// change never fails here. A copy begins without indexes.
RAG_LAZY class BasicFieldIndexes {
 public:
  BasicFieldIndexes() = default;
  BasicFieldIndexes(const BasicFieldIndexes&) {}
  BasicFieldIndexes(BasicFieldIndexes&& other) noexcept : fields_(std::move(other.fields_)) {}
  BasicFieldIndexes& operator=(const BasicFieldIndexes&) {
    fields_.clear();
    return *this;
  }
  BasicFieldIndexes& operator=(BasicFieldIndexes&& other) noexcept {
    fields_ = std::move(other.fields_);
    return *this;
  }

  bool empty() const { return fields_.empty(); }

  /// The slots in [0, size) that the filter keeps. Empty slots satisfy what a chunk without metadata does.
  template <class F, class EntryAt>
  Bitmap select(const F& filter, std::size_t size, const EntryAt& entry_at) const {
    using Operation = decltype(filter.operation());
    switch (filter.operation()) {
      case Operation::everything: return Bitmap(size, true);
      case Operation::all_of: {
        Bitmap kept(size, true);
        for (const F& part : filter.parts())
          if (!kept.none()) kept &= select(part, size, entry_at);
        return kept;
      }
      case Operation::any_of: {
        Bitmap kept(size);
        for (const F& part : filter.parts()) kept |= select(part, size, entry_at);
        return kept;
      }
      case Operation::none_of: {
        Bitmap kept = select(filter.parts()[0], size, entry_at);
        kept.flip();
        return kept;
      }
      default: return select_leaf(filter, size, entry_at);
    }
  }

  /// The slots of one source, in no order.
  template <class EntryAt>
  std::vector<std::size_t> of_source(std::string_view source, std::size_t size, const EntryAt& entry_at) const {
    const FieldIndex& index = *prepare(true, {}, false, size, entry_at);
    const auto& slots = index.slots_of(view_of(source));
    return {slots.begin(), slots.end()};
  }

  /// The chunk is now at that slot, where none was.
  template <class Entry>
  void put(std::size_t slot, const Entry& entry) noexcept {
    std::erase_if(fields_, [&](Field& field) {
      try {
        put_one(field, slot, entry);
        return false;
      } catch (...) {
        return true;
      }
    });
  }
  /// Nothing is at that slot any more.
  void take_out(std::size_t slot) noexcept {
    std::erase_if(fields_, [&](Field& field) {
      field.index->take_out(slot);
      return field.index->is_worn();
    });
  }
  /// What was at `from` is at the lower slot `to`, where nothing was.
  void move(std::size_t from, std::size_t to) noexcept {
    for (Field& field : fields_) field.index->move(from, to);
  }

 private:
  static constexpr std::size_t most_fields = 64;  // beyond, a question is asked of each chunk

  struct Field {
    bool is_source;
    std::string name;
    std::unique_ptr<FieldIndex> index;
  };

  template <class Entry>
  static void put_one(Field& field, std::size_t slot, const Entry& entry) {
    if (field.is_source) field.index->put(slot, view_of(std::string_view(entry.source)));
    else if (const MetaValue* value = entry.metadata.find(field.name)) field.index->put(slot, view_of(*value));
  }

  /// The index of a field, made if there is none; null: there are too many. It stays as it is until the store changes.
  template <class EntryAt>
  const FieldIndex* prepare(bool is_source, std::string_view name, bool sorted, std::size_t size,
                            const EntryAt& entry_at) const {
    const std::lock_guard lock(mutex_);
    auto found = std::find_if(fields_.begin(), fields_.end(), [&](const Field& field) {
      return field.is_source == is_source && field.name == name;
    });
    if (found == fields_.end()) {
      if (!is_source && fields_.size() >= most_fields) return nullptr;
      Field field{is_source, std::string(name), std::make_unique<FieldIndex>()};
      for (std::size_t slot = 0; slot < size; ++slot)
        if (const auto& entry = entry_at(slot)) put_one(field, slot, *entry);
      fields_.push_back(std::move(field));
      found = fields_.end() - 1;
    }
    if (sorted && !found->index->is_sorted()) found->index->sort();
    return found->index.get();
  }

  template <class F, class EntryAt>
  Bitmap select_leaf(const F& leaf, std::size_t size, const EntryAt& entry_at) const {
    using Operation = decltype(leaf.operation());
    const Operation operation = leaf.operation();
    const bool sorted = operation != Operation::equal && operation != Operation::in && operation != Operation::exists;
    Bitmap kept(size);
    if (const FieldIndex* index = prepare(leaf.of_source(), leaf.name(), sorted, size, entry_at)) {
      select_indexed(leaf, *index, kept);
      return kept;
    }
    for (std::size_t slot = 0; slot < size; ++slot)
      if (const auto& entry = entry_at(slot); entry && matches(leaf, *entry)) kept.set(slot);
    return kept;
  }

  template <class F>
  static void select_indexed(const F& leaf, const FieldIndex& index, Bitmap& kept) {
    using Operation = decltype(leaf.operation());
    if (leaf.operation() == Operation::exists) return index.select_all(kept);
    for (const MetaValue& one : leaf.values()) {  // several for `in` alone
      const ValueView value = view_of(one);
      if (value.number != value.number) continue;  // NaN is equal to nothing and before nothing
      switch (leaf.operation()) {
        case Operation::less: index.select_range(value.kind, nullptr, false, &value, false, kept); break;
        case Operation::at_most: index.select_range(value.kind, nullptr, false, &value, true, kept); break;
        case Operation::greater: index.select_range(value.kind, &value, true, nullptr, false, kept); break;
        case Operation::at_least: index.select_range(value.kind, &value, false, nullptr, false, kept); break;
        case Operation::starts_with: index.select_prefix(one.string(), kept); break;
        default: index.select_equal(value, kept);
      }
    }
  }

  mutable std::mutex mutex_;  // held while an index is looked up or made; who reads one needs no lock
  mutable std::vector<Field> fields_;
};
using FieldIndexes = BasicFieldIndexes<>;

}  // namespace detail
RAG_END
#endif
