// SPDX-License-Identifier: MIT
#include "laws/llm.hpp"

#include <rag/llm/echo.hpp>

#include <doctest/doctest.h>

namespace {

static_assert(rag::Llm<rag::EchoLlm> && !rag::StreamingLlm<rag::EchoLlm>);

/// Nearest that must not pass: a number is no answer.
struct Counting {
  int complete(std::span<const rag::Message> messages) { return static_cast<int>(messages.size()); }
};
static_assert(!rag::Llm<Counting>);

}  // namespace

TEST_CASE("EchoLlm keeps the laws of an Llm") {
  rag::EchoLlm llm;
  laws::check_llm(llm);
}

TEST_CASE("EchoLlm gives back what the user said last") {
  const rag::Message messages[] = {
      {"user", "one"}, {"assistant", "two"}, {"user", "three"}, {"assistant", "four"}};

  CHECK(rag::EchoLlm{}.complete(messages) == "three");
  CHECK(rag::EchoLlm{}.complete({}) == "");
}
