// SPDX-License-Identifier: MIT
#include <rag/evaluate.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

using Ids = std::vector<int>;
using Spans = std::vector<rag::SourceSpan>;

TEST_CASE("the figures of a ranking are those worked out by hand") {
  const rag::Judgement judgement = rag::judge(Ids{9, 3, 8, 5, 7}, Ids{3, 5, 6});

  CHECK(judgement.gains == std::vector<double>{0, 1, 0, 1, 0});
  CHECK(rag::recall_at(judgement, 1) == 0);
  CHECK(rag::recall_at(judgement, 2) == doctest::Approx(1.0 / 3));
  CHECK(rag::recall_at(judgement, 5) == doctest::Approx(2.0 / 3));
  CHECK(rag::precision_at(judgement, 4) == 0.5);
  CHECK(rag::reciprocal_rank(judgement, 10) == 0.5);
  CHECK(rag::reciprocal_rank(judgement, 1) == 0);
  CHECK(rag::average_precision(judgement) == doctest::Approx((1.0 / 2 + 2.0 / 4) / 3));
  CHECK(rag::average_precision(judgement, 3) == doctest::Approx(1.0 / 2 / 3));
  const double ideal = 1 + 1 / std::log2(3.0) + 1 / std::log2(4.0);
  CHECK(rag::ndcg_at(judgement, 5) == doctest::Approx((1 / std::log2(3.0) + 1 / std::log2(5.0)) / ideal));
}

TEST_CASE("a ranking shorter than k pays in precision, and nothing relevant gives 0 everywhere") {
  const rag::Judgement one = rag::judge(Ids{4}, Ids{4}), none = rag::judge(Ids{4, 5}, Ids{}), empty = rag::judge(Ids{}, Ids{1});

  CHECK(rag::precision_at(one, 10) == 0.1);
  CHECK(rag::recall_at(one, 10) == 1);
  CHECK(rag::ndcg_at(one, 10) == 1);
  CHECK(rag::precision_at(one, 0) == 0);
  for (const rag::Judgement* judgement : {&none, &empty}) {
    CHECK(rag::recall_at(*judgement, 5) == 0);
    CHECK(rag::precision_at(*judgement, 5) == 0);
    CHECK(rag::reciprocal_rank(*judgement, 5) == 0);
    CHECK(rag::ndcg_at(*judgement, 5) == 0);
    CHECK(rag::average_precision(*judgement) == 0);
  }
}

TEST_CASE("an item that comes twice is found once, in the ranking and in the list") {
  const rag::Judgement judgement = rag::judge(Ids{3, 3, 3, 4}, Ids{3, 4, 4});

  CHECK(judgement.gains == std::vector<double>{1, 0, 0, 1});
  CHECK(judgement.ideal == std::vector<double>{1, 1});
  CHECK(rag::recall_at(judgement, 4) == 1);
}

TEST_CASE("grades weigh in nDCG alone, and grades of 0 or less say not relevant") {
  using Graded = std::vector<std::pair<std::string, int>>;
  const std::vector<std::string> ranked{"b", "a", "c", "d"};

  const rag::Judgement judgement = rag::judge_graded(ranked, Graded{{"a", 3}, {"b", 1}, {"c", 0}, {"d", -2}, {"e", 1}});

  CHECK(judgement.gains == std::vector<double>{1, 3, 0, 0});
  CHECK(judgement.ideal == std::vector<double>{3, 1, 1});
  CHECK(rag::ndcg_at(judgement, 2) == doctest::Approx((1 + 3 / std::log2(3.0)) / (3 + 1 / std::log2(3.0))));
  CHECK(rag::recall_at(judgement, 2) == doctest::Approx(2.0 / 3));
  // Equal grades: any order of them is the best one.
  CHECK(rag::ndcg_at(rag::judge(Ids{2, 1}, Ids{1, 2}), 2) == 1);
}

TEST_CASE("mean and deviation are those of all values") {
  CHECK(rag::mean(std::vector<double>{1, 2, 6}) == 3);
  CHECK(rag::deviation(std::vector<double>{1, 3}) == 1);
  CHECK(rag::mean({}) == 0);
  CHECK(rag::deviation({}) == 0);
}

