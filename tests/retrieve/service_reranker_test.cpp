// SPDX-License-Identifier: MIT
#include <rag/retrieve/service_reranker.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../laws/reranker.hpp"

static_assert(rag::Reranker<rag::ServiceReranker>);
static_assert(!rag::Reranker<rag::ServiceRerankerOptions>);

namespace {

using rag::RerankProtocol;
using rag::detail::Json;

const std::string key = "sk-canary-0123456789";

/// Scores a text by its length, and answers backward in the shape that fits the request.
rag::Response toy_service(const rag::Request& request) {
  const Json body = Json::parse(request.body);
  const bool tei = body.contains("texts");
  const Json& texts = body[tei ? "texts" : "documents"];
  Json list = Json::array();
  for (std::size_t i = texts.size(); i-- > 0;)
    list.push_back({{"index", i}, {tei ? "score" : "relevance_score", static_cast<double>(texts[i].get<std::string>().size()) - 2.5}});
  if (tei) return {200, {}, list.dump()};
  return {200, {}, Json{{body.contains("top_k") ? "data" : "results", list}}.dump()};
}

std::vector<rag::Hit> hits_of(const std::vector<std::string>& texts) {
  std::vector<rag::Hit> hits;
  for (const std::string& text : texts) hits.push_back({{text, "page", 0, text.size(), {}, static_cast<rag::Id>(hits.size())}, 9});
  return hits;
}

struct Outcome {
  std::vector<rag::Id> ids;
  std::vector<float> scores;
  rag::Errc code{};
  std::string text;
};

Outcome rerank(rag::AnyTransport transport, const std::vector<std::string>& texts, rag::ServiceRerankerOptions options = {}) {
  Outcome outcome;
  if (options.base_url.starts_with("https://openrouter")) options.base_url = "http://localhost:1";
  options.api_key = key;
  try {
    for (const rag::Hit& hit : rag::ServiceReranker(options, std::move(transport)).rerank("question", hits_of(texts))) {
      outcome.ids.push_back(hit.chunk.id);
      outcome.scores.push_back(hit.score);
    }
  } catch (const rag::Error& error) {
    outcome.code = error.code();
    outcome.text = error.what();
  }
  return outcome;
}

/// What two texts get from a service that answers with these bytes.
Outcome meet(const std::string& body, int status = 200) {
  return rerank([&](const rag::Request&) { return rag::Response{status, {}, body}; }, {"one", "two"});
}

using Ids = std::vector<rag::Id>;

}  // namespace

TEST_CASE("ServiceReranker keeps the laws of a reranker in all protocols") {
  for (const RerankProtocol protocol : {RerankProtocol::cohere, RerankProtocol::voyage, RerankProtocol::tei}) {
    rag::ServiceReranker reranker({.base_url = "http://localhost:1", .protocol = protocol, .batch = 4}, toy_service);
    laws::check_reranker(reranker);
  }
}

TEST_CASE("Each protocol asks in its own words, at its own address, with the key") {
  rag::Request seen;
  const auto tape = [&](const rag::Request& request) { return seen = request, toy_service(request); };

  rerank(tape, {"a", ""}, {.model = "m"});
  CHECK(seen.url == "http://localhost:1/v1/rerank");
  CHECK(Json::parse(seen.body) == Json::parse(R"({"model":"m","query":"question","documents":["a"," "],"top_n":2})"));
  CHECK(seen.headers.back() == std::pair<std::string, std::string>{"Authorization", "Bearer " + key});
  rerank(tape, {"a"}, {.protocol = RerankProtocol::voyage});
  CHECK(Json::parse(seen.body) == Json::parse(R"({"query":"question","documents":["a"],"top_k":1})"));
  rerank(tape, {"a"}, {.protocol = RerankProtocol::tei});
  CHECK(seen.url == "http://localhost:1/rerank");
  CHECK(Json::parse(seen.body) == Json::parse(R"({"query":"question","texts":["a"]})"));
  for (const char* base : {"https://a/v2", "https://a/v2/", "https://a/v2/rerank"}) {
    CAPTURE(base);
    rerank(tape, {"a"}, {.base_url = base});
    CHECK(seen.url == "https://a/v2/rerank");
  }
}

