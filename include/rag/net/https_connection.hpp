// SPDX-License-Identifier: MIT
#ifndef RAG_NET_HTTPS_CONNECTION_HPP
#define RAG_NET_HTTPS_CONNECTION_HPP
#include <rag/detail/deadline.hpp>
#include <rag/detail/http_lines.hpp>
#include <rag/net/proxy.hpp>
#include <rag/net/url.hpp>

// Without it cpp-httplib's classes have another layout than in a library that was built with it, and crash.
#ifndef CPPHTTPLIB_OPENSSL_SUPPORT
#error "rag/net/https.hpp needs cpp-httplib with OpenSSL: link the CMake target rag::rag, or take the flags of `pkg-config --cflags --libs cpp-httplib openssl`; they define CPPHTTPLIB_OPENSSL_SUPPORT."
#endif
#include <httplib.h>

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>

RAG_BEGIN

struct HttpsOptions {
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds deadline{600'000};      ///< for a whole exchange, from connecting to the last byte
  std::chrono::milliseconds idle_timeout{120'000};  ///< without a byte from the service
  std::size_t max_body = std::size_t{16} << 20;     ///< bytes of an answer, streamed or not
  std::string ca_file = {};                         ///< PEM; trusted in place of the system's authorities
  std::string proxy = {};  ///< "http://host:port" or "http://user:password@host:port"; "": none
};

namespace detail {

/// What cpp-httplib reads and writes a connection through: plain, or TLS where `ssl` is set.
template <class Stream>
class HttpsStream : public Stream {
 public:
  HttpsStream(int socket, SSL* ssl, std::chrono::milliseconds idle_timeout, HttpsLines& lines)
      : socket_(socket), ssl_(ssl), idle_timeout_(idle_timeout), lines_(lines) {}

  bool is_readable() const override { return socket_is_ready(socket_, POLLIN, idle_timeout_); }
  bool is_writable() const override { return socket_is_ready(socket_, POLLOUT, idle_timeout_); }
  ssize_t read(char* bytes, std::size_t size) override {
    if (size == 0 || lines_.refused) return -1;
    if (at_ == buffer_.size()) {
      at_ = 0;
      buffer_.resize(room);
      const ssize_t count = ssl_ ? read_ssl() : read_plain();
      buffer_.resize(count > 0 ? static_cast<std::size_t>(count) : 0);
      if (count <= 0) return count;
    }
    const std::size_t count = std::min(size, buffer_.size() - at_);
    std::copy_n(buffer_.data() + at_, count, bytes);
    at_ += count;
    return lines_.take(bytes[count - 1], count, size) ? static_cast<ssize_t>(count) : -1;
  }
  ssize_t write(const char* bytes, std::size_t size) override {
    if (!is_writable()) return -1;
    if (ssl_) return SSL_write(ssl_, bytes, static_cast<int>(std::min(size, room)));
    return ::send(socket_, bytes, size, MSG_NOSIGNAL);
  }
  void get_remote_ip_and_port(std::string&, int&) const override {}
  void get_local_ip_and_port(std::string&, int&) const override {}
  socket_t socket() const override { return socket_; }

 private:
  static constexpr std::size_t room = 16 << 10;  // a record of TLS

  ssize_t read_plain() { return is_readable() ? ::recv(socket_, buffer_.data(), room, 0) : -1; }
  ssize_t read_ssl() {
    if (SSL_pending(ssl_) == 0 && !is_readable()) return -1;
    return SSL_read(ssl_, buffer_.data(), static_cast<int>(room));
  }

  int socket_;
  SSL* ssl_;
  std::chrono::milliseconds idle_timeout_;
  HttpsLines& lines_;
  std::string buffer_;
  std::size_t at_ = 0;
};

/// A client of cpp-httplib that takes a tunnel to its origin, where there is one. Its own way to a proxy sends the
/// password to the origin too (0.11.4, 0.41.0), and takes a 502 for a tunnel (0.11.4).
template <class Client>
class HttpsTunnelClient : public Client {
 public:
  HttpsTunnelClient(const Url& url, ProxyTunnel* tunnel) : Client(url.host, url.port), tunnel_(tunnel) {}

 private:
  bool create_and_connect_socket(typename Client::Socket& socket, httplib::Error& error) override {
    if (!this->is_valid()) {
      error = httplib::Error::SSLConnection;
      return false;
    }
    if (!tunnel_) return httplib::ClientImpl::create_and_connect_socket(socket, error);
    tunnel_->close();
    this->set_proxy(tunnel_->proxy().host, tunnel_->proxy().port);  // whom it connects to; it knows of none afterwards
    const bool connected = httplib::ClientImpl::create_and_connect_socket(socket, error);
    this->set_proxy("", -1);
    if (!connected) return false;
    if (tunnel_->open(static_cast<int>(socket.sock))) return true;
    error = httplib::Error::Connection;
    this->shutdown_socket(socket);
    this->close_socket(socket);
    return false;
  }

  ProxyTunnel* tunnel_;
};

/// A client of cpp-httplib that reads through HttpsStream.
template <class Client, class Stream>
class HttpsClient : public HttpsTunnelClient<Client> {
 public:
  HttpsClient(const Url& url, ProxyTunnel* tunnel, std::chrono::milliseconds idle_timeout, HttpsLines& lines)
      : HttpsTunnelClient<Client>(url, tunnel), idle_timeout_(idle_timeout), lines_(lines) {}

 private:
  bool process_socket(const typename Client::Socket& socket, std::function<bool(httplib::Stream&)> exchange) override {
    HttpsStream<Stream> stream(static_cast<int>(socket.sock), socket.ssl, idle_timeout_, lines_);
    return exchange(stream);
  }

  std::chrono::milliseconds idle_timeout_;
  HttpsLines& lines_;
};

/// From 0.19 on cpp-httplib's own stream is another, and soon after that it limits lines itself.
template <class Client, class Stream = httplib::Stream>
std::unique_ptr<httplib::ClientImpl> make_https_client(const Url& url, ProxyTunnel* tunnel,
                                                       std::chrono::milliseconds idle_timeout, HttpsLines& lines) {
  if constexpr (requires(const Stream& stream) { stream.is_writable(); })
    return std::make_unique<HttpsClient<Client, Stream>>(url, tunnel, idle_timeout, lines);
  else if constexpr (!std::is_final_v<Client>)
    return std::make_unique<HttpsTunnelClient<Client>>(url, tunnel);
  else
    return std::make_unique<Client>(url.host, url.port);
}

/// What versions of cpp-httplib name differently.
template <class Client>
SSL_CTX* tls_context_of(const Client& client) {
  if constexpr (requires { client.tls_context(); }) return static_cast<SSL_CTX*>(client.tls_context());
  else return client.ssl_context();
}
template <class Client, class Result>
long verify_result_of(const Client& client, const Result& result) {
  if constexpr (requires { result.ssl_backend_error(); })
    return result.error() == httplib::Error::SSLServerVerification ? static_cast<long>(result.ssl_backend_error()) : X509_V_OK;
  else return client.get_openssl_verify_result();
}

/// One open connection to an origin; through the proxy, but for this machine, which is another to a proxy.
RAG_LAZY struct BasicHttpsConnection {
  BasicHttpsConnection(const Url& url, const HttpsOptions& options) : origin(url.origin()) {
    const auto idle = std::min(options.idle_timeout, options.deadline);
    if (!options.proxy.empty() && !is_loopback(url.host))
      tunnel.emplace(parse_proxy(options.proxy, "HttpsOptions::proxy"), url, idle);
    ProxyTunnel* const way = tunnel ? &*tunnel : nullptr;
    if (url.scheme == "https") {
      client = make_https_client<httplib::SSLClient>(url, way, idle, lines);
      tls = static_cast<const httplib::SSLClient*>(client.get());
      SSL_CTX* context = tls_context_of(*tls);  // level 2: keys of 112 bits, TLS 1.2; a system may be set lower
      if (SSL_CTX_get_security_level(context) < 2) SSL_CTX_set_security_level(context, 2);
    } else {
      client = make_https_client<httplib::ClientImpl>(url, way, idle, lines);
    }
    client->set_connection_timeout(std::min(options.connect_timeout, options.deadline));
    client->set_read_timeout(idle);
    client->set_write_timeout(idle);
    client->set_keep_alive(true);
    client->set_tcp_nodelay(true);
    client->set_follow_location(false);
    client->set_decompress(false);  // a small answer must not grow past the limit
    client->enable_server_certificate_verification(true);
    if (!options.ca_file.empty()) client->set_ca_cert_path(options.ca_file);
    if (tunnel && tls && std::is_final_v<httplib::SSLClient>) let_client_ask();
    client->set_socket_options([this](socket_t opened) { socket.watch(static_cast<int>(opened)); });
  }

  /// Why the service's certificate was refused; "" where it was not.
  std::string refusal(const httplib::Result& result) const {
    const std::string name = httplib::to_string(result.error());
    const long found = tls ? verify_result_of(*tls, result) : X509_V_OK;
    if (found != X509_V_OK) return std::string("the certificate is not trusted: ") + X509_verify_cert_error_string(found);
    const bool other_name = result.error() == httplib::Error::SSLServerVerification || name.find("hostname") != name.npos;
    return other_name ? "the certificate is for another name" : "";
  }

  /// Is the proxy the one that is spoken with?
  bool at_proxy() const { return tunnel && !tunnel->is_open(); }

  /// Why the proxy gave no tunnel; nothing where it did, or was not reached.
  std::optional<Error> tunnel_failure(const httplib::Result& result) const {
    if (!at_proxy()) return {};
    return result ? tunnel->failure_of(result->status) : tunnel->failure();  // the proxy's answer, given as the origin's
  }

  std::string origin;
  std::optional<ProxyTunnel> tunnel;
  SocketHandle socket;
  HttpsLines lines;
  std::unique_ptr<httplib::ClientImpl> client;
  const httplib::SSLClient* tls = nullptr;  // the client, where it speaks TLS
  bool takes_one = false;                   // request, and none after it

 private:
  // A newer SSLClient is final, so that only cpp-httplib can ask for the tunnel. It sends the password with all that it
  // writes, so it forgets it with the first message of TLS, before any request; and cannot ask again.
  void let_client_ask() {
    const std::string& credentials = tunnel->credentials();
    const std::size_t colon = std::min(credentials.find(':'), credentials.size());
    client->set_proxy(tunnel->proxy().host, tunnel->proxy().port);
    client->set_proxy_basic_auth(credentials.substr(0, colon), credentials.substr(std::min(colon + 1, credentials.size())));
    SSL_CTX_set_msg_callback(tls_context_of(*tls), [](int, int, int, const void*, std::size_t, SSL*, void* asking) {
      auto& connection = *static_cast<BasicHttpsConnection*>(asking);
      if (!connection.at_proxy()) return;
      connection.tunnel->take_as_open();
      connection.client->set_proxy_basic_auth("", "");
    });
    SSL_CTX_set_msg_callback_arg(tls_context_of(*tls), this);
    takes_one = true;
  }
};
using HttpsConnection = BasicHttpsConnection<>;

}  // namespace detail
RAG_END
#endif
