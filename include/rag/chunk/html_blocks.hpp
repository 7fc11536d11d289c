// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_HTML_BLOCKS_HPP
#define RAG_CHUNK_HTML_BLOCKS_HPP
#include <rag/chunk/split.hpp>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Where the blocks of an HTML text begin and end, by its tags alone; no tree is built.

RAG_BEGIN
namespace detail {

/// What stands between two tags of blocks, inline tags and entities as they are.
struct HtmlBlock {
  Span span;
  std::size_t level = 0;  ///< of a heading, 1 to 6
  bool apart = false;     ///< a script, a comment or their like stands before it
  bool cell = false;      ///< a further cell of a table's row
};

/// A tag, a comment or a declaration at a `<`.
struct HtmlTag {
  std::size_t end = 0;  ///< past its >; 0: the < is text
  std::string name = {};  ///< in small letters; empty: a comment or a declaration
  bool closing = false;
};

RAG_LAZY class BasicHtmlScanner {
 public:
  BasicHtmlScanner(std::string_view text, Span whole)
      : text_(text.substr(0, whole.end)), begin_(whole.begin), at_(whole.begin) {}

  std::vector<HtmlBlock> scan() {
    while (at_ < text_.size()) {
      if (text_[at_] != '<') {
        has_text_ = has_text_ || !is_html_space(text_[at_]);
        ++at_;
        continue;
      }
      const HtmlTag tag = read_tag(at_);
      if (tag.end == 0) has_text_ = true, ++at_;
      else if (tag.name.empty()) leave_out(tag.end);
      else if (!tag.closing && is_one_of(tag.name, hidden_)) leave_out(past_element(tag));
      else if (is_one_of(tag.name, blocks_)) block_tag(tag);
      else at_ = tag.end;
    }
    end_block();
    return std::move(found_);
  }

  /// The words of a block with the white space after each, for a cut that leaves tags whole: best after the end of a
  /// sentence.
  std::vector<RankedSpan> words(Span block) {
    std::vector<RankedSpan> words;
    std::size_t rank = 0;
    for (std::size_t begin = block.begin, at = begin; begin < block.end; begin = at) {
      while (at < block.end && !is_html_space(text_[at])) at = step(at, block.end);
      const std::size_t word_end = at;
      while (at < block.end && is_html_space(text_[at])) ++at;
      words.push_back({{begin, at}, rank});
      const std::size_t last = word_end > begin ? step_back(text_, word_end) : begin;
      rank = std::u32string_view(U".?!。？！").find(decode_utf8(text_, last).value) != std::u32string_view::npos ? 0 : 1;
    }
    return words;
  }

  /// The text of a block without its tags.
  std::string plain(Span block) {
    std::string plain;
    for (std::size_t at = block.begin; at < block.end;) {
      const std::size_t next = step(at, block.end);
      if (text_[at] != '<' || next == at + 1) plain += text_.substr(at, next - at);
      at = next;
    }
    return plain;
  }

 private:
  static constexpr std::string_view blocks_[] = {
      "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl",
      "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header",
      "hgroup", "hr", "html", "legend", "li", "main", "menu", "nav", "ol", "optgroup", "option", "p", "pre", "search",
      "section", "select", "summary", "table", "tbody", "td", "tfoot", "th", "thead", "title", "tr", "ul"};
  static constexpr std::string_view hidden_[] = {"iframe", "noembed", "noframes", "script", "style", "svg", "template"};

  /// Of names in order.
  template <std::size_t n>
  static bool is_one_of(std::string_view name, const std::string_view (&sorted)[n]) {
    return std::binary_search(std::begin(sorted), std::end(sorted), name);
  }
  static char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
  static bool is_letter(char c) { return lower(c) >= 'a' && lower(c) <= 'z'; }
  static bool is_html_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r' && c != '\v'); }

  void end_block() {
    if (has_text_)
      if (const Span span = trim(text_, {begin_, at_}); !span.empty())
        found_.push_back({span, level_, std::exchange(apart_, false), std::exchange(cell_, true)});
    has_text_ = false;
  }

  void leave_out(std::size_t end) {
    end_block();
    begin_ = at_ = end;
    apart_ = true;
  }

  void block_tag(const HtmlTag& tag) {
    end_block();
    cell_ = cell_ && (tag.name == "td" || tag.name == "th");
    const bool heading = tag.name.size() == 2 && tag.name[0] == 'h' && tag.name[1] >= '1' && tag.name[1] <= '6';
    if (heading) level_ = tag.closing ? 0 : static_cast<std::size_t>(tag.name[1] - '0');
    begin_ = at_ = tag.end;
  }

  /// The next byte, or past a tag.
  std::size_t step(std::size_t at, std::size_t limit) {
    const std::size_t end = text_[at] == '<' ? read_tag(at).end : 0;
    return end == 0 ? at + 1 : std::min(end, limit);
  }

  HtmlTag read_tag(std::size_t at) {
    const std::string_view rest = text_.substr(at);
    if (rest.starts_with("<!--")) return {past(text_.find("-->", at + 2), 3)};
    if (rest.starts_with("<!") || rest.starts_with("<?")) return {past(text_.find('>', at), 1)};
    const bool closing = rest.starts_with("</");
    std::size_t end = at + (closing ? 2 : 1);
    if (end >= text_.size() || !is_letter(text_[end]) || at >= last_tag_) return {};
    HtmlTag tag{0, {}, closing};
    while (end < text_.size() && !is_html_space(text_[end]) && text_[end] != '/' && text_[end] != '>')
      tag.name += lower(text_[end++]);
    tag.end = past_attributes(end);
    if (tag.end == 0) last_tag_ = at;  // so that a text of nothing but "<a" is read once
    return tag;
  }

  std::size_t past(std::size_t found, std::size_t length) const {
    return found == std::string_view::npos ? text_.size() : found + length;
  }

  /// Past the > of a tag, 0 if there is none. A > in a quoted value is none.
  std::size_t past_attributes(std::size_t at) const {
    const auto skip = [&](auto test) {
      while (at < text_.size() && test(text_[at])) ++at;
    };
    while (at < text_.size()) {
      skip([](char c) { return is_html_space(c) || c == '/'; });
      if (at < text_.size() && text_[at] == '>') return at + 1;
      skip([](char c) { return !is_html_space(c) && c != '/' && c != '>' && c != '='; });
      skip(is_html_space);
      if (at >= text_.size() || text_[at] != '=') continue;
      ++at;
      skip(is_html_space);
      if (at < text_.size() && (text_[at] == '"' || text_[at] == '\'')) {
        at = text_.find(text_[at], at + 1);
        if (at == std::string_view::npos) return 0;
        ++at;
      } else {
        skip([](char c) { return !is_html_space(c) && c != '>'; });
      }
    }
    return 0;
  }

  /// Past the end tag of an element whose content is left out; the end of the text if there is none.
  std::size_t past_element(const HtmlTag& tag) const {
    if (tag.name == "svg" && text_.substr(0, tag.end).ends_with("/>")) return tag.end;  // the others close only so
    for (std::size_t at = tag.end; (at = text_.find("</", at)) != std::string_view::npos; ++at) {
      const std::string_view name = text_.substr(at + 2, tag.name.size());
      const std::size_t end = at + 2 + tag.name.size();
      const bool same = std::equal(name.begin(), name.end(), tag.name.begin(), tag.name.end(),
                                   [](char a, char b) { return lower(a) == b; });
      if (same && (end >= text_.size() || is_html_space(text_[end]) || text_[end] == '/' || text_[end] == '>'))
        return past(text_.find('>', end), 1);
    }
    return text_.size();
  }

  std::string_view text_;
  std::size_t begin_, at_;  ///< of the block, of what is read next
  std::vector<HtmlBlock> found_;
  std::size_t level_ = 0;
  std::size_t last_tag_ = static_cast<std::size_t>(-1);  ///< from here on no tag is closed
  bool has_text_ = false, apart_ = false, cell_ = false;
};
using HtmlScanner = BasicHtmlScanner<>;

}  // namespace detail
RAG_END
#endif
