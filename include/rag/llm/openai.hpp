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
    return give(take_message(member(choices[0], "delta"), completion_));
  }

  const OpenAiApi& api_;
  TextSink on_text_;
  SseParser parser_;
  std::string head_;  // what came before the first event
  Completion completion_;
  std::exception_ptr failure_;
  bool any_event_ = false, cancelled_ = false, done_ = false, finished_ = false, receiver_threw_ = false;
};
using ChatStream = BasicChatStream<>;

}  // namespace detail

/// A chat model behind any service that speaks the OpenAI protocol (POST {base_url}/chat/completions).
///
///     rag::OpenAiLlm llm{rag::openrouter(), rag::HttpsTransport{}};
///     rag::OpenAiLlm local{{.base_url = "http://localhost:11434/v1", .model = "llama3.2"}, rag::HttpsTransport{}};
///
/// Errors: unauthorized (401, 403), not_found (404), rate_limited (429), timeout (408, 504, 524), service (any other
/// status, or an error inside the answer), invalid_format (an answer that is not what the protocol says),
/// transport; the text has the service's words, cut to one line. May be called from several threads if the
/// transport may.
RAG_LAZY class BasicOpenAiLlm {
 public:
  BasicOpenAiLlm(OpenAiOptions options, AnyTransport transport)
      : api_("OpenAiLlm", options.base_url, "/chat/completions", std::move(options.api_key), std::move(transport)),
        model_(std::move(options.model)), temperature_(options.temperature), max_tokens_(options.max_tokens) {
    const auto refuse = [](const char* text) { throw Error(Errc::invalid_argument, std::string("OpenAiLlm: ") + text); };
    if (model_.empty()) refuse("the name of a model wanted, none given");
    if (max_tokens_ == 0) refuse("max_tokens of 1 or more wanted, 0 given");
    if (!std::isfinite(temperature_)) refuse("a finite temperature wanted");
  }

  /// Waits for the whole answer. A text that is not UTF-8 is refused before anything is sent.
  Completion complete(std::span<const Message> messages) const {
    const Response response = api_.send(question(messages, false));
    return detail::read_completion(api_, api_.parse(response.body));
  }

  /// Hands out the text as it is written. Where on_text returns false the answer ends there: finish_reason is
  /// "cancelled" and the text is what was handed out. A stream that breaks off is an Error (transport).
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
    detail::Json body{{"model", model_}, {"messages", detail::Json::array()}};
    for (const Message& message : messages)
      body["messages"].push_back({{"role", message.role}, {"content", message.content}});
    // OpenAI's own service has renamed it, and its newer models refuse the old name; others know only the old one.
    body[api_.host() == "api.openai.com" ? "max_completion_tokens" : "max_tokens"] = max_tokens_;
    if (temperature_ >= 0) body["temperature"] = temperature_;
    if (streamed) body["stream"] = true, body["stream_options"] = {{"include_usage", true}};
    return body;
  }

  detail::OpenAiApi api_;
  std::string model_;
  double temperature_;
  std::size_t max_tokens_;
};
using OpenAiLlm = BasicOpenAiLlm<>;

RAG_END
#endif
