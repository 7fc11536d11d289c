// SPDX-License-Identifier: MIT
// fault: rag::Pipeline: argument 2 is not an Embedder
#include <rag/core.hpp>

#include <cstddef>
#include <span>
#include <string_view>

struct OneEmbedder {
#ifndef BREAK
  std::size_t dimension() const { return 1; }
#endif
  rag::Matrix embed(std::span<const std::string_view> texts) const { return {texts.size(), 1}; }
};

int main() {
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, OneEmbedder{}, rag::FlatStore{}, rag::EchoLlm{}};
  pipeline.add({"a.md", "# One\n# Two"});
  return pipeline.ask("which").text.empty() || pipeline.search("which").empty();
}
