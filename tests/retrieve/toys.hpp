// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_RETRIEVE_TOYS_HPP
#define RAG_TESTS_RETRIEVE_TOYS_HPP
#include <rag/concepts.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

namespace toys {

/// Counts letters, at unit length.
struct LetterEmbedder {
  std::size_t dimension() const { return 26; }
  rag::Matrix embed(std::span<const std::string_view> texts) const {
    rag::Matrix vectors(texts.size(), 26);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      float squares = 0;
      for (const char c : texts[i])
        if (c >= 'a' && c <= 'z') vectors.row(i)[static_cast<std::size_t>(c - 'a')] += 1;
      for (const float value : vectors.row(i)) squares += value * value;
      for (float& value : vectors.row(i)) value /= std::sqrt(std::max(squares, 1.0f));
    }
    return vectors;
  }
};

/// Keeps everything in a list.
struct PlainStore {
  std::vector<rag::Id> add(std::span<const rag::Chunk> added, const rag::Matrix& vectors) {
    std::vector<rag::Chunk> next = list;
    std::vector<rag::Id> ids;
    rag::Id next_number = next_id;
    for (const rag::Chunk& chunk : added) {
      next.push_back(chunk);
      if (chunk.id == rag::no_id) next.back().id = next_number;
      ids.push_back(next.back().id);
      next_number = std::max(next_number, ids.back() + 1);
      if (std::count_if(next.begin(), next.end(),
                        [&](const rag::Chunk& other) { return other.id == ids.back(); }) > 1)
        throw rag::Error(rag::Errc::invalid_argument, "PlainStore::add: id in use");
    }
    for (std::size_t i = 0; i < added.size(); ++i)
      rows.push_back({vectors.row(i).begin(), vectors.row(i).end()});
    list = std::move(next);
    next_id = next_number;
    return ids;
  }
  std::vector<rag::Hit> search(std::span<const float> query, std::size_t k) const {
    std::vector<rag::Hit> hits;
    for (std::size_t i = 0; i < list.size(); ++i) {
      float score = 0;
      for (std::size_t j = 0; j < query.size(); ++j) score += query[j] * rows[i][j];
      hits.push_back({list[i], score});
    }
    std::stable_sort(hits.begin(), hits.end(),
                     [](const rag::Hit& a, const rag::Hit& b) { return a.score > b.score; });
    hits.resize(std::min(k, hits.size()));
    return hits;
  }
  std::size_t size() const { return list.size(); }
  std::size_t dimension() const { return columns; }

  std::size_t columns = 0;
  std::vector<rag::Chunk> list;
  std::vector<std::vector<float>> rows;
  rag::Id next_id = 0;
};

/// The same, and can replace a source.
struct ReplacingPlainStore : PlainStore {
  std::vector<rag::Id> replace(std::string_view source, std::span<const rag::Chunk> added,
                               const rag::Matrix& vectors) {
    for (std::size_t i = list.size(); i-- > 0;)
      if (list[i].source == source) {
        list.erase(list.begin() + static_cast<std::ptrdiff_t>(i));
        rows.erase(rows.begin() + static_cast<std::ptrdiff_t>(i));
      }
    return add(added, vectors);
  }
  std::vector<rag::Chunk> chunks(std::string_view source) const {
    std::vector<rag::Chunk> found;
    for (const rag::Chunk& chunk : list)
      if (chunk.source == source) found.push_back(chunk);
    return found;
  }
};

}  // namespace toys

#endif
