// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_SERVICE_RERANKER_HPP
#define RAG_RETRIEVE_SERVICE_RERANKER_HPP
#include <rag/net/batches.hpp>
#include <rag/net/openai_api.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

/// How a service wants to be asked for scores. How it answers is seen from the answer.
enum class RerankProtocol : std::uint8_t {
  cohere,  ///< `documents` and `top_n`: Cohere, OpenRouter, Jina, llama-server, vLLM
  voyage,  ///< `documents` and `top_k`: Voyage
  tei,     ///< `texts`: Hugging Face's text-embeddings-inference
};

struct ServiceRerankerOptions {
  std::string base_url = "https://openrouter.ai/api/v1";  ///< asked is {base_url}/rerank; without a path: /v1/rerank, and /rerank for tei
  std::string model = {};                                 ///< empty: none is sent
  std::string api_key = {};                               ///< empty: none is sent
  RerankProtocol protocol = RerankProtocol::cohere;
  std::size_t batch = 1000;  ///< texts a request, 1 or more; 32 is what tei takes as it comes
};

/// Scores each hit by its text and the question with a cross-encoder behind HTTP (POST {base_url}/rerank). A score is
/// what the service sends: 0 to 1 from most, any number from llama-server. Many hits go in several requests, and one that
/// the service finds too large in smaller ones; the scores of all are put in one order. An empty text is sent as one space.
///
/// Errors of the service as with OpenAiLlm; invalid_format for an answer that does not give each text one finite score.
/// May be called from several threads if the transport may.
///
///     rag::ServiceReranker reranker{{.base_url = "http://localhost:8080", .protocol = rag::RerankProtocol::tei, .batch = 32},
///                                   rag::HttpsTransport{}};
///     const std::vector<rag::Hit> best = reranker.rerank(question, retriever.search(question, 50));
RAG_LAZY class BasicServiceReranker {
 public:
  BasicServiceReranker(ServiceRerankerOptions options, AnyTransport transport)
      : api_("ServiceReranker", options.base_url, "/rerank", options.api_key, std::move(transport),
             options.protocol == RerankProtocol::tei ? "" : "/v1"),
        model_(std::move(options.model)), protocol_(options.protocol), batch_(options.batch) {
    if (batch_ == 0) throw Error(Errc::invalid_argument, "ServiceReranker: a batch of 1 text or more wanted, 0 given");
  }

  /// The score of each text with the question. A text that is not UTF-8 is refused before its request is sent.
  std::vector<float> scores(std::string_view question, std::span<const std::string_view> texts) const {
    std::vector<float> all(texts.size());
    detail::ask_in_batches(texts, batch_, [&](std::size_t begin, std::size_t end) {
      score(question, texts.subspan(begin, end - begin), std::span(all).subspan(begin, end - begin));
    });
    return all;
  }

  /// The same hits in the order of their scores, ties in the order given.
  std::vector<Hit> rerank(std::string_view question, std::span<const Hit> hits) const {
    std::vector<std::string_view> texts;
    for (const Hit& hit : hits) texts.push_back(hit.chunk.text);
    const std::vector<float> found = scores(question, texts);
    std::vector<Hit> best(hits.begin(), hits.end());
    for (std::size_t i = 0; i < best.size(); ++i) best[i].score = found[i];
    std::stable_sort(best.begin(), best.end(), [](const Hit& a, const Hit& b) { return a.score > b.score; });
    return best;
  }

 private:
  void score(std::string_view question, std::span<const std::string_view> texts, std::span<float> scores) const {
    const auto sent = [](std::string_view text) { return text.empty() ? " " : text; };
    detail::Json list = detail::Json::array();
    for (const std::string_view text : texts) list.push_back(sent(text));
    detail::Json body{{"query", sent(question)}};
    if (!model_.empty()) body["model"] = model_;
    if (protocol_ == RerankProtocol::cohere) body["top_n"] = texts.size();
    if (protocol_ == RerankProtocol::voyage) body["top_k"] = texts.size();
    body[protocol_ == RerankProtocol::tei ? "texts" : "documents"] = std::move(list);
    read(api_.parse(api_.send(body).body, true), scores);
  }

  /// Reads {"results": […]}, {"data": […]} or a bare […] of {index, relevance_score or score}, in any order.
  void read(const detail::Json& answer, std::span<float> scores) const {
    const detail::Json& results = detail::member(answer, "results");
    const detail::Json& list = answer.is_array() ? answer : results.is_array() ? results : detail::member(answer, "data");
    if (!list.is_array() || list.size() != scores.size())
      api_.fail(Errc::invalid_format, "sent " + std::to_string(list.is_array() ? list.size() : 0) + " scores for " +
                                          std::to_string(scores.size()) + " texts");
    std::vector<bool> seen(scores.size());
    for (const detail::Json& item : list) {
      const std::size_t index = api_.index_of(item, seen, "score");
      const detail::Json& relevance = detail::member(item, "relevance_score");
      const detail::Json& number = relevance.is_null() ? detail::member(item, "score") : relevance;
      const float value = number.is_number() ? number.get<float>() : std::nanf("");
      if (!std::isfinite(value)) api_.fail(Errc::invalid_format, "sent for text " + std::to_string(index) + " what is not a finite score");
      scores[index] = value;
    }
  }

  detail::OpenAiApi api_;
  std::string model_;
  RerankProtocol protocol_;
  std::size_t batch_;
};
using ServiceReranker = BasicServiceReranker<>;

RAG_END
#endif
