// SPDX-License-Identifier: MIT
// What is asked of a chat model beside its messages, and the calls of functions that it answers with.
#include <rag/llm/openai.hpp>

#include <doctest/doctest.h>

#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "openai_fixture.hpp"

namespace {

using rag::detail::Json;

const rag::Message messages[] = {{"user", "Hello?"}};
const std::string tool = R"({"type":"function","function":{"name":"weather","parameters":{"type":"object"}}})";

/// The body that is sent with these options.
Json sent(rag::OpenAiOptions options, std::span<const rag::Message> turns = messages) {
  Json body;
  options.model = "m";
  const auto tape = [&](const rag::Request& request) {
    body = Json::parse(request.body);
    return rag::Response{200, {}, R"({"choices":[{"message":{"content":"x"}}]})"};
  };
  rag::OpenAiLlm(options, tape).complete(turns);
  return body;
}

std::string refusal(rag::OpenAiOptions options) {
  options.model = "m";
  try {
    rag::OpenAiLlm(options, [](const rag::Request&) { return rag::Response{}; });
  } catch (const rag::Error& error) {
    CHECK(error.code() != rag::Errc::service);
    return error.what();
  }
  return "accepted";
}

rag::Completion complete(const std::string& message) {
  return rag::OpenAiLlm({.model = "m"}, [&](const rag::Request&) {
           return rag::Response{200, {}, R"({"choices":[{"finish_reason":"tool_calls","message":)" + message + "}]}"};
         }).complete(messages);
}

std::string delta(const std::string& delta) { return R"(data: {"choices":[{"index":0,"delta":)" + delta + "}]}\n\n"; }
const std::string end = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n";

rag::Completion stream(const std::string& bytes, std::size_t cut = 0) {
  const auto transport = [&](const rag::Request& request) {
    request.receive(std::string_view(bytes).substr(0, cut));
    request.receive(std::string_view(bytes).substr(cut));
    return rag::Response{200, {}, {}};
  };
  return rag::OpenAiLlm({.model = "m"}, transport).stream(messages, {});
}

using Calls = std::vector<rag::ToolCall>;

}  // namespace

TEST_CASE("Options that are not set are absent from the body") {
  const Json body = sent({});

  CHECK(body.size() == 4);
  for (const char* name : {"model", "messages", "temperature", "max_tokens"}) CHECK_MESSAGE(body.contains(name), name);
}

TEST_CASE("Stop texts, a seed, a schema and tools are sent as the protocol names them") {
  CHECK(sent({.stop = {"\n\n", "END"}})["stop"] == Json::parse(R"(["\n\n","END"])"));
  CHECK(sent({.seed = 0})["seed"] == 0);
  CHECK(sent({.seed = -7})["seed"] == -7);
  CHECK(sent({.response_schema = "{}"})["response_format"] == Json::parse(R"({"type":"json_object"})"));
  CHECK(sent({.response_schema = R"({"type":"object","properties":{"a":{"type":"string"}}})"})["response_format"] ==
        Json::parse(R"({"type":"json_schema","json_schema":{"name":"answer","strict":true,
                        "schema":{"type":"object","properties":{"a":{"type":"string"}}}}})"));
  const Json body = sent({.tools = '[' + tool + ']', .tool_choice = "required"});
  CHECK(body["tools"] == Json::parse('[' + tool + ']'));
  CHECK(body["tool_choice"] == "required");
  CHECK(sent({.tools = '[' + tool + ']', .tool_choice = "weather"})["tool_choice"] ==
        Json::parse(R"({"type":"function","function":{"name":"weather"}})"));
  CHECK_FALSE(sent({.tools = '[' + tool + ']'}).contains("tool_choice"));
}

