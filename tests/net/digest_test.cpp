// SPDX-License-Identifier: MIT
#include <rag/net/digest.hpp>

#include <doctest/doctest.h>

#include <string>

TEST_CASE("Digest gives the values of FIPS 180-4, in pieces too") {
  rag::detail::Digest sha256(EVP_sha256()), sha1(EVP_sha1());
  CHECK(sha256.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  sha256.restart();
  for (const char* piece : {"a", "", "bc"}) sha256.update(piece), sha1.update(piece);
  CHECK(sha256.hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha1.hex() == "a9993e364706816aba3e25717850c26c9cd0d89d");
}
