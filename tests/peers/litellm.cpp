// SPDX-License-Identifier: MIT
// Our clients against the LiteLLM proxy with the models of litellm.yaml. The last line counts.
//   litellm URL
#include <rag/embed/openai.hpp>
#include <rag/llm/openai.hpp>
#include <rag/net/https.hpp>
#include <rag/net/retry.hpp>
#include <rag/retrieve/service_reranker.hpp>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>

#include "../llm/outcome.hpp"

namespace {

using tests::Outcome;
using tests::outcome_of;

const std::string key = "sk-canary-0123456789", text = "Grüß 😀 dich. Inserted data is stored as incremental log.";
const rag::Message hello[] = {{"user", "How is data stored?"}};
const std::string_view words[] = {"one", "two"};
std::string url;
int passed = 0, failed = 0;

void check(bool holds, const char* what, const Outcome& outcome) {
  const bool hidden = outcome.text.find("anary-0123") == std::string::npos;
  ++(holds && hidden ? passed : failed);
  if (!holds || !hidden) std::printf("FAILED: %s: status %d, \"%s\", %s\n", what, outcome.status, outcome.completion.text.c_str(), outcome.text.c_str());
}

rag::OpenAiLlm llm(const std::string& model, const std::string& api_key = key, rag::AnyTransport transport = rag::HttpsTransport{}) {
  return {{.base_url = url, .model = model, .api_key = api_key}, std::move(transport)};
}
Outcome complete(const rag::OpenAiLlm& model) {
  return outcome_of([&](Outcome& outcome) { outcome.completion = model.complete(hello); });
}
Outcome stream(const rag::OpenAiLlm& model, int* pieces = nullptr) {
  return outcome_of([&](Outcome& outcome) {
    outcome.completion = model.stream(hello, [&](std::string_view piece) {
      outcome.handed_out += piece;
      if (pieces) ++*pieces;
    });
  });
}
bool is_refused(const Outcome& outcome, int status, const std::string& part) {
  return outcome.failed && outcome.status == status && outcome.text.find(part) != std::string::npos;
}

void check_answers() {
  const Outcome whole = complete(llm("vendor/chat"));
  check(whole.completion.text == text && whole.completion.finish_reason == "stop", "a chat", whole);
  check(whole.completion.usage.prompt_tokens > 0 && whole.completion.usage.completion_tokens > 0, "its usage", whole);
  int pieces = 0;
  const Outcome streamed = stream(llm("vendor/chat"), &pieces);
  check(streamed.completion.text == text && streamed.handed_out == text && pieces > 10, "a stream in pieces", streamed);
  check(streamed.completion.finish_reason == "stop" && streamed.completion.usage.completion_tokens > 0, "its end and its usage", streamed);
}

void check_refusals() {
  for (const bool streams : {false, true}) {
    const auto ask = [&](const rag::OpenAiLlm& model) { return streams ? stream(model) : complete(model); };
    check(is_refused(ask(llm("vendor/chat", "sk-another-9876543210")), 400, "400: "), "a wrong key is 400 where no database is set", ask(llm("vendor/chat", "sk-another-9876543210")));
    check(is_refused(ask(llm("vendor/chat", "")), 500, "Internal Server Error"), "no key is plain text", ask(llm("vendor/chat", "")));
    const Outcome unknown = ask(llm("nobody"));
    check(is_refused(unknown, 400, "nobody"), "an unknown model", unknown);
    const Outcome limited = ask(llm("limited"));
    check(is_refused(limited, 429, "429: ") && limited.code == rag::Errc::rate_limited, "too many requests", limited);
    const Outcome down = ask(llm("down"));
    check(is_refused(down, 500, "500: ") && down.code == rag::Errc::service, "a service behind it that is down", down);
  }
  const rag::Response broken = rag::HttpsTransport{}({.url = url + "/chat/completions", .headers = {{"Authorization", "Bearer " + key}}, .body = "{\"model\":"});
  check(broken.status == 400 && broken.body.starts_with("{"), "broken JSON", {});
  int waits = 0;
  const rag::Retry retry{rag::HttpsTransport{}, rag::RetryOptions{.sleep = [&](std::chrono::milliseconds) { ++waits; }}};
  const Outcome again = complete(llm("limited", key, retry));
  check(again.code == rag::Errc::rate_limited && waits == 2, "too many requests are asked again twice", again);
}

void check_vectors() {
  const Outcome texts = outcome_of([](Outcome&) { rag::OpenAiEmbedder({.base_url = url, .model = "vendor/chat", .api_key = key}, rag::HttpsTransport{}).embed(words); });
  check(texts.failed && texts.code == rag::Errc::invalid_format, "an embedding that is the text of a chat model", texts);
  const Outcome unknown = outcome_of([](Outcome&) { rag::OpenAiEmbedder({.base_url = url, .model = "nobody", .api_key = key}, rag::HttpsTransport{}).embed(words); });
  check(is_refused(unknown, 400, "nobody"), "embeddings of an unknown model", unknown);
  const Outcome down = outcome_of([](Outcome&) { rag::OpenAiEmbedder({.base_url = url, .model = "down", .api_key = key}, rag::HttpsTransport{}).embed(words); });
  check(is_refused(down, 500, "500: "), "embeddings of a service that is down", down);
  const Outcome rerank = outcome_of([](Outcome&) { rag::ServiceReranker({.base_url = url, .model = "nobody", .api_key = key}, rag::HttpsTransport{}).scores("q", words); });
  check(rerank.failed && rerank.status >= 400, "scores of an unknown model", rerank);
}

}  // namespace

int main(int, char** arguments) {
  url = arguments[1];
  check_answers();
  check_refusals();
  check_vectors();
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