TEST_CASE("All three shapes of an answer are read, sorted or not; ties keep the order given") {
  for (const std::string shape : {R"({"id":"x","results":[LIST],"meta":{}})", R"({"object":"list","data":[LIST],"usage":{"total_tokens":3}})", "[LIST]",
                                  R"({"results":[LIST],"data":null})"})
    for (const std::string name : {"relevance_score", "score"}) {
      CAPTURE(shape);
      CAPTURE(name);
      const auto ask = [&](const std::string& a, const std::string& b, const std::string& c) {
        std::string list = R"({"index":2,"NAME":)" + c + R"(,"document":{"text":"c"}},{"index":0,"NAME":)" + a + R"(},{"NAME":)" + b + R"(,"index":1})";
        for (std::size_t at; (at = list.find("NAME")) != list.npos;) list.replace(at, 4, name);
        std::string body = shape;
        body.replace(body.find("LIST"), 4, list);
        return rerank([&](const rag::Request&) { return rag::Response{200, {}, body}; }, {"a", "b", "c"});
      };
      CHECK(ask("0.1", "0.9", "0.5").ids == Ids{1, 2, 0});
      CHECK(ask("-7.5", "-9", "0").ids == Ids{2, 0, 1});
      CHECK(ask("-7.5", "-9", "0").scores == std::vector<float>{0, -7.5f, -9});
      CHECK(ask("1", "1", "1").ids == Ids{0, 1, 2});
      CHECK(ask("0", "1", "1").ids == Ids{1, 2, 0});
    }
}

TEST_CASE("Many hits of one score keep the order given") {
  const Ids ids = rerank(toy_service, std::vector<std::string>(200, "same")).ids;
  REQUIRE(ids.size() == 200);
  CHECK(std::is_sorted(ids.begin(), ids.end()));
}

TEST_CASE("An answer that does not give each text one finite score is refused") {
  const auto two = [](const std::string& a, const std::string& b) { return R"({"results":[)" + a + "," + b + "]}"; };
  const std::string first = R"({"index":0,"relevance_score":1})";
  const std::pair<std::string, const char*> answers[] = {
      {"{}", "sent 0 scores for 2 texts"},
      {"[]", "sent 0 scores for 2 texts"},
      {R"({"results":{}})", "sent 0 scores for 2 texts"},
      {R"({"results":[)" + first + "]}", "sent 1 scores for 2 texts"},
      {two(first, two(first, first)), "without a valid index"},
      {two(first, first), "sent two scores with index 0"},
      {two(first, R"({"index":2,"relevance_score":1})"), "sent a score without a valid index"},
      {two(first, R"({"index":-1,"relevance_score":1})"), "sent a score without a valid index"},
      {two(first, R"({"index":"1","relevance_score":1})"), "sent a score without a valid index"},
      {two(first, R"({"relevance_score":1})"), "sent a score without a valid index"},
      {two(first, "7"), "sent a score without a valid index"},
      {two(first, R"({"index":1})"), "sent for text 1 what is not a finite score"},
      {two(first, R"({"index":1,"relevance_score":null})"), "sent for text 1 what is not a finite score"},
      {two(first, R"({"index":1,"relevance_score":"1"})"), "sent for text 1 what is not a finite score"},
      {two(first, R"({"index":1,"relevance_score":1e39})"), "sent for text 1 what is not a finite score"},
      {"<html>", "what is not a JSON object: <html>"},
      {"7", "what is not a JSON object"},
  };
  for (const auto& answer : answers) {
    CAPTURE(answer.first);
    const Outcome outcome = meet(answer.first);
    CHECK(outcome.code == rag::Errc::invalid_format);
    CHECK(outcome.text.starts_with("ServiceReranker: localhost:1 sent "));
    CHECK(outcome.text.find(answer.second) != std::string::npos);
  }
}

TEST_CASE("A service's error has its code and words, and not the key") {
  CHECK(meet(R"({"error":"Model is overloaded","error_type":"overloaded"})", 429).code == rag::Errc::rate_limited);
  CHECK(meet(R"({"message":"invalid key )" + key + "\"}", 401).text == "ServiceReranker: localhost:1 answered 401: invalid key [key]");
  CHECK(meet(R"({"error":{"message":"no","code":502}})").text == "ServiceReranker: localhost:1 answered 502: no");
}

TEST_CASE("Many hits go in batches, in halves where the service finds one too large, and come in one order") {
  std::vector<std::size_t> sizes;
  const auto tape = [&](const rag::Request& request) {
    sizes.push_back(Json::parse(request.body)["texts"].size());
    return sizes.back() > 3 ? rag::Response{422, {}, R"({"error":"batch size 8 > maximum allowed batch size 3"})"} : toy_service(request);
  };

  const Outcome outcome = rerank(tape, {"aaa", "b", "cc", "dddd", "ee", "ffffff", "g"}, {.protocol = RerankProtocol::tei, .batch = 6});

  CHECK(outcome.ids == Ids{5, 3, 0, 2, 4, 1, 6});
  CHECK(sizes == std::vector<std::size_t>{6, 3, 3, 1});
}

TEST_CASE("Hits that are not UTF-8, and a batch of nothing, are refused") {
  int calls = 0;
  const Outcome outcome = rerank([&](const rag::Request& request) { return ++calls, toy_service(request); }, {"a", "\xff"});

  CHECK(outcome.code == rag::Errc::invalid_format);
  CHECK(calls == 0);
  CHECK(rerank(toy_service, {"a"}, {.batch = 0}).code == rag::Errc::invalid_argument);
}
