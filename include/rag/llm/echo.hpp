// SPDX-License-Identifier: MIT
#ifndef RAG_LLM_ECHO_HPP
#define RAG_LLM_ECHO_HPP
#include <rag/concepts.hpp>

#include <span>
#include <string>

RAG_BEGIN

/// Answers with the last message of the user, word for word: shows what a model would be sent.
struct EchoLlm {
  Completion complete(std::span<const Message> messages) const {
    for (auto message = messages.rbegin(); message != messages.rend(); ++message)
      if (message->role == "user") return message->content;
    return {};
  }
};

RAG_END
#endif
