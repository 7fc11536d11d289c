// SPDX-License-Identifier: MIT
#ifndef RAG_LLM_OPENAI_HPP
#define RAG_LLM_OPENAI_HPP
#include <rag/net/openai_api.hpp>
#include <rag/net/openai_services.hpp>
#include <rag/net/sse.hpp>

#include <cmath>
#include <cstddef>
#include <exception>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// Text as services send it: a string, or a list of {type, text} parts. Null and absent are empty.
RAG_LAZY std::string chat_text(const Json& content) {
  if (content.is_string()) return content.get<std::string>();
  std::string text;
  if (content.is_array())
    for (const Json& part : content)
      if (const std::string* piece = string_member(part, "text")) text += *piece;
  return text;
}

/// Takes what a message, or the delta of one, holds. A refusal stands in the content's place.
RAG_LAZY std::string take_message(const Json& message, Completion& completion) {
  std::string text = chat_text(member(message, "content"));
  if (text.empty()) text = chat_text(member(message, "refusal"));
  const std::string* reasoning = string_member(message, "reasoning_content");  // DeepSeek, llama-server
  if (!reasoning || reasoning->empty()) reasoning = string_member(message, "reasoning");  // OpenRouter, Ollama
  if (reasoning) completion.reasoning += *reasoning;
  completion.text += text;
  return text;
}

/// Takes the calls of functions that a message, or the delta of one, holds. A streamed call comes in pieces, which their
/// index brings together; some services give all calls one index, or none, and then the id or a name begins a new call.
RAG_LAZY class BasicToolCalls {
 public:
  void take(const OpenAiApi& api, const Json& message, std::vector<ToolCall>& calls) {
    const Json& list = member(message, "tool_calls");
    if (!list.is_array()) return;
    for (const Json& piece : list) {
      const Json& function = member(piece, "function");
      const std::string id = text_of(member(piece, "id")), name = text_of(member(function, "name"));
      ToolCall& call = call_of(api, member(piece, "index"), id, name, calls);
      if (call.id.empty()) call.id = id;
      if (call.name.empty()) call.name = name;
      const Json& arguments = member(function, "arguments");
      call.arguments += arguments.is_object() ? arguments.dump() : text_of(arguments);
    }
  }

 private:
  static constexpr std::size_t max_calls = 128;  // as many as OpenAI takes tools

  static std::string text_of(const Json& value) { return value.is_string() ? value.get<std::string>() : std::string(); }

  ToolCall& call_of(const OpenAiApi& api, const Json& index, const std::string& id, const std::string& name, std::vector<ToolCall>& calls) {
    const bool placed = index.is_number_unsigned();
    const std::size_t place = placed ? index.get<std::size_t>() : 0;
    for (std::size_t i = calls.size(); i-- > 0;) {
      const bool other_id = !id.empty() && !calls[i].id.empty() && id != calls[i].id;
      if (placed ? places_[i] == place && !other_id : name.empty() && !other_id) return calls[i];
    }
    if (calls.size() == max_calls) api.fail(Errc::invalid_format, "sent more than " + std::to_string(max_calls) + " calls of functions");
    places_.push_back(place);
    return calls.emplace_back();
  }

  std::vector<std::size_t> places_;  // the index of each call
};
using ToolCalls = BasicToolCalls<>;

RAG_LAZY void take_usage(const Json& answer, Completion& completion) {
  const Json& usage = member(answer, "usage");
  const auto count = [&](const char* name) {
    const Json& number = member(usage, name);
    return number.is_number_unsigned() ? number.get<std::size_t>() : 0;
  };
  if (usage.is_object()) completion.usage = {count("prompt_tokens"), count("completion_tokens")};
}

/// A whole answer.
RAG_LAZY Completion read_completion(const OpenAiApi& api, const Json& answer) {
  const Json& choices = member(answer, "choices");
  if (!choices.is_array() || choices.empty() || !member(choices[0], "message").is_object())
    api.fail(Errc::invalid_format, "sent an answer without choices[0].message");
  Completion completion;
  take_message(choices[0]["message"], completion);
  ToolCalls().take(api, choices[0]["message"], completion.tool_calls);
  take_usage(answer, completion);
  if (const std::string* reason = string_member(choices[0], "finish_reason")) completion.finish_reason = *reason;
  return completion;
}

