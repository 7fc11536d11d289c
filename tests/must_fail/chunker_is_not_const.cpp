// SPDX-License-Identifier: MIT
// fault: rag::Pipeline: argument 1 is not a Chunker
#include <rag/core.hpp>

#include <vector>

struct WholeChunker {
#ifdef BREAK
  std::vector<rag::Chunk> chunk(const rag::Document& document) {
#else
  std::vector<rag::Chunk> chunk(const rag::Document& document) const {
#endif
    return {{document.text, document.id, 0, document.text.size()}};
  }
};

int main() {
  rag::Pipeline pipeline{WholeChunker{}, rag::Bm25{}, rag::EchoLlm{}};
  pipeline.add({"a.md", "# One\n# Two"});
  return pipeline.ask("which").text.empty() || pipeline.search("which").empty();
}
