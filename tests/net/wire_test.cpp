// SPDX-License-Identifier: MIT
// Clients of services against a server on 127.0.0.1, where the socket matters. The list of all traps of the wire is in
// wire_traps_test.cpp.
#include <rag/embed/openai.hpp>
#include <rag/llm/openai.hpp>
#include <rag/net/https.hpp>
#include <rag/net/retry.hpp>
#include <rag/net/tape.hpp>
#include <rag/net/trace.hpp>
#include <rag/retrieve/service_reranker.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../llm/outcome.hpp"
#include "../paths.hpp"
#include "server.hpp"

namespace {

using namespace std::chrono_literals;
using rag::detail::Json;
using tests::Outcome;
using tests::outcome_of;
using Headers = std::vector<std::pair<std::string, std::string>>;

const std::string key = "sk-Canary-0123456789";
const rag::Message messages[] = {{"user", "Hello?"}};
const std::string sound = R"({"choices":[{"message":{"content":"hi"},"finish_reason":"stop"}]})";

std::string event(const std::string& data) { return "data: " + data + "\n\n"; }
std::string delta(const std::string& delta) { return event(R"({"choices":[{"delta":)" + delta + R"(,"finish_reason":null}],"usage":null})"); }

/// A stream with every oddity: comments, other fields, an event of two lines, null, role only, reasoning, a text of
/// several bytes a character, an end with a reason, the usage without choices.
const std::string recorded =
    ": PROCESSING\n\n" + delta(R"({"role":"assistant"})") + delta(R"({"content":null,"reasoning":"Hm."})") + ": keep-alive\n\n" +
    "event: message\nid: 1\n" + delta("{\"content\":\"Gr\xC3\xBC\xC3\x9F \"}") + delta("{\"content\":\"\xF0\x9F\x98\x80\"}") +
    "data:{\"choices\":[{\"delta\":\ndata:{\"content\":\" dich\"}}]}\n\n" +
    event(R"({"choices":[{"delta":{},"finish_reason":"stop"}]})") +
    event(R"({"choices":[],"usage":{"prompt_tokens":12,"completion_tokens":7}})") + "data: [DONE]\n\n";
const std::string text = "Gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80 dich";

std::string with_line_ends(std::string bytes, const std::string& end) {
  for (std::size_t at = 0; (at = bytes.find('\n', at)) != bytes.npos; at += end.size()) bytes.replace(at, 1, end);
  return bytes;
}

const std::string chunked = "HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
std::string chunk(std::string_view bytes) {
  if (bytes.empty()) return {};
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + std::string(bytes) + "\r\n";
}

rag::HttpsTransport transport(std::chrono::milliseconds deadline = 5s, std::chrono::milliseconds idle = 5s) {
  return rag::HttpsTransport{{.deadline = deadline, .idle_timeout = idle}};
}
rag::OpenAiLlm llm_at(const tests::Server& server, rag::AnyTransport over = transport()) {
  return {{.base_url = server.url("/v1"), .model = "m", .api_key = key}, std::move(over)};
}

Outcome stream(const rag::OpenAiLlm& llm) {
  return outcome_of([&](Outcome& outcome) {
    outcome.completion = llm.stream(messages, [&](std::string_view piece) { outcome.handed_out += piece; });
  });
}
Outcome complete(const rag::OpenAiLlm& llm) {
  return outcome_of([&](Outcome& outcome) { outcome.completion = llm.complete(messages); });
}
bool is_whole(const Outcome& outcome) {
  return !outcome.failed && outcome.completion.text == text && outcome.handed_out == text && outcome.completion.reasoning == "Hm." &&
         outcome.completion.finish_reason == "stop" && outcome.completion.usage == rag::Usage{12, 7};
}

/// Gives these answers one after the other, then the last again and again; counts.
class Script {
 public:
  explicit Script(std::vector<std::string> answers)
      : answers_(std::move(answers)), server([this](tests::Peer& peer) { serve(peer); }) {}

  std::size_t count() const { return count_; }

 private:
  void serve(tests::Peer& peer) {
    while (!peer.read_request().empty()) {
      const std::string& bytes = answers_[std::min(count_++, answers_.size() - 1)];
      if (bytes.empty()) return peer.reset_on_close();
      if (!peer.write(bytes) || !bytes.starts_with("HTTP") || bytes.find("Content-Length") == bytes.npos) return;
    }
  }
  std::vector<std::string> answers_;
  std::atomic<std::size_t> count_ = 0;

