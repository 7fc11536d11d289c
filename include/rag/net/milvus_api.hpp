// SPDX-License-Identifier: MIT
#ifndef RAG_NET_MILVUS_API_HPP
#define RAG_NET_MILVUS_API_HPP
#include <rag/detail/json.hpp>
#include <rag/net/http.hpp>
#include <rag/net/openai_api.hpp>
#include <rag/net/retry.hpp>
#include <rag/net/retry_after.hpp>
#include <rag/net/service_error.hpp>
#include <rag/net/url.hpp>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

// The REST API v2 of a Milvus server: one POST a call, its answer in an envelope of code, message and data.

RAG_BEGIN
namespace detail {

/// A 64-bit integer as servers send it, a number or a text; never by way of a double, which would round it.
template <class AnyJson>
std::optional<std::int64_t> milvus_integer(const AnyJson& value) {
  constexpr auto largest = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (value.is_number_unsigned() && value.template get<std::uint64_t>() > largest) return {};
  if (value.is_number_integer()) return value.template get<std::int64_t>();
  const auto* text = value.template get_ptr<const std::string*>();
  std::int64_t number = 0;
  if (text == nullptr) return {};
  const auto [end, failure] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (failure != std::errc{} || end != text->data() + text->size()) return {};
  return number;
}

/// Where a server is and how it is asked. Every call may be made twice without harm, since that is what a retry does:
/// there is no insert among the calls of MilvusStore, only upsert with ids of our own.
RAG_LAZY class BasicMilvusApi {
 public:
  BasicMilvusApi(std::string_view uri, std::string token, std::string database, std::chrono::seconds timeout,
                 RetryOptions retry, AnyTransport transport)
      : token_(std::move(token)), database_(std::move(database)), secrets_(token_), timeout_(timeout), retry_(std::move(retry)),
        transport_(std::move(transport)) {
    const auto refuse = [](const std::string& text) { throw Error(Errc::invalid_argument, "MilvusStore: " + text); };
    if (!transport_) refuse("a transport wanted, an empty one given");
    if (!retry_.sleep || !retry_.now || !retry_.random) refuse("functions for sleep, now and random wanted, an empty one given");
    if (timeout_.count() < 1) refuse("a timeout of 1 s or more wanted");
    check_key(token_, "MilvusStore", "a token");
    const Url base = parse_url(uri, "MilvusStore");
    std::string root = base.target;
    if (root.find('?') != root.npos) refuse("a uri without '?' wanted");
    while (root.ends_with('/')) root.pop_back();
    host_ = base.authority();
    url_ = base.origin() + root + "/v2/vectordb/";
  }

  const std::string& host() const { return host_; }
  const RetryOptions& retry() const { return retry_; }
  /// `"collectionName":"…"`, with the database where one is named: the beginning of every body.
  std::string named(const std::string& collection) const {
    const std::string name = "\"collectionName\":" + dump_json(Json(collection), "MilvusStore: the collection's name");
    return database_.empty() ? name : in_database() + ',' + name;
  }

  /// The database alone; "" where none is named.
  std::string in_database() const {
    return database_.empty() ? "" : "\"dbName\":" + dump_json(Json(database_), "MilvusStore: the database's name");
  }
  /// Calls collections/`action` on a collection; `more`, if any, begins with a comma. Gives the answer's data.
  Json collection(const char* action, const std::string& name, const std::string& more = "") const {
    return member(call(std::string("collections/") + action, '{' + named(name) + more + '}'), "data");
  }
  bool has(const std::string& name) const {
    const Json data = collection("has", name), has = member(data, "has");
    if (!has.is_boolean()) fail(Errc::invalid_format, "collections/has", "sent neither true nor false");
    return has == Json(true);
  }

  /// Sends the body to "entities/search" or the like and gives the whole answer of a call that succeeded. What is worth
  /// another try gets it, after the wait that the answer asks for (Retry-After; more than two minutes: no other try), else
  /// one that doubles from 0.1 s to at most 8 s, less up to a quarter by chance. Any other answer is a ServiceError.
  Json call(const std::string& action, std::string body) const {
    Request request{.url = url_ + action, .headers = {{"Content-Type", "application/json"},
                                                      {"Accept", "application/json"},
                                                      {"Accept-Type-Allow-Int64", "true"},
                                                      {"Request-Timeout", std::to_string(timeout_.count())}}};
    if (!token_.empty()) request.headers.emplace_back("Authorization", "Bearer " + token_);
    request.body = std::move(body);
    for (std::size_t tries = 0;; ++tries) {
      Attempt attempt = send(action, request);
      if (attempt.problem.empty()) return std::move(attempt.answer);
      if (!attempt.again || tries >= retry_.retries || attempt.wait > longest_asked_wait) give_up(attempt);
      retry_.sleep(wait_after(attempt.wait, 0.1, tries, retry_));
    }
  }

  /// Throws "MilvusStore: host: action did something".
  [[noreturn]] void fail(Errc code, const std::string& action, const std::string& what) const {
    throw Error(code, text_of(action, what));
  }

 private:
  struct Attempt {
    Json answer = {};
    std::string problem = {};
    Errc code = Errc::service;
    bool again = false;
    int status = 0;  // 0: no answer came
    std::string message = {};
    std::optional<std::chrono::milliseconds> wait = {};
  };

  [[noreturn]] static void give_up(const Attempt& attempt) {
    if (attempt.status == 0) throw Error(attempt.code, attempt.problem);
    throw ServiceError(attempt.code, attempt.problem + come_back_in(attempt.wait), attempt.status, attempt.message, attempt.wait);
  }

  std::string text_of(const std::string& action, const std::string& what) const {
    return "MilvusStore: " + host_ + ": " + action + ": " + what;
  }

  Attempt send(const std::string& action, const Request& request) const {
    Response response;
    try {
      response = transport_(request);
    } catch (const Error& error) {
      if (error.code() != Errc::timeout && error.code() != Errc::transport) throw;
      const char* hint = error.code() == Errc::transport ? " (a server that speaks only gRPC, as Milvus Lite does, fails like this too)" : "";
      return {.problem = text_of(action, quote(error.what()) + hint), .code = error.code(), .again = true};
    }
    Attempt attempt = read(action, response);
    attempt.status = response.status;
    if (attempt.again) attempt.wait = asked_wait(response, retry_.now());
    return attempt;
  }

  Attempt read(const std::string& action, const Response& response) const {
    const int status = response.status;
    Json answer;
    try {
      answer = parse_json(mend_surrogates(response.body), "MilvusStore");
    } catch (const Error&) {  // its text would quote the answer
    }
    if (!answer.is_object() || !answer.contains("code")) return not_milvus(action, response);
    const std::optional<std::int64_t> code = milvus_integer(member(answer, "code"));
    const std::string* message = string_member(answer, "message");
    if (!code) return {.problem = text_of(action, "sent an answer without a whole number as its code"), .code = Errc::invalid_format};
    // 200 is success on servers before 2.4.3 and "partition not found" on later ones.
    const bool old_success = *code == 200 && answer.contains("data") && (message == nullptr || message->empty());
    if (status / 100 == 2 && (*code == 0 || old_success)) return {.answer = std::move(answer)};
    const std::string words = message != nullptr ? quote(*message) : std::string();
    return {.problem = text_of(action, "answered " + std::to_string(*code) +
                                           (status / 100 == 2 ? "" : " (HTTP " + std::to_string(status) + ")") +
                                           (words.empty() ? "" : ": " + words)),
            .code = errc_of(status, *code),
            .again = is_passing_status(status) || is_passing(*code),
            .message = words};
  }

  /// What came is no answer of the API: says what it looks like.
  Attempt not_milvus(const std::string& action, const Response& response) const {
    const std::string_view body = response.body;
    const int status = response.status;
    const bool again = is_passing_status(status);
    const std::string met = "HTTP " + std::to_string(status) + ", ";
    const auto failed = [&](Errc code, const std::string& what) {
      return Attempt{.problem = text_of(action, what), .code = code, .again = again};
    };
    // The first frame of HTTP/2 is SETTINGS: three bytes of length, then the type 4.
    const bool frames = body.size() >= 9 && body[0] == '\0' && body[3] == '\x04';
    if (frames || body.starts_with("PRI * HTTP/2"))
      return failed(Errc::unsupported, "answered in HTTP/2: it speaks only gRPC, as Milvus Lite does; REST wanted (with TLS on, "
                                       "a server has it at proxy.http.port)");
    const std::size_t first = std::min(body.find_first_not_of(" \t\r\n"), body.size());
    if (status == 401 || status == 403) return failed(Errc::unauthorized, met + "the token was refused");
    if (first < body.size() && body[first] == '<')
      return failed(again ? errc_of_status(status) : Errc::invalid_format, met + "an HTML page, no answer of Milvus: " + quote(body));
    if (status == 404)
      return failed(Errc::unsupported, "there is no REST API v2 at this address; Milvus 2.4.3 or later wanted: " + quote(body));
    return failed(status / 100 == 2 ? Errc::invalid_format : errc_of_status(status),
                  met + "JSON with a code wanted: " + quote(body));
  }

  static bool is_passing_status(int status) { return status == 408 || status == 429 || (status >= 502 && status <= 504); }
  /// Codes of the service that pass: not ready, unavailable, queue full, rate limit, no resource, not loaded yet, timeout.
  static bool is_passing(std::int64_t code) {
    for (const int passing : {1, 2, 4, 8, 12, 103, 1807, 10001})
      if (code == passing) return true;
    return false;
  }
  static Errc errc_of(int status, std::int64_t code) {
    if (code == 1800 || status == 401 || status == 403) return Errc::unauthorized;
    if (code == 8 || code == 1807 || status == 429) return Errc::rate_limited;
    if (code == 10001 || status == 408 || status == 504) return Errc::timeout;
    if (code == 100 || code == 200 || code == 800) return Errc::not_found;
    return Errc::service;
  }

  // First the token goes, then the text is cut: a token cut in two would not be found.
  std::string quote(std::string_view text) const {
    return one_line(secrets_.hide(std::string(text)));
  }

  std::string url_, host_, token_, database_;
  Secrets secrets_;
  std::chrono::seconds timeout_;
  RetryOptions retry_;
  AnyTransport transport_;
};
using MilvusApi = BasicMilvusApi<>;

}  // namespace detail
RAG_END
#endif
