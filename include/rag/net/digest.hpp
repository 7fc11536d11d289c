// SPDX-License-Identifier: MIT
#ifndef RAG_NET_DIGEST_HPP
#define RAG_NET_DIGEST_HPP
#include <rag/error.hpp>

#include <openssl/evp.h>

#include <memory>
#include <string>
#include <string_view>

RAG_BEGIN
namespace detail {

/// A SHA-256 (or, for the names that git gives to files, a SHA-1) of bytes that come in pieces.
RAG_LAZY class BasicDigest {
 public:
  explicit BasicDigest(const EVP_MD* kind) : kind_(kind) { restart(); }

  void restart() {
    if (!context_ || EVP_DigestInit_ex(context_.get(), kind_, nullptr) != 1) fail();
  }
  void update(std::string_view bytes) {
    if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1) fail();
  }
  /// In hexadecimal, lower case; after it comes restart().
  std::string hex() {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (EVP_DigestFinal_ex(context_.get(), bytes, &size) != 1) fail();
    std::string text;
    for (unsigned i = 0; i < size; ++i) {
      text += "0123456789abcdef"[bytes[i] >> 4];
      text += "0123456789abcdef"[bytes[i] & 15];
    }
    return text;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  [[noreturn]] static void fail() { throw Error(Errc::unsupported, "rag: OpenSSL on this machine has no such digest"); }

  const EVP_MD* kind_;
  std::unique_ptr<EVP_MD_CTX, Free> context_{EVP_MD_CTX_new()};
};
using Digest = BasicDigest<>;

}  // namespace detail
RAG_END
#endif
