// SPDX-License-Identifier: MIT
#include <rag/llm/openai.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../laws/llm.hpp"
#include "openai_fixture.hpp"

static_assert(rag::StreamingLlm<rag::OpenAiLlm>);
static_assert(!rag::Llm<rag::OpenAiOptions>);

using namespace tests;

TEST_CASE("OpenAiLlm sends the key and reads the first choice") {
  rag::Request seen;
  auto tape = [&](const rag::Request& request) {
    seen = request;
    return rag::Response{200, {}, R"({"choices":[{"message":{"content":"hi"}}]})"};
  };
  rag::OpenAiLlm llm{{.model = "m", .api_key = "k"}, tape};
  const rag::Message hello[] = {{"user", "hello"}};
  CHECK(llm.complete(hello) == "hi");
  CHECK(seen.url.ends_with("/chat/completions"));
  CHECK(seen.method == "POST");
  CHECK(seen.headers == decltype(seen.headers){{"Content-Type", "application/json"}, {"Authorization", "Bearer k"}});
  CHECK_FALSE(static_cast<bool>(seen.receive));
}

TEST_CASE("OpenAiLlm keeps the laws of a language model") {
  rag::OpenAiLlm llm = model([](const rag::Request& request) {
    return request.receive ? pieces_of({recorded})(request) : rag::Response{200, {}, choice(R"({"content":"hi"})")};
  });

  laws::check_llm(llm);
}

TEST_CASE("The body names model, messages, temperature and a bound for the answer; a stream asks for its usage") {
  Json body;
  const auto tape = [&](const rag::Request& request) {
    body = Json::parse(request.body);
    return rag::Response{200, {}, choice("{}")};
  };

  rag::OpenAiLlm({.model = "m", .temperature = 0.5, .max_tokens = 7}, tape).complete(messages);
  CHECK(body == Json::parse(R"({"model":"m","temperature":0.5,"max_tokens":7,
      "messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Hello?"}]})"));

  rag::OpenAiLlm({.base_url = "https://api.openai.com", .model = "m", .temperature = -1}, tape).complete(messages);
  CHECK_FALSE(body.contains("temperature"));
  CHECK_FALSE(body.contains("max_tokens"));
  CHECK(body["max_completion_tokens"] == 2048);

  rag::OpenAiLlm({.model = "m"}, tape).stream(messages, {});
  CHECK(body["temperature"] == 0);
  CHECK(body["stream"] == true);
  CHECK(body["stream_options"] == Json{{"include_usage", true}});
}

TEST_CASE("A base URL may end in a slash or be the whole address, and has /v1 where it has no path") {
  const std::pair<std::string, std::string> cases[] = {
      {"https://a/v1", "https://a/v1"},
      {"https://a/v1/", "https://a/v1"},
      {"https://a/v1//", "https://a/v1"},
      {"https://a/v1/chat/completions", "https://a/v1"},
      {"https://a/v1/chat/completions/", "https://a/v1"},
      {"https://a/v1/embeddings", "https://a/v1"},
      {"https://a/chat/completions", "https://a"},
      {"https://a", "https://a/v1"},
      {"https://a/", "https://a/v1"},
      {"http://LOCALHOST:11434/v1/", "http://localhost:11434/v1"},
  };
  for (const auto& one : cases) {
    const std::string& base = one.first;
    CAPTURE(base);
    std::string url;
    const auto tape = [&](const rag::Request& request) {
      url = request.url;
      return rag::Response{200, {}, choice("{}")};
    };
    rag::OpenAiLlm({.base_url = base, .model = "m"}, tape).complete(messages);
    CHECK(url == one.second + "/chat/completions");
  }
}

TEST_CASE("Options that can never work are refused when the model is made, without showing the key") {
  const rag::AnyTransport tape = always(200, "{}");
  for (const rag::OpenAiOptions& options : std::vector<rag::OpenAiOptions>{
           {.model = ""}, {.base_url = "", .model = "m"}, {.base_url = "localhost:1", .model = "m"},
           {.base_url = "https://a/v1?key=" + key, .model = "m"}, {.base_url = "https://" + key + "@a", .model = "m"},
           {.model = "m", .api_key = key + "\n"}, {.model = "m", .api_key = "a b"}, {.model = "m", .api_key = "\xc3\xa9"},
           {.model = "m", .temperature = std::nan("")}, {.model = "m", .max_tokens = 0}}) {
    const Outcome outcome = outcome_of([&](Outcome&) { rag::OpenAiLlm(options, tape); });
    CHECK(outcome.code == rag::Errc::invalid_argument);
    CHECK(outcome.text.starts_with("OpenAiLlm: "));
    CHECK(outcome.text.find(key) == std::string::npos);
  }
  CHECK_THROWS_AS(rag::OpenAiLlm({.model = "m"}, rag::AnyTransport{}), rag::Error);
}

