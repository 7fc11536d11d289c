// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SAFETENSORS_HPP
#define RAG_DETAIL_SAFETENSORS_HPP
#include <rag/detail/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Reads the index of a safetensors file that nobody vouches for. The rules are those of the format's reference
// reader; ours are stricter in four: the header begins with '{', no key comes twice, and nesting and the number
// of values are bounded. Nothing is allocated on the word of a size that was not compared with the bytes there.

RAG_BEGIN
namespace detail {

struct Tensor {
  std::string type;  ///< "F32", "I64", …
  std::vector<std::size_t> shape;
  std::string_view bytes;  ///< a view into the file, of any alignment
};
using Tensors = std::map<std::string, Tensor, std::less<>>;

inline constexpr std::size_t safetensors_header_limit = 100'000'000;
inline constexpr std::size_t safetensors_value_limit = 1 << 18;  ///< names, types, sizes and offsets, all together

/// Bits of an element; 0 for a type that is not known.
RAG_LAZY std::size_t safetensors_bits(std::string_view type) {
  constexpr std::pair<std::string_view, std::size_t> known[] = {
      {"BOOL", 8}, {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"U8", 8},   {"I8", 8},   {"F8_E5M2", 8}, {"F8_E4M3", 8}, {"F8_E8M0", 8},
      {"I16", 16}, {"U16", 16}, {"F16", 16},    {"BF16", 16},   {"I32", 32}, {"U32", 32}, {"F32", 32},    {"C64", 64},    {"F64", 64},
      {"I64", 64}, {"U64", 64}};
  for (const auto& [name, bits] : known)
    if (name == type) return bits;
  return 0;
}

/// The header as JSON: nesting is checked before, the number of values and keys that come twice while it is read.
RAG_LAZY Json parse_safetensors_header(std::string_view header, const std::string& who) {
  std::vector<std::set<std::string>> keys;
  std::size_t values = 0;
  if (const std::string why = JsonBounds(4, json_memory(header.size())).refusal(header); !why.empty())
    throw Error(Errc::invalid_format, who + ": the header is JSON " + why);
  const auto check = [&](int, Json::parse_event_t event, Json& parsed) {
    if (++values > safetensors_value_limit)
      throw Error(Errc::invalid_format,
                  who + ": at most " + std::to_string(safetensors_value_limit) + " values wanted in the header");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      throw Error(Errc::invalid_format, who + ": the header has the key '" +
                                              json_fault(parsed.get_ref<const std::string&>()) + "' twice");
    return true;
  };
  try {
    return Json::parse(header.begin(), header.end(), check);
  } catch (const Json::exception& error) {
    throw Error(Errc::invalid_format, who + ": the header is not JSON: " + json_fault(error.what()));
  }
}

/// One entry of the header, its bytes not yet compared with the file: {type, shape, offsets}.
struct TensorEntry {
  std::string name;
  Tensor tensor;
  std::uint64_t begin, end;
};

RAG_LAZY TensorEntry read_tensor_entry(const std::string& name, const Json& entry, const std::string& who) {
  const auto wrong = [&](const char* what) {
    return Error(Errc::invalid_format, who + ": tensor '" + json_fault(name) + "' " + what);
  };
  const auto sizes = [&](const char* key, const char* what) {
    const auto found = entry.find(key);
    if (found == entry.end() || !found->is_array()) throw wrong(what);
    std::vector<std::size_t> numbers;
    for (const Json& number : *found) {
      if (!number.is_number_unsigned()) throw wrong(what);
      numbers.push_back(number.get<std::size_t>());
    }
    return numbers;
  };
  if (!entry.is_object()) throw wrong("is not an object");
  const auto type = entry.find("dtype");
  if (type == entry.end() || !type->is_string() || safetensors_bits(type->get<std::string>()) == 0)
    throw wrong("has no known dtype");
  const auto offsets = sizes("data_offsets", "has no data_offsets of two whole numbers");
  if (offsets.size() != 2) throw wrong("has no data_offsets of two whole numbers");
  Tensor tensor{type->get<std::string>(), sizes("shape", "has no shape of whole numbers"), {}};

  std::uint64_t size = 1;
  for (const std::size_t extent : tensor.shape)
    if (__builtin_mul_overflow(size, extent, &size)) throw wrong("is larger than any memory");
  if (__builtin_mul_overflow(size, safetensors_bits(tensor.type), &size)) throw wrong("is larger than any memory");
  if (size % 8 != 0) throw wrong("does not end on a byte");
  if (offsets[1] < offsets[0] || offsets[1] - offsets[0] != size / 8) throw wrong("has a shape that its bytes don't fit");
  return {name, std::move(tensor), offsets[0], offsets[1]};
}

/// The tensors of a safetensors file, given as its bytes; they must outlive the result. Anything that is not
/// exactly such a file: invalid_format, the text begins with `who`.
RAG_LAZY Tensors read_safetensors(std::string_view file, const std::string& who) {
  const auto wrong = [&](const std::string& what) { return Error(Errc::invalid_format, who + ": " + what); };
  if (file.size() < 8) throw wrong("8 bytes wanted at least, " + std::to_string(file.size()) + " there");
  std::uint64_t length = 0;
  for (std::size_t i = 8; i-- > 0;) length = length << 8 | static_cast<unsigned char>(file[i]);
  if (length > safetensors_header_limit) throw wrong("a header of " + std::to_string(length) + " bytes is too long");
  if (length > file.size() - 8)
    throw wrong("a header of " + std::to_string(length) + " bytes is said, the file ends before");
  const std::string_view header = file.substr(8, length), data = file.substr(8 + length);
  if (header.empty() || header.front() != '{') throw wrong("the header does not begin with '{'");
  // The JSON parser would take a zero byte for the end of the text.
  if (header.find('\0') != std::string_view::npos) throw wrong("the header holds a zero byte");

  const Json index = parse_safetensors_header(header, who);
  std::vector<TensorEntry> entries;
  for (const auto& [name, entry] : index.items()) {
    if (name != "__metadata__") {
      entries.push_back(read_tensor_entry(name, entry, who));
      continue;
    }
    if (!entry.is_object()) throw wrong("__metadata__ is not an object");
    for (const Json& value : entry)
      if (!value.is_string()) throw wrong("__metadata__ holds more than strings");
  }
  std::sort(entries.begin(), entries.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t at = 0;
  Tensors tensors;
  for (TensorEntry& entry : entries) {
    const std::string tensor = "tensor '" + json_fault(entry.name) + "'";
    if (entry.begin != at) throw wrong(tensor + " does not begin where the one before it ends");
    at = entry.end;
    if (at > data.size()) throw wrong(tensor + " goes past the end of the file");
    entry.tensor.bytes = data.substr(entry.begin, entry.end - entry.begin);
    tensors.emplace(std::move(entry.name), std::move(entry.tensor));
  }
  if (at != data.size())
    throw wrong(std::to_string(at) + " bytes of tensors wanted, " + std::to_string(data.size()) + " there");
  return tensors;
}

}  // namespace detail
RAG_END
#endif
