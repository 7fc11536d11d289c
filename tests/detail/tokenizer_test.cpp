// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <rag/detail/tokenizer.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "paths.hpp"

using rag::Errc;
using rag::detail::Tokenizer;

namespace {

using Ids = std::vector<std::int32_t>;

void write(const std::filesystem::path& path, std::string_view text) { std::ofstream(path, std::ios::binary) << text; }

Tokenizer made(const std::string& json) {
  const tests::TemporaryFolder folder;
  write(folder / "tokenizer.json", json);
  return Tokenizer::from_folder(folder.path().string(), "test");
}

struct Refusal {
  Errc code;
  std::string text;
};
template <class Call>
Refusal refusal(Call call) {
  try {
    call();
  } catch (const rag::Error& error) {
    return {error.code(), error.what()};
  }
  return {Errc::cancelled, ""};
}

// A tokenizer.json with the parts that are given; null for the others.
std::string json(const std::string& model, const std::string& normalizer = "null", const std::string& cut = "null",
                 const std::string& around = "null", const std::string& added = "[]") {
  return R"({"added_tokens":)" + added + R"(,"normalizer":)" + normalizer + R"(,"pre_tokenizer":)" + cut +
         R"(,"post_processor":)" + around + R"(,"model":)" + model + "}";
}

// A model that gives the bytes of what the steps before it made; a word ends with '|'.
std::string echo() {
  std::string vocabulary = R"("<unk>":256)";
  char entry[32];
  for (int byte = 0; byte < 256; ++byte) {
    std::snprintf(entry, sizeof entry, ",\"<0x%02X>\":%d", static_cast<unsigned>(byte), byte);
    vocabulary += entry;
  }
  return R"({"type":"BPE","byte_fallback":true,"end_of_word_suffix":"|","vocab":{)" + vocabulary + R"(},"merges":[]})";
}

std::string text_of(const Ids& ids) {
  std::string text;
  for (const std::int32_t id : ids)
    text +=
        id < 256 ? std::string(1, static_cast<char>(static_cast<unsigned char>(id))) : "<" + std::to_string(id) + ">";
  return text;
}

Ids ids_of(const Tokenizer& tokenizer, std::string_view text) {
  Ids ids;
  CHECK(tokenizer.encode(text, ids, ~std::size_t{0}));
  CHECK(tokenizer.count(text) == ids.size());
  return ids;
}

std::string normal(const std::string& step, std::string_view text) {
  return text_of(ids_of(made(json(echo(), step)), text));
}
std::string words(const std::string& step, std::string_view text) {
  return text_of(ids_of(made(json(echo(), "null", step)), text));
}

const std::string unigram =
    R"({"type":"Unigram","unk_id":0,"vocab":[["<unk>",0],["a",-2],["b",-2.5],["ab",-3],["▁",-1],["▁ab",-2],["c",-9]]})";
const std::string metaspace = R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true})";
const std::string around = R"({"type":"BertProcessing","cls":["c",6],"sep":["b",2]})";

}  // namespace

TEST_CASE("Each normalizer of a tokenizer.json does what its name says") {
  CHECK(normal("null", "É x") == "É x|");
  CHECK(normal(R"({"type":"NFC"})", "e\u0301 ﬁ \u1112\u1161\u11ab") == "é ﬁ 한|");
  CHECK(normal(R"({"type":"NFD"})", "é ﬁ 한") == "e\u0301 ﬁ \u1112\u1161\u11ab|");
  CHECK(normal(R"({"type":"NFKC"})", "e\u0301 ﬁ Ａ") == "é fi A|");
  CHECK(normal(R"({"type":"NFKD"})", "é ﬁ") == "e\u0301 fi|");
  CHECK(normal(R"({"type":"NFC"})", "a\u0301\u0316 \u0958") == "\u00e1\u0316 \u0915\u093c|");
  CHECK(normal(R"({"type":"Lowercase"})", "ÀΣ İ") == "àσ i\u0307|");
  CHECK(normal(R"({"type":"StripAccents"})", "e\u0301é") == "eé|");
  CHECK(normal(R"({"type":"Strip","strip_left":true,"strip_right":false})", " \u3000a ") == "a |");
  CHECK(normal(R"({"type":"Strip","strip_left":false,"strip_right":true})", " a \n") == " a|");
  CHECK(normal(R"({"type":"Nmt"})", "a\u200b\x01z\t") == "a z |");
  CHECK(normal(R"({"type":"Prepend","prepend":"_"})", "a") == "_a|");
  CHECK(normal(R"({"type":"Replace","pattern":{"String":"``"},"content":"\""})", "``a```") == "\"a\"`|");
  CHECK(normal(R"({"type":"Replace","pattern":{"Regex":" {2,}"},"content":"_"})", "a b  c   d") == "a b_c_d|");
  CHECK(normal(R"({"type":"Sequence","normalizers":[{"type":"NFD"},{"type":"StripAccents"},{"type":"Lowercase"}]})",
               "É") == "e|");
}