TEST_CASE("No messages, or a message that is not UTF-8, are refused before anything is sent") {
  int sent = 0;
  const rag::OpenAiLlm llm = model([&](const rag::Request&) { return ++sent, rag::Response{200, {}, choice("{}")}; });
  const rag::Message broken[] = {{"user", "secret words \xff"}};

  const Outcome bytes = outcome_of([&](Outcome&) { llm.complete(broken); });
  CHECK(bytes.code == rag::Errc::invalid_format);
  CHECK(bytes.text.find("secret") == std::string::npos);
  CHECK(outcome_of([&](Outcome&) { llm.stream(broken, {}); }).code == rag::Errc::invalid_format);
  CHECK(outcome_of([&](Outcome&) { llm.complete({}); }).code == rag::Errc::invalid_argument);
  CHECK(sent == 0);
}

TEST_CASE("An answer is read in all the forms that services give it") {
  CHECK(complete(200, choice(R"({"content":"hi"})")).completion == "hi");
  CHECK(complete(200, "\n\n\r\n  " + choice(R"({"content":"hi"})") + "\n").completion == "hi");
  CHECK(complete(201, choice(R"({"content":"hi"})", R"(,"error":null)")).completion == "hi");
  CHECK(complete(200, choice(R"({"content":null})")).completion == "");
  CHECK(complete(200, choice("{}")).completion == "");
  CHECK(complete(200, choice(R"({"content":null,"refusal":"I will not."})")).completion == "I will not.");
  CHECK(complete(200, choice(R"({"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]})")).completion == "ab");
  CHECK(complete(200, choice(R"({"content":"a \ud83d b \ude00 \ud83d\ude00 \\ud83d"})")).completion ==
        "a \xEF\xBF\xBD b \xEF\xBF\xBD \xF0\x9F\x98\x80 \\ud83d");
}

TEST_CASE("Reasoning, usage and the reason of the end stand beside the text") {
  const Outcome a = complete(200, R"({"choices":[{"message":{"content":"4","reasoning_content":"2+2"},"finish_reason":"length"}],
      "usage":{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30}})");
  CHECK(a.completion.text == "4");
  CHECK(a.completion.reasoning == "2+2");
  CHECK(a.completion.finish_reason == "length");
  CHECK(a.completion.usage == rag::Usage{10, 20});

  const Outcome b = complete(200, R"({"choices":[{"message":{"content":null,"reasoning":"hm"},"finish_reason":null}],
      "usage":{"prompt_tokens":null,"completion_tokens":-3}})");
  CHECK(b.completion.text.empty());
  CHECK(b.completion.reasoning == "hm");
  CHECK(b.completion.finish_reason == "stop");
  CHECK(b.completion.usage == rag::Usage{});
}

TEST_CASE("A status becomes a code, and the service's words come in every shape") {
  const std::pair<int, rag::Errc> codes[] = {
      {401, rag::Errc::unauthorized}, {403, rag::Errc::unauthorized}, {404, rag::Errc::not_found}, {408, rag::Errc::timeout},
      {504, rag::Errc::timeout},      {524, rag::Errc::timeout},      {429, rag::Errc::rate_limited}, {400, rag::Errc::service},
      {402, rag::Errc::service},      {422, rag::Errc::service},      {500, rag::Errc::service}, {529, rag::Errc::service},
      {302, rag::Errc::service},      {0, rag::Errc::service}};
  for (const auto& one : codes) {
    const int status = one.first;
    CAPTURE(status);
    const Outcome outcome = complete(status, R"({"error":{"message":"insufficient balance","type":"t","code":"c"}})");
    CHECK(outcome.code == one.second);
    CHECK(outcome.text == "OpenAiLlm: openrouter.ai answered " + std::to_string(status) + ": insufficient balance");
    CHECK(stream(always(status, "{}")).code == one.second);
  }

  const std::pair<std::string, std::string> bodies[] = {
      {R"({"error":{"message":"why","code":400}})", ": why"},
      {R"({"error":{"message":"Provider returned error","metadata":{"raw":"why"}}})", ": Provider returned error: why"},
      {R"({"error":"why"})", ": why"},
      {R"({"detail":"why"})", ": why"},
      {R"({"detail":[{"msg":"why"}]})", R"(: [{"msg":"why"}])"},
      {R"({"object":"error","message":"why","code":400})", ": why"},
      {R"({"message":"why"})", ": why"},
      {R"({"error":{"code":1}})", R"(: {"code":1})"},
      {"Internal Server Error", ": Internal Server Error"},
      {"<html>\r\n<h1>502\tBad</h1>\n</html>\n", ": <html> <h1>502 Bad</h1> </html>"},
      {"\x1b[31mred\xff\xc2\x9b", ": [31mred\xEF\xBF\xBD"},
      {std::string(1000, 'x'), ": " + std::string(300, 'x') + " ..."},
      {std::string(299, 'x') + "\xff", ": " + std::string(299, 'x') + " ..."},
      {"{\"error\":", ": {\"error\":"},
      {"[1]", ": [1]"},
      {"null", ": null"},
      {"", ""},
      {std::string(5000, '['), ": " + std::string(300, '[') + " ..."},
  };
  for (const auto& one : bodies) {
    CAPTURE(one.second);
    CHECK(complete(500, one.first).text == "OpenAiLlm: openrouter.ai answered 500" + one.second);
  }
}

