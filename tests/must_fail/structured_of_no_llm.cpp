// SPDX-License-Identifier: MIT
// fault: rag::StructuredLlm: argument 1 is not an Llm
#include <rag/llm/structured.hpp>

#include <span>
#include <string>

struct OneLlm {
#ifdef BREAK
  int complete(std::span<const rag::Message>) const { return 1; }
#else
  std::string complete(std::span<const rag::Message>) const { return "1"; }
#endif
};

int main() {
  rag::StructuredLlm llm{OneLlm{}, {.schema = "{}"}};
  return llm.complete({}).text != "1";
}
