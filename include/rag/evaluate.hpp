// SPDX-License-Identifier: MIT
#ifndef RAG_EVALUATE_HPP
#define RAG_EVALUATE_HPP
#include <rag/detail/utf8.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// How good a retrieval is. Each function scores one question; the figure of a data set is the mean() over its questions
// (reciprocal_rank: MRR, average_precision: MAP). examples/evaluate is a whole program over them.

RAG_BEGIN

/// What one ranking is worth: made by judge(), read by the functions after it.
struct Judgement {
  std::vector<double> gains = {};  ///< of the ranking, best first: 0 for what is not relevant
  std::vector<double> ideal = {};  ///< of all that is relevant, the largest first
};

/// Judges a ranking against what is relevant; an item is anything that == compares (ids, names, …). `relevant` is a
/// list of pairs {item, gain}; gains of 0 or less say not relevant. An item that the ranking or the list repeats counts
/// the first time. Time: the product of both lengths.
template <class Ranked, class Relevant>
Judgement judge_graded(const Ranked& ranked, const Relevant& relevant) {
  Judgement judgement;
  std::vector<char> taken;  // by place in `relevant`: 1 not met yet, 0 met or worth nothing
  for (auto at = relevant.begin(); at != relevant.end(); ++at) {
    const bool again = std::any_of(relevant.begin(), at, [&](const auto& other) { return other.first == at->first; });
    taken.push_back(!again && at->second > 0);
    if (taken.back()) judgement.ideal.push_back(static_cast<double>(at->second));
  }
  std::sort(judgement.ideal.begin(), judgement.ideal.end(), std::greater<>());
  for (const auto& item : ranked) {
    double& gain = judgement.gains.emplace_back(0.0);
    std::size_t place = 0;
    for (auto at = relevant.begin(); at != relevant.end(); ++at, ++place)
      if (taken[place] && at->first == item) {
        gain = static_cast<double>(at->second);
        taken[place] = 0;
        break;
      }
  }
  return judgement;
}

/// The same where an item is relevant or not: `relevant` lists the items, each of gain 1.
///
///     const rag::Judgement judgement = rag::judge(std::vector{7, 3, 9}, std::vector{3, 4});
///     rag::recall_at(judgement, 3);   // 0.5
template <class Ranked, class Relevant>
Judgement judge(const Ranked& ranked, const Relevant& relevant) {
  std::vector<std::pair<typename Relevant::value_type, double>> graded;
  for (const auto& item : relevant) graded.emplace_back(item, 1.0);
  return judge_graded(ranked, graded);
}

namespace detail {

RAG_LAZY double found_at(const Judgement& judgement, std::size_t k) {
  const std::size_t depth = std::min(k, judgement.gains.size());
  return static_cast<double>(std::count_if(judgement.gains.begin(),
                                           judgement.gains.begin() + static_cast<std::ptrdiff_t>(depth),
                                           [](double gain) { return gain > 0; }));
}

RAG_LAZY double discounted(const std::vector<double>& gains, std::size_t k) {
  double sum = 0;
  for (std::size_t i = 0; i < std::min(k, gains.size()); ++i) sum += gains[i] / std::log2(static_cast<double>(i) + 2);
  return sum;
}

}  // namespace detail

/// The share of the relevant items that is among the first k; 0 where nothing is relevant. (trec_eval leaves a question
/// without relevant items out of its means; leave it out of yours.)
RAG_LAZY double recall_at(const Judgement& judgement, std::size_t k) {
  if (judgement.ideal.empty()) return 0;
  return detail::found_at(judgement, k) / static_cast<double>(judgement.ideal.size());
}

/// The share of the first k that is relevant. A ranking shorter than k pays for the missing items, as in trec_eval;
/// k = 0 gives 0.
RAG_LAZY double precision_at(const Judgement& judgement, std::size_t k) {
  return k == 0 ? 0 : detail::found_at(judgement, k) / static_cast<double>(k);
}

/// 1 / the rank, from 1, of the first relevant item; 0 if none is among the first k. Its mean is MRR@k.
RAG_LAZY double reciprocal_rank(const Judgement& judgement, std::size_t k) {
  for (std::size_t i = 0; i < std::min(k, judgement.gains.size()); ++i)
    if (judgement.gains[i] > 0) return 1 / static_cast<double>(i + 1);
  return 0;
}

/// Normalised discounted cumulative gain (Järvelin and Kekäläinen, TOIS 2002): the sum of gain / log2(rank + 1) over the
/// first k, by that of the best possible ranking; 0 where nothing is relevant. Linear in the gain, as trec_eval; for
/// the form 2^grade - 1 give that as the gain.
RAG_LAZY double ndcg_at(const Judgement& judgement, std::size_t k) {
  const double best = detail::discounted(judgement.ideal, k);
  return best > 0 ? detail::discounted(judgement.gains, k) / best : 0;
}

