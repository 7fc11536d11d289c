// SPDX-License-Identifier: MIT
// fault: rag::MultiQuery: argument 2 is not an Llm
#include <rag/core.hpp>

#include <string>
#include <string_view>

struct OneLlm {
#ifdef BREAK
  std::string complete(std::string_view) { return "1"; }
#else
  std::string complete(std::span<const rag::Message>) { return "1"; }
#endif
};

int main() {
  OneLlm llm;
  rag::MultiQuery retriever{rag::Bm25{}, llm};
  retriever.add(rag::SeparatorChunker{"# "}.chunk({"a.md", "# One\n# Two"}));
  return retriever.search("which", 1).empty() || retriever.questions("which").empty();
}
