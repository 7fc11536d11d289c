// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <rag/document/glob.hpp>

#include <string>

using rag::detail::matches_glob;

TEST_CASE("A glob without a star or a question mark matches itself") {
  CHECK(matches_glob("a/b.md", "a/b.md"));
  CHECK_FALSE(matches_glob("a/b.md", "a/b.m"));
  CHECK_FALSE(matches_glob("a/b.m", "a/b.md"));
  CHECK(matches_glob("", ""));
  CHECK_FALSE(matches_glob("a", ""));
}

TEST_CASE("A star and a question mark stop at a slash") {
  CHECK(matches_glob("b.md", "*.md"));
  CHECK(matches_glob(".md", "*.md"));
  CHECK_FALSE(matches_glob("a/b.md", "*.md"));
  CHECK(matches_glob("a/b.md", "*/*"));
  CHECK(matches_glob("a/b.md", "?/?.??"));
  CHECK_FALSE(matches_glob("a/b", "a?b"));
  CHECK_FALSE(matches_glob("a", "a?"));
  CHECK(matches_glob("文é.md", "??.md"));
  CHECK_FALSE(matches_glob("文é.md", "?.md"));
}

TEST_CASE("Two stars cross slashes, and with a slash after them may be nothing") {
  for (const char* path : {"a.md", "d/a.md", "d/e/a.md"}) {
    CAPTURE(path);
    CHECK(matches_glob(path, "**/*.md"));
    CHECK(matches_glob(path, "**"));
    CHECK(matches_glob(path, "**.md"));
  }
  CHECK(matches_glob("d/a.md", "d/**/a.md"));
  CHECK(matches_glob("d/e/f/a.md", "d/**/a.md"));
  CHECK(matches_glob("d/e/a", "**/e/**"));
  CHECK_FALSE(matches_glob("da.md", "d/**/a.md"));
  CHECK_FALSE(matches_glob("xa.md", "**/a.md"));
  CHECK_FALSE(matches_glob("xa", "x**/a"));
}

TEST_CASE("No pattern takes long") {
  std::string pattern;
  for (int i = 0; i < 100; ++i) pattern += "**/a*";

  CHECK_FALSE(matches_glob(std::string(2000, 'a'), pattern + "b"));
}