/// The mean over all relevant items of the precision at their ranks; one that is not among the first k gives 0. Its
/// mean over questions is MAP.
RAG_LAZY double average_precision(const Judgement& judgement, std::size_t k = std::size_t(-1)) {
  if (judgement.ideal.empty()) return 0;
  double sum = 0, found = 0;
  for (std::size_t i = 0; i < std::min(k, judgement.gains.size()); ++i)
    if (judgement.gains[i] > 0) sum += ++found / static_cast<double>(i + 1);
  return sum / static_cast<double>(judgement.ideal.size());
}

/// The arithmetic mean, 0 of nothing.
RAG_LAZY double mean(std::span<const double> values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return values.empty() ? 0 : sum / static_cast<double>(values.size());
}

/// The standard deviation of all the values (divided by their number, not by one less), 0 of nothing.
RAG_LAZY double deviation(std::span<const double> values) {
  const double middle = mean(values);
  double sum = 0;
  for (const double value : values) sum += (value - middle) * (value - middle);
  return values.empty() ? 0 : std::sqrt(sum / static_cast<double>(values.size()));
}

/// A piece [begin, end) of one text. All spans that meet in a call are in the same unit: bytes, or code points.
struct SourceSpan {
  std::string source;
  std::size_t begin = 0;
  std::size_t end = 0;

  bool operator==(const SourceSpan&) const = default;
};

/// From bytes to code points and back, for data whose offsets count characters. Memory: 8 bytes a character.
RAG_LAZY class BasicCodePointOffsets {
 public:
  explicit BasicCodePointOffsets(std::string_view text) {
    for (std::size_t at = 0; at < text.size(); at += detail::decode_utf8(text, at).length) starts_.push_back(at);
    starts_.push_back(text.size());
  }
  /// The code points before a byte; inside of a character, those up to its end.
  std::size_t code_points(std::size_t byte) const {
    check("bytes", byte, starts_.back());
    return static_cast<std::size_t>(std::lower_bound(starts_.begin(), starts_.end(), byte) - starts_.begin());
  }
  /// The bytes before a code point. Throws invalid_argument beyond the text, as code_points() does.
  std::size_t bytes(std::size_t code_point) const {
    check("code points", code_point, starts_.size() - 1);
    return starts_[code_point];
  }

 private:
  static void check(const char* unit, std::size_t given, std::size_t most) {
    if (given > most)
      throw Error(Errc::invalid_argument, "CodePointOffsets: an offset of at most " + std::to_string(most) + " " + unit +
                                              " wanted, " + std::to_string(given) + " given");
  }
  std::vector<std::size_t> starts_;
};
using CodePointOffsets = BasicCodePointOffsets<>;

/// The scores of retrieved text against the passages that answer the question, by characters.
struct SpanScores {
  double recall = 0;
  double precision = 0;
  double iou = 0;

  bool operator==(const SpanScores&) const = default;
};

