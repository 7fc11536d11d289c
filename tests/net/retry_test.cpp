// SPDX-License-Identifier: MIT
#include <rag/net/retry.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

static_assert(rag::Transport<rag::Retry<rag::AnyTransport>>);

namespace {

using Headers = std::vector<std::pair<std::string, std::string>>;
using std::chrono::milliseconds;

/// What a service does, one step a try; the last one stays. A status of 0: no connection.
struct Step {
  int status;
  Headers headers = {};
  std::string body = {};
};

struct Run {
  rag::Response response;
  std::string error;
  std::vector<milliseconds> waits;
  std::vector<rag::Request> tries;
};

Run run(std::vector<Step> steps, std::size_t retries = 2, double chance = 0, rag::Request request = {.url = "https://a.example/"}) {
  Run done;
  const auto service = [&](const rag::Request& asked) {
    const Step& step = steps[std::min(done.tries.size(), steps.size() - 1)];
    done.tries.push_back(asked);
    if (step.status == 0) throw rag::Error(rag::Errc::transport, "connection refused");
    if (step.status < 0) throw rag::Error(step.status == -1 ? rag::Errc::timeout : rag::Errc::invalid_argument, "given up");
    return rag::Response{step.status, step.headers, step.body + "try " + std::to_string(done.tries.size())};
  };
  const rag::RetryOptions options{retries, [&](milliseconds time) { done.waits.push_back(time); },
                                  [] { return std::chrono::sys_days(std::chrono::year(1994) / 11 / 6) + std::chrono::hours(8); },
                                  [chance] { return chance; }};
  const rag::Retry retry{rag::AnyTransport(service), options};
  try {
    done.response = retry(request);
  } catch (const rag::Error& error) {
    done.error = error.what();
  }
  return done;
}

std::vector<milliseconds> waits(std::initializer_list<int> times) {
  std::vector<milliseconds> all;
  for (const int time : times) all.emplace_back(time);
  return all;
}

}  // namespace

TEST_CASE("Statuses that pass are asked again, others are given at once") {
  for (const int status : {408, 409, 429, 500, 502, 503, 524, 529, 599}) {
    const Run done = run({{status}, {200}});
    CHECK_MESSAGE(done.response.body == "try 2", status);
    CHECK(done.waits == waits({500}));
  }
  for (const int status : {200, 204, 301, 400, 401, 402, 403, 404, 413, 422}) {
    const Run done = run({{status}, {200}});
    CHECK_MESSAGE(done.response.status == status, status);
    CHECK(done.tries.size() == 1);
  }
}

TEST_CASE("503 twice, then 200: the waits double up to eight seconds, less a quarter by chance") {
  CHECK(run({{503}, {503}, {200}}).waits == waits({500, 1000}));
  CHECK(run({{503}, {503}, {200}}).response.status == 200);
  CHECK(run({{500}}, 7).waits == waits({500, 1000, 2000, 4000, 8000, 8000, 8000}));
  CHECK(run({{500}}, 3, 0.5).waits == waits({438, 875, 1750}));
  CHECK(run({{500}}, 1, 0.9999999).waits == waits({376}));
}

TEST_CASE("What the last try gave is given") {
  const Run answered = run({{429, {{"Retry-After", "1"}}}});
  CHECK(answered.response.status == 429);
  CHECK(answered.response.body == "try 3");
  CHECK(run({{0}}).error == "connection refused");
  CHECK(run({{0}}).tries.size() == 3);
  CHECK(run({{-1}, {200}}).response.status == 200);
  CHECK(run({{0}, {503}, {200}}).waits == waits({500, 1000}));
  CHECK(run({{500}}, 0).tries.size() == 1);
}

TEST_CASE("An Error that asking again cannot mend leaves at once") {
  const Run done = run({{-2}, {200}});
  CHECK(done.error == "given up");
  CHECK(done.tries.size() == 1);
}

