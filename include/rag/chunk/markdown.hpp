// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_MARKDOWN_HPP
#define RAG_CHUNK_MARKDOWN_HPP
#include <rag/chunk/heading_path.hpp>
#include <rag/chunk/markdown_blocks.hpp>
#include <rag/chunk/recursive.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

struct MarkdownOptions {
  std::size_t size = 0;  ///< a longer section is cut further, in code points or by the length function; 0: never
};

/// One chunk a section: a heading (# to ######, or underlined) with its text up to the next heading of any level.
/// What looks like a heading inside a code fence, a table, a comment or raw HTML is none, nor is one inside a list
/// or a quotation. Front matter (--- … ---) is a chunk of its own, and so is text before the first heading.
///
/// Metadata of a chunk under a heading, where the document has no entry of that name: "heading", the path of
/// headings ("Guide > Install > Linux"), and "heading_level", 1 to 6.
///
/// Only white space is lost: blank lines before a chunk, white space after it, a byte order mark. A section over
/// the size is cut between blocks (paragraphs, lists, tables, fences); a list over the size between its items, the
/// outermost first; any other block over the size as RecursiveChunker does with its own separators.
///
///     rag::MarkdownChunker{}.chunk({"a.md", "# A\none\n## B\ntwo\n"});   // "# A\none" [0,7)  "## B\ntwo" [8,16)
template <class Length = CodePointLength>
class MarkdownChunker {
  static_assert(detail::is_length<Length>,
                "rag::MarkdownChunker: argument 2 is not a length function, std::size_t(std::string_view)");

 public:
  explicit MarkdownChunker(MarkdownOptions options = {}, Length length = {})
      : options_(options), length_(std::move(length)) {}

  std::vector<Chunk> chunk(const Document& document) const {
    const std::string_view text = document.text;
    const auto blocks = detail::MarkdownScanner(text, detail::without_mark(text)).scan();
    std::vector<Chunk> chunks;
    detail::HeadingPath path;
    for (std::size_t first = 0, last = 0; first < blocks.size(); first = last) {
      for (++last; last < blocks.size() && !starts_section(blocks, last);) ++last;
      const std::size_t before = chunks.size();
      for (const detail::Span span : cut(text, std::span(blocks).subspan(first, last - first)))
        detail::append_chunk(chunks, document, detail::trim_lines(text, span));
      const detail::MarkdownBlock& head = blocks[first];
      if (head.kind != detail::MarkdownBlock::heading) continue;
      path.enter(head.level, head.title);
      for (std::size_t i = before; i < chunks.size(); ++i) path.name(chunks[i].metadata);
    }
    return chunks;
  }

 private:
  static bool starts_section(const std::vector<detail::MarkdownBlock>& blocks, std::size_t i) {
    return blocks[i].kind == detail::MarkdownBlock::heading ||
           blocks[i - 1].kind == detail::MarkdownBlock::front_matter;
  }

  std::vector<detail::Span> cut(std::string_view text, std::span<const detail::MarkdownBlock> section) const {
    const detail::Span whole{section.front().span.begin, section.back().span.end};
    if (options_.size == 0 || length_(detail::bytes(text, detail::trim_lines(text, whole))) <= options_.size)
      return {whole};
    std::vector<detail::RankedSpan> parts;
    for (const detail::MarkdownBlock& block : section)
      parts.push_back({detail::trim_end(text, block.span), block.rank});
    const std::vector<std::string> separators = default_separators();
    detail::Splitter<Length> splitter{text, length_, options_.size, 0, true};
    splitter.pack_ranked(parts, [&](detail::Span part) { splitter.split(part, separators); });
    return std::move(splitter.spans);
  }

  MarkdownOptions options_;
  Length length_;
};

MarkdownChunker(MarkdownOptions) -> MarkdownChunker<>;

RAG_END
#endif
