// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_NET_CERTIFICATES_HPP
#define RAG_TESTS_NET_CERTIFICATES_HPP

// Certificates of every kind, and a server that shows one.

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "server.hpp"

namespace tests {

struct Certificate {
  std::shared_ptr<X509> x509;
  std::shared_ptr<EVP_PKEY> key;

  /// Writes it as a file of trusted authorities.
  void write(const std::string& path) const {
    std::FILE* file = std::fopen(path.c_str(), "w");
    PEM_write_X509(file, x509.get());
    std::fclose(file);
  }
};

struct CertificateOptions {
  const char* names = "IP:127.0.0.1,DNS:localhost";
  long begins = -3600, ends = 3600;  // seconds from now
  unsigned rsa_bits = 0;             // 0: a key on P-256
  bool authority = false;
};

/// A certificate signed by another, or by itself.
inline Certificate make_certificate(const CertificateOptions& options, const Certificate* signer = nullptr) {
  EVP_PKEY* key = options.rsa_bits ? EVP_RSA_gen(options.rsa_bits) : EVP_EC_gen("P-256");
  X509* x509 = X509_new();
  const Certificate made{{x509, X509_free}, {key, EVP_PKEY_free}};
  static long serial = 0;
  X509_set_version(x509, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(x509), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(x509), options.begins);
  X509_gmtime_adj(X509_getm_notAfter(x509), options.ends);
  X509_set_pubkey(x509, key);
  const std::string name = "test " + std::to_string(serial);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
  X509_set_issuer_name(x509, X509_get_subject_name(signer ? signer->x509.get() : x509));
  const auto extend = [&](int kind, const char* value) {
    X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
    X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
  };
  extend(NID_basic_constraints, options.authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (options.authority) extend(NID_key_usage, "critical,keyCertSign");
  else extend(NID_subject_alt_name, options.names);
  X509_sign(x509, signer ? signer->key.get() : key, EVP_sha256());
  return made;
}

/// Answers one request over TLS with the body that came. It speaks with whoever wants to, however weak the key. `saw`
/// gets the request.
inline std::function<void(Peer&)> over_tls(const Certificate& shown, int newest = TLS1_3_VERSION,
                                           std::function<void(const std::string&)> saw = [](const std::string&) {}) {
  return [=](Peer& peer) {
    const std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
    SSL_CTX_set_security_level(context.get(), 0);
    SSL_CTX_set_min_proto_version(context.get(), TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context.get(), newest);
    SSL_CTX_use_certificate(context.get(), shown.x509.get());
    SSL_CTX_use_PrivateKey(context.get(), shown.key.get());
    const std::shared_ptr<SSL> tls(SSL_new(context.get()), SSL_free);
    SSL_set_fd(tls.get(), peer.socket());
    if (SSL_accept(tls.get()) != 1) return;
    std::string request;
    char bytes[4096];
    for (int count; request.find("over tls") == request.npos; request.append(bytes, static_cast<std::size_t>(count)))
      if ((count = SSL_read(tls.get(), bytes, sizeof bytes)) <= 0) return;
    saw(request);
    const std::string answer = tests::answer(200, "over tls");
    SSL_write(tls.get(), answer.data(), static_cast<int>(answer.size()));
    SSL_shutdown(tls.get());
  };
}

}  // namespace tests
#endif
