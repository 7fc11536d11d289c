// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_DETAIL_STATES_HPP
#define RAG_TESTS_DETAIL_STATES_HPP
#include <rag/detail/transformer.hpp>

#include "embed/tiny_bert.hpp"
#include "paths.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <fstream>
#include <span>
#include <string>
#include <vector>

namespace tests {

inline rag::detail::Transformer transformer_of(const TinyBert& bert, rag::detail::Isa isa, rag::Precision precision) {
  using namespace rag::detail;
  const TemporaryFolder folder;
  std::ofstream(folder / "weights", std::ios::binary) << bert.safetensors();
  return Transformer(MappedFile((folder / "weights").string(), "T"), read_transformer_config(parse_json(bert.config(), "T"), "T"), "T", 1,
                     isa, precision);
}

inline std::vector<float> states(const rag::detail::Transformer& model, const std::vector<std::int32_t>& tokens, const std::vector<std::size_t>& lengths) {
  rag::detail::TransformerScratch scratch;
  const float* x = model.encode(tokens, {}, lengths, scratch);
  return {x, x + tokens.size() * model.config().hidden};
}

/// The largest difference.
inline double worst(std::span<const float> found, std::span<const float> wanted) {
  double difference = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) difference = std::max(difference, std::abs(double(found[i]) - double(wanted[i])));
  return difference;
}

}  // namespace tests
#endif
