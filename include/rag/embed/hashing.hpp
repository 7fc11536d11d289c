// SPDX-License-Identifier: MIT
#ifndef RAG_EMBED_HASHING_HPP
#define RAG_EMBED_HASHING_HPP
#include <rag/detail/hash.hpp>
#include <rag/detail/utf8.hpp>
#include <rag/detail/words.hpp>
#include <rag/types.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN

/// Texts into vectors without a model: lexical, never semantic. Two texts are near when they share words or pieces of
/// words; "car" and "automobile" are strangers. It fills the Embedder role where nothing may be downloaded; Bm25 finds
/// better.
///
/// The words of a text, folded and stemmed as Bm25 takes them, and the runs of three and four characters of each word
/// between marks for its ends, are hashed to a column and a sign (detail::hash64); a word counts for four runs. Stop
/// words count only where a text has no others. A column is the signed square root of its sum, a row has length 1, or
/// is zero for a text without words. Whole numbers up to the last square root: the same bits on every machine.
///
///     rag::HashingEmbedder{}      // 1024 columns
///     rag::HashingEmbedder<4096>{}
template <std::size_t Dimension = 1024>
struct HashingEmbedder {
  static_assert(Dimension > 0, "rag::HashingEmbedder: a dimension of 1 or more is wanted");

  static constexpr std::size_t dimension() { return Dimension; }

  /// Changes whenever the vectors do.
  std::string name() const { return "hashing-" + std::to_string(Dimension) + "-v1"; }

  Matrix embed(std::span<const std::string_view> texts) const {
    Matrix vectors(texts.size(), Dimension);
    std::vector<std::int64_t> sums(Dimension);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      sums.assign(Dimension, 0);
      if (!add_words(texts[i], false, sums)) add_words(texts[i], true, sums);
      write(sums, vectors.row(i));
    }
    return vectors;
  }

 private:
  // The seeds of the three kinds of feature, so that the word "abc" and the run "abc" are not the same.
  enum Kind : std::uint64_t { whole_word = 1, run_of_three = 3, run_of_four = 4 };

  static void add(std::string_view feature, Kind kind, std::int64_t weight, std::vector<std::int64_t>& sums) {
    const std::uint64_t hash = detail::hash64(feature, kind);
    sums[static_cast<std::size_t>((hash >> 1) % Dimension)] += (hash & 1) != 0 ? weight : -weight;
  }

  // False: the text has no word of that kind.
  static bool add_words(std::string_view text, bool stop_words, std::vector<std::int64_t>& sums) {
    bool found = false;
    std::string marked;
    std::vector<std::size_t> starts;  // of the characters of `marked`, and its end
    detail::for_each_word(text, [&](std::string_view word, bool stop) {
      if (stop != stop_words) return;
      found = true;
      add(word, whole_word, 4, sums);
      marked.assign(1, '^').append(word) += '$';  // neither can be part of a word
      starts.clear();
      for (std::size_t at = 0; at < marked.size(); at += detail::decode_utf8(marked, at).length) starts.push_back(at);
      starts.push_back(marked.size());
      for (const Kind length : {run_of_three, run_of_four})
        for (std::size_t i = 0; i + length < starts.size(); ++i)
          add(std::string_view(marked).substr(starts[i], starts[i + length] - starts[i]), length, 1, sums);
    });
    return found;
  }

  // The squares of the signed roots add up to the sum of the absolute values, a whole number.
  static void write(const std::vector<std::int64_t>& sums, std::span<float> row) {
    std::int64_t total = 0;
    for (const std::int64_t sum : sums) total += sum < 0 ? -sum : sum;
    if (total == 0) return;
    for (std::size_t j = 0; j < Dimension; ++j) {
      const auto part = static_cast<double>(sums[j] < 0 ? -sums[j] : sums[j]) / static_cast<double>(total);
      row[j] = static_cast<float>(sums[j] < 0 ? -std::sqrt(part) : std::sqrt(part));
    }
  }
};

RAG_END
#endif
