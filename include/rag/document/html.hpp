// SPDX-License-Identifier: MIT
#ifndef RAG_DOCUMENT_HTML_HPP
#define RAG_DOCUMENT_HTML_HPP
#include <rag/detail/page_text.hpp>
#include <rag/document/load.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <setjmp.h>

#if !__has_include(<gumbo.h>)
#error "rag/document/html.hpp needs gumbo; Debian: apt-get install libgumbo-dev, and link with -lgumbo"
#endif
#include <gumbo.h>

// Optional: core.hpp and rag.hpp leave it out.

RAG_BEGIN
namespace detail {

/// What the parser may spend on a page. The standard's rules make a tree of n * n elements of some pages of n tags
/// ("<b a=1><p><b a=2><p>…"), and walk all that are open for each tag; both at a few kilobytes of input already.
struct HtmlLimits {
  std::size_t memory;         ///< bytes
  double cpu_seconds = 10.0;  ///< of this thread; an honest page of 10 MB takes less than 1
};

/// The memory of one parsed page, which is freed at once: gumbo frees a tree by recursion. What goes beyond the limits
/// leaves the parser by longjmp, over frames of C alone.
class HtmlMemory {
 public:
  explicit HtmlMemory(const HtmlLimits& limits) : limits_(limits), start_(now()) {}
  HtmlMemory(const HtmlMemory&) = delete;
  HtmlMemory& operator=(const HtmlMemory&) = delete;
  ~HtmlMemory() {
    while (first_ != nullptr) std::free(std::exchange(first_, first_->next));
  }

  /// The tree, or null where it would go beyond the limits. Live as long as this.
  const GumboOutput* parse(std::string_view text) {
    GumboOptions options = kGumboDefaultOptions;
    options.allocator = [](void* self, std::size_t size) { return static_cast<HtmlMemory*>(self)->allocate(size); };
    options.deallocator = [](void* self, void* block) { static_cast<HtmlMemory*>(self)->release(block); };
    options.userdata = this;
    options.max_errors = 0;
    if (setjmp(stop_) != 0) return nullptr;
    return gumbo_parse_with_options(&options, text.data(), text.size());
  }

 private:
  struct alignas(std::max_align_t) Block {
    Block *before, *next;
    std::size_t size;
  };

  static double now() {
    std::timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

  void* allocate(std::size_t size) {
    const bool late = ++calls_ % 1024 == 0 && now() - start_ > limits_.cpu_seconds;
    used_ += size + sizeof(Block);
    Block* block = late || used_ > limits_.memory ? nullptr : static_cast<Block*>(std::malloc(size + sizeof(Block)));
    if (block == nullptr) longjmp(stop_, 1);
    *block = {nullptr, first_, size};
    if (first_ != nullptr) first_->before = block;
    first_ = block;
    return block + 1;
  }
  void release(void* memory) {
    if (memory == nullptr) return;
    Block* block = static_cast<Block*>(memory) - 1;
    used_ -= block->size + sizeof(Block);
    (block->before != nullptr ? block->before->next : first_) = block->next;
    if (block->next != nullptr) block->next->before = block->before;
    std::free(block);
  }

  HtmlLimits limits_;
  double start_;
  std::size_t used_ = 0, calls_ = 0;
  Block* first_ = nullptr;
  jmp_buf stop_;
};

/// Writes the text of a parsed page. Walks the tree by its links to the parents, so no depth is too much.
class HtmlText {
 public:
  Document document(const GumboNode* root) {
    for (const GumboNode* node = root;;) {
      const GumboVector* below = enter(*node) ? children(*node) : nullptr;
      if (below != nullptr && below->length > 0) {
        node = static_cast<const GumboNode*>(below->data[0]);
        continue;
      }
      for (leave(*node); node != root && last_of_parent(*node); leave(*node)) node = node->parent;
      if (node == root) break;
      node = static_cast<const GumboNode*>(children(*node->parent)->data[node->index_within_parent + 1]);
    }
    Document document{{}, std::move(page_).take()};
    std::string title = std::move(title_).take();
    if (!title.empty()) document.metadata.set("title", std::move(title));
    return document;
  }

 private:
  static const GumboVector* children(const GumboNode& node) {
    return node.type == GUMBO_NODE_ELEMENT ? &node.v.element.children : nullptr;
  }
  static bool last_of_parent(const GumboNode& node) {
    return node.index_within_parent + 1 >= children(*node.parent)->length;
  }
  template <class... Tags>
  static bool is(GumboTag tag, Tags... tags) {
    return ((tag == tags) || ...);
  }

