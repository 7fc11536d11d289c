// SPDX-License-Identifier: MIT
// fault: rag::Pipeline: argument 1 is not a Chunker
#include <rag/core.hpp>

#include <string>
#include <vector>

struct WholeChunker {
#ifdef BREAK
  std::vector<std::string> chunk(const rag::Document& document) const { return {document.text}; }
#else
  std::vector<rag::Chunk> chunk(const rag::Document& document) const {
    return {{document.text, document.id, 0, document.text.size()}};
  }
#endif
};

int main() {
  rag::Pipeline pipeline{WholeChunker{}, rag::HashingEmbedder{}, rag::FlatStore{}, rag::EchoLlm{}};
  pipeline.add({"a.md", "# One\n# Two"});
  return pipeline.ask("which").text.empty() || pipeline.search("which").empty();
}
