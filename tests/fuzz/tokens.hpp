// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_FUZZ_TOKENS_HPP
#define RAG_TESTS_FUZZ_TOKENS_HPP
#include <rag/detail/tokenizer.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

namespace fuzz {

/// What holds for the ids of any tokenizer and any text; stops the program where it does not.
inline void check_tokens(const rag::detail::Tokenizer& tokenizer, std::string_view text) {
  const auto require = [](bool holds) {
    if (!holds) std::abort();
  };
  const auto known = [&](std::int32_t id) { return id >= 0 && static_cast<std::size_t>(id) < tokenizer.size(); };
  const std::size_t special = tokenizer.special_count();
  std::vector<std::int32_t> all, some, types;
  require(tokenizer.encode(text, all, ~std::size_t{0}));
  require(all.size() == tokenizer.count(text) && all.size() >= special);
  require(std::all_of(all.begin(), all.end(), known));
  const std::size_t limit = special + (all.size() - special) / 2;
  require(tokenizer.encode(text, some, limit) == (all.size() <= limit));
  require(some.size() <= limit && std::all_of(some.begin(), some.end(), known));
  some.clear();
  try {
    tokenizer.encode_pair(text, text.substr(text.size() / 2), some, types, limit + 8);
    require(some.size() <= limit + 8 && some.size() == types.size() && std::all_of(some.begin(), some.end(), known));
  } catch (const rag::Error& error) {
    require(error.code() == rag::Errc::invalid_argument);  // more special tokens than the limit
  }
}

}  // namespace fuzz

#endif
