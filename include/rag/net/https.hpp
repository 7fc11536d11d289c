// SPDX-License-Identifier: MIT
#ifndef RAG_NET_HTTPS_HPP
#define RAG_NET_HTTPS_HPP
#include <rag/detail/deadline.hpp>
#include <rag/detail/http_lines.hpp>
#include <rag/net/http.hpp>
#include <rag/net/https_connection.hpp>
#include <rag/net/url.hpp>

#include <algorithm>
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

namespace detail {

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
    if (connection.at_proxy()) origin_ += ": the proxy " + connection.tunnel->proxy().origin();
    if (connection.lines.refused) refuse("lines of at most 8 KiB and a head of at most 256 KiB wanted, more given");
    const auto milliseconds = [](std::chrono::milliseconds time) { return std::to_string(time.count()) + " ms"; };
    if (expired)
      throw Error(Errc::timeout, "HttpsTransport: " + origin_ + ": no whole answer within " + milliseconds(options_.deadline));
    if (const auto failure = connection.tunnel_failure(result))
      throw Error(failure->code(), "HttpsTransport: " + origin_ + ": " + failure->what());
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
/// api-key or a token header) goes over https or to this machine only; any other is refused before a connection is made.
/// A proxy is used where HttpsOptions::proxy names one, never for this machine; every request goes through a tunnel
/// (CONNECT), so that the proxy sees no key and the origin not the proxy's password. Copies share their open connections;
/// may be called from several threads, in each of which SIGPIPE is blocked for the time of the call.
///
/// Errors: invalid_argument (a request that cannot be sent), timeout, cancelled (Request::receive returned
/// false), unauthorized (the proxy's 407), transport (everything else that is not a sound answer).
///
///     rag::HttpsTransport transport{{.deadline = std::chrono::seconds(30)}};
RAG_LAZY class BasicHttpsTransport {
 public:
  explicit BasicHttpsTransport(HttpsOptions options = {}) : options_(std::move(options)) {
    const auto least = std::min({options_.connect_timeout, options_.idle_timeout, options_.deadline});
    if (least.count() <= 0) throw Error(Errc::invalid_argument, "HttpsTransport: times of 1 ms or more wanted");
    if (!options_.proxy.empty()) detail::parse_proxy(options_.proxy, "HttpsTransport: HttpsOptions::proxy");
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
    if (repeatable && !expired && !connection->at_proxy() && exchange.unanswered(result)) return std::nullopt;
    Response response = exchange.finish(result, expired, *connection);
    if (!connection->takes_one) pool_->put(std::move(connection));
    return response;
  }

  HttpsOptions options_;
  std::shared_ptr<detail::HttpsPool> pool_ = std::make_shared<detail::HttpsPool>();
};
using HttpsTransport = BasicHttpsTransport<>;

RAG_END
#endif