/// One streamed answer, from its bytes. Nothing is thrown out of feed(), which a transport calls: what went
/// wrong stops the stream and leaves by finish().
RAG_LAZY class BasicChatStream {
 public:
  BasicChatStream(const OpenAiApi& api, TextSink on_text) : api_(api), on_text_(on_text) {}

  /// False: no more is wanted.
  bool feed(std::string_view piece) {
    if (stopped()) return false;
    if (!any_event_) head_.append(piece.substr(0, max_head - std::min(head_.size(), max_head)));
    try {
      return parser_.feed(piece, [&](const ServerSentEvent& event) { return take(event.data); });
    } catch (...) {
      failure_ = std::current_exception();
      return false;
    }
  }

  /// The transport failed, with the exception that is being handled: no matter where the outcome is settled already.
  void break_off() {
    if (!stopped() && !done_ && !finished_) failure_ = std::current_exception();
  }

  /// The answer, or what went wrong: after the first event a ServiceError, which has the text so far.
  Completion finish() {
    if (!any_event_ || receiver_threw_) return outcome();
    try {
      return outcome();
    } catch (const ServiceError& error) {
      throw ServiceError(error.code(), error.what(), error.status(), error.message(), error.retry_after(), std::move(completion_));
    } catch (const Error& error) {
      throw ServiceError(error.code(), error.what(), 200, {}, {}, std::move(completion_));
    }
  }

 private:
  static constexpr std::size_t max_head = std::size_t{1} << 20;

  bool stopped() const { return failure_ || cancelled_; }

  Completion outcome() {
    if (failure_) std::rethrow_exception(failure_);
    if (cancelled_) completion_.finish_reason = "cancelled";
    else if (!any_event_ && is_whole_answer()) take_whole_answer();
    else if (!done_ && !finished_) api_.fail(Errc::transport, "broke off before the end of the answer");
    return std::move(completion_);
  }

  bool give(const std::string& text) {
    receiver_threw_ = true;
    cancelled_ = !text.empty() && !on_text_(text);
    receiver_threw_ = false;
    return !cancelled_;
  }

  // Some services answer a failed request, or any request, as if no stream had been asked for: with JSON, or a
  // proxy's HTML. No line of an event stream begins so.
  bool is_whole_answer() const {
    const std::size_t first = head_.find_first_not_of(" \t\r\n");
    return first != head_.npos && (head_[first] == '{' || head_[first] == '<');
  }
  void take_whole_answer() {
    completion_ = read_completion(api_, api_.parse(head_));
    if (!give(completion_.text)) completion_.finish_reason = "cancelled";
  }

  bool take(const std::string& data) {
    any_event_ = true;
    head_.clear();
    if (data.starts_with("[DONE]")) done_ = true;
    if (done_ || data.empty()) return true;
    const Json chunk = api_.parse(data);
    take_usage(chunk, completion_);
    const Json& choices = member(chunk, "choices");
    if (!choices.is_array() || choices.empty()) return true;  // the usage comes so
    if (const std::string* reason = string_member(choices[0], "finish_reason"); reason && !reason->empty()) {
      if (*reason == "error") api_.fail(Errc::service, "broke off with an error that it does not name");
      completion_.finish_reason = *reason;
      finished_ = true;
    }
    tool_calls_.take(api_, member(choices[0], "delta"), completion_.tool_calls);
    return give(take_message(member(choices[0], "delta"), completion_));
  }

  const OpenAiApi& api_;
  TextSink on_text_;
  SseParser parser_;
  std::string head_;  // what came before the first event
  Completion completion_;
  ToolCalls tool_calls_;
  std::exception_ptr failure_;
  bool any_event_ = false, cancelled_ = false, done_ = false, finished_ = false, receiver_threw_ = false;
};
using ChatStream = BasicChatStream<>;

