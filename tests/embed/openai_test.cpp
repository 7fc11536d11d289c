// SPDX-License-Identifier: MIT
#include <rag/embed/openai.hpp>
#include <rag/net/retry.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "../laws/embedder.hpp"
#include "openai_fixture.hpp"

static_assert(rag::NamedEmbedder<rag::OpenAiEmbedder>);
static_assert(!rag::Embedder<rag::OpenAiEmbedderOptions>);

namespace {

using rag::detail::Json;
using tests::base64;
using tests::toy_service;
using Texts = std::vector<std::string_view>;

const std::string key = "sk-canary-0123456789";

rag::OpenAiEmbedder embedder(rag::AnyTransport transport, rag::OpenAiEmbedderOptions options = {.base_url = "http://localhost:1/v1"}) {
  options.api_key = key;
  return {options, std::move(transport)};
}

rag::Matrix rows_of(const std::vector<std::vector<float>>& rows) {
  rag::Matrix matrix(rows.size(), rows.empty() ? 0 : rows[0].size());
  for (std::size_t i = 0; i < rows.size(); ++i) std::copy(rows[i].begin(), rows[i].end(), matrix.row(i).begin());
  return matrix;
}

/// What two texts get from a service that answers with these bytes, whatever was asked.
struct Outcome {
  rag::Matrix vectors;
  bool failed = false;
  rag::Errc code{};
  std::string text;
};
Outcome meet(const std::string& body, int status = 200, rag::OpenAiEmbedderOptions options = {.base_url = "http://localhost:1/v1"}) {
  Outcome outcome;
  try {
    const Texts texts = {"one", "two"};
    outcome.vectors = embedder([&](const rag::Request&) { return rag::Response{status, {}, body}; }, options).embed(texts);
  } catch (const rag::Error& error) {
    outcome.failed = true;
    outcome.code = error.code();
    outcome.text = error.what();
  }
  return outcome;
}

/// An answer with these two embeddings, as JSON.
std::string data(const std::string& a, const std::string& b) {
  return R"({"data":[{"index":0,"embedding":)" + a + R"(},{"index":1,"embedding":)" + b + "}]}";
}

}  // namespace

TEST_CASE("OpenAiEmbedder sends model and texts with the key, and places the vectors by index") {
  std::vector<rag::Request> seen;
  const rag::OpenAiEmbedder embed = embedder([&](const rag::Request& request) { return seen.push_back(request), toy_service(request); },
                                             {.base_url = "https://a/v1/", .model = "m"});

  const rag::Matrix vectors = embed.embed(Texts{"b", "cc", "\xC3\xA9"});

  CHECK(vectors == rows_of({{1, 'b'}, {2, 'c'}, {2, static_cast<float>('\xC3')}}));
  REQUIRE(seen.size() == 1);
  CHECK(seen[0].url == "https://a/v1/embeddings");
  CHECK(Json::parse(seen[0].body) == Json::parse(R"({"model":"m","input":["b","cc","é"]})"));
  CHECK(seen[0].headers.back() == std::pair<std::string, std::string>{"Authorization", "Bearer " + key});
}

TEST_CASE("OpenAiEmbedder keeps the laws of an embedder, where the service does not take empty texts either") {
  int empty = 0;
  rag::OpenAiEmbedder embed = embedder([&](const rag::Request& request) {
    const Json body = Json::parse(request.body);
    for (const Json& text : body["input"]) empty += text == "";
    return toy_service(request);
  });

  laws::check_embedder(embed);

  CHECK(empty == 0);
}