TEST_CASE("Options that are no JSON, or of the wrong kind, are refused when the model is made") {
  CHECK(refusal({.stop = {"a", ""}}) == "OpenAiLlm: texts to stop at wanted, an empty one given");
  CHECK(refusal({.response_schema = "[1]"}) == "OpenAiLlm: a JSON object wanted as response_schema");
  CHECK(refusal({.response_schema = "{"}).starts_with("OpenAiLlm: response_schema: not JSON"));
  CHECK(refusal({.tools = "[]"}) == "OpenAiLlm: a JSON array of 1 tool or more wanted as tools");
  CHECK(refusal({.tools = tool}) == "OpenAiLlm: a JSON array of 1 tool or more wanted as tools");
  CHECK(refusal({.tools = "weather"}).starts_with("OpenAiLlm: tools: not JSON"));
  CHECK(refusal({.tool_choice = "auto"}) == "OpenAiLlm: tools wanted for a tool_choice, none given");
  CHECK(refusal({.stop = {"\xff"}}) == "OpenAiLlm: text is not valid UTF-8");
}

TEST_CASE("Calls and their answers are sent back, and reasoning has no place to be") {
  const rag::Message turns[] = {{"user", "Weather?"},
                                {"assistant", "", {{"c1", "weather", R"({"city":"Ulm"})"}}},
                                {"tool", "rain", {}, "c1"}};

  CHECK(sent({}, turns)["messages"] == Json::parse(R"([{"role":"user","content":"Weather?"},
      {"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function",
          "function":{"name":"weather","arguments":"{\"city\":\"Ulm\"}"}}]},
      {"role":"tool","content":"rain","tool_call_id":"c1"}])"));
}

TEST_CASE("Calls of functions stand beside the text") {
  const rag::Completion completion = complete(R"({"content":null,"tool_calls":[
      {"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
      {"id":"b","type":"function","function":{"name":"g","arguments":{"y":2}}}]})");

  CHECK(completion.text.empty());
  CHECK(completion.finish_reason == "tool_calls");
  CHECK(completion.tool_calls == Calls{{"a", "f", R"({"x":1})"}, {"b", "g", R"({"y":2})"}});
  CHECK(complete(R"({"tool_calls":[{"function":{"name":"f","arguments":"1"}},{"function":{"name":"f","arguments":"2"}}]})").tool_calls ==
        Calls{{"", "f", "1"}, {"", "f", "2"}});
  CHECK(complete(R"({"content":"x","tool_calls":null})").tool_calls.empty());
  CHECK(complete(R"({"tool_calls":[7,{"id":8,"function":"f"}]})").tool_calls.size() == 1);
}

TEST_CASE("A streamed call is put together from its pieces, wherever the stream is cut") {
  const std::string& bytes = tests::recorded_calls;
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    CAPTURE(cut);
    const rag::Completion completion = stream(bytes, cut);
    if (completion.tool_calls != Calls{{"a", "f", "{\"x\":\"é\"}"}, {"b", "g", "{}"}}) FAIL_CHECK("other calls");
    if (completion.finish_reason != "tool_calls" || !completion.text.empty()) FAIL_CHECK("another end");
  }
}

TEST_CASE("Calls that share an index, or have none, are told apart by id or name") {
  CHECK(stream(delta(R"({"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"1"}}]})") +
               delta(R"({"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"2"}}]})") +
               delta(R"({"tool_calls":[{"index":0,"id":"b","function":{"arguments":"3"}}]})") + end).tool_calls ==
        Calls{{"a", "f", "1"}, {"b", "f", "23"}});
  CHECK(stream(delta(R"({"tool_calls":[{"id":"a","function":{"name":"f","arguments":"1"}}]})") +
               delta(R"({"tool_calls":[{"function":{"arguments":"2"}}]})") +
               delta(R"({"tool_calls":[{"id":"b","function":{"name":"f","arguments":"3"}}]})") + end).tool_calls ==
        Calls{{"a", "f", "12"}, {"b", "f", "3"}});
}

TEST_CASE("A flood of calls is refused") {
  std::string bytes;
  for (int i = 0; i < 129; ++i) bytes += delta(R"({"tool_calls":[{"index":)" + std::to_string(i) + R"(,"function":{"name":"f"}}]})");

  CHECK_THROWS_WITH_AS(stream(bytes + end), "OpenAiLlm: openrouter.ai sent more than 128 calls of functions", rag::ServiceError);
}
