// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_MODELS_EXPECTED_HPP
#define RAG_TESTS_MODELS_EXPECTED_HPP

// The folders that make.py wrote, and what transformers gives for them.

#include <rag/detail/json.hpp>
#include <rag/detail/mapped_file.hpp>
#include <rag/detail/safetensors.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace tests {

inline std::filesystem::path made_model(const std::string& name) {
  return std::filesystem::path(RAG_SOURCE_DIR) / "tests" / "models" / name;
}

struct Expected {
  std::string folder;
  rag::detail::Json json;
  rag::detail::MappedFile file;
  rag::detail::Tensors tensors = {};

  explicit Expected(const std::string& name)
      : folder(made_model(name).string()),
        json(rag::detail::parse_json(rag::detail::MappedFile(folder + "/expected.json", "Expected").bytes(), "Expected")) {
    if (!std::filesystem::exists(folder + "/expected.safetensors")) return;
    file = rag::detail::MappedFile(folder + "/expected.safetensors", "Expected");
    tensors = rag::detail::read_safetensors(file.bytes(), "Expected");
  }

  std::vector<std::size_t> shape(const std::string& name) const { return tensors.at(name).shape; }
  std::vector<float> values(const std::string& name) const {
    const std::string_view bytes = tensors.at(name).bytes;
    std::vector<float> floats(bytes.size() / sizeof(float));
    std::memcpy(floats.data(), bytes.data(), bytes.size());
    return floats;
  }
};

/// The largest difference of an element; infinity where one is NaN.
inline double largest_difference(std::span<const float> found, std::span<const float> wanted) {
  double largest = found.size() == wanted.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(found.size(), wanted.size()); ++i) {
    const double difference = std::abs(double(found[i]) - double(wanted[i]));
    largest = difference <= largest ? largest : std::isnan(difference) ? INFINITY : difference;
  }
  return largest;
}

}  // namespace tests

#endif
