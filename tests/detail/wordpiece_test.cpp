// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <rag/detail/wordpiece_folder.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "paths.hpp"

using rag::Errc;
using rag::detail::SpecialTokens;
using rag::detail::WordPiece;

namespace {

using Ids = std::vector<std::int32_t>;

// The lines of a vocab.txt, so that an id is a place in the list.
const std::vector<std::string> tokens = {
    "[PAD]", "[UNK]",  "[CLS]",    "[SEP]",    "[MASK]", "un",       "##aff", "##able", "hello",
    "world", "!",      "##s",      "a",        "##a",    "istanbul", "cafe",  "中",     "文",
    "😀",     "\u1112", "##\u1161", "##\u11ab", "שלום",   "[",        "]",     "sep",    ",",
    "un##",  "x",      "##\u08d4", "##\u302e", "##中",   "-"};

std::string lines(const std::vector<std::string>& list) {
  std::string text;
  for (const std::string& token : list) text += token + "\n";
  return text;
}

const WordPiece& pieces() {
  static const WordPiece made(lines(tokens));
  return made;
}

// The tokens of a text, joined by blanks.
std::string cut(std::string_view text) {
  std::string joined;
  for (const std::int32_t id : pieces().encode(text))
    joined += (joined.empty() ? "" : " ") + tokens[static_cast<std::size_t>(id)];
  return joined;
}

template <class Call>
Errc code_of(Call call) {
  try {
    call();
  } catch (const rag::Error& error) {
    return error.code();
  }
  return Errc::cancelled;
}

Errc code_of_vocabulary(const std::string& text) {
  return code_of([&] { WordPiece made(text); });
}

void write(const std::filesystem::path& path, std::string_view text) {
  std::ofstream(path, std::ios::binary) << text;
}

}  // namespace

TEST_CASE("A word is cut into the longest tokens from the left") {
  CHECK(cut("unaffable") == "un ##aff ##able");
  CHECK(cut("hello worlds!") == "hello world ##s !");
  CHECK(cut("aaa a") == "a ##a ##a a");
  CHECK(pieces().encode("unaffable") == Ids{5, 6, 7});
}

TEST_CASE("A word with a part that is no token is unknown as a whole") {
  CHECK(cut("unaffably") == "[UNK]");
  CHECK(cut("hello xyz world") == "hello [UNK] world");
  CHECK(cut("able") == "[UNK]");  // only ##able is there
}

TEST_CASE("Case and accents make no difference") {
  CHECK(cut("HELLO Café CAFE\u0301 İstanbul") == "hello cafe cafe istanbul");
}

TEST_CASE("Punctuation and Chinese characters stand alone") {
  CHECK(cut("hello,world!!") == "hello , world ! !");
  CHECK(cut("a中文a") == "a 中 文 a");
  CHECK(cut("a。a") == "a [UNK] a");
  CHECK(cut("##s") == "[UNK] [UNK] [UNK]");
}

TEST_CASE("Hangul is cut by its letters, an emoji is a word, a joiner is nothing") {
  CHECK(cut("한") == "\u1112 ##\u1161 ##\u11ab");
  CHECK(cut("😀 😀") == "😀 😀");
  CHECK(cut("😀\u200D") == "😀");
  CHECK(cut("\u202Bשָׁלוֹם\u202C") == "שלום");
}

TEST_CASE("Nonstarters come in canonical order") {
  CHECK(cut("x\u08D4\u302E") == "x ##\u302e ##\u08d4");
  CHECK(cut("x\u302E\u08D4") == "x ##\u302e ##\u08d4");
}

TEST_CASE("Text without a word gives no ids") {
  CHECK(cut("") == "");
  CHECK(cut(" \t\r\n\u00A0\u3000") == "");
  CHECK(cut("\uFEFF\u200B\u00AD\u0301") == "");
  CHECK(cut(std::string_view("\0\x01\x7F", 3)) == "");
  CHECK(cut("\xFF\xC3\xE2\x82") == "");
}

TEST_CASE("Any white space ends a word; what is thrown away does not") {
  CHECK(cut("hello\tworld\nhello\u2003world\u3000a") == "hello world hello world a");
  CHECK(cut("hel\u200Dlo wor\xFFld he\u0085llo") == "hello world hello");
  CHECK(cut("\uFEFFhello") == "hello");
}

TEST_CASE("A word of 100 characters is cut, one of 101 is unknown") {
  const std::string hundred(100, 'a');

  CHECK(pieces().count(hundred) == 100);
  CHECK(cut(hundred + "a") == "[UNK]");
  CHECK(cut(hundred + " a") == cut(hundred) + " a");
  CHECK(cut(std::string(1 << 20, 'a')) == "[UNK]");
  std::string accents;
  for (int i = 0; i < 100; ++i) accents += "a\u0301\u0301";
  CHECK(pieces().count(accents) == 100);  // counted after folding
}

