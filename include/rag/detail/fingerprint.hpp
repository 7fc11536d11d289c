// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_FINGERPRINT_HPP
#define RAG_DETAIL_FINGERPRINT_HPP
#include <rag/version.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

RAG_BEGIN
namespace detail {

/// A number for bytes of any length, 32 at a time. Not for secrets.
RAG_LAZY class BasicFingerprint {
 public:
  void add(std::string_view bytes) {
    mix(0, bytes.size());
    for (; bytes.size() >= 32; bytes.remove_prefix(32)) add_block(bytes.data());
    char rest[32] = {};
    std::memcpy(rest, bytes.data(), bytes.size());
    add_block(rest);
  }
  /// 16 hexadecimal digits.
  std::string text() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t lane : lanes_) sum = (sum ^ lane ^ lane >> 29) * 0xBF58476D1CE4E5B9u;
    sum ^= sum >> 32;
    std::string digits;
    for (int shift = 60; shift >= 0; shift -= 4) digits += "0123456789abcdef"[sum >> shift & 15];
    return digits;
  }

 private:
  void mix(std::size_t lane, std::uint64_t word) {
    lanes_[lane] = (lanes_[lane] ^ word) * 0x9E3779B97F4A7C15u;
    lanes_[lane] ^= lanes_[lane] >> 32;
  }
  void add_block(const char* bytes) {
    for (std::size_t lane = 0; lane < 4; ++lane) {
      std::uint64_t word;
      std::memcpy(&word, bytes + 8 * lane, 8);
      mix(lane, word);
    }
  }
  std::array<std::uint64_t, 4> lanes_{1, 2, 3, 4};
};
using Fingerprint = BasicFingerprint<>;

}  // namespace detail
RAG_END
#endif
