// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_LLM_OUTCOME_HPP
#define RAG_TESTS_LLM_OUTCOME_HPP
#include <rag/net/service_error.hpp>

#include <string>

namespace tests {

/// What came of asking a language model.
struct Outcome {
  rag::Completion completion;  ///< of a ServiceError: what it kept
  std::string handed_out;      ///< to the receiver of a stream
  bool failed = false;
  rag::Errc code{};
  std::string text;  ///< of the error
  int status = 0;    ///< of a ServiceError

  bool operator==(const Outcome& other) const {
    const rag::Completion &a = completion, &b = other.completion;
    return a.text == b.text && a.finish_reason == b.finish_reason && a.usage == b.usage && a.reasoning == b.reasoning &&
           a.tool_calls == b.tool_calls && handed_out == other.handed_out && failed == other.failed && code == other.code &&
           text == other.text && status == other.status;
  }
};

/// action(outcome), whose Error is noted.
template <class F>
Outcome outcome_of(F&& action) {
  Outcome outcome;
  try {
    action(outcome);
  } catch (const rag::Error& error) {
    outcome.failed = true;
    outcome.code = error.code();
    outcome.text = error.what();
    if (const auto* service = dynamic_cast<const rag::ServiceError*>(&error)) {
      outcome.status = service->status();
      outcome.completion = service->partial();
    }
  }
  return outcome;
}

}  // namespace tests
#endif
