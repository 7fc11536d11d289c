// SPDX-License-Identifier: MIT
// fault: the store and the embedder have different dimensions
#include <rag/core.hpp>

#include <cstddef>
#include <span>
#include <string_view>

struct OneEmbedder {
#ifdef BREAK
  static constexpr std::size_t dimension() { return 1024; }
#else
  static constexpr std::size_t dimension() { return 384; }
#endif
  rag::Matrix embed(std::span<const std::string_view> texts) const { return {texts.size(), dimension()}; }
};

int main() {
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, OneEmbedder{}, rag::FlatStore<384>{}, rag::EchoLlm{}};
  pipeline.add({"a.md", "# One\n# Two"});
  return pipeline.ask("which").text.empty() || pipeline.search("which").empty();
}
