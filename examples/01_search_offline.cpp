// SPDX-License-Identifier: MIT
// 1. The whole walk in a dozen lines: no key, no model, no download.
#include <rag/core.hpp>

#include <iostream>

int main() {
  // Four parts: cut on "# ", turn words into vectors, keep them in memory, echo the prompt in place of a model.
  rag::Pipeline faq{rag::SeparatorChunker{"# "}, rag::HashingEmbedder{}, rag::FlatStore{}, rag::EchoLlm{}};

  faq.add({"faq.md",
           "# How is data stored?\nAs an incremental log.\n# How large may a vector be?\n32768 dimensions."});

  for (const auto& [chunk, score] : faq.search("how is data stored", 1))
    std::cout << chunk.source << " [" << chunk.begin << ", " << chunk.end << "): " << chunk.text << '\n';

  std::cout << faq.ask("how is data stored", 1).text << '\n';
}
