// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_NORMALIZER_HPP
#define RAG_DETAIL_NORMALIZER_HPP
#include <rag/detail/charsmap.hpp>
#include <rag/detail/normal_forms.hpp>
#include <rag/detail/piece_trie.hpp>
#include <rag/detail/unicode.hpp>
#include <rag/detail/utf8.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// One thing that is done to a text before it is cut.
struct NormalStep {
  enum Kind {
    form,           ///< to a normal form
    lowercase,      ///< letter by letter
    strip_marks,    ///< no code point of category M
    bert_clean,     ///< BERT: no control, every white space a blank
    bert_chinese,   ///< BERT: blanks around Chinese characters
    bert_accents,   ///< BERT: decomposed, no code point of category Mn
    replace,        ///< each `pattern` by `content`
    replace_runs,   ///< each run of at least `least` times `pattern` by `content`
    prepend,        ///< `content` before a text that is not empty
    strip,          ///< no white space at the left, at the right
    nmt,            ///< SentencePiece's cleaning, as the tokenizers library has it
    precompiled,    ///< `rules`, cluster by cluster
    sentencepiece,  ///< all that a SentencePiece model does itself
  };
  Kind kind;
  NormalForm normal_form = NormalForm::nfc;
  std::string pattern = {}, content = {};
  std::size_t least = 1;
  bool left = false, right = false;
  std::shared_ptr<const Charsmap> rules = {};
  // Of sentencepiece.
  bool dummy_prefix = true, remove_extra = true, escape = true;
  std::shared_ptr<const PieceTrie> kept = {};  ///< texts that no rule touches
};

inline constexpr std::string_view metaspace = "\xE2\x96\x81";  // U+2581, SentencePiece's blank

