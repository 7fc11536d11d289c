// SPDX-License-Identifier: MIT
#include <rag/retrieve/bm25.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Bm25 leaves out what can't be among the best. Here its hits are held against a loop that leaves out nothing.

namespace {

/// The formula as it stands, over all chunks, in the order of the question's words.
class PlainLoop {
 public:
  PlainLoop(std::vector<rag::Chunk> chunks, rag::Bm25Options options) : chunks_(std::move(chunks)), options_(options) {
    for (std::size_t slot = 0; slot < chunks_.size(); ++slot) {
      std::map<std::string, std::uint32_t> counts;
      lengths_.push_back(0);
      rag::EnglishWords{}(chunks_[slot].text, [&](std::string_view word, bool) {
        ++counts[std::string(word)];
        ++lengths_.back();
      });
      words_ += lengths_.back();
      for (const auto& [word, times] : counts) postings_[word].emplace_back(slot, times);
    }
  }

  std::vector<rag::Hit> search(std::string_view question, std::size_t k) const {
    return search(question, k, [](const rag::Chunk&) { return true; });
  }
  template <class Keep>
  std::vector<rag::Hit> search(std::string_view question, std::size_t k, const Keep& keep) const {
    std::vector<std::pair<std::string, double>> asked;
    rag::EnglishWords{}(question, [&](std::string_view word, bool stop) {
      if (stop) return;
      const auto there = std::find_if(asked.begin(), asked.end(), [&](const auto& one) { return one.first == word; });
      if (there == asked.end()) asked.emplace_back(word, 1);
      else ++there->second;
    });
    std::vector<double> scores(chunks_.size());
    for (const auto& [word, times] : asked)
      if (const auto found = postings_.find(word); found != postings_.end()) add(found->second, times, scores);
    std::vector<rag::Hit> hits;
    for (std::size_t slot = 0; slot < scores.size(); ++slot)
      if (scores[slot] > 0 && keep(chunks_[slot])) hits.push_back({chunks_[slot], static_cast<float>(scores[slot])});
    std::stable_sort(hits.begin(), hits.end(), [](const rag::Hit& a, const rag::Hit& b) { return a.score > b.score; });
    hits.resize(std::min(k, hits.size()));
    return hits;
  }

 private:
  void add(const std::vector<std::pair<std::size_t, std::uint32_t>>& postings, double times,
           std::vector<double>& scores) const {
    const auto all = static_cast<double>(chunks_.size()), with = static_cast<double>(postings.size());
    const double weight = times * std::log(1 + (all - with + 0.5) / (with + 0.5));
    const double mean = static_cast<double>(words_) / all;
    for (const auto& [slot, often] : postings) {
      const double relative = static_cast<double>(lengths_[slot]) / mean;
      scores[slot] += weight * often * (options_.k1 + 1) /
                      (often + options_.k1 * (1 - options_.b + options_.b * relative));
    }
  }

  std::vector<rag::Chunk> chunks_;
  rag::Bm25Options options_;
  std::vector<std::uint32_t> lengths_;
  std::map<std::string, std::vector<std::pair<std::size_t, std::uint32_t>>> postings_;
  std::uint64_t words_ = 0;
};

class Texts {
 public:
  explicit Texts(unsigned seed) : random_(seed) {}
  unsigned below(unsigned n) { return static_cast<unsigned>(random_()) % n; }
  /// Words by Zipf's law, so that some are in most texts and most in few.
  std::string words(unsigned count, double spread = 7) {
    std::string text;
    for (unsigned i = 0; i < count; ++i)
      text += "w" + std::to_string(static_cast<int>(std::exp(spread * below(10000) / 10000.0))) + ' ';
    return text;
  }
  std::vector<rag::Chunk> chunks(std::size_t count, unsigned longest) {
    std::vector<rag::Chunk> all;
    for (std::size_t i = 0; i < count; ++i) {
      // One in a hundred is many times as long, one in ten says what another one says.
      std::string text = below(10) == 0 && i > 0 ? all[below(static_cast<unsigned>(i))].text
                                                 : words(below(below(100) == 0 ? 60 * longest : longest));
      all.push_back({std::move(text), "s" + std::to_string(i / 50), i, i + 1, {{"third", i % 3 == 0}}});
      all.back().id = static_cast<rag::Id>(i);
    }
    return all;
  }

 private:
  std::mt19937 random_;
};

struct Third {
  bool operator()(const rag::Chunk& chunk) const { return chunk.metadata.find("third")->boolean(); }
  friend bool matches(const Third& third, const rag::Chunk& chunk) { return third(chunk); }
};

}  // namespace

