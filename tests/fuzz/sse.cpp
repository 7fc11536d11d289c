// SPDX-License-Identifier: MIT
// Two places to cut at, and an event stream: its events, and the answer of a chat that it is, are the same in any pieces.
#include <rag/llm/openai.hpp>

#include "fuzz.hpp"

#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

namespace {

using Pieces = std::vector<std::string_view>;

void require(bool holds) {
  if (!holds) std::abort();
}

/// The events, and the text of the Error if one came.
std::vector<std::string> events_of(const Pieces& pieces) {
  std::vector<std::string> events;
  try {
    rag::SseParser parser(256);
    for (const std::string_view piece : pieces)
      parser.feed(piece, [&](const rag::ServerSentEvent& event) { return events.push_back(event.name + '\0' + event.data), true; });
  } catch (const rag::Error& error) {
    events.push_back(error.what());
  }
  return events;
}

/// All of a chat's answer in one text; what was handed out is what the answer has.
std::string answer_of(const Pieces& pieces) {
  const auto transport = [&](const rag::Request& request) {
    for (const std::string_view piece : pieces)
      if (!request.receive(piece)) throw rag::Error(rag::Errc::cancelled, "stopped");
    return rag::Response{200, {}, {}};
  };
  static const rag::Message question[] = {{"user", "?"}};
  const rag::OpenAiLlm llm({.base_url = "http://localhost", .model = "m"}, transport);
  std::string handed;
  const auto whole = [&](const rag::Completion& answer) {
    require(answer.text == handed);
    std::string all = answer.text + '\0' + answer.finish_reason + '\0' + answer.reasoning + '\0' + std::to_string(answer.usage.prompt_tokens);
    for (const rag::ToolCall& call : answer.tool_calls) all += '\0' + call.id + '\0' + call.name + '\0' + call.arguments;
    return all;
  };
  try {
    return whole(llm.stream(question, [&](std::string_view piece) { handed += piece; }));
  } catch (const rag::ServiceError& error) {
    return (error.partial().text.empty() ? handed : whole(error.partial())) + error.what();
  } catch (const rag::Error& error) {
    require(handed.empty());
    return error.what();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return -1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t first = bytes.size() * data[0] / 255, second = std::max(first, bytes.size() * data[1] / 255);
  const Pieces cut = {bytes.substr(0, first), bytes.substr(first, second - first), bytes.substr(second)};
  Pieces single;
  for (std::size_t i = 0; i < bytes.size(); ++i) single.push_back(bytes.substr(i, 1));
  const auto events = events_of({bytes});
  require(events == events_of(cut) && events == events_of(single));
  const std::string answer = answer_of({bytes});
  require(answer == answer_of(cut) && answer == answer_of(single));
  return 0;
}
