// SPDX-License-Identifier: MIT
// Servers that break the rules, each on a socket of its own: a typed error comes within the deadline and a tenth, and
// nothing else happens. What each means for the caller is in https_test.cpp.
#include <rag/net/https.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "exchange.hpp"
#include "server.hpp"

namespace {

#if defined(__SANITIZE_ADDRESS__)
#define RAG_TESTS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RAG_TESTS_SANITIZED 1
#endif
#endif
#ifdef RAG_TESTS_SANITIZED
constexpr bool tests_are_sanitized = true;
#else
constexpr bool tests_are_sanitized = false;
#endif

using namespace std::chrono_literals;
using tests::Peer;

constexpr std::chrono::milliseconds deadline = 1s;
constexpr std::size_t max_body = std::size_t{1} << 20;

struct Behaviour {
  std::string what;
  std::function<void(Peer&)> act;
  rag::Errc wanted;
  bool counted = false;  // lines end it, where we read them ourselves; else the deadline
};

// HttpsTransport counts the lines that older versions of cpp-httplib read; newer ones limit most of them.
template <class Stream = httplib::Stream>
constexpr bool counts_lines = requires(const Stream& stream) { stream.is_writable(); };

/// Reads the request, then sends the bytes and closes.
std::function<void(Peer&)> sends(std::string bytes) { return tests::always(bytes); }

/// Reads the request, sends the start, then the same again and again until the client is gone.
std::function<void(Peer&)> repeats(std::string start, std::string again, int every_ms = 0) {
  return [=](Peer& peer) {
    peer.read_request();
    bool on = peer.write(start);
    while (on && (every_ms == 0 || peer.pause(every_ms))) on = peer.write(again);
  };
}

/// Reads the request, sends the bytes and waits for the client to give up.
std::function<void(Peer&)> hangs(std::string bytes) {
  return [=](Peer& peer) {
    peer.read_request();
    peer.write(bytes);
    peer.wait_for_close();
  };
}

std::function<void(Peer&)> resets(std::string bytes) {
  return [=](Peer& peer) {
    peer.read_request();
    peer.write(bytes);
    peer.reset_on_close();
  };
}

const std::string ok = "HTTP/1.1 200 X\r\n";
const std::string chunked = ok + "Transfer-Encoding: chunked\r\n\r\n";
const std::string block(65536, 'x');

std::vector<Behaviour> behaviours() {
  using enum rag::Errc;
  const auto many_headers = [](std::size_t count) {
    std::string headers;
    for (std::size_t i = 0; i < count; ++i) headers += "X-" + std::to_string(i) + ": v\r\n";
    return headers;
  };
  const auto dripped = [](const std::string& start) { return repeats(start, "x", 5); };
  return {
      {"closes at once", [](Peer&) {}, transport},
      {"closes after the request", sends(""), transport},
      {"resets after the request", resets(""), transport},
      {"is silent", hangs(""), timeout},
      {"stops in the status line", hangs("HTTP/1."), timeout},
      {"stops in a header", hangs(ok + "X-A: b"), timeout},
      {"stops before the body", hangs(ok + "Content-Length: 5\r\n\r\n"), timeout},
      {"stops in the body", hangs(ok + "Content-Length: 5\r\n\r\nab"), timeout},
      {"stops in a chunk's size", hangs(chunked + "5"), timeout},
      {"stops in a chunk", hangs(chunked + "5\r\nab"), timeout},
      {"stops before the last chunk", hangs(chunked + "2\r\nab\r\n"), timeout},
      {"drips the status line", dripped("H"), timeout},
      {"drips a header", dripped(ok + "X: "), timeout},
      {"drips a body", dripped(ok + "Content-Length: 100000\r\n\r\n"), timeout},
      {"drips a body without length", dripped(ok + "\r\n"), timeout},
      {"drips chunks", repeats(chunked, "1\r\nx\r\n", 5), timeout},
      {"drips a chunk's size", repeats(chunked, "0", 5), timeout},
      {"drips comments of a stream", repeats(ok + "\r\n", ": wait\n\n", 5), timeout},
      {"drips headers", repeats(ok, "X: y\r\n", 20), timeout},
      {"cuts the head", sends(ok + "Content-Le"), transport},
      {"cuts a body with a length", sends(ok + "Content-Length: 10\r\n\r\nhalf"), transport},
      {"cuts a chunk", sends(chunked + "5\r\nhalf"), transport},
      {"cuts before the last chunk", sends(chunked + "4\r\nhalf\r\n"), transport},
      {"resets in the body", resets(ok + "Content-Length: 10\r\n\r\nhalf"), transport},
      {"sends a length that is a word", sends(ok + "Content-Length: abc\r\n\r\nx"), transport},
      {"sends a negative length", sends(ok + "Content-Length: -1\r\n\r\nx"), transport},
      {"sends a length with a sign", sends(ok + "Content-Length: +1\r\n\r\nx"), transport},
      {"sends a length in hexadecimal", sends(ok + "Content-Length: 0x1\r\n\r\nx"), transport},
      {"sends a length beyond 64 bits", sends(ok + "Content-Length: 18446744073709551617\r\n\r\nx"), transport},
      {"sends a length beyond the limit", hangs(ok + "Content-Length: 1048577\r\n\r\n"), transport},
      {"sends two lengths", sends(ok + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx"), transport},
      {"sends two lengths in one line", sends(ok + "Content-Length: 1, 2\r\n\r\nxx"), transport},
      {"sends a chunk of a negative size", sends(chunked + "-2\r\nxx\r\n0\r\n\r\n"), transport},
      {"sends a chunk whose size is a word", sends(chunked + "zz\r\nxx\r\n0\r\n\r\n"), transport},
      {"sends a chunk of a size beyond 64 bits", sends(chunked + "fffffffffffffffff\r\nxx\r\n0\r\n\r\n"), transport},
      {"sends a chunk without its line end", sends(chunked + "2\r\nxxyy0\r\n\r\n"), transport},
      {"sends chunks without an end", repeats(chunked, "10000\r\n" + block + "\r\n"), transport},
      {"sends a body without an end", repeats(ok + "\r\n", block), transport},
      {"sends an error's body without an end", repeats("HTTP/1.1 500 X\r\n\r\n", block), transport},
      {"sends a status line without an end", repeats("HTTP/1.1 200 ", block), transport},
      {"sends a status line of a megabyte", sends("HTTP/1.1 200 " + std::string(1 << 20, 'x') + "\r\nContent-Length: 1\r\n\r\nx"), transport},
      {"sends a chunk's size without an end", repeats(chunked, std::string(65536, '0')), transport},
      {"sends trailers without an end", repeats(chunked + "0\r\n", "X: y\r\n"), transport, true},
      {"sends a header without an end", repeats(ok + "X: ", block), transport},
      {"sends headers without an end", repeats(ok, many_headers(1000)), transport},
      {"sends 5,000 headers", sends(ok + many_headers(5000) + "Content-Length: 1\r\n\r\nx"), transport},
      {"sends a header of a megabyte", sends(ok + "X: " + std::string(1 << 20, 'x') + "\r\n\r\n"), transport},
      {"sends 100 Continue without an end", repeats("", "HTTP/1.1 100 Continue\r\n\r\n"), transport, true},
      {"sends 103 before the answer", sends("HTTP/1.1 103 X\r\n\r\n" + tests::answer(200, "x")), transport},
      {"switches protocols", sends("HTTP/1.1 101 X\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"), transport},
      {"speaks HTTP/2", sends(std::string("\0\0\x12\x04\0\0\0\0\0\0\x03\0\0\0\x7f", 15)), transport},
      {"speaks TLS", sends("\x15\x03\x01\x02\x02\x16"), transport},
      {"speaks nothing known", sends("SSH-2.0-OpenSSH_9\r\n"), transport},
      {"sends garbage", sends("\xff\xfe\x01\r\n\r\n"), transport},
      {"sends a status that is a word", sends("HTTP/1.1 abc X\r\n\r\n"), transport},
      {"sends a status of two digits", sends("HTTP/1.1 20 X\r\n\r\n"), transport},
      {"sends NULs for ever", repeats("", std::string(65536, '\0')), transport},
      {"compresses with gzip", sends(tests::answer(200, "\x1f\x8b\x08", "Content-Encoding: gzip\r\n")), transport},
      {"compresses with deflate", sends(tests::answer(200, "x", "Content-Encoding: deflate\r\n")), transport},
      {"compresses twice", sends(tests::answer(200, "x", "Content-Encoding: identity\r\nContent-Encoding: br\r\n")), transport},
      {"redirects to another origin", sends(tests::answer(307, "", "Location: http://192.0.2.1/\r\n")), transport},
      {"redirects to itself", sends(tests::answer(308, "", "Location: /\r\n")), transport},
      {"redirects to what is no URL", sends(tests::answer(302, "", "Location: javascript:alert(1)\r\n")), transport},
  };
}

tests::Exchanged meet(const Behaviour& one, bool streamed) {
  tests::Server server(one.act);
  const rag::HttpsTransport transport{{.deadline = deadline, .max_body = max_body}};
  const auto receive = [](std::string_view) { return true; };
  rag::Request request{.url = server.url(), .body = "x"};
  if (streamed) request.receive = receive;
  return tests::try_send(request, transport);
}

/// The most memory that this process has held at once, in bytes; 0 where the system does not say.
std::size_t peak_memory() {
  std::ifstream file("/proc/self/status");
  for (std::string line; std::getline(file, line);)
    if (line.starts_with("VmHWM:")) return std::stoul(line.substr(6)) << 10;
  return 0;
}

}  // namespace

TEST_CASE("Each of forty and more hostile servers meets a typed error within the deadline and a tenth, streamed or not") {
  const std::vector<Behaviour> all = behaviours();
  CHECK(all.size() >= 40);
  for (const bool streamed : {false, true}) {
    CAPTURE(streamed);
    std::vector<tests::Exchanged> outcomes(all.size());
    std::atomic<std::size_t> next = 0;
    std::vector<std::thread> threads;
    for (int t = 0; t < 6; ++t)
      threads.emplace_back([&] {
        for (std::size_t i; (i = next++) < all.size();) outcomes[i] = meet(all[i], streamed);
      });
    for (std::thread& thread : threads) thread.join();

    for (std::size_t i = 0; i < all.size(); ++i) {
      CAPTURE(all[i].what);
      CAPTURE(outcomes[i].text);
      CHECK(outcomes[i].failed);
      const rag::Errc wanted = all[i].counted && !counts_lines<> ? rag::Errc::timeout : all[i].wanted;
      CHECK(outcomes[i].code == wanted);
      CHECK(outcomes[i].text.starts_with("HttpsTransport: http://127.0.0.1:"));
      CHECK(outcomes[i].text.size() < 300);
      CHECK(outcomes[i].time <= deadline + deadline / 10);
      if (all[i].wanted == rag::Errc::timeout) CHECK(outcomes[i].time >= deadline - 1ms);
    }
  }
}

TEST_CASE("An endless answer takes no more memory than its limit and 16 MiB") {
  std::ofstream("/proc/self/clear_refs") << '5';  // the peak begins anew
  const std::size_t before = peak_memory();
  for (const Behaviour& one : behaviours())
    if (one.what.find("without an end") != std::string::npos || one.what.find("for ever") != std::string::npos) {
      CAPTURE(one.what);
      CHECK(meet(one, false).failed);
    }
  // Under AddressSanitizer what was freed waits before it is used again.
  const std::size_t spare = std::size_t{tests_are_sanitized ? 512 : 16} << 20;
  CHECK(peak_memory() - before <= max_body + spare);
}