TEST_CASE("Bm25 finds what a plain loop over all chunks finds, to the bit") {
  Texts texts(3);
  for (const rag::Bm25Options options : {rag::Bm25Options{}, {0, 0.5}, {1.6, 0}, {25, 1}}) {
    const std::vector<rag::Chunk> chunks = texts.chunks(9500, 30);
    rag::BasicBm25<> index(options);
    index.add(chunks);
    const PlainLoop plain(chunks, options);
    for (unsigned i = 0; i < 60; ++i) {
      const std::string question = texts.words(1 + texts.below(12));
      CAPTURE(question);
      const std::size_t k = i % 12 == 0 ? 20000 : 1 + texts.below(i % 3 == 0 ? 300 : 12);
      CAPTURE(k);
      CHECK(index.search(question, k) == plain.search(question, k));
      CHECK(index.search(question, k, Third{}) == plain.search(question, k, Third{}));
    }
    CHECK(index.search("w1", 0).empty());
  }
}

TEST_CASE("Bm25 finds the same among thousands of equals") {
  std::vector<rag::Chunk> chunks(12000, rag::Chunk{"the same few words", "a"});
  for (std::size_t i = 0; i < chunks.size(); ++i) chunks[i].id = static_cast<rag::Id>(i);
  chunks[11000].text = "few same words";
  rag::Bm25 index;
  index.add(chunks);
  const PlainLoop plain(chunks, {});

  for (const char* question : {"same words", "few", "words same few few"})
    for (const std::size_t k : {1u, 10u, 5000u}) CHECK(index.search(question, k) == plain.search(question, k));
}

TEST_CASE("Bm25 finds the same where words stand in a part of the chunks only") {
  std::vector<rag::Chunk> chunks;
  for (std::size_t i = 0; i < 9000; ++i) {
    std::string text = "filler" + std::to_string(i % 700);
    if (i >= 10 && i < 5000 && i % 2 == 0) text += " early";
    if (i >= 4000) text += " late late";
    if ((i >= 8 && i < 60) || (i > 3950 && i < 4050) || i > 8960) text += " gem";
    for (std::size_t n = i % 7; n > 0; --n) text += " long";
    chunks.push_back({std::move(text), "a"});
    chunks.back().id = static_cast<rag::Id>(i);
  }
  rag::Bm25 index;
  index.add(chunks);
  const PlainLoop plain(chunks, {});

  for (const char* question : {"gem early", "gem late", "early gem late", "late early", "gem late filler3 early", "early"})
    for (const std::size_t k : {1u, 5u, 30u, 90u}) {
      CAPTURE(question);
      CAPTURE(k);
      CHECK(index.search(question, k) == plain.search(question, k));
    }
}

TEST_CASE("Bm25 finds the same in texts of many lengths, with words of many frequencies") {
  std::vector<rag::Chunk> chunks;  // some 28,000 pairs of a frequency and a length
  for (std::size_t i = 0; i < 700; ++i) {
    std::string text;
    for (std::size_t word = 1; word <= 40; ++word)
      for (std::size_t n = 0; n < 1 + (word * 7 + i) % 41; ++n) text += "w" + std::to_string(word) + ' ';
    for (std::size_t n = 0; n < 2 * i; ++n) text += "filler ";
    chunks.push_back({std::move(text), "a"});
    chunks.back().id = static_cast<rag::Id>(i);
  }
  rag::Bm25 index;
  index.add(chunks);
  const PlainLoop plain(chunks, {});

  for (const char* question : {"w1", "w7 w8 w9", "w40 filler w3", "w5 w6 w12 w13 w24 w38 w39"})
    for (const std::size_t k : {1u, 10u, 600u}) CHECK(index.search(question, k) == plain.search(question, k));
}

TEST_CASE("Bm25 finds what a plain loop finds after sources came and went") {
  Texts texts(4);
  std::vector<rag::Chunk> chunks = texts.chunks(6000, 30);
  rag::Bm25 index;
  index.add(chunks);
  for (int round = 0; round < 3; ++round) {  // the last ones close the gaps
    for (unsigned i = 0; i < 40; ++i) {
      const std::string source = "s" + std::to_string(texts.below(120));
      index.erase(source);
      std::erase_if(chunks, [&](const rag::Chunk& chunk) { return chunk.source == source; });
    }
    REQUIRE(index.size() == chunks.size());
    const PlainLoop plain(chunks, {});
    for (unsigned i = 0; i < 30; ++i) {
      const std::string question = texts.words(1 + texts.below(8));
      CAPTURE(question);
      CHECK(index.search(question, 10) == plain.search(question, 10));
    }
  }
}
