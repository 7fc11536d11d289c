// SPDX-License-Identifier: MIT
#ifndef RAG_NET_HTTPS_HPP
#define RAG_NET_HTTPS_HPP
#include <rag/detail/deadline.hpp>
#include <rag/detail/http_lines.hpp>
#include <rag/net/http.hpp>
#include <rag/net/url.hpp>

// Without it cpp-httplib's classes have another layout than in a library that was built with it, and crash.
#ifndef CPPHTTPLIB_OPENSSL_SUPPORT
#error "rag/net/https.hpp needs cpp-httplib with OpenSSL: link the CMake target rag::rag, or take the flags of `pkg-config --cflags --libs cpp-httplib openssl`; they define CPPHTTPLIB_OPENSSL_SUPPORT."
#endif
#include <httplib.h>

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

struct HttpsOptions {
  std::chrono::milliseconds connect_timeout{5'000};
  std::chrono::milliseconds deadline{600'000};      ///< for a whole exchange, from connecting to the last byte
  std::chrono::milliseconds idle_timeout{120'000};  ///< without a byte from the service
  std::size_t max_body = std::size_t{16} << 20;     ///< bytes of an answer, streamed or not
  std::string ca_file = {};                         ///< PEM; trusted in place of the system's authorities
};

namespace detail {

/// What cpp-httplib reads and writes a connection through: plain, or TLS where `ssl` is set.
template <class Stream>
class HttpsStream : public Stream {
 public:
  HttpsStream(int socket, SSL* ssl, std::chrono::milliseconds idle_timeout, HttpsLines& lines)
      : socket_(socket), ssl_(ssl), idle_timeout_(idle_timeout), lines_(lines) {}

  bool is_readable() const override { return wait(POLLIN); }
  bool is_writable() const override { return wait(POLLOUT); }
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

  bool wait(short what) const {
    pollfd waiting{socket_, what, 0};
    int ready;
    while ((ready = ::poll(&waiting, 1, static_cast<int>(idle_timeout_.count()))) < 0 && errno == EINTR) {
    }
    return ready > 0;
  }
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

/// A client of cpp-httplib that reads through HttpsStream.
template <class Client, class Stream>
class HttpsClient : public Client {
 public:
  HttpsClient(const Url& url, std::chrono::milliseconds idle_timeout, HttpsLines& lines)
      : Client(url.host, url.port), idle_timeout_(idle_timeout), lines_(lines) {}

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
std::unique_ptr<httplib::ClientImpl> make_https_client(const Url& url, std::chrono::milliseconds idle_timeout, HttpsLines& lines) {
  if constexpr (requires(const Stream& stream) { stream.is_writable(); }) return std::make_unique<HttpsClient<Client, Stream>>(url, idle_timeout, lines);
  else return std::make_unique<Client>(url.host, url.port);
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

/// One open connection to an origin.
RAG_LAZY struct BasicHttpsConnection {
  BasicHttpsConnection(const Url& url, const HttpsOptions& options) : origin(url.origin()) {
    const auto idle = std::min(options.idle_timeout, options.deadline);
    if (url.scheme == "https") {
      client = make_https_client<httplib::SSLClient>(url, idle, lines);
      tls = static_cast<const httplib::SSLClient*>(client.get());
      SSL_CTX* context = tls_context_of(*tls);  // level 2: keys of 112 bits, TLS 1.2; a system may be set lower
      if (SSL_CTX_get_security_level(context) < 2) SSL_CTX_set_security_level(context, 2);
    } else {
      client = make_https_client<httplib::ClientImpl>(url, idle, lines);
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

  std::string origin;
  SocketHandle socket;
  HttpsLines lines;
  std::unique_ptr<httplib::ClientImpl> client;
  const httplib::SSLClient* tls = nullptr;  // the client, where it speaks TLS
};
using HttpsConnection = BasicHttpsConnection<>;

/// Connections that wait for their next request.
RAG_LAZY class BasicHttpsPool {
 public:
  ~BasicHttpsPool() {
    const SigpipeShield shield;  // ending a TLS session writes
    idle_.clear();
  }

  std::unique_ptr<HttpsConnection> take(const std::string& origin) {
    const std::lock_guard lock(mutex_);
    const auto found = std::find_if(idle_.rbegin(), idle_.rend(), [&](const auto& c) { return c->origin == origin; });
    if (found == idle_.rend()) return nullptr;
    auto connection = std::move(*found);
    idle_.erase(std::next(found).base());
    return connection;
  }

  void put(std::unique_ptr<HttpsConnection> connection) {
    const std::lock_guard lock(mutex_);
    if (idle_.size() == max_idle) idle_.erase(idle_.begin());
    idle_.push_back(std::move(connection));
  }

 private:
  static constexpr std::size_t max_idle = 8;
  std::mutex mutex_;
  std::vector<std::unique_ptr<HttpsConnection>> idle_;
};
using HttpsPool = BasicHttpsPool<>;

/// Receives one answer and refuses what is not sound. Nothing is thrown through cpp-httplib: an Error waits
/// until it has returned.
RAG_LAZY class BasicHttpsExchange {
 public:
  BasicHttpsExchange(const Request& request, const Url& url, const HttpsOptions& options)
      : request_(request), origin_(url.origin()), options_(options), receive_(request.receive), head_(request.head) {}

  bool take_head(const httplib::Response& head) {
    return guarded([&] {
      response_.status = head.status;
      if (head.status < 200) refuse("a final status wanted, " + std::to_string(head.status) + " given");
      if (head.headers.size() > 100) refuse("at most 100 headers wanted, more given");
      check_length(head);
      check_coding(head);
      if (head.status / 100 == 3 && !head_) check_redirect(head);
      // A header with a line end in it (older cpp-httplib decodes %0D%0A) was never one line on the wire.
      for (const auto& [name, value] : head.headers)
        if (is_field_value(value)) response_.headers.emplace_back(name, value);
      if (!head_(response_)) throw Error(Errc::cancelled, "HttpsTransport: the receiver stopped the answer");
      return true;
    });
  }

  bool take_body(std::string_view piece) {
    return guarded([&] {
      last_byte_ = std::chrono::steady_clock::now();
      total_ += piece.size();
      if (total_ > options_.max_body) refuse_size();
      if (receive_ && response_.status / 100 == 2) {
        if (!receive_(piece)) throw Error(Errc::cancelled, "HttpsTransport: the receiver stopped the answer");
      } else {
        response_.body += piece;
      }
      return true;
    });
  }

  /// Did the connection end before a byte of the answer came, as one does that the service closed meanwhile?
  bool unanswered(const httplib::Result& result) const {
    return !result && !failure_ && response_.status == 0 && std::chrono::steady_clock::now() - last_byte_ < options_.idle_timeout;
  }

  Response finish(const httplib::Result& result, bool expired, const HttpsConnection& connection) {
    if (failure_) std::rethrow_exception(failure_);
    if (connection.lines.refused) refuse("lines of at most 8 KiB and a head of at most 256 KiB wanted, more given");
    const auto milliseconds = [](std::chrono::milliseconds time) { return std::to_string(time.count()) + " ms"; };
    if (expired)
      throw Error(Errc::timeout, "HttpsTransport: " + origin_ + ": no whole answer within " + milliseconds(options_.deadline));
    if (!result) {
      if (result.error() == httplib::Error::ConnectionTimeout)
        throw Error(Errc::timeout, "HttpsTransport: " + origin_ + ": no connection within " +
                                       milliseconds(options_.connect_timeout));
      if (result.error() == httplib::Error::Read && std::chrono::steady_clock::now() - last_byte_ >= options_.idle_timeout)
        throw Error(Errc::timeout, "HttpsTransport: " + origin_ + ": no byte for " + milliseconds(options_.idle_timeout));
      if (result.error() == httplib::Error::SSLLoadingCerts) refuse("no authorities can be read from '" + options_.ca_file + "' (HttpsOptions::ca_file)");
      if (result.error() == httplib::Error::Connection) refuse("no connection can be made");
      const std::string refusal = connection.refusal(result);
      refuse(refusal.empty() ? httplib::to_string(result.error()) : refusal);
    }
    if (response_.status == 0 && !take_head(*result)) std::rethrow_exception(failure_);  // 204: it has no body to receive
    // cpp-httplib takes a chunk that is not followed by a line end for the last one.
    if (connection.lines.last_line != 2 && lower_ascii(header_of(response_, "transfer-encoding")) == "chunked") refuse("whole chunks wanted, another thing given");
    return std::move(response_);
  }

 private:
  template <class F>
  bool guarded(F&& step) {
    try {
      return step();
    } catch (...) {
      failure_ = std::current_exception();
      return false;
    }
  }

  [[noreturn]] void refuse(const std::string& text) const {
    throw Error(Errc::transport, "HttpsTransport: " + origin_ + ": " + text);
  }
  [[noreturn]] void refuse_size() const {
    refuse("an answer of at most " + std::to_string(options_.max_body) + " bytes wanted, more given");
  }

  void check_length(const httplib::Response& head) const {
    const auto [begin, end] = head.headers.equal_range("Content-Length");
    for (auto length = begin; length != end; ++length) {
      const std::string& digits = length->second;
      const bool number = !digits.empty() && std::all_of(digits.begin(), digits.end(), is_digit);
      if (!number || digits != begin->second) refuse("one Content-Length wanted, an unclear one given");
      if (digits.size() > 18 || std::stoull(digits) > options_.max_body) refuse_size();
    }
  }

  void check_coding(const httplib::Response& head) const {
    const auto [begin, end] = head.headers.equal_range("Content-Encoding");
    for (auto coding = begin; coding != end; ++coding)
      if (lower_ascii(coding->second) != "identity") refuse("a plain body wanted, a compressed one given");
  }

  void check_redirect(const httplib::Response& head) const {
    const auto location = head.headers.find("Location");
    if (location == head.headers.end()) return;
    std::string where = "another path";
    try {
      where = parse_url(Secrets(request_).hide(location->second)).origin();  // a host may echo the key, in lower case after this
    } catch (const Error&) {
    }
    refuse("redirects to " + where + "; redirects are not followed");
  }

  const Request& request_;
  std::string origin_;
  const HttpsOptions& options_;
  TextSink receive_;
  HeadSink head_;
  Response response_;
  std::size_t total_ = 0;
  std::chrono::steady_clock::time_point last_byte_ = std::chrono::steady_clock::now();
  std::exception_ptr failure_;
};
using HttpsExchange = BasicHttpsExchange<>;

}  // namespace detail

/// HTTP and HTTPS over cpp-httplib. Certificates are always checked, and an Error says why one is refused; keys weaker than
/// RSA of 2048 bits and TLS before 1.2 are. Redirects are never followed (an Error that names the other origin; with
/// Request::head set, the answer as it is); answers come uncompressed. A request that carries a key (Authorization, Cookie,
/// api-key or a token header) goes over https or to this machine only; any other is refused before a connection is made. No proxy is used. Copies share their open connections; may be called from several threads, in each of
/// which SIGPIPE is blocked for the time of the call.
///
/// Errors: invalid_argument (a request that cannot be sent), timeout, cancelled (Request::receive returned
/// false), transport (everything else that is not a sound answer).
///
///     rag::HttpsTransport transport{{.deadline = std::chrono::seconds(30)}};
RAG_LAZY class BasicHttpsTransport {
 public:
  explicit BasicHttpsTransport(HttpsOptions options = {}) : options_(std::move(options)) {
    const auto least = std::min({options_.connect_timeout, options_.idle_timeout, options_.deadline});
    if (least.count() <= 0) throw Error(Errc::invalid_argument, "HttpsTransport: times of 1 ms or more wanted");
  }

  Response operator()(const Request& request) const {
    const Url url = parse_url(request.url, "HttpsTransport");
    detail::check_request(request, url, "HttpsTransport");
    httplib::Request wire;
    wire.method = request.method;
    wire.path = url.target;
    wire.body = request.body;
    wire.headers.emplace("Accept-Encoding", "identity");
    for (const auto& [name, value] : request.headers) wire.headers.emplace(name, value);

    detail::HttpsExchange exchange(request, url, options_);
    wire.content_receiver = [&](const char* data, std::size_t size, std::uint64_t, std::uint64_t) {
      return exchange.take_body({data, size});
    };

    const detail::SigpipeShield shield;
    const auto end = std::chrono::steady_clock::now() + options_.deadline;
    // A service may close a kept connection just when it is used again; a GET may be repeated (RFC 9110, 9.2.2).
    if (auto kept = pool_->take(url.origin()))
      if (auto response = send(exchange, wire, std::move(kept), end, request.method == "GET")) return std::move(*response);
    return std::move(*send(exchange, wire, std::make_unique<detail::HttpsConnection>(url, options_), end, false));
  }

 private:
  // Nothing where the connection had ended and the request may be repeated.
  std::optional<Response> send(detail::HttpsExchange& exchange, httplib::Request& wire,
                               std::unique_ptr<detail::HttpsConnection> connection,
                               std::chrono::steady_clock::time_point end, bool repeatable) const {
    connection->lines.begin();
    wire.response_handler = [&](const httplib::Response& head) {
      connection->lines.in_head = false;
      return exchange.take_head(head);
    };
    detail::Deadline deadline(end, connection->socket);
    const httplib::Result result = connection->client->send(wire);
    const bool expired = deadline.over();
    if (repeatable && !expired && exchange.unanswered(result)) return std::nullopt;
    Response response = exchange.finish(result, expired, *connection);
    pool_->put(std::move(connection));
    return response;
  }

  HttpsOptions options_;
  std::shared_ptr<detail::HttpsPool> pool_ = std::make_shared<detail::HttpsPool>();
};
using HttpsTransport = BasicHttpsTransport<>;

RAG_END
#endif
