// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_LAWS_TRANSPORT_HPP
#define RAG_TESTS_LAWS_TRANSPORT_HPP
#include <doctest/doctest.h>

#include <rag/concepts.hpp>

#include <algorithm>
#include <string>
#include <string_view>

namespace laws {

/// `echo` is the address of a server that answers POST {echo}/{status} with that status, the body of the request,
/// and the header X-Method: POST.
template <rag::Transport T>
void check_transport(T& transport, const std::string& echo) {
  std::string every_byte;
  for (int byte = 0; byte < 256; ++byte) every_byte += static_cast<char>(byte);

  for (const int status : {200, 201, 400, 401, 404, 429, 500, 503, 529}) {
    CAPTURE(status);
    const rag::Response response = transport({.url = echo + '/' + std::to_string(status), .body = every_byte});

    CHECK(response.status == status);
    CHECK(response.body == every_byte);
    const auto is_method = [](const auto& header) { return header.first == "X-Method" && header.second == "POST"; };
    CHECK(std::any_of(response.headers.begin(), response.headers.end(), is_method));
  }

  std::string received;
  const auto receive = [&](std::string_view piece) { received += piece; };
  const std::string large(100'000, 'x');
  const rag::Response streamed = transport({.url = echo + "/200", .body = large, .receive = receive});
  CHECK(received == large);
  CHECK(streamed.body.empty());

  received.clear();
  const rag::Response failed = transport({.url = echo + "/500", .body = "why", .receive = receive});
  CHECK(received.empty());
  CHECK(failed.body == "why");

  const auto refuse = [](std::string_view) { return false; };
  rag::Errc code{};
  try {
    transport({.url = echo + "/200", .body = "x", .receive = refuse});
  } catch (const rag::Error& error) {
    code = error.code();
  }
  CHECK(code == rag::Errc::cancelled);
}

}  // namespace laws

#endif
