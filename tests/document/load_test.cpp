// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <rag/document/jsonl.hpp>
#include <rag/document/load.hpp>

#include "laws/loader.hpp"

#include <algorithm>
#include <random>
#include <string>
#include <vector>

namespace {

/// "id: text {name=value,…}", a line a document, with line breaks of the text as '/'.
std::string shown(const std::vector<rag::Document>& documents) {
  std::string lines;
  for (const rag::Document& document : documents) {
    std::string text = document.text;
    std::replace(text.begin(), text.end(), '\n', '/');
    lines += document.id + ": " + text + " {";
    for (const auto& [name, value] : document.metadata)
      lines += (lines.back() == '{' ? "" : ",") + name + '=' +
               (value.is_string()   ? value.string()
                : value.is_number() ? std::to_string(static_cast<int>(value.number()))
                : value.boolean()   ? "yes"
                                    : "no");
    lines += "}\n";
  }
  return lines;
}

std::string csv(const std::string& text, const rag::CsvOptions& options = {}, const char* id = "t.csv") {
  return shown(rag::CsvLoader(options).load({id, text}));
}
std::string jsonl(const std::string& text, const rag::JsonlOptions& options = {}) {
  return shown(rag::JsonlLoader(options).load({"t.jsonl", text}));
}

/// The text of the Error (invalid_format) that the call throws.
template <class Call>
std::string fault(Call&& call) {
  try {
    call();
  } catch (const rag::Error& error) {
    CHECK(error.code() == rag::Errc::invalid_format);
    return error.what();
  }
  return "none";
}

}  // namespace

TEST_CASE("TextLoader takes the bytes as they are, and only text") {
  const std::string text = "\xEF\xBB\xBF# A\r\n";
  const auto documents = rag::TextLoader{}.load({"a.md", text});

  REQUIRE(documents.size() == 1);
  CHECK(documents[0].id == "a.md");
  CHECK(documents[0].text == text);
  CHECK(rag::TextLoader{}.reads("a/B.MD"));
  CHECK(!rag::TextLoader{}.reads("a.cpp"));
  CHECK(rag::TextLoader{{".cpp"}}.reads("a.cpp"));
  CHECK(fault([] { rag::TextLoader{}.load({"a.md", "a\xFF"}); }) == "not UTF-8 at byte 1");
  CHECK(fault([] { rag::TextLoader{}.load({"a.md", std::string("a\0\xFF", 3)}); }) == "binary: a zero byte at byte 1");
}

TEST_CASE("Loaders give a file to the first that reads its kind") {
  const rag::Loaders loaders{rag::TextLoader{{".csv"}}, rag::CsvLoader{}, rag::JsonlLoader{}};

  CHECK(loaders.reads("a.csv"));
  CHECK(loaders.reads("a.ndjson"));
  CHECK(!loaders.reads("a.md"));
  CHECK(loaders.load({"a.csv", "x\n1"}).at(0).id == "a.csv");
  CHECK(loaders.load({"a.tsv", "x\n1"}).at(0).id == "a.tsv#1");
  CHECK_THROWS_WITH_AS(loaders.load({"a.md", "x"}), "no loader reads such a file", rag::Error);
}

TEST_CASE("CsvLoader makes a document of each row, with the columns as metadata") {
  CHECK(
      csv("name,year\nroof,2023\nfence,2024\n") ==
      "t.csv#1: name: roof/year: 2023 {name=roof,year=2023}\nt.csv#2: name: fence/year: 2024 {name=fence,year=2024}\n");
  CHECK(csv("name,year\nroof,2023", {.text = {"name"}}) == "t.csv#1: roof {name=roof,year=2023}\n");
  CHECK(csv("a,b,c\n1,,3", {.text = {"c", "a"}}) == "t.csv#1: a: 1/c: 3 {a=1,c=3}\n");
  CHECK(csv("a\tb\n1,5\t2", {}, "t.TSV") == "t.TSV#1: a: 1,5/b: 2 {a=1,5,b=2}\n");
  CHECK(csv("a;b\n1,5;2", {.separator = ';'}) == "t.csv#1: a: 1,5/b: 2 {a=1,5,b=2}\n");
  CHECK(csv("") == "");
  CHECK(csv("a,b\n") == "");
  CHECK(csv("\xEF\xBB\xBF"
            "a\r\n1\r\n\r\n2") == "t.csv#1: a: 1 {a=1}\nt.csv#2: a: 2 {a=2}\n");
}

TEST_CASE("CsvLoader reads quotes as RFC 4180 has them") {
  CHECK(csv("a,b\n\"1,\n2\",\"say \"\"hi\"\"\"\n\"\",x") ==
        "t.csv#1: a: 1,/2/b: say \"hi\" {a=1,\n2,b=say \"hi\"}\nt.csv#2: b: x {b=x}\n");
  CHECK(csv("a\n\"x\r\ny\"\r\n") == "t.csv#1: a: x\r/y {a=x\r\ny}\n");
  CHECK(fault([] { csv("a\n\"x"); }) == "CSV: line 2: a field without its closing quote");
  CHECK(fault([] { csv("a\n\"x\"y"); }) == "CSV: line 2: text behind a closing quote");
  CHECK(fault([] { csv("a\nx\"y"); }) == "CSV: line 2: a quote in a field that has none around it");
}

