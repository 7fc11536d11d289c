// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_PARENT_HPP
#define RAG_CHUNK_PARENT_HPP
#include <rag/chunk/span.hpp>
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// The bytes of the document that shall be given where the chunk is found.
RAG_LAZY void set_parent(Chunk& chunk, const Document& document, Span parent) {
  chunk.metadata.set("parent", bytes(document.text, parent));
  chunk.metadata.set("parent_begin", parent.begin);
}

}  // namespace detail

/// Small chunks are found, the large ones that they lie in are given: each chunk of the second chunker over each chunk
/// of the first, with the text of the large one in metadata "parent" and its first byte in "parent_begin". The chunks
/// are those of `children`, so all stores and retrievers take them; ParentRetriever gives the parents. A child that
/// lies in two overlapping parents belongs to the first. Each child holds its parent's text: what it takes in the store
/// is the children's number times the parent's size.
///
///     rag::ParentChunker chunker{rag::MarkdownChunker{{.size = 2000}}, rag::SentenceChunker{{.size = 300}}};
///     rag::ParentRetriever retriever{rag::Bm25{}};
template <class P, class C>
class ParentChunker {
  static_assert(Chunker<P>, "rag::ParentChunker: argument 1 is not a Chunker, see rag/concepts.hpp");
  static_assert(Chunker<C>, "rag::ParentChunker: argument 2 is not a Chunker, see rag/concepts.hpp");

 public:
  // An argument that is not of its role is replaced, so that nothing else fails after the assertion.
  using Parents = std::conditional_t<Chunker<P>, P, detail::ChunkerArchetype>;
  using Children = std::conditional_t<Chunker<C>, C, detail::ChunkerArchetype>;

  ParentChunker(P parents, C children) : parents_(std::move(parents)), children_(std::move(children)) {}

  std::vector<Chunk> chunk(const Document& document) const {
    std::vector<Chunk> chunks;
    for (const Chunk& parent : parents_.chunk(document))
      for (Chunk& child : children_.chunk({document.id, parent.text, parent.metadata})) {
        child.begin += parent.begin;
        child.end += parent.begin;
        detail::set_parent(child, document, {parent.begin, parent.end});
        chunks.push_back(std::move(child));
      }
    const auto span = [](const Chunk& chunk) { return std::pair(chunk.begin, chunk.end); };
    std::stable_sort(chunks.begin(), chunks.end(), [&](const Chunk& a, const Chunk& b) { return span(a) < span(b); });
    chunks.erase(std::unique(chunks.begin(), chunks.end(),
                             [&](const Chunk& a, const Chunk& b) { return span(a) == span(b); }),
                 chunks.end());
    return chunks;
  }

 private:
  Parents parents_;
  Children children_;
};

/// Chunks that are given with their neighbours: a chunk's parent, as ParentChunker has it, is what reaches from so many
/// chunks before it to so many after it. Over a chunk a sentence it is the sentence window.
///
///     rag::WindowChunker chunker{rag::SentenceChunker{{.sentences = 1}}, 2};   // a sentence, given with two each side
template <class C>
class WindowChunker {
  static_assert(Chunker<C>, "rag::WindowChunker: argument 1 is not a Chunker, see rag/concepts.hpp");

 public:
  using Inner = std::conditional_t<Chunker<C>, C, detail::ChunkerArchetype>;

  explicit WindowChunker(C chunker, std::size_t neighbours = 2)
      : chunker_(std::move(chunker)), neighbours_(neighbours) {}

  std::vector<Chunk> chunk(const Document& document) const {
    std::vector<Chunk> chunks = chunker_.chunk(document);
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const std::size_t first = i - std::min(i, neighbours_), last = i + std::min(chunks.size() - 1 - i, neighbours_);
      detail::Span window{chunks[first].begin, 0};
      for (std::size_t j = first; j <= last; ++j) window.end = std::max(window.end, chunks[j].end);
      detail::set_parent(chunks[i], document, window);
    }
    return chunks;
  }

 private:
  Inner chunker_;
  std::size_t neighbours_;
};

RAG_END
#endif
