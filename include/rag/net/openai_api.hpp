// SPDX-License-Identifier: MIT
#ifndef RAG_NET_OPENAI_API_HPP
#define RAG_NET_OPENAI_API_HPP
#include <rag/detail/json.hpp>
#include <rag/detail/utf8.hpp>
#include <rag/net/http.hpp>
#include <rag/net/retry_after.hpp>
#include <rag/net/service_error.hpp>
#include <rag/net/url.hpp>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// What every client of an OpenAI-compatible service needs: the address, the key, and errors in all the shapes
// that services send them.

RAG_BEGIN
namespace detail {

/// A text of the service for a person: one line, cut after `limit` bytes, no control character, valid UTF-8.
RAG_LAZY std::string one_line(std::string_view text, std::size_t limit = 300) {
  std::string line;
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    const bool blank = point.value <= ' ' || (point.value >= 0x7f && point.value < 0xa0);
    const std::size_t bytes = point.value == 0xFFFD ? 3 : point.length;  // it stands for one byte that is not UTF-8, too
    if (!blank && line.size() + bytes > limit) return line + (line.ends_with(' ') ? "..." : " ...");
    if (!blank) append_utf8(line, point.value);
    else if (!line.empty() && line.back() != ' ') line += ' ';
    at += point.length;
  }
  if (line.ends_with(' ')) line.pop_back();
  return line;
}

/// The member of that name if it is a string, else null.
RAG_LAZY const std::string* string_member(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found != object.end() ? found->get_ptr<const std::string*>() : nullptr;
}

/// The member of that name, else null as JSON has it.
RAG_LAZY const Json& member(const Json& object, const char* name) {
  static const Json none;
  if (!object.is_object()) return none;
  const auto found = object.find(name);
  return found != object.end() ? *found : none;
}

/// What a service says went wrong: error.message, error as text, detail, or message. OpenRouter puts the words of
/// the provider behind it into error.metadata.raw.
RAG_LAZY std::string error_text(const Json& answer) {
  for (const char* name : {"error", "detail"}) {
    const Json& error = member(answer, name);
    if (error.is_string()) return error.get<std::string>();
    if (const std::string* message = string_member(error, "message")) {
      const std::string* raw = string_member(member(error, "metadata"), "raw");
      return raw ? *message + ": " + *raw : *message;
    }
    if (error.is_structured()) return error.dump(-1, ' ', false, Json::error_handler_t::replace);
  }
  const std::string* message = string_member(answer, "message");
  return message ? *message : std::string();
}

/// The HTTP status that an error inside a 200 answer names, as number or text; 0 if it names none.
template <class AnyJson>
int error_status(const AnyJson& answer) {
  const AnyJson& error = member(answer, "error");
  const AnyJson& code = member(error.is_object() ? error : answer, "code");
  const auto* text = code.template get_ptr<const std::string*>();
  const int status = text                                       ? small_number(*text, 999)
                     : code.is_number_unsigned() && code < 1000 ? code.template get<int>()
                                                                : 0;
  return status >= 400 ? status : 0;
}

template <class AnyJson>
bool is_error(const AnyJson& answer) {
  const AnyJson& error = member(answer, "error");
  const std::string* object = string_member(answer, "object");  // flat, as older vLLM sends it
  return (!error.is_null() && error != AnyJson(false) && error != AnyJson("")) || (object && *object == "error");
}

RAG_LAZY Errc errc_of_status(int status) {
  switch (status) {
    case 401: case 403: return Errc::unauthorized;
    case 404: return Errc::not_found;
    case 408: case 504: case 524: return Errc::timeout;
    case 429: return Errc::rate_limited;
    default: return Errc::service;
  }
}

