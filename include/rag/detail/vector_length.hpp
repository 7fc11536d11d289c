// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_VECTOR_LENGTH_HPP
#define RAG_DETAIL_VECTOR_LENGTH_HPP
#include <rag/error.hpp>

#include <cmath>
#include <cstddef>
#include <span>
#include <string>

RAG_BEGIN
namespace detail {

/// Vectors of a greater length are refused: their inner products and distances could leave the range of a float.
inline constexpr double longest_vector = 9e18;

// A product of two floats is exact in double, so this sum has the same bits with and without fused products.
inline double vector_length(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(sum);
}

/// Throws where values are NaN or infinite, or too long. `who`: "FlatStore::add", `which`: "row 3".
RAG_LAZY void check_length(std::span<const float> values, const std::string& who, const char* which, std::size_t number) {
  if (!(vector_length(values) <= longest_vector))
    throw Error(Errc::invalid_argument, who + ": " + which + " " + std::to_string(number) +
                                            " holds NaN or infinity, or is longer than 9e18");
}

/// The vector at length 1; a zero one as it is.
RAG_LAZY void scale_to_unit(std::span<float> values) {
  if (const double length = vector_length(values); length > 0)
    for (float& value : values) value = static_cast<float>(static_cast<double>(value) / length);
}

}  // namespace detail
RAG_END
#endif