TEST_CASE("A special token in a text is itself, as it is written and nowhere else") {
  CHECK(cut("hello [SEP]world[MASK]") == "hello [SEP] world [MASK]");
  CHECK(cut("un[SEP]able") == "un [SEP] [UNK]");  // it ends a word
  CHECK(cut("[sep]") == "[ sep ]");
  CHECK(cut("[SEP") == "[ sep");
  CHECK(cut("[[SEP]]") == "[ [SEP] ]");
  CHECK(cut("[PAD][UNK][CLS]") == "[PAD] [UNK] [CLS]");
}

TEST_CASE("Of special tokens that begin alike the longest is taken") {
  const WordPiece made("<s>\n<s>x\n<u>\n<c>\nx\n",
                       {.pad = "<c>", .unk = "<u>", .cls = "<s>", .sep = "<s>x", .mask = "no"});

  CHECK(made.encode("<s>x <s> x") == Ids{1, 0, 4});
}

TEST_CASE("A limit gives the head of all ids and says whether there are more") {
  const std::string text = "unaffable hello [SEP] worlds !";
  const Ids all = pieces().encode(text);
  REQUIRE(all.size() == 8);

  for (std::size_t limit = 0; limit <= all.size() + 1; ++limit) {
    CAPTURE(limit);
    Ids ids = {77};
    const bool whole = pieces().encode(text, ids, limit);
    Ids expected = {77};
    expected.insert(expected.end(), all.begin(),
                    all.begin() + static_cast<std::ptrdiff_t>(std::min(limit, all.size())));
    CHECK(ids == expected);
    CHECK(whole == (limit >= all.size()));
  }
  Ids none;
  CHECK(pieces().encode("", none, 0));
  CHECK(pieces().encode(" \u0301", none, 0));
}

TEST_CASE("Cut at every byte a text still gives ids, and as many as are counted") {
  const std::string text = "Hello, 中文 한 😀 e\u0301 [SEP] x\u08D4\u302E\uFEFF!";
  for (std::size_t at = 0; at <= text.size(); ++at) {
    CAPTURE(at);
    CHECK(pieces().encode(text.substr(0, at)).size() == pieces().count(text.substr(0, at)));
    CHECK(pieces().encode(text.substr(at)).size() == pieces().count(text.substr(at)));
  }
}

TEST_CASE("The vocabulary's own numbers are told") {
  CHECK(pieces().pad() == 0);
  CHECK(pieces().unk() == 1);
  CHECK(pieces().cls() == 2);
  CHECK(pieces().sep() == 3);
  CHECK(pieces().size() == tokens.size());
}

TEST_CASE("A vocabulary may end without a newline, and its lines with a carriage return") {
  const WordPiece made("[PAD]\r\n[UNK]\r\n[CLS]\r\n[SEP]\r\nhello");

  CHECK(made.encode("hello") == Ids{4});
  CHECK(made.size() == 5);
}

TEST_CASE("A malformed vocabulary is refused") {
  const std::string good = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n";
  CHECK(code_of_vocabulary(good) == Errc::cancelled);

  CHECK(code_of_vocabulary("") == Errc::invalid_format);
  CHECK(code_of_vocabulary("\n") == Errc::invalid_format);
  CHECK(code_of_vocabulary(good + "\nx\n") == Errc::invalid_format);
  CHECK(code_of_vocabulary(good + "\r\n") == Errc::invalid_format);
  CHECK(code_of_vocabulary(good + "x\ny\nx\n") == Errc::invalid_format);
  CHECK(code_of_vocabulary(good + "\xFF\n") == Errc::invalid_format);
  CHECK(code_of_vocabulary(good + std::string(1025, 'x')) == Errc::invalid_format);
  CHECK(code_of_vocabulary(good + std::string(1024, 'x')) == Errc::cancelled);
  for (const char* token : {"[PAD]", "[UNK]", "[CLS]", "[SEP]"}) {
    CAPTURE(token);
    std::string without = good;
    without.replace(without.find(token), 5, "other");
    CHECK(code_of_vocabulary(without) == Errc::invalid_format);
  }
}

TEST_CASE("A copy and a moved tokenizer stand on their own") {
  auto* first = new WordPiece(lines(tokens));
  WordPiece copy = *first;
  delete first;
  const WordPiece moved = std::move(copy);

  CHECK(moved.encode("unaffable") == Ids{5, 6, 7});
}