TEST_CASE("The answer says when to ask again") {
  const auto wait_for = [](Headers headers) { return run({{429, std::move(headers)}, {200}}).waits; };
  CHECK(wait_for({{"Retry-After", "1"}}) == waits({1000}));
  CHECK(wait_for({{"retry-after", "2.5"}}) == waits({2500}));
  CHECK(wait_for({{"Retry-After", "120"}}) == waits({120'000}));
  CHECK(wait_for({{"Retry-After-Ms", "1500"}, {"Retry-After", "7"}}) == waits({1500}));
  CHECK(wait_for({{"Retry-After-Ms", "soon"}, {"Retry-After", "7"}}) == waits({7000}));
  CHECK(wait_for({{"Retry-After", "Sun, 06 Nov 1994 08:00:30 GMT"}}) == waits({30'000}));
  for (const char* text : {"0", "-1", "abc", "", "1 s", "nan", "inf", "Sun, 06 Nov 1994 07:59:59 GMT", "Sun, 06 Nox 1994 08:00:30 GMT",
                           "Sun, 31 Feb 1994 08:00:30 GMT", "Sun, 06 Nov 1994 08:00:30 CET", "Sun, 06 Nov 1994 24:00:30 GMT"})
    CHECK_MESSAGE(wait_for({{"Retry-After", text}}) == waits({500}), text);
}

TEST_CASE("One that asks for more than two minutes is given back") {
  for (const Headers& headers : {Headers{{"Retry-After", "121"}}, Headers{{"Retry-After-Ms", "120001"}},
                                 Headers{{"Retry-After", "Sun, 06 Nov 1994 08:02:01 GMT"}},
                                 Headers{{"Retry-After", "Fri, 31 Dec 9999 23:59:59 GMT"}}, Headers{{"Retry-After", "1e300"}}, Headers{{"Retry-After", "500"}, {"x-should-retry", "true"}}}) {
    const Run done = run({{429, headers}, {200}});
    CHECK(done.response.status == 429);
    CHECK(done.waits.empty());
  }
}

TEST_CASE("x-should-retry overrides the status") {
  CHECK(run({{503, {{"X-Should-Retry", "false"}}}, {200}}).tries.size() == 1);
  CHECK(run({{400, {{"x-should-retry", "true"}}}, {200}}).response.status == 200);
  CHECK(run({{503, {{"x-should-retry", "maybe"}}}, {200}}).response.status == 200);
}

TEST_CASE("What is too large stays so: a 500 that says so is given at once, one that says another thing is not") {
  const std::string words = R"({"error":{"code":500,"message":"input is Too Large to process. increase the physical batch size"}})";
  CHECK(run({{500, {}, words}, {200}}).tries.size() == 1);
  CHECK(run({{500, {}, words}, {200}}).response.status == 500);
  CHECK(run({{500, {{"x-should-retry", "true"}}, words}, {200}}).tries.size() == 2);
  for (const Step& other : {Step{500, {}, "it took too long"}, Step{500, {}, "too many requests at once"}, Step{503, {}, "the queue is too large"}, Step{500}})
    CHECK_MESSAGE(run({other, {200}}).tries.size() == 2, other.body);
}

TEST_CASE("All tries of a POST carry one Idempotency-Key, unless the caller gave one; a GET carries none") {
  const auto key_of = [](const rag::Request& request) {
    std::string keys;
    for (const auto& [name, value] : request.headers)
      if (name == "Idempotency-Key") keys += value + ";";
    return keys;
  };
  const Run post = run({{503}, {503}, {200}}, 2, 0.3);
  REQUIRE(post.tries.size() == 3);
  CHECK(key_of(post.tries[0]).size() > 32);
  CHECK(key_of(post.tries[0]) == key_of(post.tries[1]));
  CHECK(key_of(post.tries[0]) == key_of(post.tries[2]));
  CHECK(key_of(run({{200}}, 2, 0.6).tries[0]) != key_of(post.tries[0]));
  CHECK(key_of(run({{200}}, 2, 0, {.url = "https://a.example/", .method = "GET"}).tries[0]).empty());
  CHECK(key_of(run({{200}}, 2, 0, {.url = "https://a.example/", .headers = {{"Idempotency-Key", "mine"}}}).tries[0]) == "mine;");
}

TEST_CASE("Nothing is asked again once a byte of a stream was handed out") {
  int tries = 0;
  std::string text;
  const auto service = [&](const rag::Request& request) -> rag::Response {
    if (++tries == 1) throw rag::Error(rag::Errc::transport, "refused");
    request.receive("one");
    throw rag::Error(rag::Errc::transport, "broke off");
  };
  const rag::Retry retry{rag::AnyTransport(service), rag::RetryOptions{.retries = 5, .sleep = [](milliseconds) {}}};
  const auto receive = [&](std::string_view piece) { return text += piece, true; };
  rag::Request request{.url = "https://a.example/"};
  request.receive = receive;
  CHECK_THROWS_WITH(retry(request), "broke off");
  CHECK(tries == 2);
  CHECK(text == "one");
}

TEST_CASE("A transport that holds another's functions wants them whole") {
  const rag::AnyTransport none = [](const rag::Request&) { return rag::Response{}; };
  CHECK_THROWS_WITH(rag::Retry(none, rag::RetryOptions{.sleep = {}}), "Retry: functions for sleep, now and random wanted, an empty one given");
}
