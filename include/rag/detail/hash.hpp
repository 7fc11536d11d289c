// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_HASH_HPP
#define RAG_DETAIL_HASH_HPP
#include <rag/version.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

RAG_BEGIN
namespace detail {

/// A number for some bytes, the same on every machine and in every version: files and vectors are made from it.
/// Words of eight bytes, little-endian, the last filled up with zeros, then the length: each is xored in, multiplied
/// and folded; the end is the finaliser of MurmurHash3. Not for secrets.
inline std::uint64_t hash64(std::string_view bytes, std::uint64_t seed) {
  std::uint64_t hash = seed;
  const auto mix = [&](std::uint64_t word) {
    hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 32;
  };
  for (std::size_t at = 0; at < bytes.size(); at += 8) {
    std::uint64_t word = 0;
    const std::size_t count = std::min<std::size_t>(8, bytes.size() - at);
    for (std::size_t i = 0; i < count; ++i)
      word |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
    mix(word);
  }
  mix(bytes.size());
  hash = (hash ^ hash >> 33) * 0xFF51AFD7ED558CCDu;
  hash = (hash ^ hash >> 33) * 0xC4CEB9FE1A85EC53u;
  return hash ^ hash >> 33;
}

/// 128 bits for a row of texts: two chains of hash64, so that "ab", "c" and "a", "bc" differ.
struct ContentHash {
  std::uint64_t low = 1, high = 2;

  ContentHash& add(std::string_view bytes) {
    low = hash64(bytes, low);
    high = hash64(bytes, high);
    return *this;
  }
  /// 32 hexadecimal digits.
  RAG_LAZY std::string text() const {
    std::string digits;
    for (const std::uint64_t half : {low, high})
      for (int shift = 60; shift >= 0; shift -= 4) digits += "0123456789abcdef"[half >> shift & 15];
    return digits;
  }
  bool operator==(const ContentHash&) const = default;
};

}  // namespace detail
RAG_END
#endif
