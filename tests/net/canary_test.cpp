// SPDX-License-Identifier: MIT
// One key, every client, every way out: no error, trace, tape or name that is kept has it, and no foreign socket gets it.
#include <rag/store/milvus.hpp>  // Eigen stands before the network: <resolv.h> has a macro named _res

#include <rag/embed/openai.hpp>
#include <rag/llm/openai.hpp>
#include <rag/net/https.hpp>
#include <rag/net/retry.hpp>
#include <rag/net/tape.hpp>
#include <rag/net/trace.hpp>
#include <rag/retrieve/service_reranker.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
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

using tests::Outcome;
using tests::outcome_of;

const std::string key = "sk-Canary-0123456789", trace_of_key = "anary-0123";  // a host may be told in lower case
const std::string proxies[] = {"http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"};

/// Notes all that its connections send.
class Listener {
 public:
  explicit Listener(std::string answer = "") : answer_(std::move(answer)) {}

  const tests::Server& server() const { return server_; }
  std::string heard() const {
    const std::lock_guard lock(mutex_);
    return heard_;
  }

 private:
  std::string answer_, heard_;
  mutable std::mutex mutex_;
  tests::Server server_{[this](tests::Peer& peer) {
    const std::string request = peer.read_request();
    const std::lock_guard lock(mutex_);
    heard_ += "a connection: " + request;
    peer.write(answer_);
  }};
};

/// Each client's call of a service, with its key.
using Call = std::function<void(const std::string& base, const rag::AnyTransport&, std::string& told)>;
std::vector<std::pair<const char*, Call>> calls() {
  static const rag::Message messages[] = {{"user", "Hello?"}};
  static const std::string_view texts[] = {"a", "b"};
  const auto llm = [](const std::string& base, const rag::AnyTransport& over) { return rag::OpenAiLlm({.base_url = base + "/v1", .model = "m", .api_key = key}, over); };
  return {{"complete", [=](const std::string& base, const rag::AnyTransport& over, std::string&) { llm(base, over).complete(messages); }},
          {"stream", [=](const std::string& base, const rag::AnyTransport& over, std::string&) { llm(base, over).stream(messages, {}); }},
          {"embed", [](const std::string& base, const rag::AnyTransport& over, std::string& told) {
             const rag::OpenAiEmbedder embedder({.base_url = base + "/v1", .api_key = key}, over);
             told += embedder.name();  // which stores keep
             embedder.embed(texts);
           }},
          {"rerank", [](const std::string& base, const rag::AnyTransport& over, std::string&) { rag::ServiceReranker({.base_url = base + "/v1", .api_key = key}, over).scores("q", texts); }},
          {"milvus", [](const std::string& base, const rag::AnyTransport& over, std::string&) {
             const rag::RetryOptions once{.retries = 1, .sleep = [](std::chrono::milliseconds) {}};
             rag::MilvusStore({.uri = base, .token = key, .dimension = 2, .retry = once}, over);
           }}};
}

/// Bytes that a service may send to whoever told it this key, none of them a sound answer.
std::vector<std::string> echoes() {
  const std::string echo = "your key is " + key + ".";
  const auto event = [](const std::string& data) { return "HTTP/1.1 200 X\r\n\r\ndata: " + data + "\n\n"; };
  std::string escaped;
  for (const char c : key) {
    char code[8];
    std::snprintf(code, sizeof code, "\\u%04x", static_cast<unsigned>(c));
    escaped += code;
  }
  std::vector<std::string> all;
  for (const int status : {200, 400, 401, 403, 404, 408, 429, 500, 503})
    for (const std::string& body : {echo, R"({"error":{"message":")" + echo + "\"}}", R"({"error":")" + echo + "\"}", R"({"error":{")" + key + "\":1}}", R"({"detail":[{"msg":")" + echo + "\"}]}",
                                    R"({"object":"error","message":")" + echo + "\"}", R"({"error":{"message":"no","metadata":{"raw":")" + echo + "\"}}}", R"({"error":{"message":")" + escaped + "\"}}",
                                    R"({"code":1100,"message":")" + echo + "\"}", R"({"code":")" + key + R"(","message":"x"})", "{\"data\":[{\"index\":\"" + key + "\"}], \"x\": " + key, "\xff" + key + "\xfe",
                                    std::string(290, 'x') + key, key + key, "<html><title>" + echo + "</title></html>"})
      all.push_back(tests::answer(status, body, "X-Echo: " + echo + "\r\nWWW-Authenticate: Bearer " + key + "\r\nRetry-After: " + key + "\r\n"));
  for (const std::string& data : {echo, R"({"error":{"message":")" + echo + "\"}}", R"({"choices":[{"delta":{"content":"x"},"finish_reason":")" + key + "\"}], " + key,
                                  R"({"choices":[{"delta":{"content":"a"}}]})" + ("\n\ndata: {\"error\":{\"message\":\"" + echo + "\"}}")})
    all.push_back(event(data));
  for (const std::string& bytes : {"HTTP/1.1 200 " + echo + "\r\n" + key + ": " + key + "\r\nContent-Length: x\r\n\r\n", echo + "\r\n\r\n", "HTTP/1.1 401 " + echo + "\r\nContent-Length: 5\r\n\r\n",
                                   "HTTP/1.1 200 X\r\nContent-Encoding: " + key + "\r\n\r\n", "HTTP/1.1 200 X\r\nContent-Length: " + key + "\r\n\r\n", "HTTP/1.1 302 X\r\nLocation: http://" + key + "/\r\nContent-Length: 0\r\n\r\n",
                                   "HTTP/1.1 307 X\r\nLocation: https://" + key + ".example:1/?" + key + "\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 303 X\r\nLocation: /" + key + "\r\nContent-Length: 0\r\n\r\n"})
    all.push_back(bytes);
  return all;
}

