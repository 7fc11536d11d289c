// SPDX-License-Identifier: MIT
// fault: rag::BasicExtractiveLlm: argument 1 is not an Embedder
#include <rag/core.hpp>

struct Lengths {
#ifdef BREAK
  std::size_t embed(std::string_view text) const { return text.size(); }
#else
  std::size_t dimension() const { return 1; }
  rag::Matrix embed(std::span<const std::string_view> texts) const { return {texts.size(), 1}; }
#endif
};

int main() {
  rag::BasicExtractiveLlm llm{Lengths{}};
  const rag::Message question{"user", "?"};
  return llm.complete({&question, 1}).text.empty();
}
