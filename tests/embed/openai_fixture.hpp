// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_EMBED_OPENAI_FIXTURE_HPP
#define RAG_TESTS_EMBED_OPENAI_FIXTURE_HPP
#include <rag/detail/json.hpp>
#include <rag/types.hpp>

#include <bit>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// A service of embeddings without a model.

namespace tests {

/// As services write vectors: little-endian floats.
inline std::string base64(const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift & 0xff);
  }
  const std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) group = group << 8 | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0u);
    for (std::size_t j = 0; j < 4; ++j) text += i + j <= bytes.size() ? alphabet[group >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

/// Two numbers that tell a text: its size and its first byte.
inline std::vector<float> toy_vector(const std::string& text) { return {static_cast<float>(text.size()), static_cast<float>(text[0])}; }

/// A service that answers in backward order, in base64 where that is asked for.
inline rag::Response toy_service(const rag::Request& request) {
  using rag::detail::Json;
  const Json body = Json::parse(request.body);
  const bool coded = body.contains("encoding_format") && body["encoding_format"] == "base64";
  Json data = Json::array();
  for (std::size_t i = body["input"].size(); i-- > 0;) {
    const std::vector<float> vector = toy_vector(body["input"][i]);
    data.push_back({{"index", i}, {"object", "embedding"}, {"embedding", coded ? Json(base64(vector)) : Json(vector)}});
  }
  return {200, {}, Json{{"object", "list"}, {"data", data}}.dump()};
}

}  // namespace tests
#endif