/// One endpoint of a service, and the key for it. Errors begin with `who` and never hold the key, even where the
/// service echoes it.
RAG_LAZY class BasicOpenAiApi {
 public:
  /// `path` is "/chat/completions" or the like; the base may end in a slash, or in such a path already. A base
  /// without any path gets `version`.
  BasicOpenAiApi(std::string who, std::string_view base_url, std::string_view path, std::string api_key,
                 AnyTransport transport, const char* version = "/v1")
      : who_(std::move(who)), key_(std::move(api_key)), secrets_(key_), transport_(std::move(transport)) {
    if (!transport_) throw Error(Errc::invalid_argument, who_ + ": a transport wanted, an empty one given");
    check_key(key_, who_, "an API key");
    const Url base = parse_url(base_url, who_);
    std::string_view root = base.target;
    if (root.find('?') != root.npos)
      throw Error(Errc::invalid_argument, who_ + ": a base URL without '?' wanted");
    const auto drop_slashes = [&] { while (root.ends_with('/')) root.remove_suffix(1); };
    drop_slashes();
    for (const std::string_view known : {"/chat/completions", "/embeddings", "/rerank"})
      if (root.ends_with(known)) root.remove_suffix(known.size());
    drop_slashes();
    host_ = base.authority();
    url_ = base.origin() + (base.target == "/" ? version : std::string(root)) + std::string(path);
  }

  /// The service's host, with the port where it is not the scheme's own.
  const std::string& host() const { return host_; }

  /// Sends the body and gives the answer, which has a status of 2xx; any other is a ServiceError.
  Response send(const Json& body, TextSink receive = {}) const {
    Request request{.url = url_, .headers = {{"Content-Type", "application/json"}}, .receive = receive};
    if (!key_.empty()) request.headers.emplace_back("Authorization", "Bearer " + key_);
    request.body = dump_json(body, who_);
    Response response = transport_(request);
    if (response.status >= 200 && response.status <= 299) return response;
    std::string text;
    try {
      text = error_text(parse_json(mend_surrogates(response.body), who_));
    } catch (const Error&) {  // a proxy's HTML, or plain text: shown as it is
    }
    refuse(response.status, "answered " + std::to_string(response.status), text.empty() ? response.body : text,
           asked_wait(response, std::chrono::system_clock::now()));
  }

  /// The JSON object of an answer, or its array where a list may come. Not one: an Error (invalid_format). One that tells
  /// of an error: a ServiceError.
  Json parse(std::string_view text, bool list = false) const {
    Json answer;
    try {
      answer = parse_json(mend_surrogates(text), who_);
    } catch (const Error&) {  // its text would quote the answer, key and all
    }
    if (!answer.is_object() && !(list && answer.is_array()))
      fail(Errc::invalid_format, "sent what is not a JSON object: " + quote(text));
    if (is_error(answer)) {
      const int status = error_status(answer);
      if (status) refuse(status, "answered " + std::to_string(status), error_text(answer), {});
      refuse(200, "answered with an error", error_text(answer), {});
    }
    return answer;
  }

  /// The text that an item of an answer belongs to, by its index; services may answer in another order. Each index comes once.
  std::size_t index_of(const Json& item, std::vector<bool>& seen, const std::string& what) const {
    const Json& index = member(item, "index");
    const std::size_t at = index.is_number_unsigned() ? index.get<std::size_t>() : seen.size();
    if (at >= seen.size()) fail(Errc::invalid_format, "sent a " + what + " without a valid index");
    if (seen[at]) fail(Errc::invalid_format, "sent two " + what + "s with index " + std::to_string(at));
    seen[at] = true;
    return at;
  }

  /// Throws "who: host did something".
  [[noreturn]] void fail(Errc code, const std::string& what) const {
    throw Error(code, who_ + ": " + host_ + ' ' + what);
  }

 private:
  using Wait = std::optional<std::chrono::milliseconds>;

  [[noreturn]] void refuse(int status, const std::string& what, const std::string& words, Wait wait) const {
    const std::string message = quote(words);
    const std::string text = who_ + ": " + host_ + ' ' + what + (message.empty() ? "" : ": " + message) + come_back_in(wait);
    throw ServiceError(errc_of_status(status), text, status, message, wait);
  }

  // First the key goes, then the text is cut: a key cut in two would not be found.
  std::string quote(std::string_view text) const { return one_line(secrets_.hide(std::string(text))); }

  std::string who_, url_, host_, key_;
  Secrets secrets_;
  AnyTransport transport_;
};
using OpenAiApi = BasicOpenAiApi<>;

}  // namespace detail
RAG_END
#endif
