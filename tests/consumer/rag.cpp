// SPDX-License-Identifier: MIT
// What a user of rag::rag compiles and links: the walk offline, and a request over the network that nobody takes.
#include <rag/rag.hpp>

#include <cstdio>

int main() {
  rag::Pipeline faq{rag::SeparatorChunker{"# "}, rag::HashingEmbedder{}, rag::FlatStore{}, rag::EchoLlm{}};
  faq.add({"faq.md", "# How is data stored?\nAs an incremental log.\n# How large may a vector be?\n32768 dimensions."});
  std::printf("%zu bytes found\n", faq.search("how is data stored", 1).at(0).chunk.text.size());

  rag::HttpsTransport transport;
  try {
    transport({.url = "https://127.0.0.1:1/v1"});
  } catch (const rag::Error& error) {
    return error.code() == rag::Errc::transport ? 0 : 1;
  }
  return 1;
}
