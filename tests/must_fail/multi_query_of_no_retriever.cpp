// SPDX-License-Identifier: MIT
// fault: rag::MultiQuery: argument 1 is not a Retriever
#include <rag/core.hpp>

int main() {
  rag::EchoLlm llm;
#ifdef BREAK
  rag::MultiQuery retriever{rag::FlatStore{}, llm, {.questions = 2}};
#else
  rag::MultiQuery retriever{rag::Bm25{}, llm, {.questions = 2}};
#endif
  retriever.add(rag::SeparatorChunker{"# "}.chunk({"a.md", "# One\n# Two"}));
  return retriever.search("which", 1).empty() || retriever.messages("which").empty();
}
