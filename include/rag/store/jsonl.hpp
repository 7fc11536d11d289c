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

/// One line of export_jsonl(). Numbers are floats and come back with every bit.
RAG_LAZY Chunk parse_json_line(std::string_view line, std::vector<float>& vector, const std::string& who) {
  const OrderedJson json = parse_json<OrderedJson>(line, who, 4);
  try {
    Chunk chunk;
    chunk.id = json.at("id").get<Id>();
    chunk.source = json.at("source").get<std::string>();
    chunk.text = json.at("text").get<std::string>();
    chunk.begin = json.at("begin").get<std::size_t>();
    chunk.end = json.at("end").get<std::size_t>();
    const OrderedJson& metadata = json.at("metadata");
    for (auto entry = metadata.begin(); entry != metadata.end(); ++entry) {
      const std::string& name = entry.key();
      const OrderedJson& value = *entry;
      if (value.is_string())
        chunk.metadata.set(name, value.get<std::string>());
      else if (value.is_boolean())
        chunk.metadata.set(name, value.get<bool>());
      else
        chunk.metadata.set(name, value.get<double>());
    }
    for (const OrderedJson& value : json.at("vector"))
      vector.push_back(static_cast<float>(value.get<double>()));
    return chunk;
  } catch (const OrderedJson::exception& error) {
    throw Error(Errc::invalid_format, who + ": " + json_fault(error.what()));
  }
}

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
      if (!chunk) continue;  // erased meanwhile
      lines += detail::json_line(*chunk, store.vector(id));
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
template <class S>
requires Store<S> std::size_t import_jsonl(S& store, const std::string& path, std::size_t batch = 1024) {
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
    chunks.push_back(detail::parse_json_line(line, values, who));
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
