// SPDX-License-Identifier: MIT
// fault: rag::Pipeline: the last argument is not a Prompter
#include <rag/core.hpp>

#include <span>
#include <string>
#include <string_view>
#include <vector>

struct BarePrompter {
#ifdef BREAK
  std::string prompt(std::string_view question, std::span<const rag::Hit>) const { return std::string(question); }
#else
  std::vector<rag::Message> prompt(std::string_view question, std::span<const rag::Hit>) const {
    return {{"user", std::string(question)}};
  }
#endif
};

int main() {
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, rag::Bm25{}, rag::EchoLlm{}, BarePrompter{}};
  pipeline.add({"a.md", "# One\n# Two"});
  return pipeline.ask("which").text.empty() || pipeline.search("which").empty();
}
