// SPDX-License-Identifier: MIT
// fault: rag::Chat: argument 1 is not a rag::Pipeline
#include <rag/core.hpp>

int main() {
  rag::Bm25 retriever;
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, retriever, rag::ExtractiveLlm{}};
#ifdef BREAK
  rag::Chat chat{retriever};
#else
  rag::Chat chat{pipeline};
#endif
  const rag::Answer answer = chat.ask("What is one?");
  return answer.text.empty() || chat.history().empty() || !chat.prompt("And two?").empty();
}
