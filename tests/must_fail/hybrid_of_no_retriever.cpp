// SPDX-License-Identifier: MIT
// fault: rag::Hybrid: argument 2 is not a Retriever
#include <rag/core.hpp>

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

struct FirstRetriever {
  std::vector<rag::Id> add(std::span<const rag::Chunk> added) {
    chunks.assign(added.begin(), added.end());
    return std::vector<rag::Id>(added.size(), 0);
  }
#ifdef BREAK
  std::vector<rag::Chunk> search(std::string_view, std::size_t) { return chunks; }
#else
  std::vector<rag::Hit> search(std::string_view, std::size_t k) {
    std::vector<rag::Hit> hits;
    for (std::size_t i = 0; i < k && i < chunks.size(); ++i) hits.push_back({chunks[i], 0});
    return hits;
  }
#endif

  std::vector<rag::Chunk> chunks;
};

int main() {
  rag::Hybrid hybrid{rag::Bm25{}, FirstRetriever{}};
  hybrid.add(rag::SeparatorChunker{"# "}.chunk({"a.md", "# One\n# Two"}));
  return hybrid.search("which", 1).empty();
}