TEST_CASE("The four switches of BertNormalizer are independent, and accents follow the case where they are not given") {
  const auto bert = [](const char* clean, const char* chinese, const char* accents, const char* lower) {
    return std::string(R"({"type":"BertNormalizer","clean_text":)") + clean + R"(,"handle_chinese_chars":)" + chinese +
           R"(,"strip_accents":)" + accents + R"(,"lowercase":)" + lower + "}";
  };
  CHECK(normal(bert("true", "true", "null", "true"), "É中\x01\t") == "e 中  |");
  CHECK(normal(bert("true", "false", "null", "false"), "É中\t") == "É中 |");
  CHECK(normal(bert("false", "false", "true", "false"), "É\t") == "E\t|");
  CHECK(normal(bert("false", "false", "false", "true"), "É") == "é|");
}

TEST_CASE("Each way to cut words does what its name says") {
  CHECK(words(R"({"type":"BertPreTokenizer"})", " a,b  c ") == "a|,|b|c|");
  CHECK(words(R"({"type":"WhitespaceSplit"})", " a,b\u3000c ") == "a,b|c|");
  CHECK(words(R"({"type":"Whitespace"})", "a,.b c") == "a|,.|b|c|");
  CHECK(words(R"({"type":"Punctuation","behavior":"Isolated"})", "a,. b") == "a|,|.| b|");
  CHECK(words(metaspace, "a b  c") == "▁a|▁b|▁|▁c|");
  CHECK(words(metaspace, " a") == "▁a|");
  CHECK(words(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"never","split":true})", "a b") == "a|_b|");
  CHECK(words(R"({"type":"Metaspace","replacement":"_","add_prefix_space":false})", "a b") == "a|_b|");
  CHECK(words(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"always","split":false})", "a b") == "_a_b|");
  CHECK(
      words(
          R"({"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Metaspace","replacement":"_","prepend_scheme":"first"}]})",
          "a b") == "_a|b|");
}