TEST_CASE("span_scores counts characters as the published evaluation does") {
  const Spans references{{"a", 10, 20}, {"a", 30, 40}};
  // The first covers 5 of a reference, the second overlaps it by 2 and covers 3 more; the third is of another text.
  const Spans retrieved{{"a", 5, 15}, {"a", 13, 18}, {"b", 10, 20}};

  const rag::SpanScores scores = rag::span_scores(references, retrieved);

  CHECK(scores.recall == doctest::Approx(8.0 / 20));
  CHECK(scores.precision == doctest::Approx(8.0 / 25));       // the 2 characters of the overlap count twice below
  CHECK(scores.iou == doctest::Approx(8.0 / (25 + 12)));
  CHECK(rag::span_scores(references, references) == rag::SpanScores{1, 1, 1});
  CHECK(rag::span_scores(references, {}) == rag::SpanScores{});
  CHECK(rag::span_scores({}, retrieved) == rag::SpanScores{});
  CHECK(rag::span_scores({}, {}) == rag::SpanScores{});
}

TEST_CASE("precision_omega takes the chunks with a part of a reference and those that touch one") {
  const Spans chunks{{"a", 0, 10}, {"a", 10, 20}, {"a", 20, 30}, {"b", 10, 20}};

  CHECK(rag::precision_omega(Spans{{"a", 12, 17}}, chunks) == 0.5);
  CHECK(rag::precision_omega(Spans{{"a", 10, 15}}, chunks) == 0.25);  // the first chunk ends where it begins
  CHECK(rag::precision_omega(Spans{{"a", 12, 20}}, chunks) == doctest::Approx(8.0 / 20));
  CHECK(rag::precision_omega(Spans{{"a", 5, 15}}, chunks) == 0.5);
  CHECK(rag::precision_omega(Spans{{"a", 25, 40}}, chunks) == doctest::Approx(5.0 / 20));  // 30 to 40 is in no chunk
  CHECK(rag::precision_omega(Spans{{"c", 0, 5}}, chunks) == 0);
  CHECK(rag::precision_omega({}, chunks) == 0);
}

namespace {

using Characters = std::multiset<std::pair<std::string, std::size_t>>;  // one a character, again where spans overlap

Characters characters(const Spans& spans) {
  Characters all;
  for (const rag::SourceSpan& span : spans)
    for (std::size_t at = span.begin; at < span.end; ++at) all.insert({span.source, at});
  return all;
}

std::set<Characters::value_type> distinct(const Characters& all) { return {all.begin(), all.end()}; }

double share(double part, double whole) { return whole == 0 ? 0 : part / whole; }

}  // namespace

TEST_CASE("span_scores and precision_omega agree with a count of single characters") {
  std::mt19937 random(7);
  const auto some_spans = [&] {
    Spans spans(random() % 6);
    for (rag::SourceSpan& span : spans) {
      span = {random() % 3 == 0 ? "b" : "a", random() % 40, 0};
      span.end = span.begin + random() % 15;
    }
    return spans;
  };
  for (int round = 0; round < 300; ++round) {
    CAPTURE(round);
    const Spans references = some_spans(), retrieved = some_spans();
    const auto wanted = distinct(characters(references));
    std::size_t covered = 0, covered_by_touched = 0;
    for (const auto& character : distinct(characters(retrieved))) covered += wanted.count(character);
    Spans touched;
    for (const rag::SourceSpan& span : retrieved) {  // a part, or the character before or after it
      bool touches = span.end > span.begin && span.begin > 0 && wanted.count({span.source, span.begin - 1}) != 0;
      for (std::size_t at = span.begin; at <= span.end; ++at) touches |= wanted.count({span.source, at}) != 0;
      if (touches) touched.push_back(span);
    }
    auto whole = distinct(characters(touched));
    for (const auto& character : wanted) covered_by_touched += whole.count(character);
    whole.insert(wanted.begin(), wanted.end());
    const auto all = static_cast<double>(wanted.size()), both = static_cast<double>(covered);
    const auto given = static_cast<double>(characters(retrieved).size());

    const rag::SpanScores scores = rag::span_scores(references, retrieved);

    CHECK(scores.recall == share(both, all));
    CHECK(scores.precision == share(both, given));
    CHECK(scores.iou == share(both, given + all - both));
    CHECK(rag::precision_omega(references, retrieved) ==
          share(static_cast<double>(covered_by_touched), static_cast<double>(whole.size())));
  }
}

TEST_CASE("within_length keeps what fits and cuts the last") {
  const Spans ranked{{"a", 0, 10}, {"b", 5, 5}, {"b", 20, 30}, {"c", 0, 10}};

  CHECK(rag::within_length(ranked, 14) == Spans{{"a", 0, 10}, {"b", 20, 24}});
  CHECK(rag::within_length(ranked, 20) == Spans{{"a", 0, 10}, {"b", 20, 30}});
  CHECK(rag::within_length(ranked, 99).size() == 3);
  CHECK(rag::within_length(ranked, 0).empty());
}

