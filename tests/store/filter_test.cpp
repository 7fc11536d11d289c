// SPDX-License-Identifier: MIT
#include <rag/store/filter.hpp>

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace {

using rag::field;
using rag::Filter;
using rag::matches;
using rag::source;

const double nan = std::numeric_limits<double>::quiet_NaN();

rag::Chunk with(rag::MetaValue value) { return {"t", "docs/a.md", 0, 1, {{"x", value}}}; }
const rag::Chunk without = {"t", "docs/a.md", 0, 1};

}  // namespace

TEST_CASE("a filter compares a field with a value of its kind") {
  CHECK(matches(field("x") == "en", with("en")));
  CHECK(matches(field("x") == std::string("en"), with("en")));
  CHECK(matches(field("x") == std::string_view("en"), with("en")));
  CHECK(!matches(field("x") == "en", with("EN")));
  CHECK(matches(field("x") == "", with("")));
  CHECK(matches(field("x") == 5, with(5.0)));
  CHECK(matches(field("x") == rag::MetaValue(5u), with(5.0f)));
  CHECK(matches(field("x") == true, with(true)));
  CHECK(matches(field("x") < 6, with(5)));
  CHECK(!matches(field("x") < 5, with(5)));
  CHECK(matches(field("x") <= 5, with(5)));
  CHECK(matches(field("x") > 4.5, with(5)));
  CHECK(!matches(field("x") > 5, with(5)));
  CHECK(matches(field("x") >= 5, with(5)));
  CHECK(matches(field("x") < true, with(false)));
  CHECK(matches(field("x") < "b", with("abc")));
  CHECK(matches(field("x") > "z", with("ä")));  // bytes, unsigned
  CHECK(matches(field("x") == -0.0, with(0)));
  CHECK(matches(field("x") != 5, with(6)));
  CHECK(!matches(field("x") != 5, with(5)));
}

TEST_CASE("values of two kinds are never equal, and neither is before the other") {
  const std::vector<rag::MetaValue> values = {"1", 1, true, "", 0, false};
  for (std::size_t i = 0; i < values.size(); ++i)
    for (std::size_t j = 0; j < values.size(); ++j) {
      CAPTURE(i);
      CAPTURE(j);
      CHECK(matches(field("x") == values[i], with(values[j])) == (i == j));
      CHECK(matches(field("x") != values[i], with(values[j])) == (i != j));
      const bool same_kind = i % 3 == j % 3;
      CHECK((matches(field("x") <= values[i], with(values[j])) || matches(field("x") >= values[i], with(values[j]))) ==
            same_kind);
    }
}

TEST_CASE("NaN is equal to nothing and before nothing") {
  for (const double other : {nan, 0.0, -std::numeric_limits<double>::infinity()})
    for (const auto& [a, b] : {std::pair{nan, other}, std::pair{other, nan}}) {
      CHECK(!matches(field("x") == a, with(b)));
      CHECK(!matches(field("x") <= a, with(b)));
      CHECK(!matches(field("x") >= a, with(b)));
      CHECK(!matches(field("x").in({a}), with(b)));
      CHECK(matches(field("x") != a, with(b)));
      CHECK(matches(field("x").exists(), with(b)));
    }
}

TEST_CASE("a chunk without the field satisfies negations alone") {
  for (const Filter& question : {field("x") == 1, field("x") <= 1, field("x") > "a", field("x").in({1, 2}),
                                 field("x").exists(), field("x").starts_with("")}) {
    CHECK(!matches(question, without));
    CHECK(matches(!question, without));
  }
  CHECK(matches(field("x") != 1, without));
}

TEST_CASE("in, exists and starts_with") {
  CHECK(matches(field("x").in({"a", "bc"}), with("bc")));
  CHECK(!matches(field("x").in({"a", "bc"}), with("b")));
  CHECK(matches(field("x").in(std::vector<std::string>{"a"}), with("a")));
  CHECK(matches(field("x").in(std::vector<int>{1, 2}), with(2)));
  CHECK(!matches(field("x").in({}), with(1)));
  CHECK(matches(field("x").exists(), with("")));
  CHECK(matches(field("x").starts_with("äö"), with("äöü")));
  CHECK(matches(field("x").starts_with(std::string_view("a\0b", 3)), with(std::string("a\0bc", 4))));
  CHECK(!matches(field("x").starts_with("abc"), with("ab")));
  CHECK(matches(field("x").starts_with(""), with("")));
  CHECK(!matches(field("x").starts_with(""), with(1)));
}

