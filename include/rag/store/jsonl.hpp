// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_JSONL_HPP
#define RAG_STORE_JSONL_HPP
#include <rag/concepts.hpp>
#include <rag/detail/file.hpp>
#include <rag/detail/json.hpp>
#include <rag/detail/mapped_file.hpp>

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

template <class Number>
void append_number(std::string& out, Number value) {
  if (value == 0 && std::signbit(value)) {  // "-0" is read as the whole number 0
    out += "-0.0";
    return;
  }
  char digits[64];
  out.append(digits, std::to_chars(digits, digits + sizeof digits, value).ptr);
}

template <class Vector>
std::string json_line(const Chunk& chunk, const Vector& vector) {
  const std::string who = "export_jsonl: the chunk of id " + std::to_string(chunk.id);
  std::string line = "{\"id\":" + std::to_string(chunk.id) + ",\"source\":" + dump_json(chunk.source, who) +
                     ",\"begin\":" + std::to_string(chunk.begin) + ",\"end\":" + std::to_string(chunk.end) +
                     ",\"text\":" + dump_json(chunk.text, who) + ",\"metadata\":{";
  bool first = true;
  for (const auto& [name, value] : chunk.metadata) {
    line += std::exchange(first, false) ? "" : ",";
    line += dump_json(name, who) + ':';
    if (value.is_string()) {
      line += dump_json(value.string(), who);
    } else if (value.is_number()) {
      if (!std::isfinite(value.number()))
        throw Error(Errc::invalid_format, who + ": JSON has no infinity and no NaN");
      append_number(line, value.number());
    } else {
      line += value.boolean() ? "true" : "false";
    }
  }
  line += "},\"vector\":[";
  first = true;
  for (const float value : vector) {
    line += std::exchange(first, false) ? "" : ",";
    append_number(line, value);
  }
  return line + "]}\n";
}

/// Takes a line of export_jsonl() apart as it is read: without a Json in between, whose destructor needs
/// memory.
RAG_LAZY class BasicJsonLine {
 public:
  explicit BasicJsonLine(std::vector<float>& vector) : vector_(vector) {}

  Chunk chunk = {};
  std::string problem = {};

  void parse(std::string_view line) {
    if (Json::sax_parse(line.begin(), line.end(), this) && seen_ != all) fail("a member is missing");
  }

  bool start_object(std::size_t) {
    if (place_ == Place::outside)
      place_ = Place::object;
    else if (place_ == Place::object && key_ == "metadata")
      place_ = Place::metadata, seen_ |= 1;
    else
      return fail("an object where none is wanted");
    return true;
  }
  bool end_object() {
    place_ = place_ == Place::metadata ? Place::object : Place::outside;
    return true;
  }
  bool start_array(std::size_t) {
    if (place_ != Place::object || key_ != "vector" || (seen_ & 2) != 0)
      return fail("an array where none is wanted");
    place_ = Place::vector, seen_ |= 2;
    return true;
  }
  bool end_array() {
    place_ = Place::object;
    return true;
  }
  bool key(std::string& name) {
    key_ = name;
    return true;
  }
  bool string(std::string& text) {
    if (place_ == Place::metadata)
      chunk.metadata.set(key_, std::move(text));
    else if (place_ == Place::object && key_ == "source")
      chunk.source = std::move(text), seen_ |= 4;
    else if (place_ == Place::object && key_ == "text")
      chunk.text = std::move(text), seen_ |= 8;
    else
      return fail("a string where none is wanted");
    return true;
  }
  bool boolean(bool value) {
    if (place_ != Place::metadata) return fail("a bool where none is wanted");
    chunk.metadata.set(key_, value);
    return true;
  }
  bool number_integer(std::int64_t value) { return number(static_cast<double>(value), -1); }
  bool number_unsigned(std::uint64_t value) {
    return number(static_cast<double>(value), value >> 63 == 0 ? static_cast<std::int64_t>(value) : -1);
  }
  bool number_float(double value, const std::string&) { return number(value, -1); }
  bool null() { return fail("null"); }
  template <class Bytes>
  bool binary(Bytes&) {
    return fail("bytes");
  }
  template <class Exception>
  bool parse_error(std::size_t, const std::string&, const Exception& error) {
    return fail("not JSON: " + json_fault(error.what()));
  }

 private:
  enum class Place { outside, object, metadata, vector };
  static constexpr unsigned all = 127;

  /// `whole`: the value where it is a whole number of 0 or more, else -1.
  bool number(double value, std::int64_t whole) {
    if (place_ == Place::metadata) {
      chunk.metadata.set(key_, value);
    } else if (place_ == Place::vector) {
      if (!(std::abs(value) <= static_cast<double>(std::numeric_limits<float>::max())))
        return fail("a number beyond the range of a float");
      vector_.push_back(static_cast<float>(value));
    } else if (place_ == Place::object && whole >= 0 && key_ == "id") {
      chunk.id = whole, seen_ |= 16;
    } else if (place_ == Place::object && whole >= 0 && key_ == "begin") {
      chunk.begin = static_cast<std::size_t>(whole), seen_ |= 32;
    } else if (place_ == Place::object && whole >= 0 && key_ == "end") {
      chunk.end = static_cast<std::size_t>(whole), seen_ |= 64;
    } else {
      return fail("a number where none is wanted");
    }
    return true;
  }
  bool fail(std::string what) {
    if (problem.empty()) problem = std::move(what);
    return false;
  }

  std::vector<float>& vector_;
  Place place_ = Place::outside;
  std::string key_ = {};
  unsigned seen_ = 0;  // a bit for each member
};
using JsonLine = BasicJsonLine<>;

}  // namespace detail

