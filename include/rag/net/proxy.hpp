// SPDX-License-Identifier: MIT
#ifndef RAG_NET_PROXY_HPP
#define RAG_NET_PROXY_HPP
#include <rag/detail/base64.hpp>
#include <rag/detail/deadline.hpp>
#include <rag/detail/http_lines.hpp>
#include <rag/net/http.hpp>
#include <rag/net/url.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

RAG_BEGIN
namespace detail {

/// Where a proxy is, and what it wants to know.
struct Proxy {
  Url url;
  std::string credentials = {};  // "user:password", "" for none
};

/// The text with each %XX as its byte.
RAG_LAZY std::string decode_percents(std::string_view text, const std::string& who) {
  std::string bytes;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      bytes += text[i];
      continue;
    }
    std::size_t byte = 0;
    for (std::size_t j = i + 1; j < i + 3; ++j) {
      const std::string_view digits = "0123456789abcdef";
      const std::size_t digit = j < text.size() ? digits.find(lower_ascii(text.substr(j, 1))) : digits.npos;
      if (digit == digits.npos)
        throw Error(Errc::invalid_argument, who + ": two hexadecimal digits wanted after a '%'");
      byte = byte * 16 + digit;
    }
    bytes += static_cast<char>(byte);
    i += 2;
  }
  return bytes;
}

/// "http://host:port" or "http://user:password@host:port", nothing after it; %XX in the user and password stands for
/// a byte. An Error never shows the text.
RAG_LAZY Proxy parse_proxy(std::string_view text, const std::string& who) {
  const auto refuse = [&](const char* reason) { throw Error(Errc::invalid_argument, who + ": " + reason); };
  const std::string_view scheme = "http://";
  if (lower_ascii(text.substr(0, scheme.size())) != scheme) refuse("a URL that begins with http:// wanted");
  text.remove_prefix(scheme.size());

  Proxy proxy;
  if (const std::size_t at = text.rfind('@'); at != text.npos) {
    proxy.credentials = decode_percents(text.substr(0, at), who);
    if (!is_field_value(proxy.credentials) || text.substr(0, at).find_first_of("/?#\\") != text.npos)
      refuse("a user and password without control characters and '/', '?', '#', '\\' wanted (write %2F for a '/')");
    if (proxy.credentials.find(':') == std::string::npos) proxy.credentials += ':';
    text.remove_prefix(at + 1);
  }
  proxy.url = parse_url(std::string(scheme) + std::string(text), who);
  if (text.ends_with('/')) text.remove_suffix(1);
  if (proxy.url.target != "/" || text.find('?') != text.npos) refuse("a URL without a path wanted");
  if (!text.ends_with(':' + std::to_string(proxy.url.port)))
    refuse("a URL with a port wanted, as in http://proxy:3128");
  return proxy;
}

/// The way through a proxy to one origin: a tunnel by CONNECT (RFC 9110, 9.3.6), in which the proxy sees the origin's
/// name and port, and what TLS leaves to see. Nothing that the proxy writes is told, since it may echo its password.
RAG_LAZY class BasicProxyTunnel {
 public:
  BasicProxyTunnel(Proxy proxy, const Url& origin, std::chrono::milliseconds idle_timeout)
      : proxy_(std::move(proxy)), idle_timeout_(idle_timeout) {
    const std::string name = origin.host.find(':') == std::string::npos ? origin.host : '[' + origin.host + ']';
    const std::string target = name + ':' + std::to_string(origin.port);
    asking_ = "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n";
    if (!proxy_.credentials.empty())
      asking_ += "Proxy-Authorization: Basic " + encode_base64(proxy_.credentials) + "\r\n";
    asking_ += "\r\n";
  }

  const Url& proxy() const { return proxy_.url; }
  const std::string& credentials() const { return proxy_.credentials; }
  bool is_open() const { return open_; }
  /// Why the proxy gave no tunnel; nothing if it was not reached.
  const std::optional<Error>& failure() const { return failure_; }

  /// What the status of an answer that opens no tunnel comes to.
  Error failure_of(int status) const {
    if (status != 407) return Error(Errc::transport, "a tunnel wanted, status " + std::to_string(status) + " given");
    const std::string article = proxy_.credentials.empty() ? "a" : "another";
    return Error(Errc::unauthorized, article + " user and password wanted (status 407, see HttpsOptions::proxy)");
  }

  void close() {
    open_ = false;
    failure_.reset();
  }
  void take_as_open() { open_ = true; }
  /// Asks for the tunnel on a connection to the proxy.
  bool open(int socket) {
    try {
      write(socket);
      read(socket);
      open_ = true;
    } catch (const Error& error) {
      failure_ = error;
    }
    return open_;
  }

 private:
  [[noreturn]] void refuse(const std::string& text) const { throw Error(Errc::transport, text); }
  void wait(int socket, short what) const {
    if (!socket_is_ready(socket, what, idle_timeout_))
      throw Error(Errc::timeout, "no byte for " + std::to_string(idle_timeout_.count()) + " ms");
  }

  void write(int socket) const {
    for (std::string_view rest = asking_; !rest.empty();) {
      wait(socket, POLLOUT);
      const ssize_t count = ::send(socket, rest.data(), rest.size(), MSG_NOSIGNAL);
      if (count <= 0) refuse("the connection ended");
      rest.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  // Byte by byte: what follows the head is the origin's.
  void read(int socket) const {
    HttpsLines lines;
    lines.begin();
    std::string status;
    for (bool first = true; first || lines.last_line > 2;) {
      char byte;
      wait(socket, POLLIN);
      if (::recv(socket, &byte, 1, 0) != 1) refuse("the connection ended before a whole answer");
      if (!lines.take(byte, 1, 1)) refuse("lines of at most 8 KiB and a head of at most 256 KiB wanted, more given");
      if (first) status += byte;
      if (first && byte == '\n') check(status), first = false;
    }
  }

  void check(std::string_view line) const {
    const bool http = line.size() > 12 && line.starts_with("HTTP/1.") && is_digit(line[7]) && line[8] == ' ';
    const int status = http ? small_number(line.substr(9, 3), 599) : -1;
    if (status < 100) refuse("an answer of HTTP wanted, another thing given");
    if (status / 100 != 2) throw failure_of(status);
  }

  Proxy proxy_;
  std::chrono::milliseconds idle_timeout_;
  std::string asking_;
  bool open_ = false;
  std::optional<Error> failure_;
};
using ProxyTunnel = BasicProxyTunnel<>;

}  // namespace detail
RAG_END
#endif
