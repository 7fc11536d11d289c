// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_NO_PROGRESS_HPP
#define RAG_DETAIL_NO_PROGRESS_HPP
#include <rag/version.hpp>

#include <cstddef>

RAG_BEGIN
namespace detail {

/// Takes progress(done, total) and says nothing.
struct NoProgress {
  void operator()(std::size_t, std::size_t) const {}
};

}  // namespace detail
RAG_END
#endif