/// Steps in their order. The text must be valid UTF-8.
RAG_LAZY class BasicNormalizer {
 public:
  explicit BasicNormalizer(std::vector<NormalStep> steps = {}) : steps_(std::move(steps)) {}

  std::string apply(std::string text) const {
    const std::size_t before = text.size();
    for (const NormalStep& step : steps_) {
      text = apply(step, std::move(text));
      Charsmap::check_growth(before, text.size());
    }
    return text;
  }

  const std::vector<NormalStep>& steps() const { return steps_; }

 private:
  static std::string apply(const NormalStep& step, std::string text) {
    switch (step.kind) {
      case NormalStep::form:
        return Normalizing::apply(text, step.normal_form);
      case NormalStep::lowercase:
        return lower(text);
      case NormalStep::strip_marks:
        return without(text, normal::mark);
      case NormalStep::bert_accents:
        return without(Normalizing::apply(text, NormalForm::nfd), normal::nonspacing);
      case NormalStep::bert_clean:
        return clean(text);
      case NormalStep::bert_chinese:
        return spread(text);
      case NormalStep::replace:
        return replaced(text, step);
      case NormalStep::replace_runs:
        return runs_replaced(text, step);
      case NormalStep::prepend:
        return text.empty() ? text : step.content + text;
      case NormalStep::strip:
        return stripped(text, step);
      case NormalStep::nmt:
        return nmt_cleaned(text);
      case NormalStep::precompiled:
        return step.rules->by_clusters(text);
      case NormalStep::sentencepiece:
        return by_sentencepiece(text, step);
    }
    return text;
  }

  /// Gives each code point, with a sink for what it becomes.
  template <class Change>
  static std::string changed(std::string_view text, Change change) {
    std::string out;
    out.reserve(text.size() + text.size() / 8);
    each_code_point(text, [&](char32_t c) { change(c, out); });
    return out;
  }

  static std::string lower(std::string_view text) {
    const NormalTables& tables = NormalTables::instance();
    return changed(text, [&](char32_t c, std::string& out) {
      if (c < 0x80) return void(out += static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c));
      const std::u32string_view to = tables.lower(c);
      if (to.empty()) append_utf8(out, c);
      for (const char32_t part : to) append_utf8(out, part);
    });
  }

  static std::string without(std::string_view text, std::uint8_t flag) {
    const NormalTables& tables = NormalTables::instance();
    return changed(text, [&](char32_t c, std::string& out) {
      if (c < 0x80 || (tables.flags(c) & flag) == 0) append_utf8(out, c);
    });
  }

  static std::string clean(std::string_view text) {
    return changed(text, [](char32_t c, std::string& out) {
      if (!is_control(c)) append_utf8(out, is_whitespace(c) ? U' ' : c);
    });
  }

  static std::string spread(std::string_view text) {
    return changed(text, [](char32_t c, std::string& out) {
      const bool alone = is_cjk(c);
      if (alone) out += ' ';
      append_utf8(out, c);
      if (alone) out += ' ';
    });
  }

  static std::string replaced(std::string_view text, const NormalStep& step) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t next = step.pattern.empty() ? std::string_view::npos : text.find(step.pattern, at);
      out += text.substr(at, next - at);
      if (next == std::string_view::npos) break;
      out += step.content;
      at = next + step.pattern.size();
    }
    return out;
  }

  static std::string runs_replaced(std::string_view text, const NormalStep& step) {
    std::string out;
    for (std::size_t at = 0; at < text.size();) {
      std::size_t end = at, times = 0;
      for (; text.substr(end).starts_with(step.pattern); ++times) end += step.pattern.size();
      if (times >= step.least)
        out += step.content, at = end;
      else if (times > 0)
        out += text.substr(at, end - at), at = end;
      else
        out += text[at++];
    }
    return out;
  }

  static std::string stripped(std::string_view text, const NormalStep& step) {
    std::size_t begin = text.size(), end = 0;
    for (std::size_t at = 0; at < text.size();) {
      const CodePoint point = decode_utf8(text, at);
      if (!is_whitespace(point.value)) {
        if (begin == text.size()) begin = at;
        end = at + point.length;
      }
      at += point.length;
    }
    if (begin == text.size()) return step.left || step.right ? std::string() : std::string(text);
    if (!step.left) begin = 0;
    return std::string(text.substr(begin, (step.right ? end : text.size()) - begin));
  }

  static std::string nmt_cleaned(std::string_view text) {
    return changed(text, [](char32_t c, std::string& out) {
      const bool gone =
          (c >= 1 && c <= 8) || c == 0xB || (c >= 0xE && c <= 0x1F) || c == 0x7F || c == 0x8F || c == 0x9F;
      const bool blank = c == 9 || c == 0xA || c == 0xC || c == 0xD || c == 0x1680 || (c >= 0x200B && c <= 0x200F) ||
                         c == 0x2028 || c == 0x2029 || c == 0x2581 || c == 0xFEFF || c == 0xFFFD;
      if (!gone) append_utf8(out, blank ? U' ' : c);
    });
  }

  /// What stands at `at` becomes, and how long it is.
  static Charsmap::Match next(std::string_view text, std::size_t at, const NormalStep& step) {
    const std::string_view rest = text.substr(at);
    if (step.kept != nullptr) {
      std::size_t longest = 0;
      PieceTrie::Node node = PieceTrie::root;
      for (std::size_t i = 0; i < rest.size(); ++i) {
        if ((node = step.kept->step(node, static_cast<unsigned char>(rest[i]))) == PieceTrie::nowhere) break;
        if (step.kept->id(node) != PieceTrie::none) longest = i + 1;
      }
      if (longest > 0) return {longest, rest.substr(0, longest)};
    }
    if (const auto match = step.rules->find(rest, true)) return *match;
    const std::size_t length = decode_utf8(rest, 0).length;
    return {length, rest.substr(0, length)};
  }

  static std::string by_sentencepiece(std::string_view text, const NormalStep& step) {
    const std::string_view blank = step.escape ? metaspace : std::string_view(" ");
    std::string out;
    std::size_t at = 0;
    while (step.remove_extra && at < text.size()) {
      const Charsmap::Match match = next(text, at, step);
      if (match.target != " ") break;
      at += match.length;
    }
    if (at == text.size()) return out;
    if (step.dummy_prefix) out += blank;
    for (bool after_blank = step.remove_extra; at < text.size();) {
      Charsmap::Match match = next(text, at, step);
      at += match.length;
      Charsmap::check_growth(text.size(), out.size());
      while (after_blank && match.target.starts_with(' ')) match.target.remove_prefix(1);
      if (match.target.empty()) continue;
      for (const char c : match.target) c == ' ' ? out += blank : out += c;
      after_blank = step.remove_extra && match.target.ends_with(' ');
    }
    while (step.remove_extra && out.ends_with(blank)) out.resize(out.size() - blank.size());
    return out;
  }

  std::vector<NormalStep> steps_;
};
using Normalizer = BasicNormalizer<>;

}  // namespace detail
RAG_END
#endif
