// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_SEMANTIC_HPP
#define RAG_CHUNK_SEMANTIC_HPP
#include <rag/chunk/recursive.hpp>
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN

struct SemanticOptions {
  std::size_t size = 1000;  ///< no chunk is longer, in code points or by the length function given
  std::size_t piece = 200;  ///< of the pieces that are embedded; at most size / piece of them make a chunk
};

/// Chunks of neighbouring pieces that mean the same: the ClusterSemanticChunker of Chroma's "Evaluating Chunking
/// Strategies for Retrieval" (2024). The text is cut as RecursiveChunker cuts it into pieces, these are embedded in one
/// call, and of all ways to put neighbours together the one is taken with the largest sum, over the pairs within a
/// chunk, of their similarity (the inner product of two rows) less the mean of all pairs of the document. A chunk is
/// never put together at a loss: there the published code joins all pieces from the start of the text.
///
/// It embeds every text a second time. In that evaluation it has the highest precision and less recall than plain
/// chunkers of its size. Refers to the embedder, which must live as long as the chunker; two threads may use it at once
/// if they may use the embedder. Time beside the embedding: pieces x (size / piece) x dimension.
///
///     rag::SemanticChunker clusters{embedder, {.size = 200, .piece = 50}, rag::TokenLength{embedder}};
template <class E, class Length = CodePointLength>
class SemanticChunker {
  static_assert(Embedder<E>, "rag::SemanticChunker: argument 1 is not an Embedder, see rag/concepts.hpp");
  static_assert(detail::is_length<Length>,
                "rag::SemanticChunker: argument 3 is not a length function, std::size_t(std::string_view)");

 public:
  // An argument that is not of its role is replaced, so that nothing else fails after the assertion.
  using EmbedderType = std::conditional_t<Embedder<E>, E, detail::EmbedderArchetype>;

  /// Throws Errc::invalid_argument: a piece of 0 or over the size.
  explicit SemanticChunker(EmbedderType& embedder, SemanticOptions options = {}, Length length = {})
      : embedder_(&embedder), options_(options), length_(std::move(length)) {
    if (options_.piece == 0 || options_.piece > options_.size)
      throw Error(Errc::invalid_argument, "SemanticChunker: a piece of 1 to the size " + std::to_string(options_.size) +
                                              " wanted, " + std::to_string(options_.piece) + " given");
  }

  std::vector<Chunk> chunk(const Document& document) const {
    const std::string_view text = document.text;
    const std::vector<std::string> separators = default_separators();
    detail::Splitter<Length> splitter{text, length_, options_.piece, 0, true};
    splitter.split(detail::without_mark(text), separators);
    std::vector<detail::Span> pieces;
    for (const detail::Span span : splitter.spans)
      if (const detail::Span inner = detail::trim(text, span); !inner.empty()) pieces.push_back(inner);
    std::vector<Chunk> chunks;
    if (pieces.empty()) return chunks;
    const std::vector<std::size_t> starts = cluster(text, pieces);
    for (std::size_t i = 0; i + 1 < starts.size(); ++i)
      detail::append_chunk(chunks, document, {pieces[starts[i]].begin, pieces[starts[i + 1] - 1].end});
    return chunks;
  }

 private:
  Matrix embed(std::string_view text, const std::vector<detail::Span>& pieces) const {
    std::vector<std::string_view> texts;
    for (const detail::Span piece : pieces) texts.push_back(detail::bytes(text, piece));
    Matrix vectors = embedder_->embed(texts);
    if (vectors.rows() != pieces.size())
      throw Error(Errc::invalid_argument, "SemanticChunker: " + std::to_string(pieces.size()) +
                                              " rows wanted from the embedder, " + std::to_string(vectors.rows()) +
                                              " given");
    return vectors;
  }

  /// Where the chunks begin, and at the end the number of pieces. best[n] is the largest sum of the first n pieces.
  std::vector<std::size_t> cluster(std::string_view text, const std::vector<detail::Span>& pieces) const {
    const Matrix vectors = embed(text, pieces);
    const double mean = mean_similarity(vectors);
    const std::size_t most = options_.size / options_.piece;
    constexpr double rounding = 1e-9;  // two pieces alone are as alike as the mean
    std::vector<double> best(pieces.size() + 1);
    std::vector<std::size_t> start(pieces.size() + 1);
    for (std::size_t n = 1; n <= pieces.size(); ++n) {
      best[n] = best[n - 1];  // a piece alone
      start[n] = n - 1;
      double sum = 0;
      for (std::size_t first = n - 1; first-- > 0 && n - first <= most;) {
        for (std::size_t i = first + 1; i < n; ++i) sum += dot(vectors.row(first), vectors.row(i)) - mean;
        if (best[first] + sum <= best[n] + rounding || !fits(text, {pieces[first].begin, pieces[n - 1].end})) continue;
        best[n] = best[first] + sum;
        start[n] = first;
      }
    }
    std::vector<std::size_t> starts{pieces.size()};
    while (starts.back() > 0) starts.push_back(start[starts.back()]);
    std::reverse(starts.begin(), starts.end());
    return starts;
  }

  bool fits(std::string_view text, detail::Span span) const {
    return length_(detail::bytes(text, span)) <= options_.size;
  }

  static double dot(std::span<const float> a, std::span<const float> b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
    return sum;
  }

  /// Over all pairs of rows. Their products add up to half of |sum of rows|² - sum of |row|².
  static double mean_similarity(const Matrix& vectors) {
    if (vectors.rows() < 2) return 0;
    std::vector<double> total(vectors.columns());
    double pairs = 0;
    for (std::size_t i = 0; i < vectors.rows(); ++i) {
      const std::span<const float> row = vectors.row(i);
      for (std::size_t j = 0; j < row.size(); ++j) total[j] += static_cast<double>(row[j]);
      pairs -= dot(row, row);
    }
    for (const double value : total) pairs += value * value;
    const auto count = static_cast<double>(vectors.rows());
    return pairs / (count * (count - 1));
  }

  EmbedderType* embedder_;
  SemanticOptions options_;
  Length length_;
};

template <class E>
SemanticChunker(E&) -> SemanticChunker<E>;
template <class E>
SemanticChunker(E&, SemanticOptions) -> SemanticChunker<E>;
template <class E, class Length>
SemanticChunker(E&, SemanticOptions, Length) -> SemanticChunker<E, Length>;

RAG_END
#endif