 public:
  tests::Server server;
};

/// Retry over the socket that notes its waits in place of waiting.
rag::AnyTransport retrying(std::vector<std::chrono::milliseconds>& waits, rag::HttpsTransport over = transport()) {
  return rag::Retry{std::move(over), rag::RetryOptions{.sleep = [&](std::chrono::milliseconds time) { waits.push_back(time); },
                                                       .random = [] { return 0.0; }}};
}

std::string file_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

TEST_CASE("A stream over a socket gives the same answer wherever it is cut, with any line ends") {
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    CAPTURE(end.size());
    const std::string bytes = with_line_ends(recorded, end);
    std::atomic<std::size_t> cut = 0;
    tests::Server server([&](tests::Peer& peer) {
      while (!peer.read_request().empty()) {
        const std::string_view whole = bytes;
        peer.write(chunked + chunk(whole.substr(0, cut)) + chunk(whole.substr(cut)) + "0\r\n\r\n");
      }
    });
    const rag::OpenAiLlm llm = llm_at(server);
    for (cut = 0; cut <= bytes.size(); ++cut) {
      CAPTURE(cut.load());
      if (!is_whole(stream(llm))) FAIL_CHECK("another answer");
    }
  }
}

TEST_CASE("A stream that comes byte by byte gives the same answer, in chunks or until the end of the connection") {
  std::string chunks = chunked;
  for (const char byte : recorded) chunks += chunk({&byte, 1});
  tests::Server even(tests::always(chunks + "0\r\n\r\n"));
  CHECK(is_whole(stream(llm_at(even))));

  tests::Server server([](tests::Peer& peer) {
    peer.read_request();
    peer.write("HTTP/1.1 200 X\r\n\r\n");
    for (std::size_t i = 0; i < recorded.size(); i += 1) peer.write({&recorded[i], 1});
  });
  CHECK(is_whole(stream(llm_at(server))));
}

TEST_CASE("A stream over a socket that ends at any byte is the whole answer or a transport error with the text so far") {
  const std::size_t settled = recorded.find("\n\n", recorded.find("\"stop\"")) + 2;
  for (const std::string& head : {std::string("HTTP/1.1 200 X\r\n\r\n"), chunked}) {
    std::atomic<std::size_t> cut = 0;
    tests::Server server([&](tests::Peer& peer) {
      peer.read_request();
      const std::string_view part = std::string_view(recorded).substr(0, cut);
      peer.write(head + (head == chunked ? chunk(part) : std::string(part)));
    });
    const rag::OpenAiLlm llm = llm_at(server);
    for (cut = 0; cut < recorded.size(); ++cut) {
      CAPTURE(cut.load());
      const Outcome outcome = stream(llm);
      if (outcome.failed != (cut < settled)) FAIL_CHECK("another end");
      if (outcome.failed && outcome.code != rag::Errc::transport) FAIL_CHECK("another error");
      if (outcome.completion.text != outcome.handed_out || !text.starts_with(outcome.handed_out)) FAIL_CHECK("another text");
      server.wait_for_end();
    }
    cut = settled - 2;
    CHECK(stream(llm).completion.text == text);
  }
}

TEST_CASE("A service's error comes through a socket in each of its forms, streamed or not") {
  const std::string json = R"({"error":{"message":"out of stock","code":"503"}})";
  struct Case {
    std::string bytes;
    rag::Errc code;
    int status;
    std::string end;
  };
  for (const Case& one : {Case{tests::answer(200, json), rag::Errc::service, 503, "answered 503: out of stock"},
                          Case{tests::answer(200, "\n\n \n" + json), rag::Errc::service, 503, "answered 503: out of stock"},
                          Case{tests::answer(502, "<html>\n<h1>Bad gateway</h1></html>"), rag::Errc::service, 502, "502: <html> <h1>Bad gateway</h1></html>"},
                          Case{tests::answer(404, R"({"object":"error","message":"no model","code":404})"), rag::Errc::not_found, 404, "404: no model"},
                          Case{tests::answer(429, json, "Retry-After: 7\r\n"), rag::Errc::rate_limited, 429, "it asks to come back in 7 s"},
                          Case{tests::answer(401, R"({"detail":"Invalid API key"})"), rag::Errc::unauthorized, 401, "401: Invalid API key"},
                          Case{tests::answer(500, "Internal Server Error"), rag::Errc::service, 500, "500: Internal Server Error"},
                          Case{tests::answer(204, ""), rag::Errc::invalid_format, 0, "not a JSON object: "}}) {
    CAPTURE(one.end);
    tests::Server server(tests::always(one.bytes));
    const Outcome whole = complete(llm_at(server));
    CHECK(whole.code == one.code);
    CHECK(whole.status == one.status);
    CHECK(whole.text.ends_with(one.end));
    if (one.status == 0) continue;  // an empty stream broke off
    const Outcome streamed = stream(llm_at(server));
    CHECK(streamed.code == one.code);
    CHECK(streamed.status == one.status);
    CHECK(streamed.text == whole.text);
    CHECK(streamed.handed_out.empty());
  }
}

