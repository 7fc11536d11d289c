// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_JSON_HPP
#define RAG_DETAIL_JSON_HPP
#include <rag/error.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN
namespace detail {

// The one door to nlohmann/json.
using Json = nlohmann::json;

/// Looks through a text before it is parsed, in constant memory. A Json takes up to twenty times the bytes of its text
/// ("[[],[],[]…"), so a text of a few megabytes could ask for gigabytes.
RAG_LAZY class BasicJsonBounds {
 public:
  static constexpr std::size_t longest_token = 8 << 20;  ///< of a string or a number, in bytes of the text

  /// How deep brackets may stand in each other, and the bytes of memory that the parsed text may take.
  BasicJsonBounds(std::size_t depth, std::size_t memory) : depth_(depth), memory_(memory) {}

  /// Why the text is not to be parsed; "" if it may be. Whether it is JSON is left to the parser.
  std::string refusal(std::string_view text) {
    for (std::size_t at = 0; at < text.size();) {
      const char c = text[at];
      if (c == '{' || c == '[') {
        if (open_.size() == depth_) return "nested deeper than " + std::to_string(depth_);
        add(c == '{' ? 64 : 32);
        open_.push_back({c == '{', 0});
        last_ = c, ++at;
      } else if (c == '}' || c == ']' || c == ',' || c == ':') {
        if ((c == '}' || c == ']') && !open_.empty()) open_.pop_back();
        last_ = c, ++at;
      } else if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
        ++at;
      } else {
        const std::size_t begin = at;
        at = c == '"' ? end_of_string(text, at) : std::min(text.find_first_of("{}[],: \n\r\t\"", at), text.size());
        const std::size_t length = at - begin;
        if (length > longest_token) return "with a text or number of more than " + std::to_string(longest_token) + " bytes";
        add(c == '"' ? 48 + (length > 17 ? length + 16 : 0) : 0);
      }
      if (used_ + 32 * longest_array_ > memory_)
        return "of so many values that they take more than " + std::to_string(memory_ >> 20) + " MiB";
    }
    return "";
  }

 private:
  struct Open {
    bool object;
    std::size_t values;
  };

  static std::size_t end_of_string(std::string_view text, std::size_t at) {
    for (++at; at < text.size() && text[at] != '"'; ++at)
      if (text[at] == '\\') ++at;
    return std::min(at + 1, text.size());
  }

  // Sizes are those of 64-bit libstdc++, with what malloc adds: a value takes 16 bytes in its array, whose room
  // doubles, and a node of 96 in an object. The destructor lays an array's values out once more.
  void add(std::size_t bytes) {
    used_ += bytes;
    if (open_.empty()) return;
    Open& inside = open_.back();
    if (inside.object) {
      if (last_ == ':') return;  // its key's node has the room
      used_ += 96;
    } else if ((inside.values & (inside.values - 1)) == 0) {
      used_ += inside.values < 2 ? 32 : 16 * inside.values;
    }
    longest_array_ = std::max(longest_array_, ++inside.values);
  }

  std::size_t depth_, memory_, used_ = 0, longest_array_ = 0;
  std::vector<Open> open_;
  char last_ = 0;  // of {}[],:
};
using JsonBounds = BasicJsonBounds<>;

/// The memory that a parsed text may take. With a tokenizer's own tables, a file stays within 4 times its size and 64 MiB.
inline constexpr std::size_t json_memory(std::size_t size) { return size / 2 * 5 + (40 << 20); }

/// What the parser or a reader says of a file, cut where it quotes too much of it.
inline std::string json_fault(std::string_view text) {
  if (text.size() <= 300) return std::string(text);
  std::size_t end = 300;
  while (end > 0 && (text[end] & 0xC0) == 0x80) --end;  // not within a character
  return std::string(text.substr(0, end)) + " …";
}

/// Parses a text that nobody vouches for. Deeper than `depth`, larger in memory than json_memory() or malformed: an Error
/// that begins with `who`. The depth is bounded because the library's destructor and dump() recurse.
RAG_LAZY Json parse_json(std::string_view text, const std::string& who, std::size_t depth = 64) {
  if (const std::string why = JsonBounds(depth, json_memory(text.size())).refusal(text); !why.empty())
    throw Error(Errc::invalid_format, who + ": JSON " + why);
  try {
    return Json::parse(text.begin(), text.end());
  } catch (const Json::exception& error) {
    throw Error(Errc::invalid_format, who + ": not JSON: " + json_fault(error.what()));
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
