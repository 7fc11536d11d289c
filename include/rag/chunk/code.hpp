// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_CODE_HPP
#define RAG_CHUNK_CODE_HPP
#include <rag/chunk/split.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// A line of source code, and how good a cut before it is.
RAG_LAZY class BasicCodeLines {
 public:
  explicit BasicCodeLines(std::string_view text) : text_(text) {}

  /// The lines that are not blank, each with the blank ones after it.
  std::vector<RankedSpan> rank(Span whole) {
    for (std::size_t at = whole.begin; at < whole.end;) at = read_line(at, whole.end);
    // A comment, a decorator or a directive stands as deep as the line that it speaks of.
    for (std::size_t i = lines_.size(); i-- > 1;)
      if (lines_[i - 1].introduces) lines_[i - 1].indent = std::max(lines_[i - 1].indent, lines_[i].indent);
    std::vector<RankedSpan> ranked;
    for (std::size_t i = 0; i < lines_.size(); ++i)
      ranked.push_back({lines_[i].span, i == 0 ? 0 : rank_between(lines_[i - 1], lines_[i])});
    return ranked;
  }

 private:
  struct Line {
    Span span;
    std::size_t indent;  ///< columns, a tab is four
    bool continues;      ///< closes what stands before it or goes on with it: } ) ] { end else
    bool closes;         ///< ends a block
    bool introduces;     ///< a comment, a decorator, a directive: belongs to the line after it
    bool blank_after;
  };

  static constexpr std::size_t max_indent_ = 40;  ///< deeper lines are all alike

  std::size_t read_line(std::size_t begin, std::size_t limit) {
    const std::size_t stop = std::min(text_.find('\n', begin), limit), next = std::min(stop + 1, limit);
    std::string_view rest = text_.substr(begin, stop - begin);
    std::size_t indent = 0;
    for (; !rest.empty() && (rest.front() == ' ' || rest.front() == '\t'); rest.remove_prefix(1))
      indent += rest.front() == '\t' ? 4 : 1;
    rest = rest.substr(0, rest.find_last_not_of(" \t\r\f\v") + 1);
    if (!rest.empty())
      lines_.push_back({{begin, next}, std::min(indent, max_indent_), continues(rest), closes(rest), introduces(rest),
                        false});
    else if (!lines_.empty())
      lines_.back().span.end = next, lines_.back().blank_after = true;
    return next;
  }

  static bool is_one_of(char c, std::string_view set) { return set.find(c) != std::string_view::npos; }

  static bool starts_with_word(std::string_view line, std::string_view word) {
    const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
    return line.starts_with(word) && (line.size() == word.size() || !is_letter(line[word.size()]));
  }

  static bool continues(std::string_view line) {
    for (const std::string_view word : {"else", "elif", "elsif", "catch", "except", "finally", "rescue"})
      if (starts_with_word(line, word)) return true;
    return is_one_of(line.front(), "})]{") || is_end(line);
  }

  static bool closes(std::string_view line) {
    return line.back() == '}' || is_end(line) || (is_one_of(line.front(), "})]") && line.back() != '{');
  }

  static bool is_end(std::string_view line) {
    return line == "end" || line == "end;" || line == "fi" || line == "done";
  }

  static bool introduces(std::string_view line) {
    for (const std::string_view mark : {"//", "/*", "*", "#", "@", "--", ";;", "template"})
      if (line.starts_with(mark)) return true;
    return false;
  }

  static std::size_t rank_between(const Line& above, const Line& below) {
    constexpr std::size_t worst = 3 * (max_indent_ + 1);
    if (below.continues) return worst + 1;
    if (above.introduces && !above.blank_after) return worst;
    return 3 * below.indent + (above.blank_after ? 0 : above.closes ? 1 : 2);
  }

  std::string_view text_;
  std::vector<Line> lines_;
};
using CodeLines = BasicCodeLines<>;

}  // namespace detail

struct CodeOptions {
  std::size_t size = 1000;  ///< no chunk is longer, in code points or by the length function given
};

/// Source code of any language that is laid out in lines: C, C++, Python, JavaScript, Go, Rust, Java, … It is not
/// parsed. A text over the size is cut where code stands out the farthest to the left: before a line of the least
/// indentation, there best at a blank line, then after a closing bracket, last between a comment, decorator or
/// directive and the line that it belongs to. So a file falls into its functions and classes, a long class into its
/// methods, a long function into its blocks, and neighbours are merged up to the size. A line that begins with a
/// closing bracket, a `{` or an `else` stays with the one above it as long as anything else can be cut. A line over the
/// size is cut after } ; , or at blanks.
///
/// Only white space is lost: blank lines before a chunk, white space after it, a byte order mark.
///
///     rag::CodeChunker{{.size = 1500}}.chunk({"flat.hpp", source});
template <class Length = CodePointLength>
class CodeChunker {
  static_assert(detail::is_length<Length>,
                "rag::CodeChunker: argument 2 is not a length function, std::size_t(std::string_view)");

 public:
  /// Throws Errc::invalid_argument: size 0.
  explicit CodeChunker(CodeOptions options = {}, Length length = {}) : options_(options), length_(std::move(length)) {
    if (options_.size == 0)
      throw Error(Errc::invalid_argument, "CodeChunker: a size of 1 or more wanted, 0 given");
  }

  std::vector<Chunk> chunk(const Document& document) const {
    const std::string& text = document.text;
    std::vector<detail::RankedSpan> lines = detail::CodeLines(text).rank(detail::without_mark(text));
    for (detail::RankedSpan& line : lines) line.span = detail::trim_end(text, line.span);
    const std::vector<std::string> separators = {"}", ";", ",", " ", "\t", ""};
    detail::Splitter<Length> splitter{text, length_, options_.size, 0, true};
    splitter.pack_ranked(lines, [&](detail::Span part) { splitter.split(part, separators); });
    std::vector<Chunk> chunks;
    for (const detail::Span span : splitter.spans)
      detail::append_chunk(chunks, document, detail::trim_lines(text, span));
    return chunks;
  }

 private:
  CodeOptions options_;
  Length length_;
};

CodeChunker(CodeOptions) -> CodeChunker<>;

RAG_END
#endif
