// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_MILVUS_BRIDGE_HPP
#define RAG_TESTS_MILVUS_BRIDGE_HPP
// What the tests over the bridge share.
#include <doctest/doctest.h>

#include <rag/store/flat.hpp>  // Eigen stands before the network: <resolv.h> has a macro named _res
#include <rag/store/milvus.hpp>

#include <rag/detail/json.hpp>
#include <rag/net/https.hpp>

#include <chrono>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "../laws/store.hpp"

using rag::detail::Json;

inline std::string server_uri;

inline const rag::HttpsTransport& https() {
  static const rag::HttpsTransport transport;
  return transport;
}

inline Json bridge(const std::string& path, const std::string& body) {
  rag::Request request{.url = server_uri + "/_bridge/" + path};
  request.body = body;
  if (body.empty()) request.method = "GET";
  return Json::parse(https()(request).body);
}

inline void no_faults() { bridge("faults", R"({"faults":[]})"); }

/// While it lives, every Nth call meets a fault; then none does. Says how many did.
class Faults {
 public:
  explicit Faults(const std::string& fault) { bridge("faults", R"({"faults":[")" + fault + "\"]}"); }
  ~Faults() { bridge("faults", R"({"faults":[]})"); }
  Faults(const Faults&) = delete;
  Faults& operator=(const Faults&) = delete;

  /// Checks, too, that no call held a key that a server would overlook, and that none was an insert: this engine puts a
  /// row of a known id in the place of the old one, a server keeps both.
  static std::size_t met() {
    std::size_t number = 0;
    const Json log = bridge("log", "");
    for (const Json& call : log.at("calls")) {
      CHECK(call.at("unknown_keys").empty());
      CHECK(call.at("action") != "entities/insert");
      if (call.at("fault") != "") ++number;
    }
    return number;
  }
};

inline rag::MilvusOptions options(std::size_t dimension) {
  rag::MilvusOptions some{.uri = server_uri, .collection = "rag_test", .dimension = dimension, .drop_existing = true, .ids = rag::MilvusIds::counted};
  some.retry.sleep = [](std::chrono::milliseconds time) { std::this_thread::sleep_for(time / 50); };
  return some;
}

inline const std::vector<std::string> all_faults = {"ratelimit:3", "timeout:4", "timeout_applied:4", "reset:5", "close:5", "unavailable:3"};

inline rag::Matrix random_rows(std::size_t rows, std::size_t columns, unsigned seed) {
  rag::Matrix matrix(rows, columns);
  std::mt19937 random(seed);
  for (std::size_t i = 0; i < rows * columns; ++i) matrix.data()[i] = static_cast<float>(static_cast<int>(random() % 2'000) - 1'000) / 1'000;
  return matrix;
}

inline std::vector<rag::Chunk> made_chunks(int number) {
  std::vector<rag::Chunk> chunks;
  for (int i = 0; i < number; ++i) {
    chunks.push_back(laws::chunk_of(i % 3 == 0 ? "a.md" : "b \"quoted\".md", "text " + std::to_string(i) + " \"\\\n\té😀"));
    chunks.back().metadata = {{"year", 2000 + i % 7}, {"tiny", 1e-7 * i}, {"huge", 1e20}, {"language", i % 2 == 0 ? "en" : "de"}, {"half", i + 0.5}};
  }
  return chunks;
}

#endif
