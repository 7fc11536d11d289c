// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_EMBED_FAQ_HPP
#define RAG_TESTS_EMBED_FAQ_HPP

// The tutorial's corpus: its chunks and questions with known answers.

#include <rag/detail/json.hpp>

#include "paths.hpp"

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <span>
#include <string>
#include <vector>

namespace tests {

inline double dot(std::span<const float> a, std::span<const float> b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

inline std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The 72 chunks of a plain split on "# ".
inline std::vector<std::string> faq_chunks() {
  std::vector<std::filesystem::path> pages;
  for (const auto& entry : std::filesystem::directory_iterator(data_folder() / "milvus-faq"))
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  std::sort(pages.begin(), pages.end());
  std::vector<std::string> chunks;
  for (const auto& page : pages) {
    const std::string text = read_file(page);
    for (std::size_t begin = 0;;) {
      const std::size_t end = text.find("# ", begin);
      chunks.push_back(text.substr(begin, end - begin));
      if (end == std::string::npos) break;
      begin = end + 2;
    }
  }
  return chunks;
}

/// [{"q": …, "top": [[chunk, score], …]}, …] of all-MiniLM-L6-v2 in fp32, the tutorial's question last.
inline rag::detail::Json golden_questions() {
  rag::detail::Json questions = rag::detail::parse_json(read_file(data_folder() / "milvus-faq" / "golden.json"), "golden")["questions"];
  questions.push_back({{"q", "How is data stored in milvus?"}, {"top", {{31, 0.648802}, {42, 0.597421}, {30, 0.583358}}}});
  return questions;
}

}  // namespace tests

#endif
