// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_JSON_HPP
#define RAG_DETAIL_JSON_HPP
#include <rag/error.hpp>

#include <nlohmann/json.hpp>

#include <cstddef>
#include <string>
#include <string_view>

RAG_BEGIN
namespace detail {

// The one door to nlohmann/json.
using Json = nlohmann::json;

/// Parses a text that nobody vouches for. Deeper than `depth` or malformed: an Error that begins with `who`.
/// The depth is bounded because the library's destructor and dump() recurse.
RAG_LAZY Json parse_json(std::string_view text, const std::string& who, int depth = 64) {
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

/// Puts \ufffd in the place of every \uD800 … \uDFFF escape that is not half of a pair. Services that cut their
/// answers between the halves send such, and the parser would refuse all of the text for it.
RAG_LAZY std::string mend_surrogates(std::string_view json) {
  std::string mended(json);
  const auto escape = [&](std::size_t at, char first, char last) {  // \ud[first-last]..
    if (at + 6 > mended.size() || mended[at] != '\\' || mended[at + 1] != 'u' || (mended[at + 2] | 0x20) != 'd')
      return false;
    const char third = static_cast<char>(mended[at + 3] | 0x20);
    return third >= first && third <= last;
  };
  for (std::size_t at = mended.find('\\'); at < mended.size(); at = mended.find('\\', at)) {
    const bool high = escape(at, '8', '9') || escape(at, 'a', 'b');
    const bool pair = high && escape(at + 6, 'c', 'f');
    if (!pair && (high || escape(at, 'c', 'f'))) mended.replace(at + 2, 4, "fffd");
    at += pair ? 12 : 2;
  }
  return mended;
}

/// The text of a value for the wire. A string that is not UTF-8 is an Error that begins with `who`.
RAG_LAZY std::string dump_json(const Json& value, const std::string& who) {
  try {
    return value.dump();
  } catch (const Json::exception&) {
    throw Error(Errc::invalid_format, who + ": text is not valid UTF-8");
  }
}

}  // namespace detail
RAG_END
#endif
