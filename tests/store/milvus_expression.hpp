// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_MILVUS_EXPRESSION_HPP
#define RAG_TESTS_STORE_MILVUS_EXPRESSION_HPP
#include <rag/detail/json.hpp>

#include <algorithm>
#include <cctype>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>

namespace milvus {

using rag::detail::Json;

/// Reads a filter expression and answers it for a row, in three values as some servers do: nothing is "unknown".
class Expression {
 public:
  using Truth = std::optional<bool>;

  Expression(const std::string& text, const Json& row) : text_(text), row_(row) {}
  bool keeps() {
    if (text_.empty()) return true;
    const Truth truth = either();
    skip();
    if (at_ != text_.size()) fail();
    return truth.value_or(false);
  }

 private:
  [[noreturn]] void fail() const { throw std::runtime_error("cannot parse expression at " + std::to_string(at_) + ": " + text_); }
  void skip() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool eat(const std::string& token) {
    skip();
    if (text_.compare(at_, token.size(), token) != 0) return false;
    if (std::isalpha(static_cast<unsigned char>(token[0])) && at_ + token.size() < text_.size() &&
        std::isalnum(static_cast<unsigned char>(text_[at_ + token.size()])))
      return false;
    at_ += token.size();
    return true;
  }
  void want(const std::string& token) {
    if (!eat(token)) fail();
  }
  Truth either() {
    Truth truth = both();
    while (eat("or")) {
      const Truth other = both();
      if (truth == true || other == true) truth = true;
      else if (!truth || !other) truth = std::nullopt;
    }
    return truth;
  }
  Truth both() {
    Truth truth = one();
    while (eat("and")) {
      const Truth other = one();
      if (truth == false || other == false) truth = false;
      else if (!truth || !other) truth = std::nullopt;
    }
    return truth;
  }
  Truth one() {
    if (eat("not")) {
      const Truth truth = one();
      return truth ? Truth(!*truth) : std::nullopt;
    }
    if (eat("exists")) {  // binds weaker than `and`, so it must stand alone in its parentheses
      const bool there = !value().is_null();
      skip();
      if (at_ >= text_.size() || text_[at_] != ')') fail();
      return there;
    }
    if (eat("(")) {
      const Truth truth = either();
      want(")");
      return truth;
    }
    const Json left = value();
    if (eat("in")) {
      bool found = false;
      want("[");
      if (eat("]")) return false;
      do found = (left == value()) || found;
      while (eat(","));
      want("]");
      return found;
    }
    for (const char* sign : {"==", "<=", ">=", "<", ">"})
      if (eat(sign)) return compare(left, sign, value());
    fail();
  }
  static Truth compare(const Json& a, const std::string& sign, const Json& b) {
    const bool comparable = (a.is_number() && b.is_number()) || (a.is_string() && b.is_string()) || (a.is_boolean() && b.is_boolean());
    if (!comparable) return std::nullopt;
    return sign == "==" ? a == b : sign == "<=" ? a <= b : sign == ">=" ? a >= b : sign == "<" ? a < b : a > b;
  }
  Json value() {
    skip();
    if (at_ >= text_.size()) fail();
    const char c = text_[at_];
    if (c == '"') return string();
    if (c == '-' || std::isdigit(static_cast<unsigned char>(c))) return number();
    if (eat("true")) return true;
    if (eat("false")) return false;
    std::string name;
    while (at_ < text_.size() && (std::isalnum(static_cast<unsigned char>(text_[at_])) || text_[at_] == '_')) name += text_[at_++];
    if (name.empty()) fail();
    Json found = row_.contains(name) ? row_[name] : Json();
    while (eat("[")) {
      const std::string key = string();
      want("]");
      found = found.is_object() && found.contains(key) ? Json(found[key]) : Json();
    }
    return found;
  }
  std::string string() {
    want("\"");
    std::string text;
    for (;; ++at_) {
      if (at_ >= text_.size() || text_[at_] == '\n' || text_[at_] == '\r') fail();
      if (text_[at_] == '"') break;
      if (text_[at_] == '\\') {
        ++at_;
        if (at_ >= text_.size()) fail();
        const std::size_t which = std::string("\"\\nrt").find(text_[at_]);
        if (which == std::string::npos) fail();
        text += "\"\\\n\r\t"[which];
      } else {
        text += text_[at_];
      }
    }
    ++at_;
    return text;
  }
  Json number() {
    const std::size_t end = std::min(text_.find_first_not_of("+-.0123456789e", at_), text_.size());
    const std::string digits = text_.substr(at_, end - at_);
    at_ = end;
    if (digits.find('.') == std::string::npos && digits.find('e') != std::string::npos) fail();  // read as an integer by some
    return Json::parse(digits);
  }

  const std::string& text_;
  const Json& row_;
  std::size_t at_ = 0;
};

}  // namespace milvus
#endif
