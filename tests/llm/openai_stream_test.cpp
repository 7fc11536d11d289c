// SPDX-License-Identifier: MIT
#include <rag/llm/openai.hpp>

#include <doctest/doctest.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "openai_fixture.hpp"

using namespace tests;

TEST_CASE("A recorded stream gives the same answer wherever it is cut") {
  const Outcome whole = stream(pieces_of({recorded}));
  CHECK(whole.completion.text == "Gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80 dich");
  CHECK(whole.handed_out == whole.completion.text);
  CHECK(whole.completion.reasoning == "Let me see.");
  CHECK(whole.completion.finish_reason == "stop");
  CHECK(whole.completion.usage == rag::Usage{12, 7});
  CHECK(stream(always(200, recorded)) == whole);

  std::vector<std::string> bytes;
  for (const char byte : recorded) bytes.emplace_back(1, byte);
  CHECK(stream(pieces_of(bytes)) == whole);
  for (std::size_t i = 1; i < recorded.size(); ++i) {
    CAPTURE(i);
    if (!(stream(pieces_of({recorded.substr(0, i), recorded.substr(i)})) == whole)) FAIL_CHECK("another answer");
  }
}

TEST_CASE("A stream that ends before its end mark and its reason is an error at every byte") {
  const std::size_t reason = recorded.find(R"({},"finish_reason":"stop")");
  const std::size_t settled = recorded.find("\n\n", reason) + 2;
  for (std::size_t i = 0; i < recorded.size(); ++i) {
    CAPTURE(i);
    const Outcome cut = stream(pieces_of({recorded.substr(0, i)}));
    CHECK(cut.failed == (i < settled));
    if (cut.failed) CHECK(cut.code == rag::Errc::transport);
    else CHECK(cut.completion.text == "Gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80 dich");
  }
  CHECK(stream(pieces_of({event("[DONE]")})).completion == "");
  CHECK(stream(pieces_of({delta(R"({"content":"x"})"), "data: [DONE] \n\n", "junk: {", event("{not json")})).completion == "x");
}

TEST_CASE("A transport that fails counts only as long as the answer is not whole") {
  const auto failing = [](const std::string& bytes) {
    return [=](const rag::Request& request) -> rag::Response {
      request.receive(bytes);
      throw rag::Error(rag::Errc::timeout, "late");
    };
  };
  CHECK(stream(failing(delta(R"({"content":"x"})"))).code == rag::Errc::timeout);
  CHECK(stream(failing(delta(R"({"content":"x"})", "\"stop\""))).completion == "x");
  CHECK(stream(failing(delta(R"({"content":"x"})") + event("[DONE]"))).completion == "x");
}

TEST_CASE("An error in the middle of a stream is an error, after the text so far was handed out") {
  const std::string begun = delta(R"({"content":"half"})");
  const Outcome number = stream(pieces_of({begun, event(
      R"({"error":{"code":502,"message":"provider gone"},"choices":[{"delta":{"content":""},"finish_reason":"error"}]})")}));
  CHECK(number.text == "OpenAiLlm: openrouter.ai answered 502: provider gone");
  CHECK(number.code == rag::Errc::service);
  CHECK(number.handed_out == "half");

  CHECK(stream(pieces_of({begun, event(R"({"error":{"code":"rate","message":"m"}})")})).code == rag::Errc::service);
  CHECK(stream(pieces_of({begun, delta("{}", "\"error\"")})).code == rag::Errc::service);
  CHECK(stream(pieces_of({begun, event("{broken")})).code == rag::Errc::invalid_format);
  CHECK(stream(pieces_of({begun, event("[1]")})).code == rag::Errc::invalid_format);
  CHECK(stream(pieces_of({begun, event(std::string(2 << 20, 'x'))})).code == rag::Errc::transport);
}

TEST_CASE("A stream that fails keeps what came before: text, reasoning, usage") {
  const std::string begun = ": wait\n\n" + delta(R"({"reasoning":"hm"})") + delta(R"({"content":"ha"})") + delta(R"({"content":"lf"})");
  const auto meet = [](rag::AnyTransport transport) {
    try {
      model(std::move(transport)).stream(messages, {});
    } catch (const rag::ServiceError& error) {
      return error;
    }
    return rag::ServiceError(rag::Errc::service, "nothing was thrown", -1);
  };
  const auto late = [&](const rag::Request& request) -> rag::Response {
    request.receive(begun);
    throw rag::Error(rag::Errc::timeout, "late");
  };

  const rag::ServiceError cut = meet(pieces_of({begun}));
  CHECK(cut.code() == rag::Errc::transport);
  CHECK(std::string(cut.what()) == "OpenAiLlm: openrouter.ai broke off before the end of the answer");
  const rag::ServiceError inside = meet(pieces_of({begun, event(R"({"error":{"code":502,"message":"gone"}})")}));
  CHECK(inside.status() == 502);
  CHECK(inside.message() == "gone");
  const rag::ServiceError timeout = meet(late);
  CHECK(timeout.code() == rag::Errc::timeout);
  CHECK(std::string(timeout.what()) == "late");
  const rag::ServiceError broken = meet(pieces_of({begun, event("{broken")}));
  CHECK(broken.code() == rag::Errc::invalid_format);
  CHECK(broken.status() == 200);
  for (const rag::ServiceError* error : {&cut, &inside, &timeout, &broken}) {
    CHECK(error->partial().text == "half");
    CHECK(error->partial().reasoning == "hm");
  }
}

TEST_CASE("A service that answers as if no stream had been asked for is understood") {
  const std::string body = "\n" + choice(R"({"content":"all at once"})");
  const Outcome outcome = stream(pieces_of({body.substr(0, 30), body.substr(30)}));
  CHECK(outcome.completion == "all at once");
  CHECK(outcome.handed_out == "all at once");
  CHECK(outcome.completion.finish_reason == "stop");
}

TEST_CASE("A receiver that has enough ends the stream and keeps the text so far") {
  bool went_on = false;
  const rag::OpenAiLlm llm = model([&](const rag::Request& request) {
    request.receive(delta(R"({"content":"one "})") + delta(R"({"content":"two "})") + delta(R"({"content":"three"})"));
    went_on = request.receive(delta(R"({"content":"four"})", "\"stop\""));
    return rag::Response{200, {}, {}};
  });
  int pieces = 0;

  const rag::Completion completion = llm.stream(messages, [&](std::string_view) { return ++pieces < 2; });

  CHECK(completion.text == "one two ");
  CHECK(completion.finish_reason == "cancelled");
  CHECK(pieces == 2);
  CHECK_FALSE(went_on);
}

TEST_CASE("What the receiver throws comes out, whatever the transport makes of it") {
  for (const rag::AnyTransport& transport : {pieces_of({recorded}), always(200, recorded)}) {
    const auto burst = [](std::string_view) { throw std::out_of_range("mine"); };
    CHECK_THROWS_AS(model(transport).stream(messages, burst), std::out_of_range);
    struct Mine : rag::Error {
      using rag::Error::Error;
    };
    const auto own = [](std::string_view) { throw Mine(rag::Errc::io, "mine"); };
    CHECK_THROWS_AS(model(transport).stream(messages, own), Mine);
  }
}
