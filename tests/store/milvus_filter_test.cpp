// SPDX-License-Identifier: MIT
#include "milvus_fixture.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

using namespace milvus;

namespace {

std::string hostile_text(std::mt19937_64& random) {
  static const std::vector<std::string> pieces = {"\"", "\\", "'", "\n", "\r", "\t", "\x01", "\x7f", " or 1==1", "\" or id >= 0 or source == \"", "]", ")", "a",
                                                  "b", "%", "_", "{x}", "é", "\xed\x9f\xbf", "\xee\x80\x80", "\xf4\x8f\xbf\xbf", "😀", "$meta", std::string(1, '\0')};
  std::string text;
  for (std::uint64_t n = random() % 4; n > 0; --n) text += pieces[random() % pieces.size()];
  return text;
}

rag::MetaValue random_value(std::mt19937_64& random) {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> numbers = {0, -0.0, 1, 2.5, -3, 1e20, 1e-7, 2024, 1.7976931348623157e308};
  switch (random() % 8) {
    case 0: return random() % 2 == 0;
    case 1: return std::vector<double>{inf, -inf, std::nan("")}[random() % 3];
    case 2: case 3: case 4: return numbers[random() % numbers.size()];
    default: return hostile_text(random);
  }
}

rag::Filter random_filter(std::mt19937_64& random, const std::vector<std::string>& names, int depth) {
  if (depth > 0 && random() % 3 != 0) {
    rag::Filter filter = random_filter(random, names, depth - 1);
    if (random() % 4 == 0) return !filter;
    const rag::Filter other = random_filter(random, names, depth - 1);
    return random() % 2 == 0 ? filter && other : filter || other;
  }
  const bool of_source = random() % 4 == 0;
  const std::string name = of_source ? "" : names[random() % names.size()];
  using enum rag::FilterOperation;
  const std::vector<rag::FilterOperation> operations = {equal, less, at_most, greater, at_least, in, starts_with, exists};
  const rag::FilterOperation operation = operations[random() % (of_source ? 7 : 8)];
  if (operation == exists) return rag::Filter(exists, false, name, {});
  std::vector<rag::MetaValue> values;
  for (std::uint64_t n = operation == in ? random() % 5 : 1; n > 0; --n)
    values.push_back(of_source || operation == starts_with ? rag::MetaValue(hostile_text(random)) : random_value(random));
  return rag::Filter(operation, of_source, name, values);
}

}  // namespace

TEST_CASE("A filter's expression keeps the chunks that the filter keeps, whatever texts are in it") {
  std::mt19937_64 random(11);
  const rag::detail::MilvusFilter writer("test");
  std::size_t kept = 0, dropped = 0;
  for (int round = 0; round < 10'000; ++round) {
    const std::vector<std::string> names = {"n" + hostile_text(random), "year", "a\"b\\"};
    rag::Chunk chunk{"text", hostile_text(random), 0, 4, {}, 7};
    for (const std::string& name : names)
      if (random() % 3 != 0)
        if (const rag::MetaValue value = random_value(random); !value.is_number() || std::isfinite(value.number())) chunk.metadata.set(name, value);
    const rag::Filter filter = random_filter(random, names, 3);
    std::string written;
    rag::detail::append_milvus_row(written, chunk, 7, {}, "test");
    const Json row = Json::parse(written);
    const std::string text = writer.text(filter);
    CAPTURE(text);
    CAPTURE(row.dump());

    const bool keeps = milvus::Expression(text, row).keeps();
    const bool wanted = rag::matches(filter, chunk);

    if (keeps != wanted) CHECK(keeps == wanted);
    ++(wanted ? kept : dropped);
  }
  CHECK(kept > 2'000);
  CHECK(dropped > 2'000);
}

TEST_CASE("A filter's expression is made of quoted texts and typed numbers") {
  const rag::detail::MilvusFilter writer("MilvusStore::search");
  CHECK(writer.text({}) == "");
  CHECK(writer.text(rag::source() == "a.md") == "source == \"a.md\"");
  CHECK(writer.text(rag::source() == "x\" or 1==1 or \"") == "source == \"x\\\" or 1==1 or \\\"\"");
  CHECK(writer.text(field("year") >= 2020) == "metadata[\"year\"] >= 2020.0");
  CHECK(writer.text(field("my \"field\"") == true) == "metadata[\"my \\\"field\\\"\"] == true");
  CHECK(writer.text(field("big") < 1e20) == "metadata[\"big\"] < 1.0e+20");
  CHECK(writer.text(field("a").exists() && rag::source().starts_with("b")) == "((exists metadata[\"a\"]) and (source >= \"b\" and source < \"c\"))");
  CHECK(writer.text(!field("a").exists()) == "not (exists metadata[\"a\"])");
  CHECK(writer.text(rag::source().starts_with("")) == "source >= \"\"");
  CHECK(writer.text(field("a").in({1, 2, 3})) == "(metadata[\"a\"] == 1.0 or (metadata[\"a\"] == 2.0 or metadata[\"a\"] == 3.0))");
  CHECK(error_of([&] { writer.text(field("") == 1); }).first == rag::Errc::invalid_argument);
  CHECK(error_of([&] { writer.text(field("a") == "\xff"); }) ==
        std::pair(rag::Errc::invalid_argument, std::string("MilvusStore::search: a filter of valid UTF-8 wanted")));
  CHECK(rag::detail::behind_prefix("a\xf4\x8f\xbf\xbf") == "b");
  CHECK(rag::detail::behind_prefix("\xed\x9f\xbf") == "\xee\x80\x80");
  CHECK(rag::detail::behind_prefix("\xf4\x8f\xbf\xbf") == "");
}