TEST_CASE("CodePointOffsets goes from bytes to characters and back") {
  const std::string text = "aé向😀z\xFF!";
  const rag::CodePointOffsets offsets(text);

  const std::size_t bytes[] = {0, 1, 3, 6, 10, 11, 12, 13};
  for (std::size_t i = 0; i < 8; ++i) {
    CAPTURE(i);
    CHECK(offsets.bytes(i) == bytes[i]);
    CHECK(offsets.code_points(bytes[i]) == i);
  }
  CHECK(offsets.code_points(4) == 3);
  CHECK_THROWS_WITH_AS(offsets.code_points(14),
                       "CodePointOffsets: an offset of at most 13 bytes wanted, 14 given", rag::Error);
  CHECK_THROWS_WITH_AS(offsets.bytes(8), "CodePointOffsets: an offset of at most 7 code points wanted, 8 given", rag::Error);
  CHECK(rag::CodePointOffsets("").bytes(0) == 0);
}

TEST_CASE("paired_bootstrap finds the difference of pairs, its interval and the same figures each time") {
  std::vector<double> first, second;
  for (int i = 0; i < 100; ++i) {
    first.push_back(i % 10);  // the questions differ much, the pairs by 0.5 with a spread of 0.5
    second.push_back(i % 10 + (i % 2 == 0 ? 1.0 : 0.0));
  }

  const rag::PairedDifference difference = rag::paired_bootstrap(first, second);

  CHECK(difference.mean == doctest::Approx(0.5));
  CHECK(difference.low == doctest::Approx(0.5 - 1.96 * 0.05).epsilon(0.03));  // sd 0.5 over the root of 100
  CHECK(difference.high == doctest::Approx(0.5 + 1.96 * 0.05).epsilon(0.03));
  CHECK(difference.p == doctest::Approx(2.0 / 10001));
  CHECK(rag::paired_bootstrap(first, second) == difference);
  const rag::PairedDifference turned = rag::paired_bootstrap(second, first);
  CHECK(turned.mean == -difference.mean);
  CHECK(turned.low == -difference.high);
  CHECK(turned.p == difference.p);
}

TEST_CASE("paired_bootstrap draws otherwise with another seed") {
  std::vector<double> first(50), second;
  for (int i = 0; i < 50; ++i) second.push_back(std::sqrt(i));

  const rag::PairedDifference one = rag::paired_bootstrap(first, second, {.samples = 100, .seed = 1});
  const rag::PairedDifference other = rag::paired_bootstrap(first, second, {.samples = 100, .seed = 2});

  CHECK(one.mean == other.mean);
  CHECK(one.low != other.low);
}

TEST_CASE("paired_bootstrap of equal systems says that nothing differs") {
  const std::vector<double> scores{0.1, 0.5, 0.9};

  CHECK(rag::paired_bootstrap(scores, scores) == rag::PairedDifference{0, 0, 0, 1});
  CHECK(rag::paired_bootstrap(std::vector{0.0, 1.0}, std::vector{1.0, 0.0}).p == 1);
}

TEST_CASE("paired_bootstrap's interval of 90 percent holds the true difference in 84 to 96 of 100 draws") {
  std::mt19937 random(5);
  int held = 0;
  for (int round = 0; round < 100; ++round) {
    std::vector<double> first(60), second(60);
    for (double& score : second) score = static_cast<double>(random() % 1000) / 999;  // of mean 0.5
    const rag::PairedDifference difference =
        rag::paired_bootstrap(first, second, {.samples = 500, .confidence = 0.9, .seed = random()});
    held += difference.low <= 0.5 && 0.5 <= difference.high;
  }
  CHECK(held >= 84);
  CHECK(held <= 96);
}

TEST_CASE("paired_bootstrap refuses what it can't compare") {
  const std::vector<double> two{1, 2}, three{1, 2, 3};

  CHECK_THROWS_WITH_AS(rag::paired_bootstrap(two, three),
                       "paired_bootstrap: as many scores of both systems, 1 or more, wanted, 2 and 3 given", rag::Error);
  CHECK_THROWS_AS(rag::paired_bootstrap({}, {}), rag::Error);
  CHECK_THROWS_AS(rag::paired_bootstrap(two, two, {.samples = 0}), rag::Error);
  for (const double bad : {0.0, 1.0, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_AS(rag::paired_bootstrap(two, two, {.confidence = bad}), rag::Error);
}
