// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_WRAPPING_RETRIEVER_HPP
#define RAG_DETAIL_WRAPPING_RETRIEVER_HPP
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>

#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// A retriever within another that searches it in a way of its own and passes all else on: fulfils what the one within
/// fulfils of ReplacingRetriever and TokenCounter.
template <class R>
class WrappingRetriever {
 public:
  // An argument that is not of its role is replaced, so that nothing else fails after the assertion.
  using Inner = std::conditional_t<Retriever<R>, R, RetrieverArchetype>;

  explicit WrappingRetriever(R retriever) : retriever_(std::move(retriever)) {}

  std::vector<Id> add(std::span<const Chunk> chunks) { return retriever_.add(chunks); }

  std::vector<Id> replace(std::string_view source, std::span<const Chunk> chunks)
    requires ReplacingRetriever<Inner>
  {
    return retriever_.replace(source, chunks);
  }
  std::vector<Chunk> chunks(std::string_view source)
    requires ReplacingRetriever<Inner>
  {
    return retriever_.chunks(source);
  }

  std::size_t count_tokens(std::string_view text) const
    requires TokenCounter<Inner>
  {
    return static_cast<std::size_t>(retriever_.count_tokens(text));
  }
  std::size_t max_tokens() const
    requires TokenCounter<Inner>
  {
    return static_cast<std::size_t>(retriever_.max_tokens());
  }

  Inner& retriever() { return retriever_; }
  const Inner& retriever() const { return retriever_; }

 protected:
  // At most one, which the retriever takes.
  template <class... F>
  static constexpr bool filters = sizeof...(F) <= 1 && (FilteringRetriever<Inner, F> && ...);

 private:
  Inner retriever_;
};

}  // namespace detail
RAG_END
#endif
