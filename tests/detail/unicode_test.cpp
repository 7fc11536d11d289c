// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <rag/detail/unicode.hpp>

#include <string>
#include <string_view>

using namespace rag::detail;

namespace {

std::string folded(char32_t c) {
  std::string out;
  append_folded(out, c);
  return out;
}

bool all(std::u32string_view points, bool (*is)(char32_t)) {
  for (const char32_t c : points)
    if (!is(c)) return false;
  return true;
}

bool none(std::u32string_view points, bool (*is)(char32_t)) {
  for (const char32_t c : points)
    if (is(c)) return false;
  return true;
}

std::size_t count(bool (*is)(char32_t)) {
  std::size_t n = 0;
  for (char32_t c = 0; c < 0x110000; ++c) n += is(c);
  return n;
}

}  // namespace

TEST_CASE("Folding takes away case and accents") {
  CHECK(fold("") == "");
  CHECK(fold("Hello, World! 42") == "hello, world! 42");
  CHECK(fold("Éÿ Ångström ŁÓDŹ") == "ey angstrom łodz");
  CHECK(fold("ΑΘΉΝΑ ЙОД") == "αθηνα иод");
  CHECK(fold("e\u0301 E\u0301") == "e e");
  CHECK(fold("İstanbul") == "istanbul");
  CHECK(fold("ΣΊΣΥΦΟΣ") == "σισυφοσ");    // no final sigma: BERT lowers letter by letter
  CHECK(fold("Straße ﬁ") == "straße ﬁ");  // canonical, not compatible
}

TEST_CASE("Folding decomposes Hangul and keeps what has no other form") {
  CHECK(fold("한글") == "\u1112\u1161\u11ab\u1100\u1173\u11af");
  CHECK(fold("가") == "\u1100\u1161");
  CHECK(fold("힣") == "\u1112\u1175\u11c2");
  CHECK(fold("漢字 かな 😀") == "漢字 かな 😀");
  CHECK(fold("が") == "か");  // the voicing mark is a nonspacing one
}

TEST_CASE("Folding a code point with several parts gives all that are no mark") {
  CHECK(folded(0x0BCB) == "\u0BC7\u0BBE");
  CHECK(folded(0x1D160) == "\U0001D158\U0001D165\U0001D16E");
  CHECK(folded(0x0344) == "");
  CHECK(folded(0xF900) == "\u8C48");
  CHECK(folded(0x2FA1D) == "\U0002A600");
}

TEST_CASE("Folding throws away controls, U+0000, U+FFFD, a BOM and bytes that are not UTF-8") {
  CHECK(fold(std::string_view("a\0b", 3)) == "ab");
  CHECK(fold("\uFEFFa\u200Db\u00ADc\uFFFDd\u007F\u0085") == "abcd");
  CHECK(fold("\xFFx\xC3y\xE2\x82z\xF0\x9F") == "xyz");
  CHECK(fold("\uE000\U000F0000\U000E0020") == "");
  CHECK(fold("a\tb\nc\rd\u00A0e\u3000f\u2028g") == "a b c d e f g");
}

TEST_CASE("Folding puts nonstarters in canonical order, controls between them or not") {
  CHECK(fold("\u08D4\u302E") == "\u302E\u08D4");
  CHECK(fold("\u302E\u08D4") == "\u302E\u08D4");
  CHECK(fold("\u08D4\u200D\u302E\u1B44x") == "\u1B44\u302E\u08D4x");
  CHECK(fold("\u08D4\u0301\u302E") == "\u302E\u08D4");  // a mark that goes does not part them
  CHECK(fold("\u08D4\u034F\u302E") == "\u08D4\u302E");  // but one of class 0 does
  CHECK(fold("\u08D4 \u302E") == "\u08D4 \u302E");
  CHECK(fold("\u08D5\u08D4") == "\u08D5\u08D4");  // the same class: order kept
  CHECK(fold("\U0001D15F\u1B44") == "\U0001D158\u1B44\U0001D165");
}

TEST_CASE("Folding twice gives the same as once, for every code point") {
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    const std::string once = folded(c);
    if (fold(once) == once) continue;
    CAPTURE(static_cast<unsigned>(c));
    CHECK(fold(once) == once);
  }
}

TEST_CASE("Properties of known characters are as BERT has them") {
  CHECK(all(U" \t\n\v\f\r\u0085\u00A0\u1680\u2003\u2028\u3000", is_whitespace));
  CHECK(none(U"\u200B\u180E\uFEFFa_", is_whitespace));
  CHECK(all(U"!$+^`|~¡«»—…、。؟", is_punctuation));
  CHECK(none(U"£©°×€√😀aé1 ", is_punctuation));
  CHECK(all(U"\u0001\u007F\u0085\u00AD\u200D\uFEFF\uFFFD\uE000", is_control));
  CHECK(none(U"\t\n\r aé", is_control));
  CHECK(all(U"aZ09éß中かक\u0301½Ⅷ𝔘", is_word));
  CHECK(none(U" .-_€😀\u200D", is_word));
  CHECK(all(U"\u3400\u4DBF\u4E00\u9FFF\uF900\uFAFF\U00020000\U0002FA1F", is_cjk));
  CHECK(none(U"\u33FF\u4DC0\uA000\u3042\uAC00\U00030000a", is_cjk));
}

TEST_CASE("Each property holds for as many code points as the library was seen to have") {
  CHECK(count(is_whitespace) == 25);
  CHECK(count(is_punctuation) == 726);
  CHECK(count(is_control) == 137681);
  CHECK(count(is_cjk) == 81264);
}

TEST_CASE("Past the last code point nothing holds and nothing breaks") {
  for (const char32_t c : {char32_t{0x110000}, char32_t{0xFFFFFFFF}, char32_t{0xD800}}) {
    CAPTURE(static_cast<unsigned>(c));
    CHECK(!is_whitespace(c));
    CHECK(!is_punctuation(c));
    CHECK(!is_control(c));
    CHECK(!is_word(c));
  }
}

TEST_CASE("A long run of nonstarters folds in linear time") {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "\u08D4\u302E";

  const std::string result = fold(text);

  CHECK(result.size() == text.size());
  CHECK(result.substr(0, 6) == "\u302E\u302E");
}
