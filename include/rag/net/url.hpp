// SPDX-License-Identifier: MIT
#ifndef RAG_NET_URL_HPP
#define RAG_NET_URL_HPP
#include <rag/error.hpp>

#include <algorithm>
#include <string>
#include <string_view>

RAG_BEGIN

/// An http or https address, taken apart. The host of an IPv6 address stands without its brackets.
struct Url {
  std::string scheme;  ///< "http" or "https"
  std::string host;    ///< in lower case
  int port = 0;
  std::string target = "/";  ///< path and query

  /// host, and the port where it is not the scheme's own: "localhost:11434".
  std::string authority() const {
    const std::string name = host.find(':') == std::string::npos ? host : '[' + host + ']';
    return port == (scheme == "https" ? 443 : 80) ? name : name + ':' + std::to_string(port);
  }
  /// What a key belongs to: "https://openrouter.ai".
  std::string origin() const { return scheme + "://" + authority(); }
  bool operator==(const Url&) const = default;
};

namespace detail {

RAG_LAZY std::string lower_ascii(std::string_view text) {
  std::string lower(text);
  for (char& c : lower)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return lower;
}

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The number that all of the text writes in decimal; -1 if it is none, or larger than `largest`.
RAG_LAZY int small_number(std::string_view text, int largest) {
  int number = 0;
  for (const char c : text) {
    if (!is_digit(c)) return -1;
    number = number * 10 + (c - '0');
    if (number > largest) return -1;
  }
  return text.empty() ? -1 : number;
}

}  // namespace detail

/// Strict, since what two readers of a URL understand differently leaks keys: no user name, no fragment, no
/// spaces, no control characters, nothing but ASCII. An Error begins with `who` and never shows the URL, which
/// may hold a secret.
RAG_LAZY Url parse_url(std::string_view text, const std::string& who = "parse_url") {
  const auto refuse = [&](const char* reason) { throw Error(Errc::invalid_argument, who + ": a URL " + reason); };
  const auto visible = [](char c) { return c > ' ' && c < '\x7f'; };
  if (!std::all_of(text.begin(), text.end(), visible)) refuse("of visible ASCII wanted, another character given");

  Url url;
  const std::size_t colon = std::min(text.find("://"), text.size());
  url.scheme = detail::lower_ascii(text.substr(0, colon));
  if (colon == text.size() || (url.scheme != "http" && url.scheme != "https"))
    refuse("that begins with http:// or https:// wanted");
  text.remove_prefix(colon + 3);

  std::string_view authority = text.substr(0, text.find_first_of("/?#\\"));
  text.remove_prefix(authority.size());
  if (text.find_first_of("#\\") != text.npos) refuse("without '#' and '\\' wanted");
  if (authority.find('@') != authority.npos) refuse("without a user name or password wanted");
  url.target = text.starts_with('/') ? std::string(text) : '/' + std::string(text);

  const bool bracketed = authority.starts_with('[');
  const std::size_t host_end = bracketed ? authority.find(']') : authority.find(':');
  if (bracketed && host_end == authority.npos) refuse("with a whole IPv6 address in brackets wanted");
  url.host = detail::lower_ascii(bracketed ? authority.substr(1, host_end - 1) : authority.substr(0, host_end));
  const std::string_view allowed = bracketed ? "0123456789abcdef:." : "0123456789abcdefghijklmnopqrstuvwxyz.-_";
  if (url.host.empty() || url.host.size() > 253 || url.host.find_first_not_of(allowed) != url.host.npos ||
      (bracketed && url.host.find(':') == url.host.npos))
    refuse("with a host name or address wanted");

  const std::size_t port_at = bracketed ? host_end + 1 : std::min(host_end, authority.size());
  const std::string_view port = authority.substr(port_at);
  url.port = port.empty() ? (url.scheme == "https" ? 443 : 80)
                          : port[0] == ':' ? detail::small_number(port.substr(1), 65535) : -1;
  if (url.port <= 0) refuse("with a port of 1 to 65535 wanted");
  return url;
}

/// Does the host name this machine: localhost, ::1, or 127.a.b.c written in full? Other spellings of these
/// addresses are not accepted; 0127.0.0.1 is even another machine, 87.0.0.1, since a 0 in front makes a number octal.
RAG_LAZY bool is_loopback(std::string_view host) {
  if (host == "localhost" || host == "::1") return true;
  int parts = 0;
  for (bool more = true; more; ++parts) {
    const std::size_t dot = host.find('.');
    const std::string_view digits = host.substr(0, dot);
    const int part = digits.size() > 1 && digits[0] == '0' ? -1 : detail::small_number(digits, 255);
    if (part < 0 || (parts == 0 && part != 127)) return false;
    more = dot != host.npos;
    if (more) host.remove_prefix(dot + 1);
  }
  return parts == 4;
}

RAG_END
#endif
