// SPDX-License-Identifier: MIT
#include <rag/net/tape.hpp>

#include <doctest/doctest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

static_assert(rag::Transport<rag::Record<rag::AnyTransport>>);
static_assert(rag::Transport<rag::Replay>);

namespace {

struct File {
  std::string path = "/tmp/rag-tape-" + std::to_string(::getpid());
  File() { std::remove(path.c_str()); }
  ~File() { std::remove(path.c_str()); }
  std::string text() const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
};

const std::string key = "sk-canary-0123456789";

rag::Request asking(const std::string& body) {
  return {.url = "https://a.example/v1/chat", .headers = {{"Authorization", "Bearer " + key}, {"api-key", key}, {"X-Title", "rag"}}, .body = body};
}

/// What a call gives: its pieces, then its answer or its error.
template <class T>
std::string outcome_of(const T& transport, rag::Request request, bool streamed) {
  std::string seen;
  const auto receive = [&](std::string_view piece) { seen += '[' + std::string(piece) + ']'; };
  if (streamed) request.receive = receive;
  try {
    const rag::Response response = transport(request);
    seen += std::to_string(response.status) + ' ' + response.body;
    for (const auto& [name, value] : response.headers) seen += ' ' + name + '=' + value;
  } catch (const rag::Error& error) {
    seen += "error " + std::to_string(static_cast<int>(error.code())) + ' ' + error.what();
  }
  return seen;
}

rag::Response serve(const rag::Request& request) {
  if (request.body == "late") throw rag::Error(rag::Errc::timeout, "too late");
  if (request.body == "bytes") return {200, {{"X-Odd", "a\xff"}}, std::string("\xff\0\x80", 3)};
  if (request.body == "refused") return {401, {{"Retry-After", "3"}}, "no"};
  if (!request.receive) return {200, {{"Content-Type", "text/plain"}}, "whole " + request.body};
  for (const char* piece : {"one", "\xe2\x82", "\xac"}) request.receive(piece);
  if (request.body == "broken") throw rag::Error(rag::Errc::transport, "broke off");
  return {200, {}, {}};
}

}  // namespace

TEST_CASE("What was recorded is replayed, byte by byte and piece by piece") {
  const File file;
  const std::vector<std::pair<std::string, bool>> calls = {{"a", false}, {"b", true}, {"late", false}, {"bytes", false},
                                                           {"refused", true}, {"broken", true}, {"a", false}, {"", false}, {"\xfe", false}};
  std::vector<std::string> wanted;
  {
    const rag::Record record{rag::AnyTransport(serve), file.path};
    for (const auto& [body, streamed] : calls) wanted.push_back(outcome_of(record, asking(body), streamed));
  }
  CHECK(wanted[1] == "[one][\xe2\x82][\xac]200 ");
  const rag::Replay replay(file.path);
  for (std::size_t i = 0; i < calls.size(); ++i) CHECK(outcome_of(replay, asking(calls[i].first), calls[i].second) == wanted[i]);
}

TEST_CASE("A tape is appended to, its owner's alone, and answers without the key") {
  const File file;
  for (const char* body : {"a", "b"}) outcome_of(rag::Record{rag::AnyTransport(serve), file.path}, asking(body), false);
  struct stat status {};
  REQUIRE(::stat(file.path.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0600);
  const rag::Replay replay(file.path);
  rag::Request plain = asking("b");
  plain.headers.clear();
  CHECK(outcome_of(replay, plain, false) == "200 whole b Content-Type=text/plain");
}

TEST_CASE("No key is on a tape, wherever a service echoes it") {
  const File file;
  const rag::AnyTransport echo = [](const rag::Request& request) -> rag::Response {
    if (request.body == "fails") throw rag::Error(rag::Errc::transport, "told of " + key);
    if (request.receive) {
      for (const char c : "key " + key + " end") request.receive(std::string_view(&c, 1));
      return {200, {{"Set-Cookie", "session=1234"}}, {}};
    }
    return {200, {{"X-Echo", "Bearer " + key}, {"x-api-key", key}}, "you sent " + key + key};
  };
  {
    const rag::Record record{echo, file.path};
    rag::Request request = asking("my key is " + key);
    request.url += "?again=" + key;
    outcome_of(record, request, false);
    outcome_of(record, asking("streamed"), true);
    outcome_of(record, asking("fails"), false);
  }
  const std::string text = file.text();
  CHECK(text.find(key) == std::string::npos);
  CHECK(text.find("0123456789") == std::string::npos);
  CHECK(text.find("1234") == std::string::npos);
  const rag::Replay replay(file.path);
  rag::Request again = asking("my key is " + key);
  again.url += "?again=" + key;
  CHECK(outcome_of(replay, again, false) == "200 you sent [key][key] X-Echo=[key]");
  CHECK(outcome_of(replay, asking("streamed"), true) == "[key [key] end]200 ");
  CHECK(outcome_of(replay, asking("fails"), false) == "error 7 told of [key]");
}

TEST_CASE("A key that stands behind a scheme is found without it") {
  const File file;
  const rag::AnyTransport echo = [](const rag::Request&) { return rag::Response{401, {}, "Incorrect key: " + key}; };
  rag::Request request = asking("a");
  request.headers = {{"Authorization", "Bearer " + key}};
  outcome_of(rag::Record{echo, file.path}, request, false);
  CHECK(file.text().find(key) == std::string::npos);
  CHECK(outcome_of(rag::Replay(file.path), request, false) == "401 Incorrect key: [key]");
}

TEST_CASE("What is not on the tape, or not often enough, is an error that shows no more than the origin") {
  const File file;
  outcome_of(rag::Record{rag::AnyTransport(serve), file.path}, asking("a"), false);
  const rag::Replay replay(file.path);
  CHECK(outcome_of(replay, asking("b"), false) == "error 6 Replay: POST https://a.example: the tape has no such request");
  CHECK(outcome_of(replay, asking("a"), false).starts_with("200"));
  CHECK(outcome_of(replay, asking("a"), false) == "error 6 Replay: POST https://a.example: the tape has this request 1 times, one more asked for");
  CHECK_THROWS_WITH(rag::Replay("/nowhere/at.all"), "Replay: /nowhere/at.all: no such file");
}

TEST_CASE("A file that is no tape is refused with its line") {
  const std::string good = R"({"method":"POST","url":"u","body":"b","status":200,"answer":""})";
  for (const char* bad : {"x", "[]", "{}", R"({"method":"POST","url":"u","body":"b"})", R"({"method":"POST","url":"u","body":"b","status":-1,"answer":""})",
                          R"({"method":"POST","url":"u","body":"b","status":200,"answer":3})", R"({"method":"POST","url":"u","body":"b","status":200,"answer":{"base64":"*"}})",
                          R"({"method":"POST","url":"u","body":"b","error":[99,"x"]})", R"({"method":"POST","url":"u","body":"b","error":"x"})",
                          R"({"method":"POST","url":"u","body":"b","status":200,"answer":"","pieces":3})", R"({"method":"POST","url":"u","body":"b","status":200,"answer":"","pieces":[3]})",
                          R"({"method":"POST","url":"u","body":"b","status":200,"answer":"","headers":[["a"]]})"}) {
    const File file;
    std::ofstream(file.path) << good << '\n' << bad << '\n';
    CAPTURE(bad);
    try {
      const rag::Replay replay(file.path);
      CHECK(false);
    } catch (const rag::Error& error) {
      CHECK(error.code() == rag::Errc::invalid_format);
      CHECK(std::string(error.what()).starts_with("Replay: " + file.path + ": line 2: "));
    }
  }
}
