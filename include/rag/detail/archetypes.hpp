// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_ARCHETYPES_HPP
#define RAG_DETAIL_ARCHETYPES_HPP
#include <rag/concepts.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN
namespace detail {

// The least that each concept asks for. A class template puts one in the place of an argument that is not of
// its role: the static_assert that names the role is then the only error, since everything after it compiles.
// So each is made from anything.

struct ChunkerArchetype {
  template <class... T>
  explicit ChunkerArchetype(T&&...) {}
  std::vector<Chunk> chunk(const Document&) const { return {}; }
};

struct EmbedderArchetype {
  template <class... T>
  explicit EmbedderArchetype(T&&...) {}
  Matrix embed(std::span<const std::string_view> texts) { return {texts.size(), 1}; }
  std::size_t dimension() { return 1; }
};

struct StoreArchetype {
  template <class... T>
  explicit StoreArchetype(T&&...) {}
  std::vector<Id> add(std::span<const Chunk>, const Matrix&) { return {}; }
  std::vector<Hit> search(std::span<const float>, std::size_t) const { return {}; }
  std::size_t size() const { return 0; }
  std::size_t dimension() const { return 0; }
};

struct RetrieverArchetype {
  template <class... T>
  explicit RetrieverArchetype(T&&...) {}
  std::vector<Id> add(std::span<const Chunk>) { return {}; }
  std::vector<Hit> search(std::string_view, std::size_t) { return {}; }
};

struct ReplacingRetrieverArchetype : RetrieverArchetype {
  using RetrieverArchetype::RetrieverArchetype;
  std::vector<Id> replace(std::string_view, std::span<const Chunk>) { return {}; }
  std::vector<Chunk> chunks(std::string_view) { return {}; }
};

struct RefinerArchetype {
  template <class... T>
  explicit RefinerArchetype(T&&...) {}
  std::vector<Hit> refine(std::string_view, std::vector<Hit> hits, std::size_t) const { return hits; }
};

struct PrompterArchetype {
  template <class... T>
  explicit PrompterArchetype(T&&...) {}
  std::vector<Message> prompt(std::string_view, std::span<const Hit>) const { return {}; }
};

struct LlmArchetype {
  template <class... T>
  explicit LlmArchetype(T&&...) {}
  std::string complete(std::span<const Message>) { return {}; }
};

}  // namespace detail
RAG_END
#endif
