// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_TOKENS_HPP
#define RAG_CHUNK_TOKENS_HPP
#include <rag/concepts.hpp>

#include <cstddef>
#include <string_view>

RAG_BEGIN

/// The length of a text in an embedder's tokens, its special ones among them, as max_tokens() counts: a chunk of a
/// size up to embedder.max_tokens() is embedded whole. Refers to the embedder, which must live as long as the chunker.
/// Tokens do not add up, so every chunk is counted as one text; a chunker counts each byte about ten times.
///
///     rag::FixedChunker windows{{.size = 250, .overlap = 125}, rag::TokenLength{embedder}};
///     rag::RecursiveChunker pieces{{.size = 250}, rag::TokenLength{embedder}};
template <class E>
class TokenLength {
  static_assert(TokenCounter<E>, "rag::TokenLength: the argument is not a TokenCounter, see rag/concepts.hpp");

 public:
  explicit TokenLength(const E& embedder) : embedder_(&embedder) {}
  explicit TokenLength(const E&& temporary) = delete;

  std::size_t operator()(std::string_view text) const {
    return static_cast<std::size_t>(embedder_->count_tokens(text));
  }

 private:
  const E* embedder_;
};

RAG_END
#endif
