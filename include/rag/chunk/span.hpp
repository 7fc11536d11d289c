// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_SPAN_HPP
#define RAG_CHUNK_SPAN_HPP
#include <rag/detail/span.hpp>
#include <rag/detail/utf8.hpp>
#include <rag/types.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

// What the chunkers share. They work on offsets of the document and copy its bytes once, at the end, so a span is
// right by construction.

RAG_BEGIN

/// The length of a text in Unicode code points: how chunkers measure unless they are given another function.
struct CodePointLength {
  std::size_t operator()(std::string_view text) const { return detail::count_code_points(text); }
};

namespace detail {

/// A text's length by the user's measure: code points, an embedder's tokens, …
template <class F>
inline constexpr bool is_length = std::is_invocable_r_v<std::size_t, const F&, std::string_view>;

/// Appends the chunk of a span; an empty span gives none.
RAG_LAZY void append_chunk(std::vector<Chunk>& chunks, const Document& document, Span span) {
  if (span.empty()) return;
  chunks.push_back({document.text.substr(span.begin, span.end - span.begin), document.id, span.begin, span.end,
                    document.metadata});
}

/// A separator that is not UTF-8 could cut a character.
RAG_LAZY void check_separator(const std::string& separator, const char* who) {
  if (invalid_utf8(separator) != std::string::npos)
    throw Error(Errc::invalid_argument, std::string(who) + ": a separator in valid UTF-8 wanted");
}

}  // namespace detail
RAG_END
#endif
