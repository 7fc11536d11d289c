// SPDX-License-Identifier: MIT
// The services that our tests speak to, on a socket of 127.0.0.1, for clients of others. It says "ready URL" and serves
// until its input ends. The name of the model says which answer comes, "echo" that it is the question; embeddings are those of tests/embed.
//   server [TOKENS]    TOKENS: how many a stream of the model "clock" has; each is the time at which it was sent
#include "../embed/openai_fixture.hpp"
#include "../llm/openai_fixture.hpp"
#include "../net/server.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <string_view>

namespace {

using tests::Json;

std::string chunk(std::string_view bytes) {
  char size[20];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  return size + std::string(bytes) + "\r\n";
}

const std::string chunked = "HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A stream, in one chunk or in one for each byte.
std::string streamed(const std::string& bytes, bool byte_by_byte = false) {
  std::string chunks;
  if (byte_by_byte)
    for (const char byte : bytes) chunks += chunk({&byte, 1});
  else chunks = chunk(bytes);
  return chunked + chunks + "0\r\n\r\n";
}

std::string json(int status, const std::string& body, const std::string& headers = {}) {
  return tests::answer(status, body, "Content-Type: application/json\r\n" + headers);
}

std::string now() { return std::to_string(std::chrono::steady_clock::now().time_since_epoch().count()); }

/// Tokens two milliseconds apart, so that none waits for the one before it. The first tells when the request came, too.
void tell_the_time(tests::Peer& peer, int tokens) {
  const std::string came = now();
  peer.write(chunked);
  for (int i = 0; i < tokens && peer.pause(2); ++i)
    peer.write(chunk(tests::delta("{\"content\":\"" + (i == 0 ? came + ' ' : std::string()) + now() + "\"}")));
  peer.write(chunk(tests::delta("{}", "\"stop\"") + "data: [DONE]\n\n") + "0\r\n\r\n");
}

/// As fast as they can be read.
std::string flood(int tokens) {
  std::string bytes;
  for (int i = 0; i < tokens; ++i) bytes += tests::delta(R"({"content":"word "})");
  return streamed(bytes + tests::delta("{}", "\"stop\"") + "data: [DONE]\n\n");
}

std::string chat(const Json& asked) {
  const std::string model = asked.at("model");
  const bool stream = asked.value("stream", false);
  const std::string usage = R"(,"usage":{"prompt_tokens":12,"completion_tokens":7,"total_tokens":19})";
  if (model == "calls")
    return stream ? streamed(tests::recorded_calls)
                  : json(200, tests::choice(R"({"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]})", usage));
  if (model == "echo") {
    const std::string said = asked.at("messages").back().at("content").dump();
    return stream ? streamed(tests::delta("{\"content\":" + said + "}", "\"stop\"") + "data: [DONE]\n\n") : json(200, tests::choice("{\"content\":" + said + "}", usage));
  }
  if (model == "bytes") return streamed(tests::recorded, true);
  if (model == "error in the stream") return streamed(tests::delta(R"({"content":"half"})") + tests::event(R"({"error":{"message":"out of stock","code":"503"}})"));
  return stream ? streamed(tests::recorded) : json(200, tests::choice("{\"role\":\"assistant\",\"content\":\"Gr\xC3\xBC\xC3\x9F dich\",\"reasoning\":\"Hm.\"}", usage));
}

/// The answer to one request.
std::string answer_to(const std::string& request) {
  const std::size_t head = request.find("\r\n\r\n");
  if (request.substr(0, head).find("Bearer " + tests::key) == request.npos)
    return json(401, R"({"error":{"message":"Incorrect API key","type":"invalid_request_error","param":null,"code":"invalid_api_key"}})");
  const std::string body = request.substr(head + 4);
  if (request.starts_with("POST /v1/embeddings ")) return json(200, tests::toy_service({.url = "/", .body = body}).body);
  if (!request.starts_with("POST /v1/chat/completions ")) return json(404, R"({"error":{"message":"no such path"}})");
  const Json asked = Json::parse(body);
  static const std::map<std::string, std::string> refusals = {
      {"400", json(400, R"({"error":{"message":"why","code":400}})")},
      {"402", json(402, R"({"error":{"message":"insufficient balance","type":"t","code":"c"}})")},
      {"403", json(403, R"({"detail":"why"})")},
      {"404", json(404, R"({"object":"error","message":"no model","code":404})")},
      {"422", json(422, R"({"error":"why"})")},
      {"429", json(429, R"({"error":{"message":"slow down"}})", "retry-after-ms: 10\r\n")},
      {"500", json(500, R"({"error":{"code":500,"message":"input is too large to process"}})")},
      {"502", tests::answer(502, "<html>\n<h1>Bad gateway</h1></html>", "Content-Type: text/html\r\n")}};
  const auto refusal = refusals.find(asked.at("model").get<std::string>());
  return refusal != refusals.end() ? refusal->second : chat(asked);
}

}  // namespace

int main(int count, char** words) {
  const int tokens = count > 1 ? std::atoi(words[1]) : 100;
  const std::string many = flood(tokens);
  tests::Server server([&](tests::Peer& peer) {
    for (std::string request; !(request = peer.read_request()).empty();) {
      if (request.find(R"("clock")") != request.npos) tell_the_time(peer, tokens);
      else if (!peer.write(request.find(R"("flood")") != request.npos ? many : answer_to(request))) return;
    }
  });
  std::printf("ready %s\n", server.url("/v1").c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
}
