// SPDX-License-Identifier: MIT
// fault: rag::DenseRetriever: argument 1 is not an Embedder
#include <rag/core.hpp>

#include <cstddef>
#include <span>
#include <string_view>

struct OneEmbedder {
  std::size_t dimension() const { return 1; }
#ifdef BREAK
  rag::Matrix embed(std::string_view) const { return {1, 1}; }
#else
  rag::Matrix embed(std::span<const std::string_view> texts) const { return {texts.size(), 1}; }
#endif
};

int main() {
  rag::DenseRetriever dense{OneEmbedder{}, rag::FlatStore{}};
  dense.add(rag::SeparatorChunker{"# "}.chunk({"a.md", "# One\n# Two"}));
  return dense.search("which", 1).empty();
}
