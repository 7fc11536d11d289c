// SPDX-License-Identifier: MIT
// A filter and some chunks. Its expression for a Milvus server is made of known words, whole numbers and quoted texts, each of
// them one of the filter's own; a reader that was not written with it finds in it what the filter keeps, and so do the
// indexes of a local store. What cannot be written is refused as such.
#include <rag/detail/field_indexes.hpp>
#include <rag/store/filter.hpp>
#include <rag/store/milvus_filter.hpp>
#include <rag/store/milvus_rows.hpp>

#include "../store/milvus_expression.hpp"
#include "fuzz.hpp"

#include <bit>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Operation = rag::FilterOperation;

void require(bool holds) {
  if (!holds) std::abort();
}

/// Reads the input as values, chunks and a filter over them. What is at the end of it reads zeros.
class Reader {
 public:
  Reader(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {
    for (std::size_t n = byte() % 8; n > 0; --n) values_.push_back(value());
    for (std::size_t n = byte() % 3; n > 0; --n) names_.push_back(text());
    names_.emplace_back("year");
  }
  std::vector<rag::Chunk> chunks() {
    std::vector<rag::Chunk> all(1 + byte() % 4, {"text", "", 0, 4});
    for (rag::Chunk& chunk : all) {
      chunk.source = any_text();
      for (std::size_t n = byte() % 4; n > 0; --n) chunk.metadata.set(name(), any_value());
    }
    return all;
  }
  rag::Filter filter(int depth = 0) {
    const std::size_t what = depth < 12 && at_ < size_ ? byte() : 3;
    if (what % 8 == 2) return !filter(depth + 1);
    if (what % 4 >= 2) return what == 255 ? rag::Filter() : question();
    rag::Filter first = filter(depth + 1), second = filter(depth + 1);
    return what % 4 == 0 ? first && second : first || second;
  }

 private:
  std::size_t byte() { return at_ < size_ ? data_[at_++] : 0; }
  std::string text() {
    const std::size_t length = std::min(byte() % 16, size_ - at_);
    at_ += length;
    return {reinterpret_cast<const char*>(data_) + at_ - length, length};
  }
  rag::MetaValue value() {
    switch (byte() % 6) {
      case 0: return byte() % 2 == 0;
      case 1: return static_cast<double>(byte()) - 128;
      case 2: {
        std::uint64_t bits = 0;
        for (int i = 0; i < 8; ++i) bits = bits << 8 | byte();
        return std::bit_cast<double>(bits);
      }
      default: return text();
    }
  }
  /// One of those at the beginning, so that chunks and filter meet, or another.
  rag::MetaValue any_value() {
    const std::size_t which = byte();
    return which < 200 && !values_.empty() ? values_[which % values_.size()] : value();
  }
  std::string any_text() {
    const rag::MetaValue one = any_value();
    return one.is_string() ? one.string() : text();
  }
  std::string name() { return names_[byte() % names_.size()]; }
  rag::Filter question() {
    static const Operation operations[] = {Operation::equal, Operation::less, Operation::at_most, Operation::greater, Operation::at_least, Operation::in, Operation::starts_with, Operation::exists};
    const bool of_source = byte() % 4 == 0;
    const Operation operation = operations[byte() % (of_source ? 7 : 8)];
    std::string field = of_source ? "" : name();
    std::vector<rag::MetaValue> values;
    for (std::size_t n = operation == Operation::in ? byte() % 5 : operation != Operation::exists; n > 0; --n)
      values.push_back(of_source || operation == Operation::starts_with ? rag::MetaValue(any_text()) : any_value());
    return {operation, of_source, std::move(field), std::move(values)};
  }

  const std::uint8_t* data_;
  std::size_t size_, at_ = 0;
  std::vector<rag::MetaValue> values_;
  std::vector<std::string> names_;
};

/// The texts that may stand in the expression.
void collect(const rag::Filter& filter, std::set<std::string>& texts) {
  for (const rag::Filter& part : filter.parts()) collect(part, texts);
  texts.insert(filter.name());
  for (const rag::MetaValue& value : filter.values()) {
    texts.insert(value.string());
    if (filter.operation() == Operation::starts_with && rag::detail::invalid_utf8(value.string()) == std::string_view::npos)
      texts.insert(rag::detail::behind_prefix(value.string()));
  }
}

/// Takes one quoted text off the front, the quote that opens it gone already.
std::string take_quoted(std::string_view& text) {
  std::string found;
  for (;; text.remove_prefix(1)) {
    require(!text.empty() && text[0] != '\n' && text[0] != '\r');
    if (text[0] == '"') break;
    if (text[0] == '\\') {
      text.remove_prefix(1);
      require(!text.empty());
      const std::size_t which = std::string_view("\"\\nr").find(text[0]);
      require(which != std::string_view::npos);
      found += "\"\\\n\r"[which];
    } else {
      found += text[0];
    }
  }
  text.remove_prefix(1);
  return found;
}

void check_words(std::string_view text, const std::set<std::string>& texts) {
  static const std::set<std::string_view> words = {"id", "source", "metadata", "and", "or", "not", "exists", "true", "false"};
  const auto is_letter = [](char c) { return c >= 'a' && c <= 'z'; };
  while (!text.empty()) {
    const char c = text[0];
    if (c == '"') {
      text.remove_prefix(1);
      require(texts.contains(take_quoted(text)));
    } else if (is_letter(c)) {
      std::size_t length = 1;
      while (length < text.size() && is_letter(text[length])) ++length;
      require(words.contains(text.substr(0, length)));
      text.remove_prefix(length);
    } else if (c == '-' || rag::detail::is_digit(c)) {
      const std::size_t length = std::min(text.find_first_not_of("-+.e0123456789"), text.size());
      text.remove_prefix(length);
    } else {
      require(std::string_view(" ()[]<>=").find(c) != std::string_view::npos);
      text.remove_prefix(1);
    }
  }
}

/// A text that is not UTF-8, or no name: what no expression can hold.
bool has_fault(const std::set<std::string>& texts) {
  if (texts.contains("")) return true;
  return std::any_of(texts.begin(), texts.end(), [](const std::string& text) { return rag::detail::invalid_utf8(text) != std::string_view::npos; });
}

void compare(const rag::Filter& filter, const std::vector<rag::Chunk>& chunks) {
  const rag::detail::MilvusFilter writer("fuzz");
  std::set<std::string> texts;
  collect(filter, texts);
  std::string text, negated;
  try {
    text = writer.text(filter), negated = writer.text(!filter);
  } catch (const rag::Error& error) {
    require(error.code() == rag::Errc::invalid_argument && has_fault(texts));
    return;
  }
  texts.insert("");  // the least text tells strings from other values
  require(rag::detail::invalid_utf8(text) == std::string_view::npos && text == writer.text(!!filter));
  check_words(text, texts);
  check_words(negated, texts);
  for (const rag::Chunk& chunk : chunks) {
    std::string row;
    try {
      rag::detail::append_milvus_row(row, chunk, 7, {}, "fuzz");
    } catch (const rag::Error&) {  // what JSON cannot hold is in no server
      continue;
    }
    const milvus::Json json = milvus::Json::parse(row);
    require(milvus::Expression(text, json).keeps() == matches(filter, chunk));
    require(milvus::Expression(negated, json).keeps() == !matches(filter, chunk));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Reader reader(data, size);
  const std::vector<rag::Chunk> chunks = reader.chunks();
  return fuzz::read_or_refuse([&] {
    const rag::Filter filter = reader.filter();
    rag::detail::FieldIndexes indexes;
    const rag::detail::Bitmap kept = indexes.select(filter, chunks.size(), [&](std::size_t slot) { return &chunks[slot]; });
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      require(kept[i] == matches(filter, chunks[i]));
      require(matches(!filter, chunks[i]) != matches(filter, chunks[i]));
    }
    compare(filter, chunks);
  });
}
