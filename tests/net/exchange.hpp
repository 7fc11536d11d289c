// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_NET_EXCHANGE_HPP
#define RAG_TESTS_NET_EXCHANGE_HPP
#include <rag/net/https.hpp>

#include <chrono>
#include <string>
#include <utility>

namespace tests {

/// What came of one request, and when.
struct Exchanged {
  bool failed = false;
  rag::Errc code{};
  std::string text;  ///< of the error
  rag::Response response;
  std::chrono::steady_clock::duration time{};
};

inline Exchanged try_send(const rag::Request& request, const rag::HttpsTransport& transport) {
  const auto start = std::chrono::steady_clock::now();
  Exchanged outcome;
  try {
    outcome.response = transport(request);
  } catch (const rag::Error& error) {
    outcome.failed = true;
    outcome.code = error.code();
    outcome.text = error.what();
  }
  outcome.time = std::chrono::steady_clock::now() - start;
  return outcome;
}

inline Exchanged try_send(const rag::Request& request, rag::HttpsOptions options = {.deadline = std::chrono::seconds(2)}) {
  return try_send(request, rag::HttpsTransport(std::move(options)));
}

}  // namespace tests
#endif
