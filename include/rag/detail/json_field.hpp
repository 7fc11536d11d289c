// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_JSON_FIELD_HPP
#define RAG_DETAIL_JSON_FIELD_HPP
#include <rag/detail/json.hpp>
#include <rag/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

RAG_BEGIN
namespace detail {

/// A value of a parsed file and the way to it, for errors that name the field. A field that is not there is null.
// A template over the Json, so that none of its many operators is looked at before it is called.
template <class AnyJson = Json>
class BasicJsonField {
 public:
  BasicJsonField(const AnyJson& json, std::string path) : json_(&json), path_(std::move(path)) {}

  const AnyJson& json() const { return *json_; }
  const std::string& path() const { return path_; }
  bool present() const { return !json_->is_null(); }
  std::size_t size() const { return json_->size(); }

  BasicJsonField operator[](const char* name) const {
    static const AnyJson null;
    const bool there = json_->is_object() && json_->contains(name);
    return {there ? (*json_)[name] : null, path_ + (path_.ends_with(".json") ? ": " : ".") + name};
  }
  BasicJsonField operator[](std::size_t i) const { return {(*json_)[i], path_ + "[" + std::to_string(i) + "]"}; }

  [[noreturn]] void unsupported(const std::string& what) const {
    throw Error(Errc::unsupported, path_ + ": " + json_fault(what));
  }
  [[noreturn]] void malformed(const std::string& what) const {
    throw Error(Errc::invalid_format, path_ + ": " + json_fault(what));
  }

  void want_object() const {
    if (!json_->is_object()) malformed("an object wanted");
  }
  void want_array() const {
    if (!json_->is_array()) malformed("an array wanted");
  }
  std::string_view text_view() const {
    if (!json_->is_string()) malformed("a text wanted");
    return json_->template get_ref<const std::string&>();
  }
  std::string text() const { return std::string(text_view()); }
  std::string text_or(const char* other) const { return present() ? text() : std::string(other); }
  bool flag_or(bool other) const {
    if (!present()) return other;
    if (!json_->is_boolean()) malformed("true or false wanted");
    return json_->template get<bool>();
  }
  double number() const {
    if (!json_->is_number()) malformed("a number wanted");
    return json_->template get<double>();
  }
  /// A whole number from 0 to 2^30.
  std::int32_t id() const {
    if (!json_->is_number_unsigned() || json_->template get<std::uint64_t>() > 1u << 30)
      malformed("a whole number from 0 to 1073741824 wanted");
    return static_cast<std::int32_t>(json_->template get<std::uint64_t>());
  }
  std::int32_t id_or(std::int32_t other) const { return present() ? id() : other; }

 private:
  const AnyJson* json_;
  std::string path_;
};
using JsonField = BasicJsonField<>;

}  // namespace detail
RAG_END
#endif
