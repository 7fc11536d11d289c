// SPDX-License-Identifier: MIT
// fault: rag::Pipeline: argument 3 is not a Store
#include <rag/core.hpp>

#include <cstddef>
#include <span>
#include <vector>

struct FirstStore {
  std::vector<rag::Id> add(std::span<const rag::Chunk> added, const rag::Matrix&) {
    std::vector<rag::Id> ids;
    for (const rag::Chunk& chunk : added) {
      ids.push_back(static_cast<rag::Id>(chunks.size()));
      chunks.push_back(chunk);
    }
    return ids;
  }
#ifdef BREAK
  rag::Hit search(std::span<const float>, std::size_t) const { return {chunks.at(0), 0}; }
#else
  std::vector<rag::Hit> search(std::span<const float>, std::size_t k) const {
    std::vector<rag::Hit> hits;
    for (std::size_t i = 0; i < k && i < chunks.size(); ++i) hits.push_back({chunks[i], 0});
    return hits;
  }
#endif
  std::size_t size() const { return chunks.size(); }
  std::size_t dimension() const { return 0; }

  std::vector<rag::Chunk> chunks;
};

int main() {
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, rag::HashingEmbedder{}, FirstStore{}, rag::EchoLlm{}};
  pipeline.add({"a.md", "# One\n# Two"});
  return pipeline.ask("which").text.empty() || pipeline.search("which").empty();
}
