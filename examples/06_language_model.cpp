// SPDX-License-Identifier: MIT
// 6. A language model behind any OpenAI-compatible service, plain and streamed.
//
// Here the network is a tape, so the program runs anywhere and always prints the same. For the real thing, put
// rag::HttpsTransport{} in the tape's place and take the options from rag::openrouter(), rag::deepseek(),
// rag::openai("…"), rag::ollama("…") or rag::llama_server(): each reads its key from the environment.
#include <rag/rag.hpp>

#include <iostream>

int main() {
  const auto tape = [](const rag::Request& request) {
    if (!request.receive) return rag::Response{200, {}, R"({"choices":[{"message":{"content":"Four weeks [1]."}}]})"};
    for (const char* word : {"Four ", "weeks ", "[1]."})
      request.receive("data: {\"choices\":[{\"delta\":{\"content\":\"" + std::string(word) + "\"}}]}\n\n");
    request.receive("data: [DONE]\n\n");
    return rag::Response{200, {}, {}};
  };
  rag::OpenAiLlm llm{{.base_url = "http://localhost:11434/v1", .model = "llama3.2"}, tape};

  rag::Pipeline library{rag::SeparatorChunker{"# "}, rag::Bm25{}, llm};
  library.add(rag::read_file("examples/data/borrowing.md"));

  std::cout << library.ask("How long may I keep a book?", 1).text << '\n';
  library.ask("How long may I keep a book?", [](std::string_view piece) { std::cout << piece << '|'; }, 1);
  std::cout << "\n\n";

  // Nothing is hidden: these are the messages that the model gets.
  for (const rag::Message& message : library.prompt("How long may I keep a book?", 1))
    std::cout << message.role << ":\n" << message.content << "\n\n";
}
