// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_MILVUS_FILTER_HPP
#define RAG_STORE_MILVUS_FILTER_HPP
#include <rag/detail/utf8.hpp>
#include <rag/store/filter.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// A rag::Filter as a filter expression of Milvus. It is built of typed pieces; no text of a user becomes part of it
// but as a quoted literal.

RAG_BEGIN
namespace detail {

/// A finite double with a point in every case: servers read "1e+20" as an integer, and get 0.
RAG_LAZY void append_milvus_number(std::string& out, double value) {
  char digits[64];
  std::string text(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
  if (text.find('.') == text.npos) text.insert(std::min(text.find('e'), text.size()), ".0");
  out += text;
}

/// "text" in quotes. Only what would end the literal is escaped, by escapes that all readers of the grammar know.
RAG_LAZY std::string milvus_literal(std::string_view text, const std::string& who) {
  if (invalid_utf8(text) != std::string_view::npos)
    throw Error(Errc::invalid_argument, who + ": a filter of valid UTF-8 wanted");
  std::string literal = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') literal += '\\';
    if (c == '\n') literal += "\\n";
    else if (c == '\r') literal += "\\r";
    else literal += c;
  }
  return literal + '"';
}

/// The first text behind all that begin with the prefix; "" if there is none. Texts stand in the order of their bytes,
/// which is that of their code points.
RAG_LAZY std::string behind_prefix(std::string prefix) {
  while (!prefix.empty()) {
    std::size_t at = prefix.size() - 1;
    while (!is_boundary(prefix, at)) --at;
    const char32_t last = decode_utf8(prefix, at).value;
    prefix.resize(at);
    if (last == 0x10FFFF) continue;
    append_utf8(prefix, last == 0xD7FF ? 0xE000 : last + 1);
    break;
  }
  return prefix;
}

/// Writes one Filter. Rules of the target: a question about a missing value, or one of another kind, is false on some
/// servers and unknown on others, and so is `not` of it. So `not` is only written before `exists`, and a negated question
/// lists all that answers it: the other values, the other kinds, and no value.
RAG_LAZY class BasicMilvusFilter {
 public:
  explicit BasicMilvusFilter(std::string who) : who_(std::move(who)) {}

  /// "" for a filter that keeps everything.
  std::string text(const Filter& filter) const { return filter.keeps_everything() ? "" : write(filter, false); }

  static std::string everything() { return "(id <= 0 or id > 0)"; }
  static std::string nothing() { return "(id < 0 and id > 0)"; }

 private:
  using Parts = std::vector<std::string>;

  // In halves: a chain of thousands would be as deep for the server's parser.
  static std::string join(std::span<const std::string> parts, const char* word, const std::string& none) {
    if (parts.empty()) return none;
    if (parts.size() == 1) return parts[0];
    const std::size_t half = parts.size() / 2;
    return '(' + join(parts.first(half), word, none) + word + join(parts.subspan(half), word, none) + ')';
  }
  static std::string any(const Parts& parts) { return join(parts, " or ", nothing()); }
  static std::string all(const Parts& parts) { return join(parts, " and ", everything()); }

  std::string write(const Filter& filter, bool negated) const {
    Parts parts;
    switch (filter.operation()) {
      case FilterOperation::everything: return negated ? nothing() : everything();
      case FilterOperation::none_of: return write(filter.parts()[0], !negated);
      case FilterOperation::all_of:
      case FilterOperation::any_of:
        for (const Filter& part : filter.parts()) parts.push_back(write(part, negated));
        return (filter.operation() == FilterOperation::all_of) != negated ? all(parts) : any(parts);
      case FilterOperation::in:
        for (const MetaValue& value : filter.values()) parts.push_back(question(filter, FilterOperation::equal, value, negated));
        return negated ? all(parts) : any(parts);
      case FilterOperation::exists: return negated ? missing(path(filter)) : "(exists " + path(filter) + ')';
      default: return question(filter, filter.operation(), filter.values()[0], negated);
    }
  }

  std::string path(const Filter& filter) const {
    if (filter.of_source()) return "source";
    if (filter.name().empty()) throw Error(Errc::invalid_argument, who_ + ": the name of a metadata field wanted in the filter");
    return "metadata[" + milvus_literal(filter.name(), who_) + ']';
  }
  static std::string missing(const std::string& field) { return "not (exists " + field + ')'; }
  static std::string is_string(const std::string& field) { return field + " >= \"\""; }
  static std::string is_boolean(const std::string& field) { return '(' + field + " == true or " + field + " == false)"; }
  static std::string is_number(const std::string& field) {  // those stored are finite
    return '(' + field + " <= 1.7976931348623157e+308 and " + field + " >= -1.7976931348623157e+308)";
  }

  /// One comparison of a field with a value, or all that it is not.
  std::string question(const Filter& filter, FilterOperation operation, const MetaValue& value, bool negated) const {
    const std::string field = path(filter);
    if (value.is_number() && std::isnan(value.number())) return negated ? everything() : nothing();
    Parts parts = value.is_boolean()  ? of_boolean(field, operation, value.boolean(), negated)
                  : value.is_number() ? of_number(field, operation, value.number(), negated)
                                      : of_string(field, operation, value.string(), negated);
    if (negated && !filter.of_source()) {
      if (!value.is_string()) parts.push_back(is_string(field));
      if (!value.is_number()) parts.push_back(is_number(field));
      if (!value.is_boolean()) parts.push_back(is_boolean(field));
      parts.push_back(missing(field));
    }
    return any(parts);
  }

  Parts of_boolean(const std::string& field, FilterOperation operation, bool value, bool negated) const {
    Parts parts;
    for (const bool one : {false, true})
      if (answers(Filter(operation, false, "", {MetaValue(value)}), MetaValue(one)) != negated)
        parts.push_back(field + (one ? " == true" : " == false"));
    return parts;
  }
  Parts of_string(const std::string& field, FilterOperation operation, const std::string& value, bool negated) const {
    const std::string literal = milvus_literal(value, who_);
    if (operation != FilterOperation::starts_with) return compare(field, operation, literal, negated);
    const std::string behind = behind_prefix(value);
    const std::string end = behind.empty() ? "" : milvus_literal(behind, who_);
    if (negated) return end.empty() ? Parts{field + " < " + literal} : Parts{field + " < " + literal, field + " >= " + end};
    return {end.empty() ? field + " >= " + literal : '(' + field + " >= " + literal + " and " + field + " < " + end + ')'};
  }
  Parts of_number(const std::string& field, FilterOperation operation, double value, bool negated) const {
    if (std::isinf(value)) {  // which no literal writes: every number stands on one side of it
      const bool holds = answers(Filter(operation, false, "", {MetaValue(value)}), MetaValue(0.0));
      return holds != negated ? Parts{is_number(field)} : Parts{};
    }
    std::string literal;
    append_milvus_number(literal, value);
    return compare(field, operation, literal, negated);
  }
  static Parts compare(const std::string& field, FilterOperation operation, const std::string& literal, bool negated) {
    switch (operation) {
      case FilterOperation::less: return {field + (negated ? " >= " : " < ") + literal};
      case FilterOperation::at_most: return {field + (negated ? " > " : " <= ") + literal};
      case FilterOperation::greater: return {field + (negated ? " <= " : " > ") + literal};
      case FilterOperation::at_least: return {field + (negated ? " < " : " >= ") + literal};
      default: break;
    }
    if (negated) return {field + " < " + literal, field + " > " + literal};
    return {field + " == " + literal};
  }

  std::string who_;
};
using MilvusFilter = BasicMilvusFilter<>;

}  // namespace detail
RAG_END
#endif
