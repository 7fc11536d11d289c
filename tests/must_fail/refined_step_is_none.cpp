// SPDX-License-Identifier: MIT
// fault: rag::Refined: a step is neither a Refiner nor a Reranker
#include <rag/core.hpp>

#include <cstddef>
#include <string_view>
#include <vector>

struct Backwards {
#ifdef BREAK
  std::vector<rag::Chunk> refine(std::string_view, std::vector<rag::Hit>, std::size_t) const { return {}; }
#else
  std::vector<rag::Hit> refine(std::string_view, std::vector<rag::Hit> hits, std::size_t) const {
    return {hits.rbegin(), hits.rend()};
  }
#endif
};

int main() {
  rag::Refined retriever{rag::Bm25{}, {.depth = 10}, rag::MostPerSource{2}, Backwards{}};
  retriever.add(rag::SeparatorChunker{"# "}.chunk({"a.md", "# One\n# Two"}));
  return retriever.search("one", 1).empty();
}
