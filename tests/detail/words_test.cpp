// SPDX-License-Identifier: MIT
#include <rag/detail/words.hpp>

#include <doctest/doctest.h>

#include <string>

namespace {

/// The words, stop words in brackets.
std::string words(std::string_view text) {
  std::string result;
  rag::detail::for_each_word(text, [&](std::string_view word, bool stop) {
    if (!result.empty()) result += ' ';
    result += stop ? "(" + std::string(word) + ")" : std::string(word);
  });
  return result;
}

}  // namespace

TEST_CASE("Words are letters and digits, folded") {
  CHECK(words("Hello, WORLD-wide 2.6!") == "hello world wide 2 6");
  CHECK(words("Größe ÉTÉ ети́") == "große ete ети");
  CHECK(words("cafe\u0301 au lait") == "cafe au lait");
  CHECK(words("in\u00ADserted") == "inserted");
  CHECK(words("") == "");
  CHECK(words("\xff a\xff"
              "b \xE6\x95") == "(a) b");
}

TEST_CASE("Stop words are told, and what an apostrophe leaves") {
  CHECK(words("How is the data's copy") == "(how) (is) (the) data (s) copy");
  for (const char* word : {"a", "and", "i", "its", "should", "t", "you", "your"})
    CHECK(rag::detail::is_stop_word(word));
  CHECK(!rag::detail::is_stop_word("data"));
}

TEST_CASE("An English plural loses its s by the three rules") {
  CHECK(words("queries flies") == "query fly");
  CHECK(words("vectors uses indexes") == "vector use indexe");
  CHECK(words("status class gas goes bees") == "status class gas goes bees");
}

TEST_CASE("Text without spaces gives pairs of neighbours, and alone what stands alone") {
  CHECK(words("向量数据") == "向量 量数 数据");
  CHECK(words("用etcd存") == "用 etcd 存");
  CHECK(words("ベクトル") == "ヘク クト トル");
  CHECK(words("데이터") == words("데이터"));
}
