// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_LAWS_LLM_HPP
#define RAG_TESTS_LAWS_LLM_HPP
#include <doctest/doctest.h>
#include <rag/concepts.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace laws {

/// The model must be able to answer: for one behind a network, give it a tape.
template <rag::Llm L>
void check_llm(L& llm) {
  const rag::Message messages[] = {{"system", "Be brief."}, {"user", "Which bird sings at night?"}};

  const rag::Completion whole = llm.complete(messages);
  CHECK(!whole.finish_reason.empty());

  // The pieces, joined, are the text of the result. A model without a stream gives one piece.
  std::string joined;
  std::size_t pieces = 0;
  const rag::Completion streamed = rag::stream(llm, messages, [&](std::string_view piece) {
    joined += piece;
    ++pieces;
  });
  CHECK(joined == streamed.text);
  CHECK(pieces >= (streamed.text.empty() ? 0u : 1u));

  // A receiver that has enough hears no more, and is not an error.
  pieces = 0;
  joined.clear();
  const rag::Completion stopped = rag::stream(llm, messages, [&](std::string_view piece) {
    joined += piece;
    ++pieces;
    return false;
  });
  CHECK(pieces <= 1);
  if constexpr (rag::StreamingLlm<L>) CHECK(joined == stopped.text);
  if (pieces == 1) CHECK(stopped.finish_reason == "cancelled");
}

}  // namespace laws

#endif
