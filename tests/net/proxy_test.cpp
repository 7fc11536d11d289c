// SPDX-License-Identifier: MIT
#include <rag/net/https.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <csignal>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "../paths.hpp"
#include "certificates.hpp"
#include "exchange.hpp"
#include "server.hpp"

namespace {

using namespace std::chrono_literals;
using Outcome = tests::Exchanged;
using tests::make_certificate;
using tests::try_send;

constexpr bool we_ask = !std::is_final_v<httplib::SSLClient>;  // for the tunnel, and not cpp-httplib
const std::string key = "sk-Canary-0123456789", password = "pass:W@rd-4711";
const std::string encoded = "dXNlcjpwYXNzOldAcmQtNDcxMQ==";  // base64 of user:password

/// A proxy that takes every name for this machine, and notes all that its clients send.
class Proxy {
 public:
  /// With `answer` it gives that and no tunnel.
  explicit Proxy(std::function<void(tests::Peer&)> answer = {}) : answer_(std::move(answer)) {}

  const tests::Server& server() const { return server_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(server_.port()); }
  std::string url_with_password() const { return "http://user:pass%3aW%40rd-4711@127.0.0.1:" + std::to_string(server_.port()) + "/"; }
  std::string heard() const {
    const std::lock_guard lock(mutex_);
    return heard_;
  }

 private:
  void note(std::string_view bytes) {
    const std::lock_guard lock(mutex_);
    heard_ += bytes;
  }
  void serve(tests::Peer& client) {
    const std::string request = client.read_request();
    note(request);
    if (answer_) return answer_(client);
    const int origin = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(std::stoi(request.substr(request.find(':') + 1))));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(origin, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
        client.write("HTTP/1.1 200 Connection established\r\nV:\r\nVia: 1.1 test\r\nContent-Length: 5\r\n\r\n")) {  // no body: RFC 9110, 9.3.6
      tests::Peer behind(origin);
      while (pass(client, behind)) {
      }
    }
    ::close(origin);
  }
  bool pass(tests::Peer& client, tests::Peer& origin) {
    pollfd ready[] = {{client.socket(), POLLIN, 0}, {origin.socket(), POLLIN, 0}};
    ::poll(ready, 2, -1);
    const bool up = ready[0].revents != 0;
    char bytes[4096];
    const ssize_t count = ::recv(ready[up ? 0 : 1].fd, bytes, sizeof bytes, 0);
    if (count <= 0) return false;
    const std::string_view piece(bytes, static_cast<std::size_t>(count));
    if (up) note(piece);
    return (up ? origin : client).write(piece);
  }

  std::function<void(tests::Peer&)> answer_;
  std::string heard_;
  mutable std::mutex mutex_;
  tests::Server server_{[this](tests::Peer& peer) { serve(peer); }};
};

rag::Request with_key(const std::string& url) { return {.url = url, .headers = {{"Authorization", "Bearer " + key}}, .body = "over tls"}; }

std::size_t count_of(const std::string& text, const std::string& part) {
  std::size_t count = 0;
  for (std::size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != text.npos; }

/// What comes of a request with a key to https://service.test, whose certificate is `shown`, through the proxy.
struct Visit {
  Outcome outcome;
  std::string heard, origin_saw, authority;

  Visit(const tests::Certificate& shown, const std::string& ca_file) {
    const auto before = std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to a client that has gone
    {
      tests::Server origin(tests::over_tls(shown, TLS1_3_VERSION, [this](const std::string& request) { origin_saw = request; }));
      const Proxy proxy;
      authority = "service.test:" + std::to_string(origin.port());
      outcome = try_send(with_key("https://" + authority + "/v1"), {.deadline = 5s, .ca_file = ca_file, .proxy = proxy.url_with_password()});
      origin.wait_for_end();
      heard = proxy.heard();
    }
    std::signal(SIGPIPE, before);
  }
};

}  // namespace

TEST_CASE("Through a proxy, it hears where to and its password, the origin hears the key, and neither what is the other's") {
  const tests::TemporaryFolder folder;
  const std::string trusted = (folder / "ca.pem").string();
  const tests::Certificate authority = make_certificate({.authority = true});
  authority.write(trusted);

  const Visit visit(make_certificate({.names = "DNS:service.test"}, &authority), trusted);

  CAPTURE(visit.outcome.text);
  CHECK(visit.outcome.response.body == "over tls");
  const std::string asked = "CONNECT " + visit.authority + " HTTP/1.1\r\nHost: " + visit.authority +
                            "\r\nProxy-Authorization: Basic " + encoded + "\r\n\r\n";
  if (we_ask) REQUIRE(visit.heard.starts_with(asked));
  for (const std::string& line : {"CONNECT " + visit.authority + " HTTP/1.1\r\n", "Proxy-Authorization: Basic " + encoded + "\r\n"}) CHECK(count_of(visit.heard, line) == 1);
  const std::string tls = visit.heard.substr(visit.heard.find("\r\n\r\n") + 4);
  CHECK(tls.size() > 500);
  CHECK(has(tls, "service.test"));  // its greeting names the origin
  CHECK_FALSE(has(visit.heard, key));
  CHECK_FALSE(has(visit.heard, "over tls"));
  CHECK(has(visit.origin_saw, "Authorization: Bearer " + key));
  CHECK(has(visit.origin_saw, "Host: " + visit.authority));
  CHECK_FALSE(has(rag::detail::lower_ascii(visit.origin_saw), "proxy"));
  CHECK_FALSE(has(visit.origin_saw, encoded));
}

