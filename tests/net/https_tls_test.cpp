// SPDX-License-Identifier: MIT
#include <rag/net/https.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <utility>

#include "../paths.hpp"
#include "exchange.hpp"
#include "server.hpp"

using namespace std::chrono_literals;
using Outcome = tests::Exchanged;
using tests::try_send;

TEST_CASE("A certificate is accepted only from an authority that is trusted, and only for its own name") {
  tests::TemporaryFolder folder;
  const auto make = [&](const std::string& name, const std::string& alternative) {
    const std::string command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=test" +
                                std::string(" -addext subjectAltName=") + alternative + " -keyout " +
                                (folder / (name + ".key")).string() + " -out " + (folder / (name + ".pem")).string() +
                                " 2>/dev/null";
    return std::system(command.c_str()) == 0;
  };
  if (!make("good", "IP:127.0.0.1,DNS:localhost") || !make("wrong", "DNS:example.org")) {
    std::printf("skipped: no openssl command makes a certificate\n");
    return;
  }

  const auto visit = [&](const std::string& name, const std::string& authority) {
    httplib::SSLServer server((folder / (name + ".pem")).c_str(), (folder / (name + ".key")).c_str());
    server.Post("/", [](const httplib::Request& request, httplib::Response& response) { response.body = request.body; });
    server.set_keep_alive_timeout(1);
    const int port = server.bind_to_any_port("127.0.0.1");
    std::thread thread([&] { server.listen_after_bind(); });
    while (!server.is_running()) std::this_thread::sleep_for(1ms);
    const Outcome outcome = try_send({.url = "https://127.0.0.1:" + std::to_string(port) + "/",
                                      .headers = {{"Authorization", "Bearer key"}}, .body = "over tls"},
                                     {.ca_file = authority.empty() ? "" : (folder / authority).string()});
    server.stop();
    thread.join();
    return outcome;
  };

  CHECK(visit("good", "good.pem").response.body == "over tls");
  using Case = std::pair<const char*, const char*>;
  for (const Case& one : {Case{"good", ""}, {"good", "wrong.pem"}, {"wrong", "wrong.pem"}, {"good", "absent.pem"}}) {
    CAPTURE(one.first);
    CAPTURE(one.second);
    CHECK(visit(one.first, one.second).code == rag::Errc::transport);
  }
}

TEST_CASE("TLS spoken to a server that speaks none is a transport error") {
  tests::Server server([](tests::Peer& peer) { peer.write("HTTP/1.1 400 X\r\n\r\n"); });

  const Outcome outcome = try_send({.url = "https://127.0.0.1:" + std::to_string(server.port())});

  CHECK(outcome.code == rag::Errc::transport);
}