/// A transport as a careful program has it, and all that came out of it.
struct Wire {
  tests::TemporaryFolder folder;
  std::string told;
  rag::AnyTransport over;

  Wire() {
    const auto note = [this](const rag::TraceEvent& seen) { told += seen.method + ' ' + seen.url + ' ' + seen.error + '\n'; };
    const rag::HttpsTransport https{{.connect_timeout = std::chrono::milliseconds(500), .deadline = std::chrono::seconds(2)}};
    const rag::RetryOptions once{.retries = 1, .sleep = [](std::chrono::milliseconds) {}};
    over = rag::Trace{rag::Record{rag::Retry{https, once}, tape()}, note};
  }
  std::string tape() const { return (folder / "tape").string(); }

  /// Makes a call that must fail, and notes all that its Error holds.
  Outcome make(const Call& call, const std::string& base) {
    const Outcome outcome = outcome_of([&](Outcome&) { call(base, over, told); });
    CHECK(outcome.failed);
    told += outcome.text + ' ' + outcome.completion.text + ' ' + outcome.completion.finish_reason + ' ' + outcome.completion.reasoning + '\n';
    return outcome;
  }
  /// With the tape, and what Replay says of it.
  std::string all() const {
    std::ifstream file(tape(), std::ios::binary);
    std::string text = told + std::string(std::istreambuf_iterator<char>(file), {});
    try {
      rag::Replay{tape()}({.url = "http://localhost/", .headers = {{"Authorization", "Bearer " + key}}, .body = key});
    } catch (const rag::Error& error) {
      text += error.what();
    }
    return text;
  }
};

}  // namespace

TEST_CASE("No client's key is in what comes out, whatever a service makes of it") {
  Wire wire;
  std::string received;
  for (const std::string& bytes : echoes()) {
    CAPTURE(bytes);
    const Listener listener(bytes);
    for (const auto& one : calls()) {
      CAPTURE(one.first);
      const std::size_t before = wire.told.size();
      wire.make(one.second, listener.server().url(""));
      if (wire.told.find(trace_of_key, before) != wire.told.npos) FAIL_CHECK("it is told: " << wire.told.substr(before));
    }
    received += listener.heard();
  }

  CHECK(wire.all().find(trace_of_key) == std::string::npos);
  CHECK(wire.all().size() > 100'000);                         // much was told
  CHECK(received.find("Bearer " + key) != std::string::npos);  // and the service had the key
}

TEST_CASE("No client's key goes to another origin: by a redirect, a proxy, plain http, or an address that holds it") {
  Wire wire;
  const Listener foreign(tests::answer(200, "{}"));
  for (const std::string& name : proxies) ::setenv(name.c_str(), foreign.server().url().c_str(), 1);
  for (const auto& one : calls()) {
    CAPTURE(one.first);
    for (const int status : {301, 302, 303, 307, 308}) {
      CAPTURE(status);
      for (const std::string& target : {foreign.server().url("/v1/chat/completions"), "http://localhost:" + std::to_string(foreign.server().port()) + "/?key=" + key,
                                        "//127.0.0.1:" + std::to_string(foreign.server().port()) + "/"}) {
        const Listener redirects(tests::answer(status, "", "Location: " + target + "\r\n"));
        CHECK(wire.make(one.second, redirects.server().url("")).code == rag::Errc::transport);
      }
    }
    // Kept for documentation, nobody is there; and addresses of this machine that are written as no other reader may take them.
    for (const std::string& base : {std::string("http://192.0.2.1"), std::string("http://[2001:db8::1]"), std::string("http://localhost.example.org"), std::string("http://0x7f.1:" + std::to_string(foreign.server().port())),
                                    "http://user:" + key + "@127.0.0.1:" + std::to_string(foreign.server().port()), "http://127.0.0.1:" + std::to_string(foreign.server().port()) + "/?key=" + key,
                                    "http://127.0.0.1:" + key, "ftp://" + key + "@127.0.0.1", key})
      CHECK(wire.make(one.second, base).code == rag::Errc::invalid_argument);
  }
  for (const std::string& name : proxies) ::unsetenv(name.c_str());

  CHECK(foreign.heard().empty());
  CHECK(wire.all().find(trace_of_key) == std::string::npos);
  CHECK(wire.all().find("redirects to http://127.0.0.1") != std::string::npos);
}

TEST_CASE("A key with what cannot stand in a header is refused, and not told") {
  for (const std::string& end : {std::string("\n"), std::string("\r\nX-A: b"), std::string(1, '\0'), std::string(" "), std::string("\xC3\xA9")}) {
    const std::string broken = key + end;
    const rag::AnyTransport none = [](const rag::Request&) { return rag::Response{}; };
    for (const std::function<void()>& make : {std::function<void()>([&] { rag::OpenAiLlm({.model = "m", .api_key = broken}, none); }), std::function<void()>([&] { rag::OpenAiEmbedder({.api_key = broken}, none); }),
                                              std::function<void()>([&] { rag::ServiceReranker({.api_key = broken}, none); }), std::function<void()>([&] { rag::MilvusStore({.token = broken}, none); })}) {
      const Outcome outcome = outcome_of([&](Outcome&) { make(); });
      CHECK(outcome.code == rag::Errc::invalid_argument);
      CHECK(outcome.text.find(trace_of_key) == std::string::npos);
    }
  }
}
