// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_FIXED_HPP
#define RAG_CHUNK_FIXED_HPP
#include <rag/chunk/split.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

struct FixedOptions {
  std::size_t size = 1000;  ///< of a window, in code points or by the length function given
  std::size_t overlap = 0;  ///< of a window with the one before it, less than the size
};

/// Windows of one size over the text, whatever stands there; only characters are never cut, and a byte order mark
/// is left out. In code points size and overlap are exact (the last window may be shorter); by another length
/// they are the most that fits. A single character longer than the size is a chunk of its own.
///
///     rag::FixedChunker{{.size = 4, .overlap = 1}}.chunk({"a.txt", "abcdefg"});   // "abcd" [0,4)  "defg" [3,7)
template <class Length = CodePointLength>
class FixedChunker {
  static_assert(detail::is_length<Length>,
                "rag::FixedChunker: argument 2 is not a length function, std::size_t(std::string_view)");

 public:
  /// Throws Errc::invalid_argument: size 0, or an overlap that is not less than the size.
  explicit FixedChunker(FixedOptions options = {}, Length length = {}) : options_(options), length_(std::move(length)) {
    if (options_.overlap >= options_.size)
      throw Error(Errc::invalid_argument, "FixedChunker: an overlap less than the size " +
                                              std::to_string(options_.size) + " wanted, " +
                                              std::to_string(options_.overlap) + " given");
  }

  std::vector<Chunk> chunk(const Document& document) const {
    const std::string& text = document.text;
    detail::Splitter<Length> splitter{text, length_, options_.size, options_.overlap, false};
    splitter.merge(detail::split_at(text, detail::without_mark(text), "", false));
    std::vector<Chunk> chunks;
    for (const detail::Span span : splitter.spans) detail::append_chunk(chunks, document, span);
    return chunks;
  }

 private:
  FixedOptions options_;
  Length length_;
};

FixedChunker(FixedOptions) -> FixedChunker<>;

RAG_END
#endif