TEST_CASE("Statuses that pass are asked again over a socket, after the time that the service names; others are not") {
  const auto meet = [](std::vector<std::string> answers) {
    Script script(std::move(answers));
    std::vector<std::chrono::milliseconds> waits;
    const Outcome outcome = complete(llm_at(script.server, retrying(waits)));
    return std::tuple(script.count(), waits, outcome.failed);
  };
  using Waits = std::vector<std::chrono::milliseconds>;
  const std::string ok = tests::answer(200, sound), busy = tests::answer(503, "");
  const auto later = [](const std::string& header) { return tests::answer(429, "", header + "\r\n"); };

  CHECK(meet({busy, busy, ok}) == std::tuple(3u, Waits{500ms, 1000ms}, false));
  CHECK(meet({busy}) == std::tuple(3u, Waits{500ms, 1000ms}, true));
  CHECK(meet({later("Retry-After: 1"), ok}) == std::tuple(2u, Waits{1s}, false));
  CHECK(meet({later("retry-after-ms: 30"), ok}) == std::tuple(2u, Waits{30ms}, false));
  CHECK(meet({later("Retry-After: 121"), ok}) == std::tuple(1u, Waits{}, true));
  CHECK(meet({later("Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"), ok}) == std::tuple(2u, Waits{500ms}, false));
  for (const char* value : {"0", "-1", "abc", ""}) {
    CAPTURE(value);
    CHECK(meet({later(std::string("Retry-After: ") + value), ok}) == std::tuple(2u, Waits{500ms}, false));
  }
  for (const int status : {400, 401, 402, 403, 404, 413, 422}) {
    CAPTURE(status);
    CHECK(meet({tests::answer(status, "{}"), ok}) == std::tuple(1u, Waits{}, true));
  }
}

TEST_CASE("A connection that is refused, reset or silent is tried again; a stream that has begun is not") {
  std::vector<std::chrono::milliseconds> waits;
  Script reset({"", "HTTP/1.1 200 X\r\nContent-Le", tests::answer(200, sound)});
  CHECK(complete(llm_at(reset.server, retrying(waits))).completion == "hi");
  CHECK(reset.count() == 3);

  std::atomic<int> count = 0;
  tests::Server stalls([&](tests::Peer& peer) {
    peer.read_request();
    if (++count > 1) peer.write(tests::answer(200, sound));
    else peer.wait_for_close();
  });
  CHECK(complete(llm_at(stalls, retrying(waits, transport(5s, 50ms)))).completion == "hi");
  CHECK(count == 2);

  rag::OpenAiLlm nobody = [&] {
    tests::Server gone(tests::echo);
    return llm_at(gone, retrying(waits));
  }();
  waits.clear();
  CHECK(complete(nobody).code == rag::Errc::transport);
  CHECK(waits.size() == 2);

  Script breaks({chunked + chunk(delta(R"({"content":"half"})")), tests::answer(200, sound)});
  const Outcome outcome = stream(llm_at(breaks.server, retrying(waits)));
  CHECK(outcome.code == rag::Errc::transport);
  CHECK(outcome.completion.text == "half");
  CHECK(breaks.count() == 1);
}

TEST_CASE("A stream that stops with nothing but comments meets the deadline and keeps its text") {
  tests::Server server([](tests::Peer& peer) {
    peer.read_request();
    peer.write("HTTP/1.1 200 X\r\n\r\n" + delta(R"({"content":"half"})"));
    while (peer.pause(5) && peer.write(": keep-alive\n\n")) {
    }
  });

  const auto start = std::chrono::steady_clock::now();
  const Outcome outcome = stream(llm_at(server, transport(200ms)));

  CHECK(outcome.code == rag::Errc::timeout);
  CHECK(outcome.completion.text == "half");
  CHECK(std::chrono::steady_clock::now() - start < 2s);
}

TEST_CASE("A callback that has enough ends the connection, so that the service may stop") {
  std::atomic<bool> noticed = false;
  tests::Server server([&](tests::Peer& peer) {
    peer.read_request();
    peer.write("HTTP/1.1 200 X\r\n\r\n");
    for (int i = 0; i < 2000 && peer.write(delta(R"({"content":"one "})")); ++i)
      if (!peer.pause(5)) break;
    noticed = true;
  });
  int pieces = 0;

  const rag::Completion completion = llm_at(server).stream(messages, [&](std::string_view) { return ++pieces < 3; });
  server.wait_for_end();

  CHECK(completion.text == "one one one ");
  CHECK(completion.finish_reason == "cancelled");
  CHECK(noticed);
}