/// What every question of these options has in common; whatever is not set is absent.
RAG_LAZY Json chat_body(const OpenAiApi& api, const OpenAiOptions& options, const std::string& who) {
  const auto refuse = [&](const char* text) { throw Error(Errc::invalid_argument, who + ": " + text); };
  if (options.model.empty()) refuse("the name of a model wanted, none given");
  if (options.max_tokens == 0) refuse("max_tokens of 1 or more wanted, 0 given");
  if (!std::isfinite(options.temperature)) refuse("a finite temperature wanted");
  Json body{{"model", options.model}};
  // OpenAI's own service has renamed it, and its newer models refuse the old name; others know only the old one.
  body[api.host() == "api.openai.com" ? "max_completion_tokens" : "max_tokens"] = options.max_tokens;
  if (options.temperature >= 0) body["temperature"] = options.temperature;
  for (const std::string& stop : options.stop)
    if (stop.empty()) refuse("texts to stop at wanted, an empty one given");
    else body["stop"].push_back(stop);
  if (options.seed) body["seed"] = *options.seed;
  if (!options.response_schema.empty()) {
    Json schema = parse_json(options.response_schema, who + ": response_schema");
    if (!schema.is_object()) refuse("a JSON object wanted as response_schema");
    if (schema.empty()) body["response_format"] = {{"type", "json_object"}};
    else body["response_format"] = {{"type", "json_schema"}, {"json_schema", {{"name", "answer"}, {"strict", true}, {"schema", std::move(schema)}}}};
  }
  if (!options.tools.empty()) {
    Json tools = parse_json(options.tools, who + ": tools");
    if (!tools.is_array() || tools.empty()) refuse("a JSON array of 1 tool or more wanted as tools");
    body["tools"] = std::move(tools);
  }
  const std::string& choice = options.tool_choice;
  if (!choice.empty() && options.tools.empty()) refuse("tools wanted for a tool_choice, none given");
  if (choice == "auto" || choice == "none" || choice == "required") body["tool_choice"] = choice;
  else if (!choice.empty()) body["tool_choice"] = {{"type", "function"}, {"function", {{"name", choice}}}};
  dump_json(body, who);  // refuses text that is not UTF-8 now
  return body;
}

RAG_LAZY Json chat_message(const Message& message) {
  Json turn{{"role", message.role}, {"content", message.content}};
  if (!message.tool_call_id.empty()) turn["tool_call_id"] = message.tool_call_id;
  for (const ToolCall& call : message.tool_calls)
    turn["tool_calls"].push_back({{"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}});
  if (!message.tool_calls.empty() && message.content.empty()) turn["content"] = nullptr;
  return turn;
}

}  // namespace detail

/// A chat model behind any service that speaks the OpenAI protocol (POST {base_url}/chat/completions).
///
///     rag::OpenAiLlm llm{rag::openrouter(), rag::HttpsTransport{}};
///     rag::OpenAiLlm local{{.base_url = "http://localhost:11434/v1", .model = "llama3.2"}, rag::HttpsTransport{}};
///
/// Errors: unauthorized (401, 403), not_found (404), rate_limited (429), timeout (408, 504, 524), service (any other
/// status, or an error inside the answer), invalid_format (an answer that is not what the protocol says),
/// transport; the text has the service's words, cut to one line, and a ServiceError has them apart, with the status. May be called from several threads if the
/// transport may.
RAG_LAZY class BasicOpenAiLlm {
 public:
  BasicOpenAiLlm(const OpenAiOptions& options, AnyTransport transport)
      : api_("OpenAiLlm", options.base_url, "/chat/completions", options.api_key, std::move(transport)),
        body_(detail::chat_body(api_, options, "OpenAiLlm")) {}

  /// Waits for the whole answer. A text that is not UTF-8 is refused before anything is sent.
  Completion complete(std::span<const Message> messages) const {
    const Response response = api_.send(question(messages, false));
    return detail::read_completion(api_, api_.parse(response.body));
  }

  /// Hands out the text as it is written. Where on_text returns false the answer ends there: finish_reason is
  /// "cancelled" and the text is what was handed out. A stream that breaks off, or fails, is a ServiceError whose
  /// partial() is what came of it.
  Completion stream(std::span<const Message> messages, TextSink on_text) const {
    detail::ChatStream answer(api_, on_text);
    const auto receive = [&](std::string_view piece) { return answer.feed(piece); };
    try {
      const Response response = api_.send(question(messages, true), receive);
      answer.feed(response.body);  // of a transport that does not stream
    } catch (...) {
      answer.break_off();
    }
    return answer.finish();
  }

 private:
  detail::Json question(std::span<const Message> messages, bool streamed) const {
    if (messages.empty()) throw Error(Errc::invalid_argument, "OpenAiLlm: 1 message or more wanted, none given");
    detail::Json body = body_;
    for (const Message& message : messages) body["messages"].push_back(detail::chat_message(message));
    if (streamed) body["stream"] = true, body["stream_options"] = {{"include_usage", true}};
    return body;
  }

  detail::OpenAiApi api_;
  detail::Json body_;  // of every question, without its messages
};
using OpenAiLlm = BasicOpenAiLlm<>;

RAG_END
#endif