  static bool is_heading(GumboTag tag) { return tag >= GUMBO_TAG_H1 && tag <= GUMBO_TAG_H6; }
  static bool is_hidden(GumboTag tag) {
    return is(tag, GUMBO_TAG_SCRIPT, GUMBO_TAG_STYLE, GUMBO_TAG_TEMPLATE, GUMBO_TAG_NOSCRIPT, GUMBO_TAG_IFRAME,
              GUMBO_TAG_SVG, GUMBO_TAG_OBJECT, GUMBO_TAG_NOFRAMES, GUMBO_TAG_NOEMBED);
  }
  /// The lines that an element begins and ends with: 2 for a block, 1 for a line, 0 in running text.
  static std::size_t breaks_of(GumboTag tag) {
    if (is(tag, GUMBO_TAG_LI, GUMBO_TAG_TR, GUMBO_TAG_DT, GUMBO_TAG_DD, GUMBO_TAG_OPTION, GUMBO_TAG_CAPTION)) return 1;
    return is(tag, GUMBO_TAG_P, GUMBO_TAG_DIV, GUMBO_TAG_H1, GUMBO_TAG_H2, GUMBO_TAG_H3, GUMBO_TAG_H4, GUMBO_TAG_H5,
              GUMBO_TAG_H6, GUMBO_TAG_UL, GUMBO_TAG_OL, GUMBO_TAG_DL, GUMBO_TAG_TABLE, GUMBO_TAG_PRE, GUMBO_TAG_BLOCKQUOTE,
              GUMBO_TAG_SECTION, GUMBO_TAG_ARTICLE, GUMBO_TAG_ASIDE, GUMBO_TAG_NAV, GUMBO_TAG_HEADER, GUMBO_TAG_FOOTER,
              GUMBO_TAG_MAIN, GUMBO_TAG_FIGURE, GUMBO_TAG_FIGCAPTION, GUMBO_TAG_FORM, GUMBO_TAG_ADDRESS, GUMBO_TAG_HR,
              GUMBO_TAG_BODY, GUMBO_TAG_DETAILS, GUMBO_TAG_SUMMARY, GUMBO_TAG_FIELDSET, GUMBO_TAG_TEXTAREA)
               ? 2
               : 0;
  }

  // False: nothing below it is text.
  bool enter(const GumboNode& node) {
    if (node.type == GUMBO_NODE_ELEMENT) return enter_element(node.v.element);
    if (node.type != GUMBO_NODE_TEXT && node.type != GUMBO_NODE_WHITESPACE && node.type != GUMBO_NODE_CDATA) return false;
    if (in_title_) title_.words(node.v.text.text);
    else if (!in_head_ && preformatted_ > 0) page_.verbatim(node.v.text.text);
    else if (!in_head_) page_.words(node.v.text.text);
    return false;
  }

  bool enter_element(const GumboElement& element) {
    const GumboTag tag = element.tag;
    if (tag == GUMBO_TAG_HEAD) in_head_ = true;
    if (tag == GUMBO_TAG_TITLE) in_title_ = in_head_;
    if (is_hidden(tag)) return false;
    if (tag == GUMBO_TAG_BR) page_.breaks(1);
    page_.breaks(breaks_of(tag));
    if (is_heading(tag)) page_.mark(std::string(static_cast<std::size_t>(tag - GUMBO_TAG_H1) + 1, '#') + ' ');
    if (tag == GUMBO_TAG_LI) page_.mark("- ");
    if (is(tag, GUMBO_TAG_TD, GUMBO_TAG_TH) && !first_cell_) page_.mark(" | ");
    if (tag == GUMBO_TAG_TR) first_cell_ = true;
    if (is(tag, GUMBO_TAG_TD, GUMBO_TAG_TH)) first_cell_ = false;
    if (tag == GUMBO_TAG_PRE) ++preformatted_;
    if (tag == GUMBO_TAG_IMG)
      if (const GumboAttribute* text = gumbo_get_attribute(&element.attributes, "alt")) page_.words(text->value);
    return true;
  }

  void leave(const GumboNode& node) {
    if (node.type != GUMBO_NODE_ELEMENT) return;
    const GumboTag tag = node.v.element.tag;
    if (tag == GUMBO_TAG_HEAD) in_head_ = false;
    if (tag == GUMBO_TAG_TITLE) in_title_ = false;
    if (is_hidden(tag)) return;
    if (tag == GUMBO_TAG_PRE) --preformatted_;
    if (is_heading(tag) || is(tag, GUMBO_TAG_LI, GUMBO_TAG_TD, GUMBO_TAG_TH)) page_.mark("");  // if nothing took it
    page_.breaks(breaks_of(tag));
  }

  PageText page_, title_;
  std::size_t preformatted_ = 0;
  bool in_head_ = false, in_title_ = false, first_cell_ = true;
};

/// Throws where the page is not UTF-8 or goes beyond the limits.
inline Document html_document(std::string_view text, const HtmlLimits& limits) {
  require_text(text);
  HtmlMemory memory(limits);
  const GumboOutput* tree = memory.parse(text);
  if (tree == nullptr) throw Error(Errc::unsupported, "HTML: its tree takes too much memory or time");
  return HtmlText().document(tree->root);
}

}  // namespace detail

/// A page (.html, .htm, .xhtml) is a document: the text that a reader sees, in the order of the source. Headings begin
/// with "# " to "###### ", points of lists with "- ", cells of a table stand between " | ", blocks apart by an empty line,
/// so that a MarkdownChunker finds the headings; <pre> keeps its lines. Scripts, styles and comments are left out, the
/// texts of links and of images (alt) stay. Metadata: title. Spans are those of that text, not of the file.
///
/// Errors: invalid_format for what is not UTF-8, whatever the page says of its encoding; unsupported for a page made to
/// take all memory or time. Needs gumbo (Debian: libgumbo-dev); link with -lgumbo.
RAG_LAZY class BasicHtmlLoader {
 public:
  bool reads(std::string_view id) const {
    return detail::has_extension(id, ".html") || detail::has_extension(id, ".htm") || detail::has_extension(id, ".xhtml");
  }
  std::vector<Document> load(const Document& file) const {
    Document document = detail::html_document(file.text, {(std::size_t{64} << 20) + 32 * file.text.size()});
    document.id = file.id;
    return {std::move(document)};
  }
};
using HtmlLoader = BasicHtmlLoader<>;

RAG_END
#endif