TEST_CASE("An error of the service has its status, its words and the time it asks for, and says so") {
  const auto meet = [](int status, std::vector<std::pair<std::string, std::string>> headers, std::string body) {
    const rag::OpenAiLlm llm = model([&](const rag::Request&) { return rag::Response{status, headers, body}; });
    try {
      llm.complete(messages);
    } catch (const rag::ServiceError& error) {
      return error;
    }
    return rag::ServiceError(rag::Errc::service, "nothing was thrown", -1);
  };
  using std::chrono::milliseconds;

  const rag::ServiceError busy = meet(429, {{"Retry-After", "20"}}, R"({"error":{"message":"slow down"}})");
  CHECK(busy.code() == rag::Errc::rate_limited);
  CHECK(busy.status() == 429);
  CHECK(busy.message() == "slow down");
  CHECK(busy.retry_after() == milliseconds(20'000));
  CHECK(std::string(busy.what()) == "OpenAiLlm: openrouter.ai answered 429: slow down; it asks to come back in 20 s");
  CHECK(busy.partial() == "");

  CHECK(std::string(meet(503, {{"retry-after-ms", "250"}}, "").what()) == "OpenAiLlm: openrouter.ai answered 503; it asks to come back in 250 ms");
  CHECK(meet(503, {{"retry-after-ms", "1e300"}}, "").retry_after() > milliseconds(1'000'000));
  CHECK(meet(503, {{"retry-after", "0"}}, "").retry_after() == milliseconds(0));
  CHECK(std::string(meet(503, {{"retry-after", "0"}}, "").what()) == "OpenAiLlm: openrouter.ai answered 503");
  for (const char* text : {"-1", "soon", "", "nan"}) {
    CAPTURE(text);
    CHECK_FALSE(meet(503, {{"Retry-After", text}}, "").retry_after().has_value());
  }

  CHECK(meet(200, {}, R"({"error":{"message":"no","code":"401"}})").status() == 401);
  CHECK(meet(200, {}, R"({"error":{"message":"no","code":"server_error"}})").status() == 200);
  try {
    busy.rethrow("Caller: " + std::string(busy.what()));
  } catch (const rag::ServiceError& error) {
    CHECK(std::string(error.what()).starts_with("Caller: OpenAiLlm: openrouter.ai answered 429"));
    CHECK(error.retry_after() == milliseconds(20'000));
  }
  CHECK(meet(401, {}, "Incorrect key: " + key).message() == "Incorrect key: [key]");
}

TEST_CASE("An error inside a 200 answer is an error, its code a number or text, streamed or not") {
  for (const bool streamed : {false, true}) {
    CAPTURE(streamed);
    const auto meet = [&](const std::string& body) { return streamed ? stream(pieces_of({body})) : complete(200, body); };
    CHECK(meet(R"({"error":{"message":"slow down","code":429}})").code == rag::Errc::rate_limited);
    CHECK(meet(R"({"error":{"message":"no","code":"401"}})").code == rag::Errc::unauthorized);
    CHECK(meet(R"({"error":{"message":"no","code":"401"}})").text == "OpenAiLlm: openrouter.ai answered 401: no");
    CHECK(meet(R"({"error":{"message":"no","code":"server_error"}})").text == "OpenAiLlm: openrouter.ai answered with an error: no");
    CHECK(meet(R"({"object":"error","message":"flat","code":404})").code == rag::Errc::not_found);
    CHECK(meet("\n\n{\"error\":\"text\"}").code == rag::Errc::service);
    CHECK(meet(R"({"choices":[]})").code == rag::Errc::invalid_format);
    CHECK(meet(R"({"choices":"x"})").code == rag::Errc::invalid_format);
    CHECK(meet(R"({"choices":[7]})").code == rag::Errc::invalid_format);
    CHECK(meet("{}").code == rag::Errc::invalid_format);
    CHECK(meet("<html>portal</html>").code == rag::Errc::invalid_format);
    CHECK(meet("<html>portal</html>").text.ends_with("not a JSON object: <html>portal</html>"));
    CHECK(meet("{\"choices\":\xff}").code == rag::Errc::invalid_format);
    CHECK(meet("{" + std::string(100000, '[')).code == rag::Errc::invalid_format);
    CHECK(meet("").failed);
  }
}

TEST_CASE("The key is in no error, even where the service echoes it") {
  const std::string echo = "Incorrect key: " + key + ".";
  for (const std::string& body : {echo, R"({"error":{"message":")" + echo + "\"}}", R"({"error":")" + echo + "\"}",
                                  R"({"error":{"x":")" + key + "\"}}", std::string(290, 'x') + key, "{\"a\": " + key}) {
    for (const Outcome& outcome : {complete(401, body), complete(200, body), stream(pieces_of({body})), stream(pieces_of({event(body)}))}) {
      CHECK(outcome.failed);
      CHECK(outcome.text.find("canary") == std::string::npos);
    }
  }
  CHECK(complete(401, echo).text == "OpenAiLlm: openrouter.ai answered 401: Incorrect key: [key].");
}
