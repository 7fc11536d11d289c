// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_FILTER_HPP
#define RAG_STORE_FILTER_HPP
#include <rag/types.hpp>

#include <algorithm>
#include <compare>
#include <cstddef>
#include <initializer_list>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN

/// What a node of a Filter asks.
enum class FilterOperation : unsigned char {
  everything,  ///< keeps all
  equal,       ///< these five compare with values()[0]
  less,
  at_most,
  greater,
  at_least,
  in,           ///< equal to one of values()
  exists,       ///< there is a value of that name
  starts_with,  ///< a string that begins with the bytes of values()[0]
  all_of,       ///< all of parts()
  any_of,       ///< one of parts()
  none_of,      ///< not parts()[0]
};

/// Which chunks a search may find: questions about their metadata, joined by && || !. It is made of typed values, never
/// of a text to parse, so nothing that a user of yours types can change its meaning.
///
///     using rag::field;
///     store.search(query, 5, field("language") == "en" && field("year") >= 2020 && !field("title").starts_with("Draft"));
///     store.search(query, 5, field("color").in({"red", "blue"}) || rag::source() == "a.md");
///
/// A value is a string, a number or a bool. Values of two kinds are never equal, and neither is before the other: "5" is
/// not 5, and field("year") < "z" keeps no number. Strings compare by bytes, false is before true, and -0 equals 0. NaN
/// is equal to nothing and before nothing, itself too. A chunk without the field satisfies none of these questions, and
/// so each negation of one: field("year") != 2020 is !(field("year") == 2020).
///
/// A default Filter keeps everything and !Filter() nothing: start a chain of && with the first, one of || with the second.
///
/// Others may walk the tree, to translate it: operation(), of_source(), name(), values(), parts(). Chains of one operator
/// are one node. A tree of more than `deepest` levels is an Error, so a walk may recurse.
RAG_LAZY class BasicFilter {
 public:
  static constexpr std::size_t deepest = 100;

  BasicFilter() = default;
  /// One question; field() and source() write it shorter. An Error (invalid_argument) where it has not the values of its
  /// operation, or is one that joins others.
  BasicFilter(FilterOperation operation, bool of_source, std::string name, std::vector<MetaValue> values)
      : operation_(operation), of_source_(of_source), name_(std::move(name)), values_(std::move(values)) {
    using enum FilterOperation;
    if (operation == everything || operation >= all_of)
      throw Error(Errc::invalid_argument, "Filter: a question about a field wanted; && || ! join those");
    const std::size_t wanted = operation == in ? values_.size() : operation == exists ? 0 : 1;
    if (values_.size() != wanted)
      throw Error(Errc::invalid_argument, "Filter: " + std::to_string(wanted) + (wanted == 1 ? " value" : " values") +
                                              " wanted, " + std::to_string(values_.size()) + " given");
  }

  FilterOperation operation() const { return operation_; }
  /// Is it about Chunk::source, or about the metadata of name()?
  bool of_source() const { return of_source_; }
  const std::string& name() const { return name_; }
  std::span<const MetaValue> values() const { return values_; }
  std::span<const BasicFilter> parts() const { return parts_; }

  bool keeps_everything() const { return operation_ == FilterOperation::everything; }
  bool keeps_nothing() const { return operation_ == FilterOperation::none_of && parts_[0].keeps_everything(); }

  friend BasicFilter operator&&(BasicFilter a, BasicFilter b) {
    if (a.keeps_everything() || b.keeps_nothing()) return b;
    if (b.keeps_everything() || a.keeps_nothing()) return a;
    return join(FilterOperation::all_of, std::move(a), std::move(b));
  }
  friend BasicFilter operator||(BasicFilter a, BasicFilter b) {
    if (a.keeps_nothing() || b.keeps_everything()) return b;
    if (b.keeps_nothing() || a.keeps_everything()) return a;
    return join(FilterOperation::any_of, std::move(a), std::move(b));
  }
  friend BasicFilter operator!(BasicFilter a) {
    if (a.operation_ == FilterOperation::none_of) {
      BasicFilter inner = std::move(a.parts_[0]);
      return inner;
    }
    BasicFilter negated;
    negated.operation_ = FilterOperation::none_of;
    negated.take(std::move(a));
    return negated;
  }
  bool operator==(const BasicFilter&) const = default;

 private:
  static BasicFilter join(FilterOperation operation, BasicFilter a, BasicFilter b) {
    BasicFilter joined;
    if (a.operation_ == operation) {
      joined = std::move(a);
    } else {
      joined.operation_ = operation;
      joined.take(std::move(a));
    }
    if (b.operation_ == operation)
      for (BasicFilter& part : b.parts_) joined.take(std::move(part));
    else
      joined.take(std::move(b));
    return joined;
  }

  void take(BasicFilter&& part) {
    levels_ = std::max(levels_, part.levels_ + 1);
    if (levels_ > deepest)
      throw Error(Errc::invalid_argument, "Filter: at most " + std::to_string(deepest) + " levels wanted");
    parts_.push_back(std::move(part));
  }

  FilterOperation operation_ = FilterOperation::everything;
  bool of_source_ = false;
  std::size_t levels_ = 1;
  std::string name_ = {};
  std::vector<MetaValue> values_ = {};
  std::vector<BasicFilter> parts_ = {};
};
using Filter = BasicFilter<>;