TEST_CASE("the source is a string that is always there") {
  CHECK(matches(source() == "docs/a.md", without));
  CHECK(matches(source().starts_with("docs/"), without));
  CHECK(matches(source().in({"b", "docs/a.md"}), without));
  CHECK(!matches(source() != "docs/a.md", without));
  CHECK(matches(source() > "docs", without));
  CHECK(!matches(field("source") == "docs/a.md", without));
}

TEST_CASE("and, or, not; a default filter keeps everything") {
  const Filter yes, no = !Filter(), one = field("x") == 1, two = field("x") > 0;
  for (const rag::Chunk& chunk : {with(1), with(2), with(-1), without})
    for (const Filter& a : {yes, no, one, two, one || two})
      for (const Filter& b : {yes, no, one, two, !one && two}) {
        CHECK(matches(a && b, chunk) == (matches(a, chunk) && matches(b, chunk)));
        CHECK(matches(a || b, chunk) == (matches(a, chunk) || matches(b, chunk)));
        CHECK(matches(!a, chunk) == !matches(a, chunk));
        CHECK(!!a == a);
      }
  CHECK(matches(yes, without));
  CHECK(!matches(no, without));
  CHECK((yes && one) == one);
  CHECK((no || one) == one);
}

TEST_CASE("a chain of one operator is one node, and a tree too deep is an error") {
  Filter chain, either = !Filter();
  for (int i = 0; i < 10000; ++i) {
    chain = std::move(chain) && field("x") != i;
    either = std::move(either) || field("x") == i;
  }
  CHECK(chain.operation() == rag::FilterOperation::all_of);
  CHECK(chain.parts().size() == 10000);
  CHECK(either.parts().size() == 10000);
  CHECK(!matches(chain, with(9999)));
  CHECK(matches(either, with(9999)));

  Filter deep = field("x") == 1;
  const auto deepen = [&] { deep = !(std::move(deep) && field("x") == 2); };
  CHECK_THROWS_AS([&] { for (std::size_t i = 0; i < Filter::deepest; ++i) deepen(); }(), rag::Error);
  CHECK_THROWS_AS([&] {
    Filter zigzag = field("x") == 1;
    for (std::size_t i = 0; i < Filter::deepest; ++i) zigzag = (zigzag || field("y") == 1) && field("z") == 1;
  }(), rag::Error);
}

TEST_CASE("a filter can be walked") {
  const Filter filter = field("year") >= 2020 && !source().in({"a", "b"});
  REQUIRE(filter.operation() == rag::FilterOperation::all_of);
  REQUIRE(filter.parts().size() == 2);
  const Filter& year = filter.parts()[0];
  CHECK(year.operation() == rag::FilterOperation::at_least);
  CHECK(year.name() == "year");
  CHECK(!year.of_source());
  CHECK(year.values()[0] == rag::MetaValue(2020));
  const Filter& negation = filter.parts()[1];
  CHECK(negation.operation() == rag::FilterOperation::none_of);
  CHECK(negation.parts()[0].of_source());
  CHECK(negation.parts()[0].values().size() == 2);
}

TEST_CASE("a filter made by hand has the values of its question, and joins nothing") {
  using enum rag::FilterOperation;
  for (const auto operation : {equal, less, at_most, greater, at_least, starts_with}) {
    CHECK_THROWS_WITH_AS(Filter(operation, false, "x", {}), "Filter: 1 value wanted, 0 given", rag::Error);
    CHECK_THROWS_WITH_AS(Filter(operation, true, "", {1, 2}), "Filter: 1 value wanted, 2 given", rag::Error);
  }
  CHECK_THROWS_WITH_AS(Filter(exists, false, "x", {1}), "Filter: 0 values wanted, 1 given", rag::Error);
  for (const auto operation : {everything, all_of, any_of, none_of})
    CHECK_THROWS_AS(Filter(operation, false, "x", {1}), rag::Error);
  CHECK(Filter(equal, false, "x", {1}) == (field("x") == 1));
  CHECK(Filter(in, false, "x", {}) == field("x").in(std::vector<int>{}));
}
