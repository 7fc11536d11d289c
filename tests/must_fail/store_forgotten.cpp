// SPDX-License-Identifier: MIT
// fault: rag::Pipeline: argument 2 is not a Retriever
#include <rag/core.hpp>

int main() {
#ifdef BREAK
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, rag::HashingEmbedder{}, rag::EchoLlm{}};
#else
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, rag::HashingEmbedder{}, rag::FlatStore{}, rag::EchoLlm{}};
#endif
  pipeline.add({"a.md", "# One\n# Two"});
  return pipeline.ask("which").text.empty() || pipeline.search("which").empty();
}
