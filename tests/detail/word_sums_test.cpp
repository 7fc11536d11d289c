// SPDX-License-Identifier: MIT
#include <rag/detail/word_sums.hpp>

#include <doctest/doctest.h>

#include "detail/isas.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

using namespace rag::detail;

namespace {

using tests::isas;

struct Sums {
  std::vector<float> sums;
  std::vector<std::uint32_t> risen;
  bool operator==(const Sums&) const = default;
};

}  // namespace

TEST_CASE("shares of words are summed up the same on every instruction set, in the window alone") {
  std::mt19937 random(1);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random()) % n; };
  for (const std::uint32_t pairs : {300u, 16384u, 17000u}) {  // of the last, some are not cached
    TfTable tf(1.2, 0.75);
    for (std::uint32_t i = 0; i < pairs; ++i) tf.number(1 + i % 7, 1 + i);
    tf.set_mean(100);
    for (int round = 0; round < 60; ++round) {
      const Slot first = 1000 + below(5000);
      const std::uint32_t width = 1 + below(round % 3 == 0 ? 20 : WordSums::max_width);
      const float least = static_cast<float>(below(12)) + 0.25F;
      std::vector<std::vector<Posting>> words;
      std::vector<std::size_t> inside;  // how many of a word's postings are in the window
      Sums wanted{std::vector<float>(WordSums::max_width, 0), {}};
      for (std::uint32_t word = 0; word < 6; ++word) {
        std::vector<Posting>& postings = words.emplace_back();
        inside.push_back(0);
        const std::uint32_t step = 1 + below(round % 2 == 0 ? 3 : 200);
        for (Slot slot = first + below(step); slot < first + width + below(100); slot += 1 + below(step)) {
          const Posting& posting = postings.emplace_back(Posting{slot, below(pairs)});
          if (slot >= first + width) continue;
          ++inside.back();
          float& sum = wanted.sums[slot - first];
          const float before = sum;
          const float share = static_cast<float>(word + 1) * tf.part(posting.tf);
          sum = before + share;
          if (before < least && sum >= least) wanted.risen.push_back(slot - first);
        }
        postings.shrink_to_fit();
      }
      for (const Isa isa : isas()) {
        CAPTURE(name_of(isa));
        CAPTURE(pairs);
        CAPTURE(round);
        const auto to = std::make_unique<WordSums>();
        to->first = first, to->width = width, to->least = least, to->rises = 0;
        to->sums.fill(0);
        for (std::size_t word = 0; word < words.size(); ++word) {
          const Posting *begin = words[word].data(), *end = begin + words[word].size();
          CHECK(add_shares(begin, end, static_cast<float>(word + 1), tf, *to, isa) == begin + inside[word]);
        }
        CHECK(Sums{{to->sums.begin(), to->sums.end()}, {to->risen.begin(), to->risen.begin() + to->rises}} == wanted);
      }
    }
  }
}
