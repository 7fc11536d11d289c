// SPDX-License-Identifier: MIT
// A URL: what is taken comes apart into parts that make the same URL again, and that no other reader takes for another host.
#include <rag/net/http.hpp>

#include "fuzz.hpp"

#include <cstdlib>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto require = [](bool holds) {
    if (!holds) std::abort();
  };
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  return fuzz::read_or_refuse([&] {
    const rag::Url url = rag::parse_url(text);
    require(url.scheme == "http" || url.scheme == "https");
    require(url.port >= 1 && url.port <= 65535);
    require(url.target.starts_with('/') && rag::detail::is_field_value(url.target) && url.target.find_first_of(" #\\") == std::string::npos);
    require(!url.host.empty() && url.host.find_first_of("@/?#\\ []%") == std::string::npos);
    require(rag::parse_url(url.origin() + url.target) == url);
    require(rag::detail::lower_ascii(text).find(url.host) != std::string::npos);
    if (rag::is_loopback(url.host)) require(url.host == "localhost" || url.host == "::1" || url.host.starts_with("127."));
    const rag::Request request{.url = std::string(text), .headers = {{"Authorization", "Bearer key"}}};
    try {
      rag::detail::check_request(request, url, "fuzz");
      require(url.scheme == "https" || rag::is_loopback(url.host));
    } catch (const rag::Error&) {
      require(url.scheme == "http" && !rag::is_loopback(url.host));
    }
  });
}
