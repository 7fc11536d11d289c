// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SENTENCES_HPP
#define RAG_DETAIL_SENTENCES_HPP
#include <rag/detail/sentence_spans.hpp>
#include <rag/detail/span.hpp>
#include <rag/detail/trim.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Sentences to quote from plain text or markdown.

RAG_BEGIN
namespace detail {

/// A sentence as a person reads it, and the headings or question that it stands under.
struct Sentence {
  std::string text;
  std::string heading;
};

/// Markdown links become their words, images and comments nothing.
RAG_LAZY std::string without_links(std::string_view text) {
  std::string result;
  for (std::size_t at = 0; at < text.size();) {
    const bool is_image = text.substr(at).starts_with("![");
    if (text.substr(at).starts_with("<!--")) {
      const std::size_t end = text.find("-->", at);
      at = end == std::string_view::npos ? text.size() : end + 3;
      continue;
    }
    if (is_image || text[at] == '[') {
      const std::size_t words = at + (is_image ? 2 : 1), middle = text.find_first_of("[]", words);
      const std::size_t end = text.substr(std::min(middle, text.size())).starts_with("](")
                                  ? text.find_first_of(") ", middle)
                                  : std::string_view::npos;
      if (end != std::string_view::npos && text[end] == ')') {
        if (!is_image) result += text.substr(words, middle - words);
        at = end + 1;
        continue;
      }
    }
    result += text[at++];
  }
  return result;
}

/// A line of markdown without its mark of a list, a quotation or a heading.
struct Line {
  enum Kind { text, blank, item, heading, fence } kind = text;
  std::string_view content;
};

RAG_LAZY Line read_line(std::string_view line) {
  line = trim(line);
  while (line.starts_with('>')) line = trim(line.substr(1));
  if (line.starts_with("```") || line.starts_with("~~~")) return {Line::fence, line};
  const std::size_t hashes = std::min(line.find_first_not_of('#'), line.size());
  if (hashes > 0 && hashes <= 6 && (hashes == line.size() || line[hashes] == ' '))
    return {hashes == line.size() ? Line::blank : Line::heading, trim(line.substr(hashes))};
  // Rules, table borders and lines of nothing but a tag carry no words.
  if (line.find_first_not_of("-=*_|: \t") == std::string_view::npos ||
      (line.front() == '<' && line.back() == '>'))
    return {Line::blank, {}};
  const std::size_t digits = std::min(line.find_first_not_of("0123456789"), line.size());
  const std::size_t mark = digits > 0 && digits < 4 && line.substr(digits).starts_with(". ") ? digits + 1
                           : line.size() > 1 && line[1] == ' ' && std::string_view("-*+").find(line[0]) < 3
                               ? 1
                               : 0;
  return {mark > 0 ? Line::item : Line::text, trim(line.substr(mark))};
}

/// Gathers lines into paragraphs and cuts these into sentences.
RAG_LAZY class BasicSentenceReader {
 public:
  std::vector<Sentence> read(std::string_view text) {
    bool in_fence = false;
    for (std::size_t begin = 0; begin < text.size();) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      const Line line = read_line(text.substr(begin, end - begin));
      begin = end + 1;
      if (line.kind == Line::fence) in_fence = !in_fence;
      if (in_fence || line.kind != Line::text)
        end_paragraph(trim(text.substr(std::min(begin, text.size()))).empty());
      if (in_fence || line.kind == Line::blank || line.kind == Line::fence) continue;
      if (line.kind == Line::heading)
        heading_ = line.content;
      else
        join(line.content);
    }
    end_paragraph(true);
    return std::move(sentences_);
  }

 private:
  void join(std::string_view line) {
    if (!paragraph_.empty() && static_cast<unsigned char>(paragraph_.back()) < 0x80) paragraph_ += ' ';
    paragraph_ += line;
  }

  // A question is a heading too: it asks, and what follows answers. So is a first line without a stop.
  void end_paragraph(bool is_last) {
    const std::string paragraph = without_links(paragraph_);
    paragraph_.clear();
    const bool is_title = is_first_ && !is_last && !paragraph.empty() && paragraph.size() <= 100 &&
                          std::string_view(".!:;\x82\x81").find(paragraph.back()) == std::string_view::npos;
    is_first_ = is_first_ && paragraph.empty();
    if (is_title) return void(heading_ = paragraph);
    for (const Span span : sentence_spans(paragraph, {0, paragraph.size()})) {
      const std::string_view sentence = bytes(paragraph, span);
      if (sentence.ends_with('?') || sentence.ends_with("？"))
        heading_ = sentence;
      else
        sentences_.push_back({std::string(sentence), heading_});
    }
  }

  std::vector<Sentence> sentences_;
  std::string paragraph_, heading_;
  bool is_first_ = true;
};
using SentenceReader = BasicSentenceReader<>;

RAG_LAZY std::vector<Sentence> split_sentences(std::string_view text) { return SentenceReader{}.read(text); }

}  // namespace detail
RAG_END
#endif
