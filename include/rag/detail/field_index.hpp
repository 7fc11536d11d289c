// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_FIELD_INDEX_HPP
#define RAG_DETAIL_FIELD_INDEX_HPP
#include <rag/detail/bitmap.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// A metadata value to look up, which owns nothing. Kinds order string < number < boolean.
struct ValueView {
  unsigned char kind = 0;  // 0 string, 1 number, 2 boolean
  double number = 0;       // never NaN; a boolean's is 0 or 1
  std::string_view text = {};

  bool operator==(const ValueView& other) const {
    return kind == other.kind && number == other.number && text == other.text;
  }
  bool operator<(const ValueView& other) const {
    if (kind != other.kind) return kind < other.kind;
    return kind == 0 ? text < other.text : number < other.number;
  }
};

inline ValueView view_of(const MetaValue& value) {
  if (value.is_string()) return {0, 0, value.string()};
  if (value.is_number()) return {1, value.number(), {}};
  return {2, value.boolean() ? 1.0 : 0.0, {}};
}
inline ValueView view_of(std::string_view text) { return {0, 0, text}; }

/// The slots of each value of one field. A slot is found by its value in the time of one hash, by a range of values in
/// two binary searches, and put in or taken out in constant time. Memory: 12 bytes a slot, and each value once.
///
/// The calls that change it and need memory are put() and sort(): after an exception of put() the index is of no use.
RAG_LAZY class BasicFieldIndex {
 public:
  using Slot = std::uint32_t;

  /// Slots of which the field is: all that had a value when they were put and were not taken out since.
  void select_all(Bitmap& out) const {
    for (std::size_t slot = 0; slot < codes_.size(); ++slot)
      if (codes_[slot] != none) out.set(slot);
  }
  void select_equal(const ValueView& value, Bitmap& out) const {
    if (const auto found = code_of_.find(value); found != code_of_.end()) select_code(found->second, out);
  }
  /// Values of one kind with low <= value < high; a null bound is none. Wants sort() before.
  void select_range(unsigned char kind, const ValueView* low, bool after_low, const ValueView* high, bool with_high,
                    Bitmap& out) const {
    const auto before = [&](Slot code, const ValueView& value) { return views_[code] < value; };
    const auto after = [&](const ValueView& value, Slot code) { return value < views_[code]; };
    const auto first = std::lower_bound(sorted_.begin(), sorted_.end(), kind,
                                        [&](Slot code, unsigned char wanted) { return views_[code].kind < wanted; });
    const auto last = std::upper_bound(first, sorted_.end(), kind,
                                       [&](unsigned char wanted, Slot code) { return wanted < views_[code].kind; });
    const auto from = low == nullptr ? first
                      : after_low    ? std::upper_bound(first, last, *low, after)
                                     : std::lower_bound(first, last, *low, before);
    const auto to = high == nullptr ? last
                    : with_high     ? std::upper_bound(from, last, *high, after)
                                    : std::lower_bound(from, last, *high, before);
    select_codes(from, to, out);
  }
  /// Strings that begin with these bytes. Wants sort() before.
  void select_prefix(std::string_view prefix, Bitmap& out) const {
    const auto from = std::lower_bound(sorted_.begin(), sorted_.end(), view_of(prefix),
                                       [&](Slot code, const ValueView& value) { return views_[code] < value; });
    const auto to = std::partition_point(from, sorted_.end(), [&](Slot code) {
      return views_[code].kind == 0 && views_[code].text.starts_with(prefix);
    });
    select_codes(from, to, out);
  }
  /// The slots of one value, in no order.
  const std::vector<Slot>& slots_of(const ValueView& value) const {
    static const std::vector<Slot> nobody;
    const auto found = code_of_.find(value);
    return found == code_of_.end() ? nobody : slots_[found->second];
  }

  /// A slot that has no value gets one.
  void put(std::size_t slot, const ValueView& value) {
    const auto place = static_cast<Slot>(slot);
    if (slot >= codes_.size()) {
      codes_.resize(slot + 1, none);
      places_.resize(slot + 1);
    }
    const Slot code = value.number != value.number ? not_a_number : intern(value);
    codes_[slot] = code;
    if (code == not_a_number) return;
    places_[slot] = static_cast<Slot>(slots_[code].size());
    if (slots_[code].empty()) --dead_;
    slots_[code].push_back(place);
  }
  /// The slot's value goes, if it has one.
  void take_out(std::size_t slot) noexcept {
    if (slot >= codes_.size()) return;
    const Slot code = std::exchange(codes_[slot], none);
    if (code == none || code == not_a_number) return;
    std::vector<Slot>& list = slots_[code];
    const Slot last = list.back();
    list[places_[slot]] = last;
    places_[last] = places_[slot];
    list.pop_back();
    if (list.empty()) ++dead_;
  }
  /// The value of one slot goes to another, which has none and is the lower of the two.
  void move(std::size_t from, std::size_t to) noexcept {
    if (from >= codes_.size()) return;
    const Slot code = std::exchange(codes_[from], none);
    codes_[to] = code;
    if (code == none || code == not_a_number) return;
    places_[to] = places_[from];
    slots_[code][places_[to]] = static_cast<Slot>(to);
  }

  /// So many values have no slot any more that the index should be made anew, which is how they go.
  bool is_worn() const { return dead_ > 64 + codes_.size() / 8; }
  bool is_sorted() const { return sorted_.size() == views_.size(); }
  void sort() {
    const auto before = [&](Slot a, Slot b) { return views_[a] < views_[b]; };
    const std::size_t old = sorted_.size();
    sorted_.reserve(views_.size());
    if (views_.size() - old <= 16) {  // a few moves of memory, instead of a look at each value
      for (std::size_t code = old; code < views_.size(); ++code)
        sorted_.insert(std::upper_bound(sorted_.begin(), sorted_.end(), static_cast<Slot>(code), before),
                       static_cast<Slot>(code));
      return;
    }
    for (std::size_t code = old; code < views_.size(); ++code) sorted_.push_back(static_cast<Slot>(code));
    const auto middle = sorted_.begin() + static_cast<std::ptrdiff_t>(old);
    std::sort(middle, sorted_.end(), before);
    std::inplace_merge(sorted_.begin(), middle, sorted_.end(), before);
  }

 private:
  static constexpr Slot none = std::numeric_limits<Slot>::max();
  static constexpr Slot not_a_number = none - 1;  // there, but equal to nothing and before nothing

  struct Hash {
    using is_transparent = void;
    std::size_t operator()(const ValueView& value) const {
      if (value.kind == 0) return std::hash<std::string_view>{}(value.text);
      return std::hash<double>{}(value.number) ^ value.kind;  // one for 0 and -0, as the standard wants
    }
    std::size_t operator()(const MetaValue& value) const { return (*this)(view_of(value)); }
  };
  struct Equal {
    using is_transparent = void;
    static ValueView view(const ValueView& value) { return value; }
    static ValueView view(const MetaValue& value) { return view_of(value); }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const {
      return view(a) == view(b);
    }
  };

  Slot intern(const ValueView& value) {
    if (const auto found = code_of_.find(value); found != code_of_.end()) return found->second;
    const auto code = static_cast<Slot>(views_.size());
    const MetaValue owned = value.kind == 0   ? MetaValue(value.text)
                            : value.kind == 1 ? MetaValue(value.number)
                                              : MetaValue(value.number != 0);
    const auto entry = code_of_.emplace(owned, code).first;
    slots_.emplace_back();
    ++dead_;  // until put() is done
    views_.push_back(view_of(entry->first));  // an entry of the map stays where it is
    return code;
  }

  void select_code(Slot code, Bitmap& out) const {
    for (const Slot slot : slots_[code]) out.set(slot);
  }
  // Many values are cheaper by a walk over all slots: each list is a jump to elsewhere in memory.
  template <class Iterator>
  void select_codes(Iterator from, Iterator to, Bitmap& out) const {
    if (static_cast<std::size_t>(to - from) < codes_.size() / 16) {
      for (; from != to; ++from) select_code(*from, out);
      return;
    }
    Bitmap wanted(views_.size());
    for (; from != to; ++from) wanted.set(*from);
    for (std::size_t slot = 0; slot < codes_.size(); ++slot)
      if (codes_[slot] < not_a_number && wanted[codes_[slot]]) out.set(slot);
  }

  std::vector<Slot> codes_;   // of each slot
  std::vector<Slot> places_;  // of each slot in the list of its value
  std::unordered_map<MetaValue, Slot, Hash, Equal> code_of_;
  std::vector<ValueView> views_;          // of each code
  std::vector<std::vector<Slot>> slots_;  // of each code
  std::vector<Slot> sorted_;              // codes by value; those behind its end are new
  std::size_t dead_ = 0;
};
using FieldIndex = BasicFieldIndex<>;

}  // namespace detail
RAG_END
#endif
