// SPDX-License-Identifier: MIT
#ifndef RAG_DOCUMENT_GLOB_HPP
#define RAG_DOCUMENT_GLOB_HPP
#include <rag/detail/utf8.hpp>

#include <cstddef>
#include <string_view>
#include <vector>

RAG_BEGIN
namespace detail {

/// Does all of a path with '/' fit the pattern? * is any characters but '/', ? is one, ** any with '/', and **/ at
/// the start of a name may be nothing. All states go along together, so no pattern takes more than
/// path x pattern steps.
RAG_LAZY bool matches_glob(std::string_view path, std::string_view pattern) {
  std::vector<char> now(pattern.size() + 1, 0), next;
  const auto is_double = [&](std::size_t i) { return pattern.substr(i, 2) == "**"; };
  const auto skip_stars = [&](std::vector<char>& states, bool name_starts) {
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (!states[i] || pattern[i] != '*') continue;
      states[i + (is_double(i) ? 2 : 1)] = 1;
      if (name_starts && pattern.substr(i, 3) == "**/" && (i == 0 || pattern[i - 1] == '/')) states[i + 3] = 1;
    }
  };
  now[0] = 1;
  skip_stars(now, true);
  for (std::size_t at = 0; at < path.size();) {
    const std::string_view character = path.substr(at, decode_utf8(path, at).length);
    const bool slash = character == "/";
    next.assign(now.size(), 0);
    for (std::size_t i = 0; i < pattern.size(); ++i) {
      if (!now[i]) continue;
      if (pattern[i] == '*') next[i] |= is_double(i) || !slash;
      else if (pattern[i] == '?') next[i + 1] |= !slash;
      else if (pattern.substr(i, character.size()) == character) next[i + character.size()] = 1;
    }
    skip_stars(next, slash);
    now.swap(next);
    at += character.size();
  }
  return now.back() != 0;
}

}  // namespace detail
RAG_END
#endif
