// SPDX-License-Identifier: MIT
// fault: rag::Pipeline: argument 2 is not an Embedder
#include <rag/core.hpp>

#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

struct OneEmbedder {
  std::size_t dimension() const { return 1; }
#ifdef BREAK
  std::vector<std::vector<float>> embed(std::span<const std::string_view> texts) const { return {texts.size(), {1}}; }
#else
  rag::Matrix embed(std::span<const std::string_view> texts) const { return {texts.size(), 1}; }
#endif
};

int main() {
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, OneEmbedder{}, rag::FlatStore{}, rag::EchoLlm{}};
  pipeline.add({"a.md", "# One\n# Two"});
  return pipeline.ask("which").text.empty() || pipeline.search("which").empty();
}
