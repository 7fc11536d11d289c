// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_MILVUS_FIXTURE_HPP
#define RAG_TESTS_STORE_MILVUS_FIXTURE_HPP
#include <rag/store/milvus.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../laws/store.hpp"
#include "milvus_server.hpp"

namespace milvus {

using rag::field;

/// Options whose clock stands still but for the waits, which are counted.
struct Clock {
  std::shared_ptr<std::vector<std::int64_t>> waits = std::make_shared<std::vector<std::int64_t>>();

  rag::RetryOptions retry(std::size_t retries = 4) const {
    return {.retries = retries,
            .sleep = [waits = waits](std::chrono::milliseconds time) { waits->push_back(time.count()); },
            .now =
                [waits = waits] {
                  std::int64_t slept = 0;
                  for (const std::int64_t wait : *waits) slept += wait;
                  return std::chrono::system_clock::time_point(std::chrono::seconds(1'800'000'000) + std::chrono::milliseconds(slept));
                },
            .random = [] { return 0.5; }};
  }
};

inline rag::MilvusOptions options(std::size_t dimension = 2) {
  return {.collection = "c", .dimension = dimension, .ids = rag::MilvusIds::counted, .retry = Clock{}.retry()};
}

template <class F>
std::pair<rag::Errc, std::string> error_of(F&& action) {
  try {
    action();
  } catch (const rag::Error& error) {
    return {error.code(), error.what()};
  }
  FAIL("an Error wanted");
  return {};
}

inline rag::Matrix rows(std::vector<std::vector<float>> values) {
  rag::Matrix matrix(values.size(), values.empty() ? 0 : values[0].size());
  for (std::size_t i = 0; i < values.size(); ++i) std::copy(values[i].begin(), values[i].end(), matrix.row(i).begin());
  return matrix;
}

inline rag::AnyTransport always(int status, std::string body) {
  return [status, body = std::move(body)](const rag::Request&) { return rag::Response{status, {}, body}; };
}

}  // namespace milvus
#endif
