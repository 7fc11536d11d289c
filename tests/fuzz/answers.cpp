// SPDX-License-Identifier: MIT
// A status, a Retry-After and a body, as a chat model, an embedder and a reranker read them: what they give is sound, what
// they throw is an Error without the key.
#include <rag/embed/openai.hpp>
#include <rag/llm/openai.hpp>
#include <rag/retrieve/service_reranker.hpp>

#include "fuzz.hpp"

#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

const std::string key = "sk-canary";

void require(bool holds) {
  if (!holds) std::abort();
}

template <class Ask>
void ask(const Ask& what) {
  try {
    what();
  } catch (const rag::Error& error) {
    const std::string text = error.what();
    require(text.find(key) == text.npos && text.size() < 600);
    if (const auto* service = dynamic_cast<const rag::ServiceError*>(&error))
      require(service->message().size() <= 304 && service->retry_after().value_or(std::chrono::milliseconds(0)).count() >= 0);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Parts parts(data, size);
  const int status = rag::detail::small_number(parts.next(), 999);
  const std::string later(parts.next()), body(parts.rest());
  const auto transport = [&](const rag::Request&) { return rag::Response{status < 0 ? 200 : status, {{"Retry-After", later}}, body}; };
  const std::string base = "http://localhost:1";
  static const rag::Message question[] = {{"user", "?"}};
  static const std::string_view texts[] = {"one", "two"};
  static const rag::Hit hits[] = {{{"one", "page", 0, 3, {}, 0}, 1}, {{"two", "page", 3, 6, {}, 1}, 1}};

  const rag::OpenAiLlm llm({.base_url = base, .model = "m", .api_key = key}, transport);
  ask([&] { llm.complete(question); });
  ask([&] {
    std::string handed;
    require(llm.stream(question, [&](std::string_view piece) { handed += piece; }).text == handed);
  });
  ask([&] {
    const rag::OpenAiEmbedder embedder({.base_url = base, .api_key = key}, transport);
    const rag::Matrix vectors = embedder.embed(texts);
    require(vectors.rows() == 2 && vectors.columns() > 0 && vectors.columns() == embedder.dimension());
    for (std::size_t i = 0; i < 2 * vectors.columns(); ++i) require(std::isfinite(vectors.data()[i]));
  });
  ask([&] {
    const std::vector<rag::Hit> best = rag::ServiceReranker({.base_url = base, .api_key = key}, transport).rerank("?", hits);
    require(best.size() == 2 && best[0].chunk.id + best[1].chunk.id == 1);
    require(std::isfinite(best[0].score) && best[0].score >= best[1].score);
    if (best[0].score == best[1].score) require(best[0].chunk.id == 0);
  });
  return 0;
}
