// SPDX-License-Identifier: MIT
#include <rag/detail/json.hpp>

#include <doctest/doctest.h>

#include <string>
#include <string_view>

using namespace rag::detail;

namespace {

/// Why a text is refused; "" if it is not.
std::string refusal(std::string_view text, std::size_t depth = 64) {
  try {
    parse_json(text, "T", depth);
    return "";
  } catch (const rag::Error& error) {
    CHECK(error.code() == rag::Errc::invalid_format);
    return error.what();
  }
}

std::string repeated(const std::string& text, std::size_t times) {
  std::string all;
  for (std::size_t i = 0; i < times; ++i) all += text;
  return all;
}

bool too_many(const std::string& text) { return refusal(text).find("T: JSON of so many values") == 0; }

}  // namespace

TEST_CASE("a text nested deeper than the bound is refused, at the bound it is read") {
  CHECK(refusal(repeated("[", 64) + repeated("]", 64)) == "");
  CHECK(refusal(repeated("[", 65) + repeated("]", 65)) == "T: JSON nested deeper than 64");
  CHECK(refusal(repeated("{\"a\":", 3) + "1" + repeated("}", 3), 3) == "");
  CHECK(refusal(repeated("{\"a\":", 4) + "1" + repeated("}", 4), 3) == "T: JSON nested deeper than 3");
  CHECK(refusal(repeated("[", 5'000'000)) == "T: JSON nested deeper than 64");
  CHECK(refusal(R"(["[[[[", "\"[[[[", "\\", [1]])", 2) == "");  // brackets in a text are text
}

TEST_CASE("what is said of a file is cut to 300 bytes, never within a character") {
  CHECK(json_fault(std::string(300, 'a')) == std::string(300, 'a'));
  CHECK(json_fault(std::string(301, 'a')) == std::string(300, 'a') + " …");
  CHECK(json_fault(std::string(299, 'a') + "é" + "b") == std::string(299, 'a') + " …");
}

TEST_CASE("a text that would take far more memory than its size is refused before it is parsed") {
  constexpr std::size_t million = 1'000'000;
  CHECK(too_many("[" + repeated("0,", 4 * million) + "0]"));
  CHECK(too_many("[" + repeated("[],", 2 * million) + "[]]"));
  CHECK(too_many("[" + repeated("{},", 2 * million) + "{}]"));
  CHECK(too_many("[" + repeated("\"\",", 2 * million) + "0]"));
  std::string keys = "{";
  for (std::size_t i = 0; i < million; ++i) keys += "\"" + std::to_string(i) + "\":0,";
  CHECK(too_many(keys + "\"\":0}"));
}

TEST_CASE("the files of large models are within the bound") {
  std::string pieces = "{\"vocab\":[", ids = "{";
  for (std::size_t i = 0; i < 250'000; ++i) {
    const std::string piece = "piece" + std::to_string(i);
    pieces += "[\"" + piece + "\",-11." + std::to_string(i) + "],";
    ids += "\"" + piece + "\":" + std::to_string(i) + ",";
  }
  CHECK(refusal(pieces + "[\"\",0]]}") == "");
  CHECK(refusal(ids + "\"\":0}") == "");
  // An answer of 500 vectors from an embedding service.
  CHECK(refusal("[" + repeated("[" + repeated("-0.0123456,", 1536) + "0],", 500) + "[]]") == "");
}

TEST_CASE("a string of more than 8 MiB is refused, and no error quotes much of a text") {
  CHECK(refusal("\"" + std::string(8'000'000, 'a') + "\"") == "");
  CHECK(refusal("\"" + std::string(9'000'000, 'a') + "\"").find("T: JSON with a text or number") == 0);
  CHECK(refusal(std::string(9'000'000, '1')).find("T: JSON with a text or number") == 0);
  const std::string said = refusal("\"" + std::string(8'000'000, 'a'));
  CHECK(said.find("T: not JSON: ") == 0);
  CHECK(said.size() < 400);
}

TEST_CASE("what is not JSON is left to the parser, wherever it ends") {
  const std::string text = R"({"a\"b\\": [1, -2.5e3, "x", true, null, {"c": []}], "d": {}})";
  CHECK(refusal(text) == "");
  for (std::size_t size = 0; size < text.size(); ++size) {
    CAPTURE(size);
    CHECK(refusal(text.substr(0, size)).find("T: not JSON: ") == 0);
  }
  for (const char* wrong : {"]", "}", ",", "[1 2]", "\\", "\"\\", "{1:2}", "[}", "\xff"}) {
    CAPTURE(wrong);
    CHECK(refusal(wrong).find("T: not JSON: ") == 0);
  }
}
