// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_CRC32C_HPP
#define RAG_DETAIL_CRC32C_HPP
#include <rag/detail/cpu.hpp>
#include <rag/version.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

RAG_BEGIN
namespace detail {

inline constexpr std::array<std::uint32_t, 256> crc32c_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t value = i;
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (value & 1 ? 0x82F63B78u : 0u);
    table[i] = value;
  }
  return table;
}();

inline std::uint32_t crc32c_portable(std::uint32_t crc, const char* bytes, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i)
    crc = crc >> 8 ^ crc32c_table[(crc ^ static_cast<unsigned char>(bytes[i])) & 0xFF];
  return crc;
}

#if RAG_X86
__attribute__((target("sse4.2"))) inline std::uint32_t crc32c_sse42(std::uint32_t crc, const char* bytes,
                                                                   std::size_t size) {
  std::uint64_t wide = crc;
  for (; size >= 8; size -= 8, bytes += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  crc = static_cast<std::uint32_t>(wide);
  for (; size > 0; --size, ++bytes) crc = _mm_crc32_u8(crc, static_cast<unsigned char>(*bytes));
  return crc;
}
#endif

/// CRC-32C (Castagnoli, RFC 3720 appendix B.4) of the bytes that `crc` stands for and these behind them.
inline std::uint32_t crc32c(std::string_view bytes, std::uint32_t crc = 0) {
#if RAG_X86
  if (__builtin_cpu_supports("sse4.2")) return ~crc32c_sse42(~crc, bytes.data(), bytes.size());
#endif
  return ~crc32c_portable(~crc, bytes.data(), bytes.size());
}

}  // namespace detail
RAG_END
#endif