TEST_CASE("A byte that is not UTF-8 counts as U+FFFD, as Python decodes it") {
  CHECK(normal("null", "a\xFF") == "a\uFFFD|");
  CHECK(normal("null", "\xE2\x82 \xF0\x9F\x98") == "\uFFFD \uFFFD|");
  CHECK(normal("null", "\xED\xA0\x80\xC0\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD|");
  CHECK(normal("null", "\xF4\x90\x80\xE0\x80") == "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD|");
}

TEST_CASE("Unigram takes the pieces whose scores sum up to the most") {
  const Tokenizer tokenizer = made(json(unigram, "null", metaspace));

  CHECK(ids_of(tokenizer, "ab") == Ids{5});
  CHECK(ids_of(tokenizer, "abab") == Ids{5, 3});
  CHECK(ids_of(tokenizer, "ba ab") == Ids{4, 2, 1, 5});
  CHECK(ids_of(tokenizer, "xyz a") == Ids{4, 0, 4, 1});  // unknown characters side by side are one
  CHECK(ids_of(tokenizer, "") == Ids{});
  CHECK(tokenizer.special_count() == 0);
  CHECK(tokenizer.size() == 7);
}

TEST_CASE("BPE merges the best pair first, and of equal ones the leftmost") {
  const std::string model =
      R"({"type":"BPE","unk_token":"?","fuse_unk":FUSE,"vocab":{"?":0,"a":1,"b":2,"ab":3,"aa":4,"aab":5},"merges":["a b",["a","a"],"a ab"]})";
  const auto with = [&](const char* fuse) {
    return made(json(std::string(model).replace(model.find("FUSE"), 4, fuse)));
  };

  CHECK(ids_of(with("true"), "aab") == Ids{5});
  CHECK(ids_of(with("true"), "aaa") == Ids{4, 1});
  CHECK(ids_of(with("true"), "axxb") == Ids{1, 0, 2});
  CHECK(ids_of(with("false"), "axxb") == Ids{1, 0, 0, 2});
}

TEST_CASE("A word of a megabyte takes no more than seconds") {
  const std::string model = R"({"type":"BPE","vocab":{"a":0,"aa":1,"aaaa":2},"merges":["a a","aa aa"]})";
  const std::string word(1 << 20, 'a');

  CHECK(ids_of(made(json(model)), word).size() == word.size() / 4);
  CHECK(ids_of(made(json(unigram)), word).size() == word.size());
}

TEST_CASE("WordPiece with any prefix and length of words") {
  const std::string model =
      R"({"type":"WordPiece","unk_token":"?","continuing_subword_prefix":"@","max_input_chars_per_word":4,"vocab":{"?":0,"un":1,"@d":2,"@do":3}})";
  const Tokenizer tokenizer = made(json(model, "null", R"({"type":"WhitespaceSplit"})"));

  CHECK(ids_of(tokenizer, "und undo undod unx") == Ids{1, 2, 1, 3, 0, 0});
}

TEST_CASE("Added tokens are found as their switches say") {
  const std::string added =
      R"([{"id":300,"content":"tok","single_word":true,"lstrip":false,"rstrip":false,"normalized":false,"special":false},
    {"id":301,"content":"[M]","single_word":false,"lstrip":true,"rstrip":true,"normalized":false,"special":true},
    {"id":302,"content":"ABC","single_word":false,"lstrip":false,"rstrip":false,"normalized":true,"special":false},
    {"id":303,"content":"[M][M]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}])";
  const Tokenizer tokenizer = made(json(echo(), R"({"type":"Lowercase"})", "null", "null", added));

  CHECK(text_of(ids_of(tokenizer, "a tok.")) == "a |<300>.|");
  CHECK(text_of(ids_of(tokenizer, "atok")) == "atok|");
  CHECK(text_of(ids_of(tokenizer, "a [M] b")) == "a|<301>b|");
  CHECK(text_of(ids_of(tokenizer, "[M][M]")) == "<303>");
  CHECK(text_of(ids_of(tokenizer, "xaBcx")) == "x|<302>x|");
  CHECK(tokenizer.size() == 304);
}

TEST_CASE("A limit cuts the text and leaves the special tokens") {
  const Tokenizer tokenizer = made(json(unigram, "null", metaspace, around));
  const std::string text = "ab abab ba xyz ab";
  const Ids all = ids_of(tokenizer, text);
  REQUIRE(tokenizer.special_count() == 2);

  for (std::size_t limit = 2; limit <= all.size() + 2; ++limit) {
    CAPTURE(limit);
    Ids ids, wanted = all;
    if (limit < all.size()) wanted.resize(limit - 1), wanted.push_back(all.back());
    CHECK(tokenizer.encode(text, ids, limit) == (limit >= all.size()));
    CHECK(ids == wanted);
  }
  Ids none;
  CHECK(refusal([&] { tokenizer.encode(text, none, 1); }).code == Errc::invalid_argument);
}

TEST_CASE("A limit far from the end of a long text gives the same head") {
  const Tokenizer tokenizer = made(json(unigram, "null", metaspace, around));
  std::string text;
  for (int i = 0; i < 20000; ++i) text += i % 7 == 0 ? " ab  abc" : " aba";
  const Ids all = ids_of(tokenizer, text);

  for (const std::size_t limit : {2u, 3u, 17u, 512u, 5000u}) {
    CAPTURE(limit);
    Ids ids;
    CHECK(!tokenizer.encode(text, ids, limit));
    CHECK(std::equal(ids.begin(), ids.end() - 1, all.begin()));
    CHECK(ids.size() == limit);
  }
}

TEST_CASE("A pair is cut at the longer text first") {
  const Tokenizer tokenizer = made(json(unigram, "null", metaspace, around));
  const auto pair = [&](std::string_view first, std::string_view second, std::size_t limit) {
    Ids ids, types;
    tokenizer.encode_pair(first, second, ids, types, limit);
    CHECK(ids.size() == types.size());
    return std::pair(ids, types);
  };
  CHECK(pair("ab", "ab ab", 99) == std::pair(Ids{6, 5, 2, 5, 5, 2}, Ids{0, 0, 0, 1, 1, 1}));
  CHECK(pair("ab", "ab ab", 5) == std::pair(Ids{6, 5, 2, 5, 2}, Ids{0, 0, 0, 1, 1}));
  CHECK(pair("ab ab ab ab", "ab ab", 8).second == Ids{0, 0, 0, 0, 0, 1, 1, 1});
  CHECK(pair("ab ab ab ab ab", "ab ab ab", 8).second == Ids{0, 0, 0, 0, 0, 1, 1, 1});
  CHECK(pair("ab ab ab", "ab ab ab", 6).second == Ids{0, 0, 0, 1, 1, 1});
  CHECK(pair("ab", "", 3).first == Ids{6, 2, 2});
}

TEST_CASE("What is not supported is named") {
  const auto text = [](const std::string& file) {
    const Refusal met = refusal([&] { made(file); });
    CHECK(met.code == Errc::unsupported);
    return met.text;
  };
  CHECK(text(json(R"({"type":"WordLevel"})")) == "test: tokenizer.json: model.type: 'WordLevel' is not supported");
  CHECK(text(json(unigram, R"({"type":"ByteLevel"})")) ==
        "test: tokenizer.json: normalizer.type: 'ByteLevel' is not supported");
  CHECK(text(json(unigram, R"({"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"X"}]})")) ==
        "test: tokenizer.json: normalizer.normalizers[1].type: 'X' is not supported");
  CHECK(text(json(unigram, R"({"type":"Replace","pattern":{"Regex":"\\s+"},"content":""})")) ==
        "test: tokenizer.json: normalizer.pattern.Regex: '\\s+' is not supported");
  CHECK(text(json(unigram, "null", R"({"type":"Digits"})")) ==
        "test: tokenizer.json: pre_tokenizer.type: 'Digits' is not supported");
  CHECK(text(json(unigram, "null", "null", R"({"type":"ByteLevel"})")) ==
        "test: tokenizer.json: post_processor.type: 'ByteLevel' is not supported");
}

