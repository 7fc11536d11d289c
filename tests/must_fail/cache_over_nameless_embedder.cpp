// SPDX-License-Identifier: MIT
// fault: rag::CachedEmbedder: argument 1 is not a NamedEmbedder
#include <rag/core.hpp>
#include <rag/embed/cached.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>

struct OneEmbedder {
#ifndef BREAK
  std::string name() const { return "one"; }
#endif
  std::size_t dimension() const { return 1; }
  rag::Matrix embed(std::span<const std::string_view> texts) const { return {texts.size(), 1}; }
};

int main() {
  rag::CachedEmbedder cached{OneEmbedder{}, "cache.bin"};
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, std::move(cached), rag::FlatStore{}, rag::EchoLlm{}};
  pipeline.add({"a.md", "# One\n# Two"});
  return pipeline.ask("which").text.empty() || pipeline.search("which").empty();
}