namespace detail {

// A letter is an integer for the compiler, and a pointer a bool: both are mistakes in a filter.
template <class T>
inline constexpr bool is_letter = std::is_same_v<T, char> || std::is_same_v<T, wchar_t> || std::is_same_v<T, char8_t> ||
                                  std::is_same_v<T, char16_t> || std::is_same_v<T, char32_t>;
template <class T>
inline constexpr bool is_text = std::is_convertible_v<const T&, std::string_view> && !std::is_same_v<T, std::nullptr_t>;
template <class T>
inline constexpr bool is_comparable =
    std::is_same_v<T, MetaValue> || (std::is_arithmetic_v<T> && !is_letter<T>) || is_text<T>;

/// What field() and source() give.
template <bool is_source>
class FieldOf {
 public:
  explicit FieldOf(std::string name) : name_(std::move(name)) {}

  template <class T>
  Filter operator==(const T& value) const {
    return compare(FilterOperation::equal, value);
  }
  template <class T>
  Filter operator!=(const T& value) const {
    return !compare(FilterOperation::equal, value);
  }
  template <class T>
  Filter operator<(const T& value) const {
    return compare(FilterOperation::less, value);
  }
  template <class T>
  Filter operator<=(const T& value) const {
    return compare(FilterOperation::at_most, value);
  }
  template <class T>
  Filter operator>(const T& value) const {
    return compare(FilterOperation::greater, value);
  }
  template <class T>
  Filter operator>=(const T& value) const {
    return compare(FilterOperation::at_least, value);
  }

  /// Equal to one of them: .in({2023, 2024}), or a container of values. None: nothing is kept.
  template <class T = MetaValue>
  Filter in(std::initializer_list<T> values) const {
    return one_of(values);
  }
  template <class Values>
  Filter in(const Values& values) const {
    return one_of(values);
  }
  /// A string that begins with these bytes.
  Filter starts_with(std::string_view prefix) const { return compare(FilterOperation::starts_with, prefix); }
  /// There is a value of that name, of any kind.
  Filter exists() const
    requires(!is_source)
  {
    return Filter(FilterOperation::exists, is_source, name_, {});
  }

 private:
  template <class T>
  static MetaValue value_of(const T& value) {
    static_assert(is_comparable<T>, "rag::field: a field is compared with a string, a number or a bool");
    static_assert(!is_source || !is_comparable<T> || is_text<T>, "rag::source: a source is compared with a string");
    if constexpr (is_text<T>) return MetaValue(std::string_view(value));
    else if constexpr (is_comparable<T>) return MetaValue(value);
    else return MetaValue(false);
  }
  template <class T>
  Filter compare(FilterOperation operation, const T& value) const {
    return Filter(operation, is_source, name_, {value_of(value)});
  }
  template <class Values>
  Filter one_of(const Values& values) const {
    std::vector<MetaValue> list;
    for (const auto& value : values) list.push_back(value_of(value));
    return Filter(FilterOperation::in, is_source, name_, std::move(list));
  }

  std::string name_;
};

/// How a stands to b: `unordered` where they are of two kinds or one is NaN.
RAG_LAZY std::partial_ordering compare_values(const MetaValue& a, const MetaValue& b) {
  if (a.is_string() && b.is_string()) return a.string() <=> b.string();
  if (a.is_number() && b.is_number()) return a.number() <=> b.number();
  if (a.is_boolean() && b.is_boolean()) return a.boolean() <=> b.boolean();
  return std::partial_ordering::unordered;
}

/// Does a value satisfy the question of one node?
RAG_LAZY bool answers(const Filter& filter, const MetaValue& value) {
  const auto order = [&] { return compare_values(value, filter.values()[0]); };
  switch (filter.operation()) {
    case FilterOperation::equal: return order() == 0;
    case FilterOperation::less: return order() < 0;
    case FilterOperation::at_most: return order() <= 0;
    case FilterOperation::greater: return order() > 0;
    case FilterOperation::at_least: return order() >= 0;
    case FilterOperation::in:
      return std::any_of(filter.values().begin(), filter.values().end(),
                         [&](const MetaValue& one) { return compare_values(value, one) == 0; });
    case FilterOperation::starts_with:
      return value.is_string() && value.string().starts_with(filter.values()[0].string());
    default: return true;  // exists
  }
}

}  // namespace detail

/// A metadata field, to be compared: field("year") >= 2020.
inline detail::FieldOf<false> field(std::string_view name) { return detail::FieldOf<false>(std::string(name)); }
/// The id of the document that a chunk comes from: source().starts_with("docs/").
inline detail::FieldOf<true> source() { return detail::FieldOf<true>({}); }

/// Does the filter keep this chunk?
RAG_LAZY bool matches(const Filter& filter, const Chunk& chunk) {
  const auto parts = filter.parts();
  const auto keeps = [&](const Filter& part) { return matches(part, chunk); };
  switch (filter.operation()) {
    case FilterOperation::everything: return true;
    case FilterOperation::all_of: return std::all_of(parts.begin(), parts.end(), keeps);
    case FilterOperation::any_of: return std::any_of(parts.begin(), parts.end(), keeps);
    case FilterOperation::none_of: return !matches(parts[0], chunk);
    default: break;
  }
  if (filter.of_source()) return detail::answers(filter, MetaValue(chunk.source));
  const MetaValue* value = chunk.metadata.find(filter.name());
  return value != nullptr && detail::answers(filter, *value);
}

RAG_END
#endif