namespace detail {

/// The spans as an ordered list without overlaps; touching ones are joined, empty ones dropped.
RAG_LAZY std::vector<SourceSpan> united(std::vector<SourceSpan> spans) {
  std::erase_if(spans, [](const SourceSpan& span) { return span.begin >= span.end; });
  std::sort(spans.begin(), spans.end(), [](const SourceSpan& a, const SourceSpan& b) {
    return a.source != b.source ? a.source < b.source : a.begin < b.begin;
  });
  std::vector<SourceSpan> whole;
  for (SourceSpan& span : spans)
    if (!whole.empty() && whole.back().source == span.source && span.begin <= whole.back().end)
      whole.back().end = std::max(whole.back().end, span.end);
    else whole.push_back(std::move(span));
  return whole;
}

RAG_LAZY std::size_t total_length(std::span<const SourceSpan> spans) {
  std::size_t sum = 0;
  for (const SourceSpan& span : spans) sum += span.end > span.begin ? span.end - span.begin : 0;
  return sum;
}

/// What the two have in common, without overlaps.
RAG_LAZY std::vector<SourceSpan> common(std::span<const SourceSpan> a, std::span<const SourceSpan> b) {
  std::vector<SourceSpan> both;
  for (const SourceSpan& one : a)
    for (const SourceSpan& other : b)
      if (one.source == other.source)
        both.push_back({one.source, std::max(one.begin, other.begin), std::min(one.end, other.end)});
  return united(std::move(both));
}

RAG_LAZY double ratio(std::size_t part, std::size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace detail

/// Scores by characters, as the published chunking evaluation has them (B. Smith and A. Troynikov, "Evaluating Chunking
/// Strategies for Retrieval", Chroma technical report, 2024). With I the part of the references that the retrieved
/// spans cover, each character once:
///   recall = |I| / |references|,  precision = |I| / |retrieved|,  IoU = |I| / (|retrieved| + |references not covered|).
/// |retrieved| is a plain sum, as published: a character that two overlapping chunks bring counts twice there, and
/// chunks of other sources count in full. References that overlap are one passage here (published: each counts).
/// The published program looks a chunk up in the text by its words and takes the first place; here a span is a place.
RAG_LAZY SpanScores span_scores(std::span<const SourceSpan> references, std::span<const SourceSpan> retrieved) {
  const std::vector<SourceSpan> wanted = detail::united({references.begin(), references.end()});
  const std::size_t covered = detail::total_length(detail::common(wanted, retrieved));
  const std::size_t all = detail::total_length(wanted), given = detail::total_length(retrieved);
  return {detail::ratio(covered, all), detail::ratio(covered, given), detail::ratio(covered, given + all - covered)};
}

/// Precision Omega of the same report: the precision of a retriever that finds exactly the chunks with a part of a
/// reference in them. It judges a chunker alone: |I| / |chunks united with the references not covered|. As published, a
/// chunk that only touches a reference, ending where it begins or the other way round, is taken too: a reference that
/// ends at a cut costs two chunks.
RAG_LAZY double precision_omega(std::span<const SourceSpan> references, std::span<const SourceSpan> chunks) {
  const std::vector<SourceSpan> wanted = detail::united({references.begin(), references.end()});
  std::vector<SourceSpan> whole = wanted, touched;
  for (const SourceSpan& chunk : chunks)
    for (const SourceSpan& reference : wanted)
      if (chunk.source == reference.source && chunk.begin <= reference.end && reference.begin <= chunk.end) {
        touched.push_back(chunk);
        break;
      }
  whole.insert(whole.end(), touched.begin(), touched.end());
  return detail::ratio(detail::total_length(detail::common(wanted, touched)),
                       detail::total_length(detail::united(std::move(whole))));
}

/// The first spans of a ranking up to `length` in all; the last one is cut at its end. Chunkers of different sizes compare
/// by what the same room in a prompt holds, not by the same number of chunks.
RAG_LAZY std::vector<SourceSpan> within_length(std::span<const SourceSpan> ranked, std::size_t length) {
  std::vector<SourceSpan> kept;
  for (const SourceSpan& span : ranked) {
    if (length == 0) break;
    if (span.begin >= span.end) continue;
    kept.push_back(span);
    kept.back().end = span.begin + std::min(length, span.end - span.begin);
    length -= kept.back().end - kept.back().begin;
  }
  return kept;
}

struct BootstrapOptions {
  std::size_t samples = 10000;  ///< 1 or more
  double confidence = 0.95;     ///< of the interval, between 0 and 1
  std::uint64_t seed = 1;
};

/// How much better the second of two systems is, over the same questions.
struct PairedDifference {
  double mean = 0;  ///< of second - first
  double low = 0;   ///< the ends of the interval of that mean
  double high = 0;
  double p = 1;  ///< two-sided: how often chance alone would part them so; small says that they differ

  bool operator==(const PairedDifference&) const = default;
};

/// Compares two systems by their scores on the same questions, first[i] and second[i] of question i: the questions are
/// drawn with replacement, `samples` times (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, percentile
/// interval; for systems of language: P. Koehn, EMNLP 2004). p is twice the smaller share of samples whose mean is not
/// above, or not below, 0, with one sample added. The same input gives the same figures everywhere. Time:
/// samples times questions. Throws invalid_argument: unequal lengths, no question, options out of range.
RAG_LAZY PairedDifference paired_bootstrap(std::span<const double> first, std::span<const double> second,
                                           const BootstrapOptions& options = {}) {
  if (first.size() != second.size() || first.empty())
    throw Error(Errc::invalid_argument, "paired_bootstrap: as many scores of both systems, 1 or more, wanted, " +
                                            std::to_string(first.size()) + " and " + std::to_string(second.size()) +
                                            " given");
  if (options.samples == 0 || !(options.confidence > 0 && options.confidence < 1))
    throw Error(Errc::invalid_argument, "paired_bootstrap: 1 sample or more and a confidence between 0 and 1 wanted, " +
                                            std::to_string(options.samples) + " and " +
                                            std::to_string(options.confidence) + " given");
  std::uint64_t state = options.seed;
  const auto draw = [&] {  // SplitMix64 (Steele, Lea and Flood, 2014): the standard's distributions differ by compiler
    std::uint64_t z = state += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return static_cast<std::size_t>((z ^ (z >> 31)) % first.size());
  };
  std::vector<double> differences, means;
  for (std::size_t i = 0; i < first.size(); ++i) differences.push_back(second[i] - first[i]);
  for (std::size_t sample = 0; sample < options.samples; ++sample) {
    double sum = 0;
    for (std::size_t i = 0; i < differences.size(); ++i) sum += differences[draw()];
    means.push_back(sum / static_cast<double>(differences.size()));
  }
  std::sort(means.begin(), means.end());
  const auto samples = static_cast<double>(options.samples);
  const auto outside = static_cast<std::size_t>((1 - options.confidence) / 2 * samples);
  const auto not_above = static_cast<double>(std::upper_bound(means.begin(), means.end(), 0.0) - means.begin());
  const auto not_below = static_cast<double>(means.end() - std::lower_bound(means.begin(), means.end(), 0.0));
  return {mean(differences), means[outside], means[means.size() - 1 - outside],
          std::min(1.0, 2 * (std::min(not_above, not_below) + 1) / (samples + 1))};
}

RAG_END
#endif
