// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_RECURSIVE_HPP
#define RAG_CHUNK_RECURSIVE_HPP
#include <rag/chunk/split.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

/// Paragraphs, lines, sentences (Latin, then Chinese and Japanese), clauses, words (by spaces, then by U+200B, which
/// Thai, Khmer and Burmese texts put between them), characters.
RAG_LAZY std::vector<std::string> default_separators() {
  return {"\n\n", "\n", ". ", "? ", "! ", "。", "！", "？", "．", "｡", "；", "，", "、", " ", "\u200b", ""};
}

struct RecursiveOptions {
  std::size_t size = 1000;  ///< no chunk is longer, in code points or by the length function given
  std::size_t overlap = 0;  ///< at most so much of a chunk's end comes again at the start of the next, in whole pieces
  std::vector<std::string> separators = default_separators();  ///< coarse to fine; "" cuts between characters
  /// True: a separator that begins with a stop (". ", "。") stays with the text before it. False: every separator
  /// opens the text after it, as the Python splitter of this name does.
  bool stops_close = true;
};

/// Cuts at the first of the separators that occurs, merges the pieces up to the size, and cuts what is too long at
/// the separators after it. White space around a chunk is left out, and so is a byte order mark. The semantics are
/// those of langchain-text-splitters' RecursiveCharacterTextSplitter (read in 1.1.3), and so are the chunks where
/// no separator begins with a stop or stops_close is false, with these differences: "\n" means "\r\n" too; merged
/// pieces are measured as one text; a piece that no separator can cut is trimmed too.
/// Only without "" among the separators, or where one character is too long, is a chunk over the size.
///
///     rag::RecursiveChunker characters{{.size = 800}};
///     rag::RecursiveChunker tokens{{.size = 250, .overlap = 125},
///                                  [&](std::string_view text) { return embedder.count_tokens(text); }};
template <class Length = CodePointLength>
class RecursiveChunker {
  static_assert(detail::is_length<Length>,
                "rag::RecursiveChunker: argument 2 is not a length function, std::size_t(std::string_view)");

 public:
  /// Throws Errc::invalid_argument: size 0, overlap over size, no separators, a separator that is not UTF-8.
  explicit RecursiveChunker(RecursiveOptions options = {}, Length length = {})
      : options_(std::move(options)), length_(std::move(length)) {
    if (options_.size == 0)
      throw Error(Errc::invalid_argument, "RecursiveChunker: a size of 1 or more wanted, 0 given");
    if (options_.overlap > options_.size)
      throw Error(Errc::invalid_argument, "RecursiveChunker: an overlap of at most the size " +
                                              std::to_string(options_.size) + " wanted, " +
                                              std::to_string(options_.overlap) + " given");
    if (options_.separators.empty())
      throw Error(Errc::invalid_argument, "RecursiveChunker: 1 separator or more wanted, 0 given");
    for (const std::string& separator : options_.separators) detail::check_separator(separator, "RecursiveChunker");
  }

  std::vector<Chunk> chunk(const Document& document) const {
    const std::string& text = document.text;
    detail::Splitter<Length> splitter{text, length_, options_.size, options_.overlap, options_.stops_close};
    splitter.split(detail::without_mark(text), options_.separators);
    std::vector<Chunk> chunks;
    for (const detail::Span span : splitter.spans) detail::append_chunk(chunks, document, detail::trim(text, span));
    return chunks;
  }

 private:
  RecursiveOptions options_;
  Length length_;
};

RecursiveChunker(RecursiveOptions) -> RecursiveChunker<>;

RAG_END
#endif
