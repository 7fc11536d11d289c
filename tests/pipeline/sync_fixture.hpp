// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_SYNC_FIXTURE_HPP
#define RAG_TESTS_SYNC_FIXTURE_HPP
#include <rag/chunk/separator.hpp>
#include <rag/embed/hashing.hpp>
#include <rag/retrieve/dense.hpp>
#include <rag/store/file.hpp>
#include <rag/store/flat.hpp>
#include <rag/sync.hpp>

#include "paths.hpp"

#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tests {

inline void write_file(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Remembers what it embedded.
struct NotingEmbedder {
  std::vector<std::string>* noted;
  std::string model = "noting";

  std::size_t dimension() const { return 64; }
  std::string name() const { return model; }
  rag::Matrix embed(std::span<const std::string_view> texts) const {
    for (const std::string_view text : texts) noted->emplace_back(text);
    return rag::HashingEmbedder<64>{}.embed(texts);
  }
};
static_assert(rag::NamedEmbedder<NotingEmbedder>);

/// "source: text | text" for each source, in the order of their names, without ids and marks.
template <class S>
std::vector<std::string> content(const S& store) {
  std::map<std::string, std::string> lines;
  for (const rag::Chunk& chunk : store.chunks(rag::Filter())) {
    std::string& line = lines[chunk.source];
    line += (line.empty() ? chunk.source + ": " : " | ") + chunk.text;
  }
  std::vector<std::string> result;
  for (auto& [source, line] : lines) result.push_back(line);
  return result;
}

using Strings = std::vector<std::string>;

}  // namespace tests

#endif
