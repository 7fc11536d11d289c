// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TF_TABLE_HPP
#define RAG_DETAIL_TF_TABLE_HPP
#include <rag/version.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// How often a word stands in a text and how many words that text has: the pairs that occur, numbered as they come. There
/// are few, since most words stand once or twice in texts of much the same length: what BM25 takes from the pair, which is
/// all but the weight of the word, is looked up.
RAG_LAZY class BasicTfTable {
 public:
  BasicTfTable(double k1, double b) : k1_(k1), b_(b) {}

  std::uint32_t number(std::uint32_t times, std::uint32_t length) {
    const auto next = static_cast<std::uint32_t>(pairs_.size());
    const auto [at, is_new] = numbers_.try_emplace(std::uint64_t{length} << 32 | times, next);
    if (is_new) pairs_.push_back({times, length});
    return at->second;
  }
  std::size_t size() const { return pairs_.size(); }
  std::uint32_t times(std::uint32_t number) const { return pairs_[number].times; }
  std::uint32_t length(std::uint32_t number) const { return pairs_[number].length; }

  /// The mean length of the texts, which a share needs; after number().
  void set_mean(double mean) {
    mean_ = mean;
    parts_.resize(std::min(size(), max_cached));
    for (std::uint32_t i = 0; i < parts_.size(); ++i) parts_[i] = part(i);
  }
  /// The share of a word in the score of such a text: weight times (k1 + 1) / (times + k1 (1 - b + b length / mean)).
  double share(double weight, std::uint32_t times, std::uint32_t length) const {
    const double often = times;
    return weight * often * (k1_ + 1) / (often + k1_ * (1 - b_ + b_ * (static_cast<double>(length) / mean_)));
  }
  double share(double weight, std::uint32_t number) const {
    return share(weight, pairs_[number].times, pairs_[number].length);
  }
  /// That of a word of weight 1, as a float.
  float part(std::uint32_t number) const { return static_cast<float>(share(1, number)); }
  /// part() of the first numbers.
  std::span<const float> cached_parts() const { return parts_; }

 private:
  static constexpr std::size_t max_cached = 16384;
  struct Pair {
    std::uint32_t times, length;
  };

  double k1_, b_, mean_ = 1;
  std::vector<Pair> pairs_;
  std::vector<float> parts_;
  std::unordered_map<std::uint64_t, std::uint32_t> numbers_;
};
using TfTable = BasicTfTable<>;

}  // namespace detail
RAG_END
#endif