TEST_CASE("Many texts go in batches, and rows stay with their texts") {
  std::vector<std::size_t> sizes;
  const auto tape = [&](const rag::Request& request) {
    sizes.push_back(Json::parse(request.body)["input"].size());
    return toy_service(request);
  };
  std::vector<std::string> owned;
  for (std::size_t i = 0; i < 10; ++i) owned.push_back(std::string(i + 1, static_cast<char>('a' + i)));
  const Texts texts(owned.begin(), owned.end());

  const rag::Matrix vectors = embedder(tape, {.batch = 4}).embed(texts);

  CHECK(sizes == std::vector<std::size_t>{4, 4, 2});
  for (std::size_t i = 0; i < 10; ++i) {
    CAPTURE(i);
    CHECK(vectors.row(i)[0] == static_cast<float>(i + 1));
    CHECK(vectors.row(i)[1] == static_cast<float>('a' + i));
  }
  CHECK(vectors == embedder(tape, {.batch = 1}).embed(texts));

  sizes.clear();
  const std::string large(200'000, 'x');
  embedder(tape).embed(Texts{large, "y", large, large});
  CHECK(sizes == std::vector<std::size_t>{2, 1, 1});
}

TEST_CASE("No texts give no rows and ask nobody") {
  int calls = 0;
  const rag::OpenAiEmbedder embed = embedder([&](const rag::Request& request) { return ++calls, toy_service(request); });

  CHECK(embed.embed({}).rows() == 0);
  CHECK(calls == 0);
}

TEST_CASE("The dimension is the one stated, or learned from the first answer, or from one word") {
  int calls = 0;
  const auto tape = [&](const rag::Request& request) { return ++calls, toy_service(request); };

  CHECK(embedder(tape, {.dimension = 7}).dimension() == 7);
  CHECK(calls == 0);

  const rag::OpenAiEmbedder used = embedder(tape);
  used.embed(Texts{"a"});
  CHECK(used.dimension() == 2);
  CHECK(calls == 1);

  const rag::OpenAiEmbedder fresh = embedder(tape);
  CHECK(fresh.dimension() == 2);
  CHECK(fresh.dimension() == 2);
  CHECK(calls == 2);
}

TEST_CASE("A dimension is sent only where the service shall shorten its vectors") {
  Json body;
  const auto tape = [&](const rag::Request& request) { return body = Json::parse(request.body), toy_service(request); };

  embedder(tape, {.dimension = 2}).embed(Texts{"a"});
  CHECK_FALSE(body.contains("dimensions"));
  CHECK_FALSE(body.contains("encoding_format"));
  embedder(tape, {.dimension = 2, .shorten = true}).embed(Texts{"a"});
  CHECK(body["dimensions"] == 2);
}

TEST_CASE("A name says host, model and shortened dimension") {
  CHECK(embedder(toy_service, {.model = "m"}).name() == "api.openai.com/m");
  CHECK(embedder(toy_service, {.base_url = "http://localhost:11434/v1", .model = "m", .dimension = 2, .shorten = true}).name() ==
        "localhost:11434/m/2");
}

TEST_CASE("A chat service's preset lends its address and key to an embedder") {
  const rag::OpenAiEmbedderOptions options = rag::embeddings_of(rag::ollama(), "all-minilm");

  CHECK(options.base_url == "http://localhost:11434/v1");
  CHECK(options.api_key == "ollama");
  CHECK(options.model == "all-minilm");
}

TEST_CASE("Lists of numbers and base64 of little-endian floats are told apart by their type") {
  CHECK(meet(data("[1,-2.5]", "[3e2,0]")).vectors == rows_of({{1, -2.5f}, {300, 0}}));
  const std::string a = '"' + base64({1, -2.5f}) + '"', b = '"' + base64({300, 0}) + '"';
  CHECK(meet(data(a, b)).vectors == rows_of({{1, -2.5f}, {300, 0}}));
  CHECK(meet(data(a, "[300,0]")).vectors == rows_of({{1, -2.5f}, {300, 0}}));
  const std::string bare = base64({1, -2.5f}).substr(0, 11);  // without its padding
  CHECK(meet(data('"' + bare + '"', b)).vectors == rows_of({{1, -2.5f}, {300, 0}}));
}

TEST_CASE("A base64 text is decoded exactly or refused") {
  const auto decoded = [](std::string_view text) { return rag::detail::decode_base64(text).value_or("refused"); };
  CHECK(decoded("") == "");
  CHECK(decoded("Zg==") == "f");
  CHECK(decoded("Zm8=") == "fo");
  CHECK(decoded("Zm9v") == "foo");
  CHECK(decoded("Zm9vYmFy") == "foobar");
  CHECK(decoded("Zm9vYg") == "foob");
  CHECK(decoded("+/+/") == "\xfb\xff\xbf");
  for (const std::string text : {"Z", "Zm9vY", "Zm 9", "Zm=9", "Zm9v\n", "Zg===", "-_-_"}) {
    CAPTURE(text);
    CHECK(decoded(text) == "refused");
  }
  for (std::string bytes; bytes.size() < 70; bytes += static_cast<char>(bytes.size() * 37)) CHECK(decoded(rag::detail::encode_base64(bytes)) == bytes);
  CHECK(rag::detail::encode_base64("foob") == "Zm9vYg==");
}

TEST_CASE("An answer that does not give each text one sound vector is refused") {
  const std::pair<std::string, std::string> answers[] = {
      {"{}", "sent 0 vectors for 2 texts"},
      {R"({"data":null})", "sent 0 vectors for 2 texts"},
      {R"({"data":[]})", "sent 0 vectors for 2 texts"},
      {R"({"data":{"index":0}})", "sent 0 vectors for 2 texts"},
      {R"({"data":[{"index":0,"embedding":[1]}]})", "sent 1 vectors for 2 texts"},
      {R"({"data":[{"index":0,"embedding":[1]},{"index":1,"embedding":[1]},{"index":1,"embedding":[1]}]})", "sent 3 vectors for 2 texts"},
      {R"({"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]})", "sent two vectors with index 0"},
      {R"({"data":[{"index":0,"embedding":[1]},{"index":2,"embedding":[1]}]})", "without a valid index"},
      {R"({"data":[{"index":0,"embedding":[1]},{"index":-1,"embedding":[1]}]})", "without a valid index"},
      {R"({"data":[{"index":0,"embedding":[1]},{"index":"1","embedding":[1]}]})", "without a valid index"},
      {R"({"data":[{"index":0,"embedding":[1]},{"embedding":[1]}]})", "without a valid index"},
      {R"({"data":[1,2]})", "without a valid index"},
      {data("[1]", "[]"), "for text 1 what is not a flat list"},
      {data("[[1],[2]]", "[[1],[2]]"), "for text 0 what is not a flat list"},
      {data("[1,null]", "[1,2]"), "for text 0 what is not a flat list"},
      {data("[1,1e39]", "[1,2]"), "for text 0 what is not a flat list"},
      {data("[1,\"2\"]", "[1,2]"), "for text 0 what is not a flat list"},
      {data("null", "[1,2]"), "for text 0 what is not a flat list"},
      {data("\"mock text\"", "[1,2]"), "for text 0 what is not a flat list"},
      {data("\"Zm9v\"", "[1,2]"), "for text 0 what is not a flat list"},
      {data("\"AADAfw==\"", "[1]"), "for text 0 what is not a flat list"},  // a NaN
      {"[1,NaN]", "not a JSON object"},
      {"[]", "not a JSON object"},
  };
  for (const auto& answer : answers) {
    CAPTURE(answer.first);
    const Outcome outcome = meet(answer.first);
    CHECK(outcome.code == rag::Errc::invalid_format);
    CHECK(outcome.text.starts_with("OpenAiEmbedder: localhost:1 "));
    CHECK(outcome.text.find(answer.second) != std::string::npos);
  }
}