TEST_CASE("The key stays with its origin: no redirect, proxy or plain http gets it") {
  std::mutex mutex;
  std::string foreign;
  tests::Server other([&](tests::Peer& peer) {
    const std::string request = peer.read_request();
    const std::lock_guard lock(mutex);
    foreign += "connection " + request;
  });
  for (const char* name : {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}) ::setenv(name, other.url().c_str(), 1);
  for (const int status : {301, 302, 303, 307, 308}) {
    CAPTURE(status);
    tests::Server server(tests::always(tests::answer(status, "", "Location: " + other.url("/v1/chat/completions") + "\r\n")));
    for (const Outcome& outcome : {complete(llm_at(server)), stream(llm_at(server))}) {
      CHECK(outcome.code == rag::Errc::transport);
      CHECK(outcome.text.find("redirects to http://127.0.0.1") != outcome.text.npos);
      CHECK(outcome.text.find("anary-0123") == outcome.text.npos);
    }
  }
  Script direct({tests::answer(200, sound)});
  CHECK(complete(llm_at(direct.server)).completion == "hi");
  const rag::OpenAiLlm plain({.base_url = "http://192.0.2.1/v1", .model = "m", .api_key = key}, transport());
  CHECK(complete(plain).code == rag::Errc::invalid_argument);
  for (const char* name : {"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}) ::unsetenv(name);

  CHECK(foreign.empty());
}

TEST_CASE("A service that echoes the key finds it in no error, trace or tape of ours") {
  tests::TemporaryFolder folder;
  const std::string tape = (folder / "tape").string();
  std::string told;
  const auto note = [&](const rag::TraceEvent& seen) { told += seen.url + ' ' + seen.error + '\n'; };
  const rag::AnyTransport over = rag::Trace{rag::Record{transport(), tape}, note};
  const std::string echo = "your key is " + key;
  for (const std::string& bytes :
       {tests::answer(401, echo), tests::answer(500, R"({"error":{"message":")" + echo + "\"}}", "X-Key: " + key + "\r\n"),
        tests::answer(200, R"({"error":")" + echo + "\"}"), tests::answer(200, echo), "HTTP/1.1 200 X\r\n\r\n" + event(echo),
        "HTTP/1.1 200 X\r\n\r\n" + event(R"({"error":{"message":")" + echo + "\"}}"), tests::answer(302, "", "Location: http://" + key + "/\r\n"),
        "HTTP/1.1 200 " + echo + "\r\n" + key + ": " + key + "\r\nContent-Length: x\r\n\r\n", echo + "\r\n\r\n"}) {
    CAPTURE(bytes);
    tests::Server server(tests::always(bytes));
    const std::string base = server.url("/v1");
    const std::string_view words[] = {"a"};
    const rag::OpenAiEmbedder embedder({.base_url = base, .api_key = key}, over);
    const rag::ServiceReranker reranker({.base_url = base, .api_key = key}, over);
    for (const Outcome& outcome : {complete(llm_at(server, over)), stream(llm_at(server, over)),
                                   outcome_of([&](Outcome&) { embedder.embed(words); }),
                                   outcome_of([&](Outcome&) { reranker.scores("q", words); })}) {
      CHECK(outcome.failed);
      told += outcome.text + '\n';
    }
  }
  told += file_text(tape);

  CHECK(told.size() > 1000);
  CHECK(told.find("anary-0123") == told.npos);
}

TEST_CASE("A compressed answer is refused, and none was asked for") {
  std::string seen;
  {
    tests::Server server([&](tests::Peer& peer) {
      seen = peer.read_request();
      peer.write(tests::answer(200, "\x1f\x8b\x08", "Content-Encoding: gzip\r\n"));
    });
    CHECK(complete(llm_at(server)).text.ends_with("a plain body wanted, a compressed one given"));
  }
  CHECK(seen.find("Accept-Encoding: identity\r\n") != seen.npos);
}

TEST_CASE("A character whose halves come as two escapes in two events does not spoil the answer") {
  Script script({chunked + chunk(delta(R"({"content":"a\ud83d"})") + delta(R"({"content":"\ude00b"})") + "data: [DONE]\n\n") + "0\r\n\r\n"});

  CHECK(stream(llm_at(script.server)).completion == "a\xEF\xBF\xBD\xEF\xBF\xBD" "b");
}

TEST_CASE("A text that is not UTF-8 reaches no socket") {
  Script script({tests::answer(200, sound)});
  const rag::Message broken[] = {{"user", "\xff"}};
  const std::string_view words[] = {"\xc3"};

  CHECK(outcome_of([&](Outcome&) { llm_at(script.server).complete(broken); }).code == rag::Errc::invalid_format);
  CHECK(outcome_of([&](Outcome&) { rag::OpenAiEmbedder({.base_url = script.server.url()}, transport()).embed(words); }).code == rag::Errc::invalid_format);
  CHECK(outcome_of([&](Outcome&) { rag::ServiceReranker({.base_url = script.server.url()}, transport()).scores("q", words); }).code == rag::Errc::invalid_format);
  CHECK(script.count() == 0);
}
