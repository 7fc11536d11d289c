// SPDX-License-Identifier: MIT
// Streams from tests/peers/server.cpp: what our client adds to the first token and to each, as stream_python.py does with
// OpenAI's. Prints nanoseconds: "first", then one "token" for each of the paced ones, then "flood", the time a token when
// they come as fast as they are read.
//   stream URL ROUNDS
#include <rag/llm/openai.hpp>
#include <rag/net/https.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

long long now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

const rag::Message question[] = {{"user", "What time is it?"}};

/// Each token is the time at which it was sent; before the first stands when the request came.
void paced(const rag::OpenAiLlm& llm) {
  bool first = true;
  const long long begin = now();
  llm.stream(question, [&](std::string_view piece) {
    const long long end = now();
    const std::string text(piece);
    if (const std::size_t blank = text.find(' '); first) {
      std::printf("first %lld\n", std::atoll(text.c_str()) - begin + end - std::atoll(text.c_str() + blank));
      first = false;
    } else {
      std::printf("token %lld\n", end - std::atoll(text.c_str()));
    }
  });
}

void flooded(const rag::OpenAiLlm& llm) {
  long long tokens = 0;
  const long long begin = now();
  llm.stream(question, [&](std::string_view) { ++tokens; });
  std::printf("flood %lld\n", (now() - begin) / tokens);
}

}  // namespace

int main(int, char** words) {
  const rag::HttpsTransport transport;
  const auto model = [&](const char* name) { return rag::OpenAiLlm({.base_url = words[1], .model = name, .api_key = "sk-canary-0123456789"}, transport); };
  model("m").complete(question);  // the connection is there
  for (int i = 0; i < std::atoi(words[2]); ++i) paced(model("clock")), flooded(model("flood"));
}