/// Writes the chunks and vectors of a store to a file, one JSON object a line, in order of insertion:
///
///     {"id":0,"source":"a.md","begin":0,"end":5,"text":"Hello","metadata":{"year":2024},"vector":[0.5,0.25]}
///
/// The file is written beside the path and put in its place whole. Text that is not UTF-8 and infinite
/// metadata are Errors.
template <class S>
void export_jsonl(const S& store, const std::string& path) {
  const detail::FileHandle file = detail::FileHandle::unique("export_jsonl", path + ".tmp-");
  try {
    std::string lines;
    for (const Id id : store.ids()) {
      const auto chunk = store.find(id);
      const auto vector = store.vector(id);
      if (!chunk || vector.empty()) continue;  // erased meanwhile
      lines += detail::json_line(*chunk, vector);
      if (lines.size() < (std::size_t{1} << 20)) continue;
      file.write(lines);
      lines.clear();
    }
    file.write(lines);
    file.sync();
    if (std::rename(file.path().c_str(), path.c_str()) != 0) file.fail();
  } catch (...) {
    std::remove(file.path().c_str());
    throw;
  }
}

/// Adds what export_jsonl() wrote, with its ids, and gives the number of chunks. A line that is none is an
/// Error that says which; the batches (of `batch` lines) before it stay.
template <Store S>
std::size_t import_jsonl(S& store, const std::string& path, std::size_t batch = 1024) {
  const detail::MappedFile file(path, "import_jsonl");
  std::vector<Chunk> chunks;
  std::vector<float> values;
  std::size_t count = 0, number = 0, columns = 0;
  const auto flush = [&] {
    Matrix vectors(chunks.size(), chunks.empty() ? 0 : columns);
    std::copy(values.begin(), values.end(), vectors.data());
    store.add(chunks, vectors);
    count += chunks.size();
    chunks.clear(), values.clear();
  };
  for (std::string_view rest = file.bytes(); !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    const std::string who = "import_jsonl: " + path + ": line " + std::to_string(++number);
    if (line.empty()) continue;
    const std::size_t before = values.size();
    detail::JsonLine parsed(values);
    parsed.parse(line);
    if (!parsed.problem.empty()) throw Error(Errc::invalid_format, who + ": " + parsed.problem);
    chunks.push_back(std::move(parsed.chunk));
    if (chunks.size() > 1 && values.size() - before != columns)
      throw Error(Errc::dimension_mismatch, who + ": " + std::to_string(columns) + " columns wanted, " +
                                                std::to_string(values.size() - before) + " given");
    columns = values.size() - before;
    if (chunks.size() >= batch) flush();
  }
  flush();
  return count;
}

RAG_END
#endif