TEST_CASE("A vector of another dimension is refused, with both numbers") {
  const Outcome uneven = meet(data("[1,2]", "[1,2,3]"));
  CHECK(uneven.code == rag::Errc::dimension_mismatch);
  CHECK(uneven.text == "OpenAiEmbedder: localhost:1 sent 3 columns, 2 wanted");

  const Outcome other = meet(data("[1,2]", "[1,2]"), 200, {.base_url = "http://localhost:1", .dimension = 768});
  CHECK(other.text == "OpenAiEmbedder: localhost:1 sent 2 columns, 768 wanted");

  std::string vector = "[1,2]";
  const rag::OpenAiEmbedder embed =
      embedder([&](const rag::Request&) { return rag::Response{200, {}, R"({"data":[{"index":0,"embedding":)" + vector + "}]}"}; });
  embed.embed(Texts{"a"});
  vector = "[1,2,3]";
  CHECK_THROWS_AS(embed.embed(Texts{"a"}), rag::Error);
}

TEST_CASE("A service's error keeps its status and words, and loses the key") {
  const Outcome outcome = meet(R"({"error":{"message":"bad key )" + key + R"(","code":"401"}})", 401);
  CHECK(outcome.code == rag::Errc::unauthorized);
  CHECK(outcome.text == "OpenAiEmbedder: localhost:1 answered 401: bad key [key]");
  CHECK(meet(R"({"error":{"message":"the disk is full","code":500}})").text ==
        "OpenAiEmbedder: localhost:1 answered 500: the disk is full");
}