TEST_CASE("A folder needs a vocab.txt or a tokenizer.json, and no more") {
  const tests::TemporaryFolder folder;
  const std::string path = folder.path().string();
  CHECK(code_of([&] { WordPiece::from_folder(path); }) == Errc::not_found);

  write(folder / "tokenizer.json",
        R"({"model":{"type":"WordPiece","vocab":{"[SEP]":3,"[CLS]":2,"[UNK]":1,"hello":4,"[PAD]":0}}})");
  CHECK(WordPiece::from_folder(path).encode("Hello [MASK]").front() == 4);

  write(folder / "vocab.txt", lines(tokens));
  CHECK(WordPiece::from_folder(path).encode("unaffable") == Ids{5, 6, 7});
}

TEST_CASE("The special tokens of tokenizer_config.json are taken, texts or objects") {
  const tests::TemporaryFolder folder;
  write(folder / "vocab.txt", "<p>\n<u>\n<c>\n<s>\n");
  write(
      folder / "tokenizer_config.json",
      R"({"pad_token":"<p>","unk_token":{"content":"<u>"},"cls_token":"<c>","sep_token":"<s>","mask_token":null,
            "strip_accents":null,"do_lower_case":true,"added_tokens_decoder":{"0":{"content":"<p>"}}})");

  const WordPiece made = WordPiece::from_folder(folder.path().string());

  CHECK(made.sep() == 3);
  CHECK(made.encode("nothing<s>") == Ids{1, 3});
}

TEST_CASE("A tokenizer of another kind, or files that are none, are refused") {
  const tests::TemporaryFolder folder;
  const auto code = [&](const char* name, std::string_view text) {
    write(folder / name, text);
    return code_of([&] { WordPiece::from_folder(folder.path().string()); });
  };
  CHECK(code("tokenizer.json", "") == Errc::invalid_format);
  CHECK(code("tokenizer.json", "[]") == Errc::invalid_format);
  CHECK(code("tokenizer.json", R"({"model":[]})") == Errc::invalid_format);
  CHECK(code("tokenizer.json", R"({"model":{"vocab":[]}})") == Errc::invalid_format);
  CHECK(code("tokenizer.json", R"({"model":{"vocab":{}}})") == Errc::invalid_format);
  CHECK(code("tokenizer.json", R"({"model":{"vocab":{"a":1}}})") == Errc::invalid_format);
  CHECK(code("tokenizer.json", R"({"model":{"vocab":{"a":0,"b":0}}})") == Errc::invalid_format);
  CHECK(code("tokenizer.json", R"({"model":{"vocab":{"a":-1}}})") == Errc::invalid_format);
  CHECK(code("tokenizer.json", R"({"model":{"vocab":{"a":"0"}}})") == Errc::invalid_format);
  CHECK(code("tokenizer.json", R"({"model":{"vocab":{"a\nb":0}}})") == Errc::invalid_format);
  CHECK(code("tokenizer.json", R"({"model":{"type":"BPE","vocab":{"a":0}}})") == Errc::unsupported);
  CHECK(code("tokenizer.json", R"({"model":{"type":1,"vocab":{"a":0}}})") == Errc::unsupported);
  CHECK(code("vocab.txt", lines(tokens)) == Errc::cancelled);
  CHECK(code("tokenizer_config.json", "") == Errc::invalid_format);
  CHECK(code("tokenizer_config.json", "null") == Errc::invalid_format);
  CHECK(code("tokenizer_config.json", R"({"pad_token":7})") == Errc::invalid_format);
  CHECK(code("tokenizer_config.json", R"({"pad_token":{"content":[]}})") == Errc::invalid_format);
  CHECK(code("tokenizer_config.json", R"({"pad_token":"other"})") == Errc::invalid_format);
  CHECK(code("tokenizer_config.json", R"({"do_lower_case":false})") == Errc::unsupported);
  CHECK(code("tokenizer_config.json", R"({"strip_accents":false})") == Errc::unsupported);
  CHECK(code("tokenizer_config.json", R"({"tokenize_chinese_chars":false})") == Errc::unsupported);
  CHECK(code("tokenizer_config.json", R"({"added_tokens_decoder":{"9":{"content":"<new>"}}})") ==
        Errc::unsupported);
  CHECK(code("tokenizer_config.json", R"({"added_tokens_decoder":7})") == Errc::invalid_format);
  CHECK(code("tokenizer_config.json", "{}") == Errc::cancelled);
}

TEST_CASE("The model's own tokenizer gives the ids that are known of it") {
  const std::filesystem::path model = tests::model_folder();
  if (tests::skip_without(model)) return;

  const WordPiece bert = WordPiece::from_folder(model.string());

  CHECK(bert.size() == 30522);
  CHECK(bert.cls() == 101);
  CHECK(bert.sep() == 102);
  CHECK(bert.encode("How is data stored in milvus?") ==
        Ids{2129, 2003, 2951, 8250, 1999, 23689, 27500, 1029});
  CHECK(bert.encode("[SEP]") == Ids{102});
}
