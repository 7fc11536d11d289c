// SPDX-License-Identifier: MIT
// fault: is not an Llm
#include <rag/core.hpp>

#include <span>
#include <string>

struct OneLlm {
#ifdef BREAK
  int complete(std::span<const rag::Message>) { return 1; }
#else
  std::string complete(std::span<const rag::Message>) { return "1"; }
#endif
};

int main() {
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, rag::HashingEmbedder{}, rag::FlatStore{}, OneLlm{}};
  pipeline.add({"a.md", "# One\n# Two"});
  pipeline.compare("which");
  return pipeline.ask("which").text.empty() || pipeline.search("which").empty();
}
