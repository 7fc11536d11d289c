// SPDX-License-Identifier: MIT
// fault: rag::Diverse: argument 1 is not an Embedder
#include <rag/core.hpp>

#include <cstddef>
#include <span>
#include <string_view>

struct OneEmbedder {
  rag::Matrix embed(std::span<const std::string_view> texts) const { return {texts.size(), 1}; }
#ifndef BREAK
  std::size_t dimension() const { return 1; }
#endif
};

int main() {
  rag::Refined retriever{rag::Bm25{}, rag::Diverse{OneEmbedder{}, {.relevance = 0.5}}};
  retriever.add(rag::SeparatorChunker{"# "}.chunk({"a.md", "# One\n# Two"}));
  return retriever.search("one", 1).empty();
}
