// SPDX-License-Identifier: MIT
#include <rag/detail/crc32c.hpp>
#include <rag/detail/hash.hpp>

#include <doctest/doctest.h>

#include <string>

TEST_CASE("crc32c gives the check values of RFC 3720") {
  CHECK(rag::detail::crc32c("") == 0);
  CHECK(rag::detail::crc32c("123456789") == 0xE3069283u);
  CHECK(rag::detail::crc32c(std::string(32, '\0')) == 0x8A9136AAu);
  CHECK(rag::detail::crc32c(std::string(32, '\xFF')) == 0x62A8AB43u);
}

TEST_CASE("crc32c in two parts is crc32c of the whole, by table and by instruction") {
  std::string bytes;
  for (int i = 0; i < 100; ++i) bytes += static_cast<char>(i * 37);
  const std::uint32_t whole = ~rag::detail::crc32c_portable(~0u, bytes.data(), bytes.size());

  CHECK(rag::detail::crc32c(bytes) == whole);
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    CAPTURE(cut);
    CHECK(rag::detail::crc32c(bytes.substr(cut), rag::detail::crc32c(bytes.substr(0, cut))) == whole);
  }
}

TEST_CASE("hash64 never changes, and depends on length, seed and every byte") {
  using rag::detail::hash64;

  CHECK(hash64("", 0) != hash64("", 1));
  CHECK(hash64(std::string(1, '\0'), 0) != hash64("", 0));
  CHECK(hash64("abcdefgh", 0) != hash64("abcdefghi", 0));
  std::string text(20, 'x');
  for (char& c : text) {
    const std::uint64_t before = hash64(text, 0);
    c = 'y';
    CHECK(hash64(text, 0) != before);
  }
}