TEST_CASE("Through a proxy, the certificate is held against the origin's name, and against the authorities") {
  const tests::TemporaryFolder folder;
  const std::string trusted = (folder / "ca.pem").string();
  const tests::Certificate authority = make_certificate({.authority = true}), stranger = make_certificate({.authority = true});
  authority.write(trusted);
  struct Case {
    tests::Certificate shown;
    std::string why;
  };
  for (const Case& one : {Case{make_certificate({}, &authority), "the certificate is for another name"},  // the proxy's address is in it
                          Case{make_certificate({.names = "DNS:service.test"}, &stranger), "the certificate is not trusted: unable to get local issuer certificate"}}) {
    CAPTURE(one.why);
    const Visit visit(one.shown, trusted);

    CHECK(visit.outcome.code == rag::Errc::transport);
    CHECK(visit.outcome.text == "HttpsTransport: https://" + visit.authority + ": " + one.why);
    CHECK(visit.origin_saw.empty());
  }
}

TEST_CASE("A proxy that gives no tunnel is named in an Error within the deadline, and nothing that it wrote") {
  const std::string echo = "X-Echo: Basic " + encoded + " user:" + password + "\r\n";
  struct Case {
    std::string what;
    std::function<void(tests::Peer&)> answer;
    rag::Errc code;
    std::string why;
  };
  const auto writes = [](const std::string& bytes) { return [bytes](tests::Peer& peer) { peer.write(bytes), peer.wait_for_close(); }; };
  const auto drips = [](const std::string& head, const std::string& piece, int milliseconds) {
    return [=](tests::Peer& peer) {
      for (peer.write(head); peer.write(piece) && peer.pause(milliseconds);) {
      }
    };
  };
  const std::string lines = "lines of at most 8 KiB and a head of at most 256 KiB wanted, more given";
  for (const Case& one : {
           Case{"407", writes("HTTP/1.1 407 " + encoded + "\r\n" + echo + "\r\n"), rag::Errc::unauthorized, "another user and password wanted (status 407, see HttpsOptions::proxy)"},
           Case{"502", writes(tests::answer(502, "user:" + password, echo)), rag::Errc::transport, "a tunnel wanted, status 502 given"},
           Case{"403", writes("HTTP/1.0 403\r\n\r\n"), rag::Errc::transport, "a tunnel wanted, status 403 given"},
           Case{"a redirect", writes(tests::answer(302, "", "Location: http://127.0.0.1/\r\n")), rag::Errc::transport, "a tunnel wanted, status 302 given"},
           Case{"garbage", writes(encoded + "\r\n\r\n"), rag::Errc::transport, "an answer of HTTP wanted, another thing given"},
           Case{"no status", writes("HTTP/1.1 abc X\r\n\r\n"), rag::Errc::transport, "an answer of HTTP wanted, another thing given"},
           Case{"a blank line", writes("\r\n\r\n"), rag::Errc::transport, "an answer of HTTP wanted, another thing given"},
           Case{"nothing, closed", [](tests::Peer&) {}, rag::Errc::transport, "the connection ended before a whole answer"},
           Case{"half a head", [](tests::Peer& peer) { peer.write("HTTP/1.1 200 X\r\nVia: "); }, rag::Errc::transport, "the connection ended before a whole answer"},
           Case{"a reset", [](tests::Peer& peer) { peer.reset_on_close(); }, rag::Errc::transport, "the connection ended before a whole answer"},
           Case{"a long line", drips("HTTP/1.1 200 ", std::string(4096, 'x'), 0), rag::Errc::transport, lines},
           Case{"a huge head", drips("HTTP/1.1 200 X\r\n", "X: " + std::string(4096, 'x') + "\r\n", 0), rag::Errc::transport, lines},
           Case{"nothing, open", [](tests::Peer& peer) { peer.wait_for_close(); }, rag::Errc::timeout, "no byte for 300 ms"},
           Case{"a slow head", drips("HTTP/1.1 200 X\r\n", "X: x\r\n", 50), rag::Errc::timeout, "no whole answer within 1000 ms"}}) {
    CAPTURE(one.what);
    const Proxy proxy(one.answer);
    const Outcome outcome = try_send(with_key("https://service.test/"), {.deadline = 1000ms, .idle_timeout = 300ms, .proxy = proxy.url_with_password()});

    CHECK(outcome.code == one.code);
    const std::string named = "HttpsTransport: https://service.test: the proxy " + proxy.url() + ": ";
    if (we_ask || has(one.why, "status") || one.code == rag::Errc::timeout) CHECK(outcome.text == named + one.why);
    CHECK(outcome.text.starts_with(named));
    CHECK_FALSE((has(outcome.text, encoded) || has(outcome.text, password)));
    CHECK(outcome.time <= 1100ms);
    CHECK_FALSE(has(proxy.heard(), key));
    CHECK(proxy.server().connections() == 1);
  }
}

