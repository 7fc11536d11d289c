// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_SENTENCE_HPP
#define RAG_CHUNK_SENTENCE_HPP
#include <rag/chunk/recursive.hpp>
#include <rag/detail/sentence_spans.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

struct SentenceOptions {
  std::size_t size = 1000;    ///< no chunk is longer, in code points or by the length function given
  std::size_t overlap = 0;    ///< so many sentences come again in the next chunk, fewer where they don't fit
  std::size_t sentences = 0;  ///< at most so many in a chunk, more than overlap; 0: as many as fit
};

/// Whole sentences, as many as fit into the size: English and its like with their abbreviations, Chinese and Japanese,
/// scripts with stops of their own. Paragraphs and the blocks of Markdown end a sentence; a line end alone does not.
/// A sentence over the size is cut as RecursiveChunker cuts it, and its pieces count as sentences; only a single
/// character can be over the size. White space around a chunk is left out, and so is a byte order mark.
///
///     rag::SentenceChunker{{.size = 20}}.chunk({"a.txt", "Ask Dr. No. He knows."});   // "Ask Dr. No." "He knows."
///     rag::SentenceChunker{{.sentences = 1}}                                          // a chunk a sentence
template <class Length = CodePointLength>
class SentenceChunker {
  static_assert(detail::is_length<Length>,
                "rag::SentenceChunker: argument 2 is not a length function, std::size_t(std::string_view)");

 public:
  /// Throws Errc::invalid_argument: size 0, or no more sentences than the overlap.
  explicit SentenceChunker(SentenceOptions options = {}, Length length = {})
      : options_(options), length_(std::move(length)) {
    if (options_.size == 0)
      throw Error(Errc::invalid_argument, "SentenceChunker: a size of 1 or more wanted, 0 given");
    if (options_.sentences != 0 && options_.overlap >= options_.sentences)
      throw Error(Errc::invalid_argument, "SentenceChunker: an overlap less than the " +
                                              std::to_string(options_.sentences) + " sentences of a chunk wanted, " +
                                              std::to_string(options_.overlap) + " given");
  }

  std::vector<Chunk> chunk(const Document& document) const {
    const std::vector<detail::Span> pieces = pieces_of(document.text);
    const auto fits = [&](std::size_t first, std::size_t last) {
      const detail::Span span{pieces[first].begin, pieces[last - 1].end};
      return last - first == 1 || length_(detail::bytes(document.text, span)) <= options_.size;
    };
    std::vector<Chunk> chunks;
    for (std::size_t first = 0, last = 0; last < pieces.size();) {
      const std::size_t left = pieces.size() - first;
      const std::size_t most = first + (options_.sentences == 0 ? left : std::min(left, options_.sentences));
      last = detail::largest(last + 1, most, [&](std::size_t n) { return fits(first, n); });
      detail::append_chunk(chunks, document, {pieces[first].begin, pieces[last - 1].end});
      if (last == pieces.size()) break;
      const std::size_t shared = std::min(options_.overlap, last - first - 1);
      first = last - detail::largest(0, shared, [&](std::size_t n) { return fits(last - n, last + 1); });
    }
    return chunks;
  }

 private:
  std::vector<detail::Span> pieces_of(std::string_view text) const {
    const std::vector<std::string> separators = default_separators();
    std::vector<detail::Span> pieces;
    for (const detail::Span sentence : detail::sentence_spans(text, detail::without_mark(text))) {
      detail::Splitter<Length> splitter{text, length_, options_.size, 0, true};
      splitter.pack(std::span(&sentence, 1), separators);
      for (const detail::Span piece : splitter.spans)
        if (const detail::Span inner = detail::trim(text, piece); !inner.empty()) pieces.push_back(inner);
    }
    return pieces;
  }

  SentenceOptions options_;
  Length length_;
};

SentenceChunker(SentenceOptions) -> SentenceChunker<>;

RAG_END
#endif
