// SPDX-License-Identifier: MIT
// 9. A conversation: a question that makes no sense without the one before is searched for as one that does.
#include <rag/core.hpp>

#include <iostream>
#include <span>
#include <string_view>

// Stands in for a language model, so that this runs offline: it knows how to rewrite one question, and answers with
// sentences of the passages. With rag::OpenAiLlm in its place all else stays the same.
struct StandIn {
  rag::Completion complete(std::span<const rag::Message> messages) {
    if (messages.back().content.starts_with("<history>")) return "Can the loan of a book be renewed?";
    return rag::ExtractiveLlm{}.complete(messages);
  }
};

int main() {
  rag::Pipeline library{rag::MarkdownChunker{}, rag::Bm25{}, StandIn{}};
  library.add(rag::read_directory("examples/data", {.extensions = {".md"}}).documents);
  rag::Chat chat{library, {.k = 2, .history_tokens = 500}};

  for (const std::string_view question : {"How long may I keep a book?", "And can it be renewed?"}) {
    std::cout << "> " << question << '\n';
    for (const rag::Message& message : chat.condense_prompt(question))  // of the second question alone
      if (message.role == "user") std::cout << "The model is asked to rewrite:\n" << message.content << '\n';
    chat.ask(question, [](std::string_view piece) { std::cout << piece << std::flush; });
    std::cout << "\n(searched for: " << chat.question() << ")\n\n";
  }
}
