// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_WORK_UNITS_HPP
#define RAG_DETAIL_WORK_UNITS_HPP
#include <rag/version.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <thread>
#include <vector>

RAG_BEGIN
namespace detail {

/// Texts that go through a model side by side.
struct WorkUnit {
  std::size_t text, texts, token, tokens;
};

/// About 256 tokens a unit, less where that leaves threads (0: all) without work. What comes of a text does not
/// depend on it.
RAG_LAZY std::vector<WorkUnit> work_units(std::span<const std::size_t> lengths, std::size_t tokens, std::size_t threads) {
  if (threads == 0) threads = std::max(1u, std::thread::hardware_concurrency());
  const std::size_t most = std::min<std::size_t>(256, tokens / (2 * threads) + 1);
  std::vector<WorkUnit> units;
  std::size_t token = 0;
  for (std::size_t text = 0; text < lengths.size(); token += lengths[text++]) {
    if (units.empty() || units.back().tokens + lengths[text] > most) units.push_back({text, 0, token, 0});
    ++units.back().texts;
    units.back().tokens += lengths[text];
  }
  return units;
}

}  // namespace detail
RAG_END
#endif