TEST_CASE("A proxy that nobody is at is named in the Error; one that gives a tunnel to nowhere is an Error, too") {
  std::string gone;
  { gone = Proxy().url(); }
  const Outcome none = try_send(with_key("https://service.test/"), {.deadline = 2s, .proxy = gone});
  CHECK(none.code == rag::Errc::transport);
  CHECK(none.text == "HttpsTransport: https://service.test: the proxy " + gone + ": no connection can be made");

  const Proxy liar([](tests::Peer& peer) { peer.write("HTTP/1.1 200 X\r\n\r\nHTTP/1.1 200 X\r\nContent-Length: 0\r\n\r\n"); });
  const Outcome lied = try_send(with_key("https://service.test/"), {.deadline = 2s, .proxy = liar.url()});
  CHECK(lied.code == rag::Errc::transport);
  CHECK_FALSE(has(liar.heard(), key));
}

TEST_CASE("A tunnel is kept for the next request, and made anew when its end has closed; the origin's cap holds in it") {
  tests::Server origin(tests::echo);
  tests::Server once(tests::always(tests::answer(200, "one")));
  const Proxy proxy;
  const rag::HttpsTransport transport{{.deadline = 5s, .max_body = 100, .proxy = proxy.url()}};
  const auto at = [](const tests::Server& server) { return "http://service.test:" + std::to_string(server.port()) + "/200"; };

  for (const std::string body : {"a", "b"}) CHECK(transport({.url = at(origin), .body = body}).body == body);
  CHECK(proxy.server().connections() == 1);
  CHECK(count_of(proxy.heard(), "CONNECT ") == 1);
  CHECK_FALSE(has(proxy.heard(), "Proxy-Authorization"));

  for (int i = 0; i < 2; ++i) {
    CHECK(transport({.url = at(once), .method = "GET"}).body == "one");
    once.wait_for_end();
  }
  CHECK(count_of(proxy.heard(), "CONNECT ") == 3);

  const Outcome large = try_send({.url = at(origin), .body = std::string(101, 'x')}, transport);
  CHECK(has(large.text, "an answer of at most 100 bytes wanted"));
}

TEST_CASE("No proxy is asked for what is on this machine, nor for a key over plain http") {
  const tests::TemporaryFolder folder;
  const std::string trusted = (folder / "ca.pem").string();
  const tests::Certificate authority = make_certificate({.authority = true});
  authority.write(trusted);
  tests::Server plain(tests::echo), tls(tests::over_tls(make_certificate({}, &authority)));
  const Proxy proxy;
  const rag::HttpsTransport transport{{.deadline = 5s, .ca_file = trusted, .proxy = proxy.url_with_password()}};

  CHECK(transport(with_key(plain.url("/200"))).body == "over tls");
  CHECK(transport(with_key("http://localhost:" + std::to_string(plain.port()) + "/200")).body == "over tls");
  CHECK(transport(with_key("https://127.0.0.1:" + std::to_string(tls.port()))).body == "over tls");
  CHECK(try_send(with_key("http://service.test:" + std::to_string(plain.port()) + "/200"), transport).code == rag::Errc::invalid_argument);
  CHECK(proxy.server().connections() == 0);
}

TEST_CASE("A proxy's URL that is none is refused when the transport is made, and not told") {
  for (const std::string proxy : {"https://host:3128", "socks5://host:1080", "host:3128", "http://host", "http://host:", "http://host:0", "http://host:65536", "http://host:80x", "http://:80",
                                  "http://host:3128/path", "http://host:3128/?q", "http://host:3128?", "http://host:3128#x", "http://host:3128//", "http://ho st:1", "http://[::1:80", "http://user:hunter2@host",
                                  "http://user:hunter2@", "http://user:hunter2%@host:1", "http://user:hunter2%4@host:1", "http://user:hunter2%zz@host:1", "http://user:hunter2%0a@host:1",
                                  "http://user:hunter2/@host:1", "http://user:hunter2\n@host:1", "http://", "x"}) {
    CAPTURE(proxy);
    std::string text;
    try {
      rag::HttpsTransport{{.proxy = proxy}};
    } catch (const rag::Error& error) {
      CHECK(error.code() == rag::Errc::invalid_argument);
      text = error.what();
    }
    CHECK(text.starts_with("HttpsTransport: HttpsOptions::proxy: "));
    CHECK_FALSE(has(text, "hunter2"));
  }
  for (const std::string proxy : {"http://host:3128", "HTTP://Host:80/", "http://[::1]:3128", "http://user@host:1", "http://us%20er:p@ss:w@host:1"}) {
    CAPTURE(proxy);
    CHECK_NOTHROW(rag::HttpsTransport{{.proxy = proxy}});
  }
}
