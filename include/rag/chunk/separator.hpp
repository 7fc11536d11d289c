// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_SEPARATOR_HPP
#define RAG_CHUNK_SEPARATOR_HPP
#include <rag/chunk/span.hpp>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

RAG_BEGIN

/// What stands between the separators, byte for byte what a plain split gives: nothing is trimmed, a byte order
/// mark stays, and the separator is part of no chunk. Empty pieces give no chunk.
///
///     rag::SeparatorChunker{"# "}.chunk({"faq.md", "# One\n# Two"});   // "One\n" [2,6)  "Two" [8,11)
RAG_LAZY class BasicSeparatorChunker {
 public:
  /// Throws Errc::invalid_argument where the separator is empty or not UTF-8.
  explicit BasicSeparatorChunker(std::string separator) : separator_(std::move(separator)) {
    if (separator_.empty())
      throw Error(Errc::invalid_argument, "SeparatorChunker: a separator of 1 byte or more wanted, an empty one given");
    detail::check_separator(separator_, "SeparatorChunker");
  }

  std::vector<Chunk> chunk(const Document& document) const {
    std::vector<Chunk> chunks;
    const std::string& text = document.text;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find(separator_, begin), text.size());
      detail::append_chunk(chunks, document, {begin, end});
      begin = end + separator_.size();
    }
    return chunks;
  }

 private:
  std::string separator_;
};
using SeparatorChunker = BasicSeparatorChunker<>;

RAG_END
#endif
