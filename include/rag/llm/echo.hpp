// SPDX-License-Identifier: MIT
#ifndef RAG_LLM_ECHO_HPP
#define RAG_LLM_ECHO_HPP
#include <rag/concepts.hpp>

#include <cstddef>
#include <span>
#include <string>

RAG_BEGIN

/// Answers with the last message of the user, word for word: shows what a model would be sent.
struct EchoLlm {
  Completion complete(std::span<const Message> messages) const {
    for (std::size_t i = messages.size(); i-- > 0;)
      if (messages[i].role == "user") return messages[i].content;
    return {};
  }
};

RAG_END
#endif