TEST_CASE("CsvLoader names the line of what is no table") {
  CHECK(fault([] { csv("a,b\n\"1\n1\",2\n\n3"); }) == "CSV: line 5: 2 columns wanted, 1 given");
  CHECK(fault([] { csv("a,b\n1,2,3"); }) == "CSV: line 2: 2 columns wanted, 3 given");
  CHECK(fault([] { csv("a,b,a\n"); }) == "CSV: line 1: two columns are named 'a'");
  CHECK(fault([] { csv("a,b\n", {.text = {"c"}}); }) == "CSV: line 1: no column is named 'c'");
  CHECK(fault([] { csv("a\n\xFF"); }) == "not UTF-8 at byte 2");
  std::string many = "0";
  for (int i = 1; i <= 1000; ++i) many += ',' + std::to_string(i);
  CHECK(fault([&] { csv(many); }) == "CSV: line 1: at most 1000 columns wanted, 1001 given");
}

TEST_CASE("a table of any fields, written as RFC 4180 has it, is read as it was") {
  std::mt19937 random(3);
  const std::string letters = "a,\"\n\r\t; \xC3\xA9";
  for (int round = 0; round < 500; ++round) {
    std::vector<std::vector<std::string>> rows(1 + random() % 4, std::vector<std::string>(1 + random() % 4));
    if (rows[0].size() == 1) rows[0].emplace_back();  // a line of one empty field is an empty line
    for (auto& row : rows) row.resize(rows[0].size());
    std::string text;
    for (auto& row : rows)
      for (std::size_t i = 0; i < row.size(); ++i) {
        for (std::size_t n = random() % 6; n > 0; --n) row[i] += letters[random() % letters.size()];
        std::string quoted;
        for (const char c : row[i]) quoted += c == '"' ? "\"\"" : std::string(1, c);
        text += (i == 0 ? "\"" : ",\"") + quoted + '"' + (i + 1 == row.size() ? random() % 2 ? "\r\n" : "\n" : "");
      }
    CAPTURE(text);
    rag::detail::CsvReader reader(text, ',');
    std::vector<std::string> row;
    for (const auto& wanted : rows) {
      REQUIRE(reader.next(row));
      CHECK(row == wanted);
    }
    CHECK(!reader.next(row));
    for (std::size_t cut = 0; cut < text.size(); ++cut) {  // truncated: an Error or rows, never more
      rag::detail::CsvReader part(std::string_view(text).substr(0, cut), ',');
      std::size_t count = 0;
      try {
        while (part.next(row)) ++count;
      } catch (const rag::Error&) {
      }
      CHECK(count <= rows.size());
    }
  }
}

TEST_CASE("the loaders of the library keep to the laws of a Loader") {
  laws::check_loader(rag::TextLoader{}, {"a.md", "# One\n\ntwo"});
  laws::check_loader(rag::CsvLoader{}, {"a.csv", "a,b\n1,2\n3,4"});
  laws::check_loader(rag::JsonlLoader{}, {"a.jsonl", "{\"a\":1}\n{\"b\":[2]}"});
  laws::check_loader(rag::Loaders{rag::TextLoader{}, rag::CsvLoader{}}, {"b.tsv", "a\n1"});
}

TEST_CASE("documents of one file that would take more than 1 GiB are an Error") {
  const rag::Document document{"a.csv#1", std::string(std::size_t{64} << 20, 'x'), {{"name", "value"}}};
  rag::detail::DocumentRoom room;
  for (int i = 0; i < 15; ++i) room.take(document);

  CHECK_THROWS_WITH_AS(room.take(document), "its documents take more than 1 GiB; split the file", rag::Error);
}

TEST_CASE("JsonlLoader makes a document of each line, with its plain members as metadata") {
  CHECK(jsonl("{\"title\":\"Roof\",\"year\":2023,\"open\":true,\"no\":null,\"tags\":[\"a\",1],\"e\":\"\"}\n\r\n{\"a\":"
              "\"b\"}") ==
        "t.jsonl#1: open: true/tags: [\"a\",1]/title: Roof/year: 2023 {e=,open=yes,title=Roof,year=2023}\n"
        "t.jsonl#3: a: b {a=b}\n");
  CHECK(jsonl("{\"q\":\"How?\",\"id\":7}", {.text = {"q"}}) == "t.jsonl#1: How? {id=7,q=How?}\n");
  CHECK(jsonl("{\"id\":7}", {.text = {"q"}}) == "t.jsonl#1:  {id=7}\n");
  CHECK(jsonl("") == "");
}

TEST_CASE("JsonlLoader names the line of what is no object") {
  CHECK(fault([] { jsonl("{}\n[1]"); }) == "JSONL: line 2: an object wanted, array given");
  CHECK(fault([] { jsonl("{}\n{\"a\":"); }).starts_with("JSONL: line 2: not JSON: "));
  CHECK(fault([] { jsonl("{\"a\":" + std::string(100, '[') + std::string(100, ']') + "}"); }) ==
        "JSONL: line 1: JSON nested deeper than 64");
  CHECK(fault([] { jsonl("{\"a\":\"\xFF\"}"); }) == "not UTF-8 at byte 6");
}