TEST_CASE("A batch that the service finds too large is sent in halves") {
  std::vector<std::size_t> sizes;
  const auto at_most = [&](std::size_t limit, int status, std::string body) {
    return [&sizes, limit, status, body](const rag::Request& request) {
      sizes.push_back(Json::parse(request.body)["input"].size());
      return sizes.back() > limit ? rag::Response{status, {}, body} : toy_service(request);
    };
  };
  std::vector<std::string> owned;
  for (std::size_t i = 0; i < 20; ++i) owned.push_back(std::string(i + 1, 'x'));
  const Texts texts(owned.begin(), owned.end());
  const rag::Matrix wanted = embedder(toy_service).embed(texts);

  CHECK(embedder(at_most(5, 413, ""), {.batch = 16}).embed(texts) == wanted);
  CHECK(sizes == std::vector<std::size_t>{16, 8, 4, 4, 4, 4, 4});
  const std::pair<int, const char*> answers[] = {
      {413, "<html>Request Entity Too Large</html>"},
      {400, R"({"error":{"message":"This model's maximum context length is 8192 tokens"}})"},
      {400, R"({"error":{"message":"Invalid 'input': array too long."}})"},
      {422, R"({"error":"batch size 33 > maximum allowed batch size 32","error_type":"Validation"})"},
      {500, R"({"error":{"code":500,"message":"input is too large to process. increase the physical batch size"}})"},
      {200, R"({"error":{"code":400,"message":"Too many inputs"}})"}};
  for (const auto& answer : answers) {
    CAPTURE(answer.second);
    for (const std::size_t limit : {1u, 2u, 3u, 19u}) CHECK(embedder(at_most(limit, answer.first, answer.second)).embed(texts) == wanted);
  }

  sizes.clear();  // and no wait comes between, where the transport asks again what fails
  int waits = 0;
  const rag::Retry retry{rag::AnyTransport(at_most(5, 500, answers[4].second)), rag::RetryOptions{.sleep = [&](std::chrono::milliseconds) { ++waits; }}};
  CHECK(embedder(retry, {.batch = 16}).embed(texts) == wanted);
  CHECK(sizes == std::vector<std::size_t>{16, 8, 4, 4, 4, 4, 4});
  CHECK(waits == 0);

  const std::pair<int, const char*> others[] = {{400, "model not found"}, {401, "key too long"}, {429, "quota exceeded"}, {500, "oops"}, {503, "too many requests"}};
  for (const auto& answer : others) {
    CAPTURE(answer.second);
    sizes.clear();
    CHECK_THROWS_AS(embedder(at_most(5, answer.first, answer.second)).embed(texts), rag::ServiceError);
    CHECK(sizes.size() == 1);
  }
}

TEST_CASE("A text that is too large alone is named in the error") {
  const auto tape = [](const rag::Request& request) {
    const Json body = Json::parse(request.body);
    for (const Json& text : body["input"])
      if (text.get<std::string>().size() > 100) return rag::Response{400, {}, R"({"error":{"message":"input is too long"}})"};
    return toy_service(request);
  };
  const std::string large(101, 'x');
  try {
    embedder(tape).embed(Texts{"a", "b", "c", "d", "e", large, "g"});
    FAIL("it was taken");
  } catch (const rag::ServiceError& error) {
    CHECK(std::string(error.what()) == "OpenAiEmbedder: localhost:1 answered 400: input is too long (text 5 of 101 bytes)");
    CHECK(error.status() == 400);
  }
}

TEST_CASE("A batch has at most 2048 texts and 300,000 bytes, so that no limit in tokens is met") {
  std::vector<std::pair<std::size_t, std::size_t>> sent;  // texts and bytes
  const auto tape = [&](const rag::Request& request) {
    const Json body = Json::parse(request.body);
    std::size_t bytes = 0;
    for (const Json& text : body["input"]) bytes += text.get<std::string>().size();
    sent.emplace_back(body["input"].size(), bytes);
    return toy_service(request);
  };
  const std::vector<std::string_view> small(4097, "x");
  embedder(tape, {.batch = 2048}).embed(small);
  CHECK(sent == std::vector<std::pair<std::size_t, std::size_t>>{{2048, 2048}, {2048, 2048}, {1, 1}});

  sent.clear();
  const std::string page(1000, 'x');
  embedder(tape, {.batch = 2048}).embed(std::vector<std::string_view>(301, page));
  CHECK(sent == std::vector<std::pair<std::size_t, std::size_t>>{{300, 300'000}, {1, 1000}});
}

TEST_CASE("A text that is not UTF-8 is named, and nothing is sent") {
  int calls = 0;
  const rag::OpenAiEmbedder embed = embedder([&](const rag::Request& request) { return ++calls, toy_service(request); }, {.batch = 1});

  CHECK_THROWS_WITH(embed.embed(Texts{"a", "b", "\xff"}), "OpenAiEmbedder::embed: text 2 is not valid UTF-8");
  CHECK(calls == 0);
}

TEST_CASE("Options that can never work are refused") {
  for (const rag::OpenAiEmbedderOptions& options : std::vector<rag::OpenAiEmbedderOptions>{
           {.model = ""}, {.base_url = "nowhere"}, {.batch = 0}, {.batch = 2049}, {.dimension = 0, .shorten = true}})
    CHECK_THROWS_AS(embedder(toy_service, options), rag::Error);
}

TEST_CASE("Several threads may share one embedder") {
  const rag::OpenAiEmbedder embed = embedder(toy_service);
  std::atomic<int> right = 0;
  std::vector<std::thread> threads;

  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) right += embed.embed(Texts{"abc"}) == rows_of({{3, 'a'}}) && embed.dimension() == 2;
    });
  for (std::thread& thread : threads) thread.join();

  CHECK(right == 80);
}
