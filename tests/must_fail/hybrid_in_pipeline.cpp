// SPDX-License-Identifier: MIT
// fault: rag::Hybrid: argument 1 is not a ReplacingRetriever
#include <rag/core.hpp>

#include <utility>

int main() {
#ifdef BREAK
  rag::Hybrid hybrid{rag::HashingEmbedder{}, rag::Bm25{}};
#else
  rag::Hybrid hybrid{rag::DenseRetriever{rag::HashingEmbedder{}, rag::FlatStore{}}, rag::Bm25{}};
#endif
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, std::move(hybrid), rag::EchoLlm{}};
  pipeline.add({"a.md", "# One\n# Two"});
  return pipeline.ask("which").text.empty() || pipeline.search("which").empty();
}
