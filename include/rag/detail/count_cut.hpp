// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_COUNT_CUT_HPP
#define RAG_DETAIL_COUNT_CUT_HPP
#include <rag/concepts.hpp>

#include <cstddef>
#include <span>

RAG_BEGIN
namespace detail {

/// How many of the chunks are longer than the retriever's embedder reads; 0 where it does not count tokens.
template <class R>
std::size_t count_cut(const R& retriever, std::span<const Chunk> chunks) {
  std::size_t count = 0;
  if constexpr (TokenCounter<R>)
    for (const Chunk& chunk : chunks) count += retriever.count_tokens(indexed_text(chunk)) > retriever.max_tokens();
  return count;
}

}  // namespace detail
RAG_END
#endif
