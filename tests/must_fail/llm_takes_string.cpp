// SPDX-License-Identifier: MIT
// fault: is not an Llm
#include <rag/core.hpp>

#include <span>
#include <string>
#include <string_view>

struct OneLlm {
#ifdef BREAK
  std::string complete(const std::string& prompt) { return prompt; }
#else
  std::string complete(std::span<const rag::Message>) { return "1"; }
#endif
};

int main() {
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, rag::Bm25{}, OneLlm{}};
  pipeline.add({"a.md", "# One\n# Two"});
  pipeline.ask("which", [](std::string_view) { return true; });
  return pipeline.ask("which").text.empty() || pipeline.search("which").empty();
}
