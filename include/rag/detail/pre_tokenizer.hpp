// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PRE_TOKENIZER_HPP
#define RAG_DETAIL_PRE_TOKENIZER_HPP
#include <rag/detail/normal_forms.hpp>
#include <rag/detail/unicode.hpp>
#include <rag/detail/utf8.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// One way to cut a text into words.
struct CutStep {
  enum Kind {
    bert,         ///< at white space, each punctuation character alone
    blanks,       ///< at white space
    words,        ///< into runs of word characters and runs of all else, without white space
    punctuation,  ///< each punctuation character alone
    mark_blanks,  ///< blanks become `mark`, and a word begins with one
  };
  enum Prepend { always, first, never };
  Kind kind;
  std::string mark = {};
  Prepend prepend = always;
  bool split = true;
};

/// Steps in their order, each on what the one before gave. The text must be valid UTF-8.
RAG_LAZY class BasicPreTokenizer {
 public:
  explicit BasicPreTokenizer(std::vector<CutStep> steps) : steps_(std::move(steps)) {}
  BasicPreTokenizer() = default;

  /// Gives each word as long as `sink` says true; true if it always did. `first`: the text begins where the user's
  /// does.
  template <class Sink>
  bool cut(std::string_view text, bool first, Sink&& sink) const {
    return cut(0, text, first, sink);
  }

  const std::vector<CutStep>& steps() const { return steps_; }

  /// Does a blank between two letters always end a word?
  bool ends_words() const {
    for (const CutStep& step : steps_)
      if (step.kind == CutStep::bert || step.kind == CutStep::blanks || step.kind == CutStep::words ||
          (step.kind == CutStep::mark_blanks && step.split))
        return true;
    return false;
  }

 private:
  template <class Sink>
  bool cut(std::size_t at, std::string_view text, bool first, Sink& sink) const {
    if (text.empty()) return true;
    if (at == steps_.size()) return sink(text);
    const CutStep& step = steps_[at];
    const auto next = [&](std::string_view word) {
      return cut(at + 1, word, first && word.data() == text.data(), sink);
    };
    if (step.kind == CutStep::mark_blanks) return cut_metaspace(at, text, first, sink);
    if (step.kind == CutStep::words) return cut_words(text, next);
    return cut_characters(step.kind, text, next);
  }

  template <class Next>
  static bool cut_characters(CutStep::Kind kind, std::string_view text, Next next) {
    std::size_t begin = 0;
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint point = decode_utf8(text, at);
      const bool gap = kind != CutStep::punctuation && is_whitespace(point.value);
      const bool stands_alone = kind != CutStep::blanks && is_punctuation(point.value);
      const std::size_t end = at + point.length;
      if (gap || stands_alone) {
        if (begin < at && !next(text.substr(begin, at - begin))) return false;
        if (stands_alone && !next(text.substr(at, point.length))) return false;
        begin = end;
      }
      at = end;
    }
    return begin == text.size() || next(text.substr(begin));
  }

  template <class Next>
  static bool cut_words(std::string_view text, Next next) {
    const NormalTables& tables = NormalTables::instance();
    std::size_t begin = 0;
    int before = 0;  // the kind of the run: 0 none, 1 word, 2 else
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint point = decode_utf8(text, at);
      const std::uint8_t flags = tables.flags(point.value);
      const int kind = (flags & normal::space) != 0 ? 0 : (flags & normal::word) != 0 ? 1 : 2;
      if (kind != before) {
        if (before != 0 && !next(text.substr(begin, at - begin))) return false;
        begin = at, before = kind;
      }
      at += point.length;
    }
    return before == 0 || next(text.substr(begin));
  }

  template <class Sink>
  bool cut_metaspace(std::size_t at, std::string_view text, bool first, Sink& sink) const {
    const CutStep& step = steps_[at];
    std::string marked;
    marked.reserve(text.size() + text.size() / 2 + step.mark.size());
    const bool wanted = step.prepend == CutStep::always || (step.prepend == CutStep::first && first);
    if (wanted && !text.starts_with(' ') && !text.starts_with(step.mark)) marked = step.mark;
    for (const char c : text) c == ' ' ? marked += step.mark : marked += c;
    const std::string_view all = marked;
    if (!step.split) return cut(at + 1, all, first, sink);
    for (std::size_t begin = 0; begin < all.size();) {
      const std::size_t from = all.substr(begin).starts_with(step.mark) ? begin + step.mark.size() : begin;
      const std::size_t end = std::min(all.find(step.mark, from), all.size());
      if (!cut(at + 1, all.substr(begin, end - begin), first && begin == 0, sink)) return false;
      begin = end;
    }
    return true;
  }

  std::vector<CutStep> steps_;
};
using PreTokenizer = BasicPreTokenizer<>;

}  // namespace detail
RAG_END
#endif
