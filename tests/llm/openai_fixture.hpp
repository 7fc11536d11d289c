// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_LLM_OPENAI_FIXTURE_HPP
#define RAG_TESTS_LLM_OPENAI_FIXTURE_HPP
#include <rag/llm/openai.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "outcome.hpp"

// A service on tapes: answers, whole or in pieces, and a model that asks them.

namespace tests {

using rag::detail::Json;

inline const std::string key = "sk-canary-0123456789";
inline const rag::Message messages[] = {{"system", "Be brief."}, {"user", "Hello?"}};

inline rag::AnyTransport always(int status, std::string body) {
  return [status, body = std::move(body)](const rag::Request&) { return rag::Response{status, {}, body}; };
}

/// Hands a 2xx body to the receiver in these pieces, as a real transport does.
inline rag::AnyTransport pieces_of(std::vector<std::string> pieces) {
  return [pieces = std::move(pieces)](const rag::Request& request) {
    for (const std::string& piece : pieces)
      if (!request.receive(piece)) throw rag::Error(rag::Errc::cancelled, "stopped");
    return rag::Response{200, {}, {}};
  };
}

inline rag::OpenAiLlm model(rag::AnyTransport transport) { return {{.model = "m", .api_key = key}, std::move(transport)}; }

inline Outcome complete(int status, const std::string& body) {
  return outcome_of([&](Outcome& outcome) { outcome.completion = model(always(status, body)).complete(messages); });
}

inline Outcome stream(rag::AnyTransport transport) {
  return outcome_of([&](Outcome& outcome) {
    outcome.completion =
        model(std::move(transport)).stream(messages, [&](std::string_view piece) { outcome.handed_out += piece; });
  });
}

inline std::string choice(const std::string& message, const std::string& more = "") {
  return R"({"choices":[{"message":)" + message + R"(,"finish_reason":"stop"}])" + more + "}";
}

inline std::string event(const std::string& data) { return "data: " + data + "\n\n"; }
inline std::string delta(const std::string& delta, const std::string& reason = "null") {
  return event(R"({"choices":[{"index":0,"delta":)" + delta + R"(,"finish_reason":)" + reason + "}],\"usage\":null}");
}

/// What an OpenRouter stream with every oddity looks like.
inline const std::string recorded =
    ": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n" + delta(R"({"role":"assistant","content":""})") +
    delta(R"({"role":"assistant"})") + delta(R"({"content":null,"reasoning":"Let me "})") +
    delta(R"({"content":null,"reasoning_content":"see."})") + ": keep-alive\r\n\r\n" +
    "event: message\nid: 1\n" + delta(R"({"content":"Gr\u00fc\u00df "})") + delta("{\"content\":\"\xF0\x9F\x98\x80\"}") +
    "data:{\"choices\":[{\"delta\":\r\ndata:{\"content\":\" dich\"}}]}\r\n\r\n" + delta("{}", "\"stop\"") +
    event(R"({"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":7,"total_tokens":19}})") + "data: [DONE]\n\n";

/// A stream of two calls of functions, in pieces that take turns.
inline const std::string recorded_calls =
    delta(R"({"role":"assistant","content":null})") +
    delta(R"({"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""}}]})") +
    delta(R"({"tool_calls":[{"index":0,"function":{"arguments":"{\"x\":"}}]})") +
    delta(R"({"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"g","arguments":"{"}}]})") +
    delta(R"({"tool_calls":[{"index":0,"function":{"arguments":"\"é\"}"}},{"index":1,"function":{"arguments":"}"}}]})") +
    delta("{}", "\"tool_calls\"") + "data: [DONE]\n\n";

}  // namespace tests
#endif
