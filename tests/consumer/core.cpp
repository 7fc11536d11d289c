// SPDX-License-Identifier: MIT
// What a user of rag::core compiles and links.
#include <rag/core.hpp>

#include <cstdio>

int main() {
  rag::Pipeline faq{rag::SeparatorChunker{"# "}, rag::HashingEmbedder{}, rag::FlatStore{}, rag::EchoLlm{}};
  faq.add({"faq.md", "# How is data stored?\nAs an incremental log.\n# How large may a vector be?\n32768 dimensions."});
  std::printf("%zu bytes found\n", faq.search("how is data stored", 1).at(0).chunk.text.size());
}