TEST_CASE("A malformed tokenizer.json is refused, whatever is wrong with it") {
  const std::string good =
      json(unigram, R"({"type":"Precompiled","precompiled_charsmap":"BAAAAAAAAAA="})", metaspace, around);
  CHECK_NOTHROW(made(good));
  for (std::size_t size = 0; size < good.size(); ++size) {
    CAPTURE(size);
    CHECK(refusal([&] { made(good.substr(0, size)); }).code == Errc::invalid_format);
  }
  for (std::size_t at = 0; at < good.size(); ++at) {  // no crash, and no other error
    std::string flipped = good;
    flipped[at] = static_cast<char>(flipped[at] ^ 1);
    CAPTURE(flipped);
    const Errc code = refusal([&] { ids_of(made(flipped), "ab xyz \u00e9 ab"); }).code;
    CHECK((code == Errc::cancelled || code == Errc::invalid_format || code == Errc::unsupported));
  }
  const auto code = [](const std::string& file) { return refusal([&] { made(file); }).code; };
  CHECK(code(json(R"({"type":"Unigram","unk_id":9,"vocab":[["a",0]]})")) == Errc::invalid_format);
  CHECK(code(json(R"({"type":"Unigram","unk_id":null,"vocab":[["a",0]]})")) == Errc::invalid_format);
  CHECK(code(json(R"({"type":"BPE","vocab":{"a":0},"merges":["a b"]})")) == Errc::invalid_format);
  CHECK(code(json(R"({"type":"BPE","vocab":{"a":-1},"merges":[]})")) == Errc::invalid_format);
  CHECK(code(json(unigram, "null", "null", R"({"type":"BertProcessing","cls":["c",600],"sep":["b",2]})")) ==
        Errc::invalid_format);
  CHECK(code(json(unigram, R"({"type":"Precompiled","precompiled_charsmap":"////"})")) == Errc::invalid_format);
}

TEST_CASE("Rules of a charsmap that lead anywhere are followed nowhere outside") {
  std::uint32_t state = 7;
  const auto random = [&] { return state = state * 1664525u + 1013904223u; };
  for (int round = 0; round < 200; ++round) {
    std::string bytes("\x40\0\0\0", 4);
    for (int i = 0; i < 64; ++i) bytes += static_cast<char>(random() >> 24);
    bytes += std::string("xyz\0é\0", 7);
    const rag::detail::Charsmap rules(bytes, "test");
    for (const bool longest : {false, true})
      for (const char* text : {"abc", "\u00e9\u0301", "\x01\x02\x03\x04"}) rules.find(text, longest);
    rules.by_clusters("abc \u00e9\u0301 한글 \U0001F469\u200D\U0001F467");
  }
  CHECK(refusal([] { rag::detail::Charsmap("\x05", "test"); }).code == Errc::invalid_format);
  CHECK(refusal([] { rag::detail::Charsmap(std::string("\xFF\xFF\xFF\xFF....", 8), "test"); }).code ==
        Errc::invalid_format);
}

TEST_CASE("Steps that let a text grow without bound are refused when they do") {
  std::string steps;
  for (int i = 0; i < 8; ++i)
    steps += std::string(i ? "," : "") + R"({"type":"Replace","pattern":{"String":"a"},"content":"aaaaaaaa"})";
  const Tokenizer tokenizer = made(json(unigram, R"({"type":"Sequence","normalizers":[)" + steps + "]}"));

  CHECK(refusal([&] { tokenizer.count("aaaaaaaaaaaaaaaa"); }).code == Errc::invalid_format);
}

TEST_CASE("What could make the work grow with the square of a text is refused or bounded") {
  const std::string token(1025, 'a');
  CHECK(refusal([&] { made(json(R"({"type":"Unigram","unk_id":0,"vocab":[[")" + token + "\",0]]}")); }).code ==
        Errc::unsupported);
  CHECK(refusal([&] {
          made(json(unigram, "null", "null", "null", R"([{"id":9,"content":")" + token + "\"}]"));
        }).code == Errc::unsupported);
  // A trie whose one unit leads back to itself.
  std::string circle("\x04\0\0\0", 4);
  circle += std::string("a\0\0\0", 4) + std::string("x\0", 2);
  const rag::detail::Charsmap rules(circle, "test");
  const std::string text(1 << 20, 'a');
  for (std::size_t at = 0; at < text.size(); ++at) rules.find(std::string_view(text).substr(at), true);
}

TEST_CASE("Clusters end where the Unicode Standard says") {
  const auto clusters = [](std::string_view text) {
    std::vector<std::size_t> sizes;
    rag::detail::Clusters cut(text);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = cut.end(at);
      sizes.push_back(end - at);
      at = end;
    }
    return sizes;
  };
  using Sizes = std::vector<std::size_t>;
  CHECK(clusters("ab\r\n") == Sizes{1, 1, 2});
  CHECK(clusters("e\u0301\u0316x") == Sizes{5, 1});
  CHECK(clusters("한\u1100\u1161\u11a8") == Sizes{3, 9});
  CHECK(clusters("\U0001F1E9\U0001F1EA\U0001F1EB") == Sizes{8, 4});
  CHECK(clusters("\U0001F469\u200D\U0001F467a") == Sizes{11, 1});
  CHECK(clusters("\u0915\u094d\u0937") == Sizes{9});
}
