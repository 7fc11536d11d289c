// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_HTML_HPP
#define RAG_CHUNK_HTML_HPP
#include <rag/chunk/heading_path.hpp>
#include <rag/chunk/html_blocks.hpp>
#include <rag/chunk/recursive.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

struct HtmlOptions {
  std::size_t size = 1000;  ///< no chunk is longer, in code points of the source or by the length function given
};

/// HTML by its blocks (paragraphs, list items, rows of tables, …), with spans into the source: for pages of which a
/// citation shall name the bytes. A heading begins a chunk, and neighbouring blocks under it are merged up to the size.
/// A chunk is source text, so the tags between its first and its last word are in it, and entities stay as they are.
/// Tags around it are not, nor any script, style, svg, iframe, template or comment: no chunk reaches across one.
///
/// A block over the size is cut after sentences, then between words, never within a tag; a word over the size as
/// RecursiveChunker does. Metadata of a chunk under a heading, where the document has no entry of that name: "heading",
/// the path of headings ("Guide > Install"), and "heading_level", 1 to 6.
///
/// Tags are read as a browser's tokenizer reads them, but no tree is built: what CSS or a script shows or hides is not
/// known, and a `<` that no `>` follows is text. Where text without any tags is wanted, use a loader of HTML.
///
///     rag::HtmlChunker{}.chunk({"a.html", "<h1>A</h1><p>One <b>two</b>.</p>"});   // "A</h1><p>One <b>two</b>." [4,28)
template <class Length = CodePointLength>
class HtmlChunker {
  static_assert(detail::is_length<Length>,
                "rag::HtmlChunker: argument 2 is not a length function, std::size_t(std::string_view)");

 public:
  /// Throws Errc::invalid_argument: size 0.
  explicit HtmlChunker(HtmlOptions options = {}, Length length = {}) : options_(options), length_(std::move(length)) {
    if (options_.size == 0)
      throw Error(Errc::invalid_argument, "HtmlChunker: a size of 1 or more wanted, 0 given");
  }

  std::vector<Chunk> chunk(const Document& document) const {
    const std::string_view text = document.text;
    detail::HtmlScanner scanner(text, detail::without_mark(text));
    const std::vector<detail::HtmlBlock> blocks = scanner.scan();
    const std::vector<std::string> separators = default_separators();
    std::vector<Chunk> chunks;
    detail::HeadingPath path;
    for (std::size_t first = 0, last = 0; first < blocks.size(); first = last) {
      std::vector<detail::RankedSpan> parts;
      for (last = first; last < blocks.size() && (last == first || !starts_section(blocks, last)); ++last)
        parts.push_back({blocks[last].span, blocks[last].cell ? 1u : 0u});
      if (blocks[first].level > 0) path.enter(blocks[first].level, scanner.plain(blocks[first].span));
      detail::Splitter<Length> splitter{text, length_, options_.size, 0, true};
      splitter.pack_ranked(parts, [&](detail::Span block) {
        splitter.pack_ranked(scanner.words(block), [&](detail::Span word) { splitter.split(word, separators); });
      });
      for (const detail::Span span : splitter.spans) {
        const std::size_t before = chunks.size();
        detail::append_chunk(chunks, document, detail::trim(text, span));
        if (chunks.size() > before) path.name(chunks.back().metadata);
      }
    }
    return chunks;
  }

 private:
  static bool starts_section(const std::vector<detail::HtmlBlock>& blocks, std::size_t i) {
    return blocks[i].apart || blocks[i].level > 0;
  }

  HtmlOptions options_;
  Length length_;
};

HtmlChunker(HtmlOptions) -> HtmlChunker<>;

RAG_END
#endif
