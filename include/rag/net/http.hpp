// SPDX-License-Identifier: MIT
#ifndef RAG_NET_HTTP_HPP
#define RAG_NET_HTTP_HPP
#include <rag/concepts.hpp>
#include <rag/net/url.hpp>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN

/// Any transport behind one type. net/https.hpp has a real one; a tape in a test is a lambda.
using AnyTransport = std::function<Response(const Request&)>;

namespace detail {

/// May it stand in a header? No line end, no NUL, no other control character but the tab.
RAG_LAZY bool is_field_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return (c >= '\0' && c < ' ') ? c == '\t' : c != '\x7f'; });
}

/// May it name a header? A token of RFC 9110.
RAG_LAZY bool is_field_name(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
  });
}

/// Does the header, its name in lower case, carry a secret?
RAG_LAZY bool carries_key(std::string_view name) {
  return name == "authorization" || name == "proxy-authorization" || name == "cookie" ||
         name.find("api-key") != name.npos || name.ends_with("token");
}

/// The value of the answer's header of that name, "" where there is none.
RAG_LAZY std::string header_of(const Response& response, std::string_view lower_name) {
  for (const auto& [name, value] : response.headers)
    if (lower_ascii(name) == lower_name) return value;
  return "";
}

/// Refuses a key that cannot stand in a header; the text names it as `what`, and never shows it.
RAG_LAZY void check_key(std::string_view key, const std::string& who, const std::string& what) {
  if (!std::all_of(key.begin(), key.end(), [](char c) { return c > ' ' && c < '\x7f'; }))
    throw Error(Errc::invalid_argument, who + ": " + what + " of visible ASCII wanted, another character given (a line end after it?)");
}

/// Takes secrets out of texts, wherever a service echoes them: a key, or all that the headers of a request carry. No
/// service has keys of less than 8 characters, and a stand-in such as "none" is no secret.
RAG_LAZY class BasicSecrets {
 public:
  explicit BasicSecrets(std::string key) { keep(std::move(key)); }
  explicit BasicSecrets(const Request& request) {
    for (const auto& [name, value] : request.headers) {
      if (!carries_key(lower_ascii(name))) continue;
      const std::size_t space = value.rfind(' ');  // of "Bearer KEY"
      keep(value);
      if (space != value.npos) keep(value.substr(space + 1));
    }
  }
  std::string hide(std::string text) const {
    for (const std::string& secret : secrets_)
      for (std::size_t at = text.find(secret); at != text.npos; at = text.find(secret, at)) text.replace(at, secret.size(), "[key]");
    return text;
  }

 private:
  void keep(std::string secret) {
    if (secret.size() >= 8) secrets_.push_back(std::move(secret));
  }

  std::vector<std::string> secrets_;
};
using Secrets = BasicSecrets<>;

/// Refuses what no transport may send: a method that is not GET or POST, a header that would break out of its
/// line or that is the transport's own, and a key that would leave this machine unencrypted.
RAG_LAZY void check_request(const Request& request, const Url& url, const std::string& who) {
  const auto refuse = [&](const std::string& text) { throw Error(Errc::invalid_argument, who + ": " + text); };
  if (request.method != "GET" && request.method != "POST") refuse("method GET or POST wanted");
  for (const auto& [name, value] : request.headers) {
    if (!is_field_name(name)) refuse("a header's name of letters, digits and '-' wanted");
    if (!is_field_value(value)) refuse("a value without control characters wanted for the header " + name);
    const std::string lower = lower_ascii(name);
    for (const char* own : {"host", "connection", "content-length", "transfer-encoding", "accept-encoding"})
      if (lower == own) refuse("the header " + name + " is the transport's own");
    if (carries_key(lower) && url.scheme != "https" && !is_loopback(url.host))
      refuse("https wanted for a request with a key in the header " + name + ", http to " + url.host + " given");
  }
}

}  // namespace detail
RAG_END
#endif
