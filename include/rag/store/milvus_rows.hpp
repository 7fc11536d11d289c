// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_MILVUS_ROWS_HPP
#define RAG_STORE_MILVUS_ROWS_HPP
#include <rag/detail/json.hpp>
#include <rag/net/milvus_api.hpp>
#include <rag/store/milvus_filter.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// A chunk as a row of a collection: {"id":0,"vector":[…],"text":"…","source":"a.md","begin":0,"end":5,
// "metadata":{"year":2024.0},"names":["year"]}. All but the first two lie in the dynamic field. `names` keeps the
// order of metadata, which JSON does not.

RAG_BEGIN
namespace detail {

/// What a server takes of the dynamic part of one row, in bytes of JSON.
inline constexpr std::size_t milvus_row_limit = 65'536;
inline constexpr const char* milvus_fields = R"(["id","text","source","begin","end","metadata","names"])";

/// [0.5,1e-07], each number with the fewest digits that give the same float.
RAG_LAZY void append_milvus_vector(std::string& out, std::span<const float> vector) {
  constexpr std::size_t longest = 16;  // "-1.17549435e-38" and a comma
  const std::size_t begin = out.size();
  out.resize(begin + 2 + longest * vector.size());
  char* at = out.data() + begin;
  *at++ = '[';
  for (std::size_t i = 0; i < vector.size(); ++i) {
    if (i > 0) *at++ = ',';
    at = std::to_chars(at, at + longest, vector[i]).ptr;
  }
  *at++ = ']';
  out.resize(static_cast<std::size_t>(at - out.data()));
}

RAG_LAZY std::string milvus_metadata(const Metadata& metadata, const std::string& who) {
  std::string values, names;
  bool sorted = true;
  std::string_view before;
  for (const auto& [name, value] : metadata) {
    if (name.empty()) throw Error(Errc::invalid_argument, who + ": a name for each metadata value wanted, an empty one given");
    const std::string key = dump_json(Json(name), who);
    names += (names.empty() ? "" : ",") + key;
    values += (values.empty() ? "" : ",") + key + ':';
    if (value.is_string()) values += dump_json(Json(value.string()), who);
    else if (value.is_boolean()) values += value.boolean() ? "true" : "false";
    else if (std::isfinite(value.number())) append_milvus_number(values, value.number());
    else throw Error(Errc::invalid_argument, who + ": a finite number wanted for the metadata " + key + ": JSON has no other");
    sorted = sorted && (before.empty() || before < name);
    before = name;
  }
  if (values.empty()) return "";
  return ",\"metadata\":{" + values + '}' + (sorted ? "" : ",\"names\":[" + names + ']');
}

/// All of a row's JSON but the id and the vector. Text that is not UTF-8, metadata without a JSON form, and more than
/// 64 KiB are Errors that begin with `who`.
RAG_LAZY std::string milvus_row_fields(const Chunk& chunk, const std::string& who) {
  std::string fields = "\"text\":" + dump_json(Json(chunk.text), who) + ",\"source\":" + dump_json(Json(chunk.source), who) +
                       ",\"begin\":" + std::to_string(chunk.begin) + ",\"end\":" + std::to_string(chunk.end) +
                       milvus_metadata(chunk.metadata, who);
  if (fields.size() + 2 > milvus_row_limit)
    throw Error(Errc::invalid_argument, who + ": at most " + std::to_string(milvus_row_limit) +
                                            " bytes beside the vector wanted, as a server takes them, " +
                                            std::to_string(fields.size() + 2) + " given");
  return fields;
}

RAG_LAZY void append_milvus_row(std::string& out, const Chunk& chunk, Id id, std::span<const float> vector, const std::string& who) {
  out += "{\"id\":" + std::to_string(id) + ",\"vector\":";
  append_milvus_vector(out, vector);
  out += ',' + milvus_row_fields(chunk, who) + '}';
}

/// Newer servers give an object that lies in the dynamic field as such, older ones may give its text.
template <class AnyJson>
AnyJson milvus_object(const AnyJson& value, const std::string& who) {
  const auto* text = value.template get_ptr<const std::string*>();
  return text != nullptr ? parse_json(*text, who) : value;
}

template <class AnyJson>
Metadata milvus_read_metadata(const AnyJson& row, const std::string& who) {
  Metadata metadata;
  const AnyJson values = milvus_object(member(row, "metadata"), who);
  if (!values.is_object()) return metadata;
  const auto take = [&](const std::string& name, const AnyJson& value) {
    if (value.is_boolean()) metadata.set(name, value.template get<bool>());
    else if (value.is_number()) metadata.set(name, value.template get<double>());
    else if (value.is_string()) metadata.set(name, value.template get<std::string>());
  };
  const AnyJson names = milvus_object(member(row, "names"), who);
  if (names.is_array())
    for (const AnyJson& name : names)
      if (name.is_string() && values.contains(name.template get<std::string>()))
        take(name.template get<std::string>(), values[name.template get<std::string>()]);
  for (const auto& [name, value] : values.items())
    if (metadata.find(name) == nullptr) take(name, value);
  return metadata;
}

/// The chunk of a row. What others wrote may lack all but the id: its text is then the field "text" where there is one.
template <class AnyJson>
Chunk milvus_chunk(const AnyJson& row, const std::string& who) {
  const auto id = milvus_integer(member(row, "id"));
  if (!id) throw Error(Errc::invalid_format, who + ": a row without a 64-bit integer as its id was sent");
  const auto offset = [&](const char* name, std::size_t other) {
    const auto number = milvus_integer(member(row, name));
    return number && *number >= 0 ? static_cast<std::size_t>(*number) : other;
  };
  Chunk chunk;
  if (const std::string* text = string_member(row, "text")) chunk.text = *text;
  if (const std::string* source = string_member(row, "source")) chunk.source = *source;
  chunk.begin = offset("begin", 0);
  chunk.end = offset("end", chunk.begin + chunk.text.size());
  chunk.metadata = milvus_read_metadata(row, who);
  chunk.id = *id;
  return chunk;
}

}  // namespace detail
RAG_END
#endif
