// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_COSINE_HPP
#define RAG_DETAIL_COSINE_HPP
#include <rag/version.hpp>

#include <cmath>
#include <cstddef>
#include <span>

RAG_BEGIN
namespace detail {

/// The cosine of two rows of one length, summed up in double; 0 where one has no length.
inline double cosine(std::span<const float> a, std::span<const float> b) {
  double both = 0, of_a = 0, of_b = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    both += x * y, of_a += x * x, of_b += y * y;
  }
  return both == 0 ? 0 : both / std::sqrt(of_a * of_b);
}

}  // namespace detail
RAG_END
#endif
