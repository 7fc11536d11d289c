// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_JSON_HPP
#define RAG_DETAIL_JSON_HPP
#include <rag/error.hpp>

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

RAG_BEGIN
namespace detail {

// The one door to nlohmann/json.
using Json = nlohmann::json;

/// Parses a text that nobody vouches for. Deeper than `depth` or malformed: an Error that begins with `who`.
/// The depth is bounded because the library's destructor and dump() recurse.
inline Json parse_json(std::string_view text, const std::string& who, int depth = 64) {
  const auto bounded = [&](int level, Json::parse_event_t, Json&) {
    if (level > depth)
      throw Error(Errc::invalid_format, who + ": JSON nested deeper than " + std::to_string(depth));
    return true;
  };
  try {
    return Json::parse(text.begin(), text.end(), bounded);
  } catch (const Json::exception& error) {
    throw Error(Errc::invalid_format, who + ": not JSON: " + error.what());
  }
}

/// The text of a value for the wire. A string that is not UTF-8 is an Error that begins with `who`.
inline std::string dump_json(const Json& value, const std::string& who) {
  try {
    return value.dump();
  } catch (const Json::exception&) {
    throw Error(Errc::invalid_format, who + ": text is not valid UTF-8");
  }
}

}  // namespace detail
RAG_END
#endif
