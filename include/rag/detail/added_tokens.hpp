// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_ADDED_TOKENS_HPP
#define RAG_DETAIL_ADDED_TOKENS_HPP
#include <rag/detail/normal_forms.hpp>
#include <rag/detail/normalizer.hpp>
#include <rag/detail/piece_trie.hpp>
#include <rag/detail/unigram.hpp>
#include <rag/detail/utf8.hpp>
#include <rag/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// A token that is found in a text by itself, before or after the text is made normal.
struct AddedToken {
  std::string text = {};
  std::int32_t id = no_token;
  bool single_word = false;  ///< not beside a word character
  bool left = false;         ///< takes the white space before it
  bool right = false;        ///< and after it
  bool normalized = false;   ///< found in the normal text, in its own normal form
};

/// Finds added tokens: the leftmost, of these the longest.
RAG_LAZY class BasicAddedTokens {
 public:
  explicit BasicAddedTokens(std::vector<AddedToken> tokens, const Normalizer& normalizer) : tokens_(std::move(tokens)) {
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const AddedToken& token = tokens_[i];
      if (token.text.empty()) continue;
      if (token.text.size() > 1024)
        throw Error(Errc::unsupported, "Tokenizer: an added token of " + std::to_string(token.text.size()) + " bytes");
      PieceTrie& trie = token.normalized ? normal_ : raw_;
      const std::string text = token.normalized ? normalizer.apply(token.text) : token.text;
      if (text.empty() || trie.find(text) != PieceTrie::none) continue;  // the first of equal ones counts
      for (const char c : text) has_blanks_ = has_blanks_ || c == ' ';
      if (!trie.add(text, static_cast<std::int32_t>(i)))
        throw Error(Errc::unsupported, "Tokenizer: the added tokens are too many");
    }
  }
  BasicAddedTokens() = default;

  /// Gives each part of a text as sink(part, no_token), and each token as sink(its part, id).
  template <class Sink>
  bool cut_raw(std::string_view text, Sink&& sink) const {
    return cut(raw_, text, sink);
  }
  template <class Sink>
  bool cut_normal(std::string_view text, Sink&& sink) const {
    return cut(normal_, text, sink);
  }

  /// Is there a blank in any of them?
  bool has_blanks() const { return has_blanks_; }

 private:
  template <class Sink>
  bool cut(const PieceTrie& trie, std::string_view text, Sink& sink) const {
    if (trie.empty()) return text.empty() || sink(text, no_token);
    std::size_t done = 0;
    for (std::size_t at = 0; at < text.size();) {
      PieceTrie::Node node = PieceTrie::root;
      std::size_t end = at;
      std::int32_t found = PieceTrie::none;
      for (std::size_t i = at; i < text.size(); ++i) {
        if ((node = trie.step(node, static_cast<unsigned char>(text[i]))) == PieceTrie::nowhere) break;
        if (trie.id(node) != PieceTrie::none) found = trie.id(node), end = i + 1;
      }
      if (found == PieceTrie::none) {
        ++at;
        continue;
      }
      const AddedToken& token = tokens_[static_cast<std::size_t>(found)];
      std::size_t begin = at;
      at = end;
      if (token.single_word && (word_before(text, begin) || word_at(text, end))) continue;
      if (token.left) begin = std::max(done, space_before(text, begin));
      if (token.right) end = space_after(text, end);
      if (done < begin && !sink(text.substr(done, begin - done), no_token)) return false;
      if (!sink(text.substr(begin, end - begin), token.id)) return false;
      done = end;
    }
    return done >= text.size() || sink(text.substr(done), no_token);
  }

  static bool has(std::string_view text, std::size_t at, normal::Flag flag) {
    return (NormalTables::instance().flags(decode_utf8(text, at).value) & flag) != 0;
  }
  static std::size_t point_before(std::string_view text, std::size_t at) {
    do --at;
    while (at > 0 && !is_boundary(text, at));
    return at;
  }
  static bool word_before(std::string_view text, std::size_t at) {
    return at > 0 && has(text, point_before(text, at), normal::word);
  }
  static bool word_at(std::string_view text, std::size_t at) { return at < text.size() && has(text, at, normal::word); }
  static std::size_t space_before(std::string_view text, std::size_t at) {
    while (at > 0 && has(text, point_before(text, at), normal::space)) at = point_before(text, at);
    return at;
  }
  static std::size_t space_after(std::string_view text, std::size_t at) {
    while (at < text.size() && has(text, at, normal::space)) at += decode_utf8(text, at).length;
    return at;
  }

  std::vector<AddedToken> tokens_;
  PieceTrie raw_{}, normal_{};
  bool has_blanks_ = false;
};
using AddedTokens = BasicAddedTokens<>;

}  // namespace detail
RAG_END
#endif
