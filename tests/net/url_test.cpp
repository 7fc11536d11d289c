// SPDX-License-Identifier: MIT
#include <rag/net/url.hpp>

#include <doctest/doctest.h>

#include <string>

TEST_CASE("A URL comes apart into scheme, host, port and target") {
  using rag::parse_url;
  using rag::Url;

  CHECK(parse_url("https://openrouter.ai/api/v1") == Url{"https", "openrouter.ai", 443, "/api/v1"});
  CHECK(parse_url("http://localhost:11434") == Url{"http", "localhost", 11434, "/"});
  CHECK(parse_url("HTTPS://Example.ORG:443/A?b=C%20/d:8@e") == Url{"https", "example.org", 443, "/A?b=C%20/d:8@e"});
  CHECK(parse_url("http://[::1]:80/x") == Url{"http", "::1", 80, "/x"});
  CHECK(parse_url("http://[FE80::a]") == Url{"http", "fe80::a", 80, "/"});
  CHECK(parse_url("http://a?q") == Url{"http", "a", 80, "/?q"});
  CHECK(parse_url("http://a_b-c.d:65535/") == Url{"http", "a_b-c.d", 65535, "/"});
}

TEST_CASE("An origin names scheme, host and an unusual port") {
  CHECK(rag::parse_url("https://a:443/x?y").origin() == "https://a");
  CHECK(rag::parse_url("http://a:443/x").origin() == "http://a:443");
  CHECK(rag::parse_url("http://[::1]:8080").origin() == "http://[::1]:8080");
  CHECK(rag::parse_url("https://[::1]").authority() == "[::1]");
}

TEST_CASE("What is not plainly an http URL is refused, and never shown") {
  for (const std::string text :
       {"", "a", "//a", "://a", "ftp://a", "https:/a", "http://", "http:///x", "http://:80", "http://a:", "http://a:0",
        "http://a:65536", "http://a:-1", "http://a:8x", "http://a:80:80", "http://secret@a", "http://u:secret@a/",
        "http://a/#secret", "http://a\\@b", "http://a/\\b", "http://a b", "http://a/ b", "http://a\n", "http://a/\x7f",
        "http://\xc3\xa9.org", "http://a/\xc3\xa9", "http://[::1", "http://[]", "http://[1.2.3.4]", "http://[::1]x",
        "http://[::g]", "http://a,b", "http://a%41", "http://a<b>", " http://a"}) {
    CAPTURE(text);
    rag::Errc code{};
    std::string words;
    try {
      rag::parse_url(text, "Who");
    } catch (const rag::Error& error) {
      code = error.code();
      words = error.what();
    }
    CHECK(code == rag::Errc::invalid_argument);
    CHECK(words.starts_with("Who: "));
    CHECK(words.find("secret") == std::string::npos);
  }
  CHECK_THROWS_AS(rag::parse_url(std::string("http://a\0b", 10)), rag::Error);
  CHECK_THROWS_AS(rag::parse_url("http://" + std::string(254, 'a')), rag::Error);
}

TEST_CASE("Only this machine is loopback, whatever a name looks like") {
  for (const std::string host : {"localhost", "::1", "127.0.0.1", "127.1.2.3", "127.255.255.255"}) {
    CAPTURE(host);
    CHECK(rag::is_loopback(host));
  }
  for (const std::string host : {"", "127", "127.1", "127.0.0.256", "127.0.0.1.", "127.0.0.1.example.org", "127.0.0.a", "128.0.0.1",
                                 "0127.0.0.1", "127.0.0.01", "127.00.0.1",  // octal: the first is 87.0.0.1
                                 "0.0.0.0", "1.127.0.0", "localhost.example.org", "mylocalhost", "::2", "::127.0.0.1", "127...1",
                                 "127.0.0.99999999999999999999"}) {
    CAPTURE(host);
    CHECK_FALSE(rag::is_loopback(host));
  }
}
