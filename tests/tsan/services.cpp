// SPDX-License-Identifier: MIT
// Eight threads share one chat model, over a socket, with all that a transport can be wrapped into, and one store of a
// server. The service is busy now and then. Built with ThreadSanitizer by run.sh.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <rag/llm/openai.hpp>
#include <rag/net/https.hpp>
#include <rag/net/rate_limit.hpp>
#include <rag/net/retry.hpp>
#include <rag/net/tape.hpp>
#include <rag/net/trace.hpp>
#include <rag/store/milvus.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "../net/server.hpp"
#include "../paths.hpp"
#include "../store/milvus_server.hpp"

namespace {

constexpr int threads = 8, rounds = 12;
constexpr auto no_wait = [](std::chrono::nanoseconds) { std::this_thread::yield(); };

void on_all_threads(const std::function<void(int)>& work) {
  std::vector<std::thread> all;
  for (int i = 0; i < threads; ++i) all.emplace_back(work, i);
  for (std::thread& thread : all) thread.join();
}

/// A chat model that says what it was asked, and a Milvus; each fifth request finds it busy.
class Service {
 public:
  std::string url() const { return server_.url(""); }
  std::size_t count() const { return count_; }

 private:
  std::string answer(const std::string& request) {
    if (++count_ % 5 == 0) return tests::answer(503, "");
    const std::string body = request.substr(request.find("\r\n\r\n") + 4);
    if (request.find(" /v2/") == request.npos) return chat(milvus::Json::parse(body));
    rag::Request asked{.url = url() + request.substr(5, request.find(" HTTP") - 5), .body = body};
    for (std::size_t at = request.find("\r\n") + 2, end; (end = request.find("\r\n", at)) > at; at = end + 2)
      asked.headers.emplace_back(request.substr(at, request.find(':', at) - at), request.substr(request.find(':', at) + 2, end - request.find(':', at) - 2));
    const std::lock_guard lock(mutex_);
    const rag::Response response = milvus_(asked);
    return tests::answer(response.status, response.body);
  }
  static std::string chat(const milvus::Json& body) {
    const milvus::Json said = body.at("messages").at(0).at("content");
    if (body.contains("stream")) return "HTTP/1.1 200 X\r\n\r\ndata: " + milvus::Json{{"choices", {{{"delta", {{"content", said}}}, {"finish_reason", "stop"}}}}}.dump() + "\n\ndata: [DONE]\n\n";
    return tests::answer(200, milvus::Json{{"choices", {{{"message", {{"content", said}}}}}}}.dump());
  }

  std::atomic<std::size_t> count_ = 0;
  std::mutex mutex_;
  milvus::Server milvus_;
  tests::Server server_{[this](tests::Peer& peer) {
    for (std::string request; !(request = peer.read_request()).empty();) {
      const std::string bytes = answer(request);
      if (!peer.write(bytes) || bytes.find("Content-Length") == bytes.npos) return;
    }
  }};
};

}  // namespace

TEST_CASE("Threads share one chat model, whole and streamed") {
  Service service;
  const tests::TemporaryFolder folder;
  std::mutex mutex;
  std::size_t told = 0;
  const auto tell = [&](const rag::TraceEvent&) {
    const std::lock_guard lock(mutex);
    ++told;
  };
  const rag::Record record{rag::Trace{rag::HttpsTransport{}, tell}, (folder / "tape").string()};
  const rag::RateLimit limited{record, {.requests = 20, .per = std::chrono::milliseconds(5), .sleep = no_wait}};
  const rag::OpenAiLlm llm{{.base_url = service.url() + "/v1", .model = "m", .api_key = "sk-canary-0123456789"}, rag::Retry{limited, {.retries = 20, .sleep = no_wait}}};
  std::atomic<int> right = 0;

  on_all_threads([&](int thread) {
    const rag::OpenAiLlm copy = llm;
    for (int round = 0; round < rounds; ++round) {
      const rag::Message question[] = {{"user", std::to_string(thread) + " " + std::to_string(round)}};
      right += llm.complete(question).text == question[0].content;
      std::string handed;
      right += copy.stream(question, [&](std::string_view piece) { handed += piece; }).text == question[0].content && handed == question[0].content;
    }
  });

  CHECK(right.load() == 2 * threads * rounds);
  CHECK(told == service.count());
  CHECK(told > static_cast<std::size_t>(right.load()));
}

TEST_CASE("Threads share one store of a server: they write, search, count and erase") {
  Service service;
  const rag::RetryOptions retry{.retries = 20, .sleep = no_wait};
  rag::MilvusStore store({.uri = service.url(), .collection = "c", .dimension = 2, .retry = retry}, rag::HttpsTransport{});
  std::atomic<int> right = 0;

  on_all_threads([&](int thread) {
    rag::MilvusStore copy = store;
    const std::string source = "page " + std::to_string(thread);
    rag::Matrix vector(1, 2);
    vector.row(0)[0] = 1, vector.row(0)[1] = static_cast<float>(thread);
    for (int round = 0; round < rounds; ++round) {
      const std::vector<rag::Chunk> chunks = {{"text " + std::to_string(round), source, 0, 6}};
      const rag::Id id = copy.add(chunks, vector).at(0);
      right += store.find(id).value().text == chunks[0].text;
      right += store.search(vector.row(0), 3, rag::source() == source).size() == static_cast<std::size_t>(std::min(3, (round + 1) / 2 + 1));
      if (round % 2 == 1) right += store.erase(rag::field("none").exists()) == 0 && copy.erase(std::vector<rag::Id>{id}) == 1;
    }
  });

  CHECK(right.load() == threads * (2 * rounds + rounds / 2));
  CHECK(store.size() == threads * rounds / 2);
}
