// SPDX-License-Identifier: MIT
#include <rag/net/https.hpp>

#include <doctest/doctest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "../paths.hpp"
#include "certificates.hpp"
#include "exchange.hpp"
#include "server.hpp"

namespace {

using Outcome = tests::Exchanged;
using tests::make_certificate;
using tests::try_send;

/// What comes of a visit to a server that shows this certificate, where that authority is trusted.
Outcome visit(const tests::Certificate& shown, const std::string& ca_file, const std::string& host = "127.0.0.1", int newest = TLS1_3_VERSION) {
  const auto before = std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to a client that has gone
  Outcome outcome;
  {
    tests::Server server(tests::over_tls(shown, newest));
    outcome = try_send({.url = "https://" + host + ":" + std::to_string(server.port()) + "/", .headers = {{"Authorization", "Bearer key"}}, .body = "over tls"},
                       {.ca_file = ca_file});
  }
  std::signal(SIGPIPE, before);
  return outcome;
}

bool ends_with(const Outcome& outcome, const std::string& end) { return outcome.failed && outcome.text.ends_with(end); }

}  // namespace

TEST_CASE("A certificate is accepted from an authority that is trusted, for its own name, in its time; any other error says why") {
  const tests::TemporaryFolder folder;
  const std::string trusted = (folder / "ca.pem").string(), other = (folder / "other.pem").string();
  const tests::Certificate authority = make_certificate({.authority = true}), stranger = make_certificate({.authority = true});
  authority.write(trusted);
  stranger.write(other);
  const tests::Certificate good = make_certificate({}, &authority);

  CHECK(visit(good, trusted).response.body == "over tls");
  CHECK(visit(good, trusted, "localhost").response.body == "over tls");
  CHECK(visit(make_certificate({.rsa_bits = 2048}, &authority), trusted).response.body == "over tls");

  struct Case {
    std::string what;
    tests::Certificate shown;
    std::string ca_file, why;
  };
  for (const Case& one : {Case{"another name", make_certificate({.names = "DNS:example.org"}, &authority), trusted, "the certificate is for another name"},
                          Case{"another address", make_certificate({.names = "IP:127.0.0.2,DNS:127.0.0.1.example.org"}, &authority), trusted, "the certificate is for another name"},
                          Case{"expired", make_certificate({.begins = -7200, .ends = -60}, &authority), trusted, "not trusted: certificate has expired"},
                          Case{"not yet valid", make_certificate({.begins = 3600, .ends = 7200}, &authority), trusted, "not trusted: certificate is not yet valid"},
                          Case{"signed by itself", make_certificate({}), trusted, "not trusted: self-signed certificate"},
                          Case{"of an unknown authority", make_certificate({}, &stranger), trusted, "not trusted: unable to get local issuer certificate"},
                          Case{"of an authority the system does not know", good, "", "not trusted: unable to get local issuer certificate"},
                          Case{"of the authority that another file names", good, other, "not trusted: unable to get local issuer certificate"},
                          Case{"a weak key", make_certificate({.rsa_bits = 1024}, &authority), trusted, "not trusted: EE certificate key too weak"},
                          Case{"no authorities", good, (folder / "absent.pem").string(), "absent.pem' (HttpsOptions::ca_file)"}}) {
    CAPTURE(one.what);
    const Outcome outcome = visit(one.shown, one.ca_file);
    CAPTURE(outcome.text);
    CHECK(outcome.code == rag::Errc::transport);
    CHECK(ends_with(outcome, one.why));
    CHECK(outcome.text.starts_with("HttpsTransport: https://127.0.0.1:"));
  }
}

TEST_CASE("TLS before 1.2 is not spoken") {
  const tests::TemporaryFolder folder;
  const std::string trusted = (folder / "ca.pem").string();
  const tests::Certificate authority = make_certificate({.authority = true});
  authority.write(trusted);
  const tests::Certificate good = make_certificate({}, &authority);

  CHECK(visit(good, trusted, "127.0.0.1", TLS1_2_VERSION).response.body == "over tls");
  for (const int newest : {TLS1_VERSION, TLS1_1_VERSION}) CHECK(visit(good, trusted, "127.0.0.1", newest).code == rag::Errc::transport);
}

TEST_CASE("A system that is set to weaker keys and older TLS changes nothing of that") {
  const tests::TemporaryFolder folder;
  const std::string settings = (folder / "openssl.cnf").string(), log = (folder / "log").string();
  std::ofstream(settings) << "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = weak\n[weak]\n"
                             "CipherString = DEFAULT@SECLEVEL=0\nMinProtocol = TLSv1\n";
  const std::string self = std::filesystem::read_symlink("/proc/self/exe").string();
  const std::string command = "OPENSSL_CONF='" + settings + "' '" + self +
                              "' --test-case='A certificate is accepted*,TLS before*' >'" + log + "' 2>&1";

  CHECK(std::system(command.c_str()) == 0);

  std::ifstream file(log);
  const std::string printed{std::istreambuf_iterator<char>(file), {}};
  CAPTURE(printed);
  CHECK(printed.find("2 passed") != std::string::npos);
}

TEST_CASE("TLS spoken to a server that speaks none is a transport error") {
  tests::Server server([](tests::Peer& peer) { peer.write("HTTP/1.1 400 X\r\n\r\n"); });

  const Outcome outcome = try_send({.url = "https://127.0.0.1:" + std::to_string(server.port())});

  CHECK(outcome.code == rag::Errc::transport);
}
