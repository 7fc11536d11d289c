// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TOKEN_PIPELINE_HPP
#define RAG_DETAIL_TOKEN_PIPELINE_HPP
#include <rag/detail/added_tokens.hpp>
#include <rag/detail/bpe.hpp>
#include <rag/detail/normalizer.hpp>
#include <rag/detail/piece_trie.hpp>
#include <rag/detail/pre_tokenizer.hpp>
#include <rag/detail/unigram.hpp>
#include <rag/detail/utf8.hpp>
#include <rag/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

RAG_BEGIN
namespace detail {

/// The longest pieces from the left, for any vocabulary; wordpiece.hpp has the faster one of uncased BERT.
RAG_LAZY class BasicLongestPieces {
 public:
  PieceTrie trie;
  std::int32_t unknown = no_token;
  std::string prefix = "##";       // of a piece that does not begin the word
  std::size_t longest_word = 100;  // code points; a longer one is unknown

  template <class Emit>
  bool encode(std::string_view word, Emit&& emit, bool&) const {
    if (count_code_points(word) > longest_word) return emit(unknown);
    const PieceTrie::Node inside = trie.walk(prefix);
    std::vector<std::int32_t> ids;
    for (std::size_t at = 0; at < word.size();) {
      PieceTrie::Node node = at == 0 ? PieceTrie::root : inside;
      if (at > 0 && !prefix.empty() && inside == PieceTrie::nowhere) return emit(unknown);
      std::size_t length = 0;
      std::int32_t id = PieceTrie::none;
      for (std::size_t i = at; i < word.size(); ++i) {
        if ((node = trie.step(node, static_cast<unsigned char>(word[i]))) == PieceTrie::nowhere) break;
        if (trie.id(node) != PieceTrie::none) id = trie.id(node), length = i + 1 - at;
      }
      if (length == 0) return emit(unknown);
      ids.push_back(id);
      at += length;
    }
    for (const std::int32_t id : ids)
      if (!emit(id)) return false;
    return true;
  }
};
using LongestPieces = BasicLongestPieces<>;

/// What stands around the texts. Each part is ids, or a text: the first or the second.
struct TokenTemplate {
  struct Part {
    enum Kind { special, first, second };
    Kind kind;
    std::int32_t type;
    std::vector<std::int32_t> ids;
  };
  std::vector<Part> single = {{Part::first, 0, {}}};
  std::vector<Part> pair = {{Part::first, 0, {}}, {Part::second, 1, {}}};

  static std::size_t special_count(const std::vector<Part>& parts) {
    std::size_t count = 0;
    for (const Part& part : parts) count += part.ids.size();
    return count;
  }
};

/// The text with U+FFFD in the place of each maximal part of an ill-formed sequence (the Unicode Standard, 3.9, U+FFFD
/// Substitution of Maximal Subparts), as Python decodes it.
RAG_LAZY std::string mended_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size() + 16);
  for (std::size_t at = 0; at < text.size();) {
    const CodePoint point = decode_utf8(text, at);
    std::size_t length = point.length;
    if (!point.valid) {
      // The longest beginning of a well-formed sequence: lengthened by any byte, it is none; by the right one it is.
      const auto first = static_cast<unsigned char>(text[at]);
      const std::size_t wanted = first >= 0xF5 || first < 0xC2 ? 1 : first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
      for (std::size_t taken = 2; taken < wanted && at + taken <= text.size(); ++taken) {
        const std::string filled = std::string(text.substr(at, taken)) + std::string(wanted - taken, '\x80');
        if (!decode_utf8(filled, 0).valid) break;
        length = taken;
      }
    }
    append_utf8(out, point.value);
    at += length;
  }
  return out;
}

/// Any tokenizer: the text is cut at added tokens, made normal, cut into words, and these into tokens.
RAG_LAZY class BasicTokenPipeline {
 public:
  Normalizer normalizer{};
  PreTokenizer words{};
  std::variant<LongestPieces, Unigram, Bpe> model{};
  AddedTokens added{};
  TokenTemplate around{};
  std::size_t size = 0;  ///< the largest id + 1
  bool fairseq = false;  ///< the model's ids are moved as XLM-RoBERTa's are: one further, the unknown one is 3
  bool pieces_end_at_blanks = false;

  /// Gives the ids of a text, without special tokens, as long as `emit` says true; true if it always did.
  template <class Emit>
  bool read(std::string_view text, Emit&& emit) const {
    if (text.size() >> 30 != 0) throw Error(Errc::invalid_argument, "Tokenizer: a text of less than 1 GiB wanted");
    std::string mended;
    if (invalid_utf8(text) != std::string_view::npos) text = mended = mended_utf8(text);
    return added.cut_raw(text, [&](std::string_view part, std::int32_t id) {
      if (id != no_token) return emit(id);
      const std::string normal = normalizer.apply(std::string(part));
      const bool first = part.data() == text.data();
      return added.cut_normal(normal, [&](std::string_view piece, std::int32_t found) {
        if (found != no_token) return emit(found);
        bool unknown_before = false;
        return words.cut(piece, first && piece.data() == normal.data(), [&](std::string_view word) {
          return std::visit(
              [&](const auto& kind) {
                const auto give = [&](std::int32_t one) {
                  return emit(!fairseq ? one : one == kind.unknown ? 3 : one + 1);
                };
                return kind.encode(word, give, unknown_before);
              },
              model);
        });
      });
    });
  }

  /// Appends the first `limit` ids; true if these are all.
  bool encode(std::string_view text, std::vector<std::int32_t>& ids, std::size_t limit) const {
    const std::size_t begin = ids.size();
    // What stands before a blank between two letters of ASCII gives the same ids without the rest.
    for (std::size_t part = 16 * std::min(limit, text.size()) + 256; part < text.size() && can_stop(); part *= 4) {
      const std::size_t end = stop(text, part);
      if (end == text.size()) break;
      if (!take(text.substr(0, end), ids, limit)) return false;
      ids.resize(begin);
    }
    return take(text, ids, limit);
  }

 private:
  bool take(std::string_view text, std::vector<std::int32_t>& ids, std::size_t limit) const {
    return read(text, [&, left = limit](std::int32_t id) mutable {
      if (left == 0) return false;
      --left;
      ids.push_back(id);
      return true;
    });
  }

  bool can_stop() const { return !added.has_blanks() && (words.ends_words() || pieces_end_at_blanks); }

  static std::size_t stop(std::string_view text, std::size_t from) {
    const auto letter = [&](std::size_t at) {
      return at < text.size() && (text[at] | 0x20) >= 'a' && (text[at] | 0x20) <= 'z';
    };
    for (std::size_t at = from; at < text.size(); ++at)
      if (text[at] == ' ' && letter(at - 1) && letter(at + 1)) return at;
    return text.size();
  }
};
using TokenPipeline = BasicTokenPipeline<>;

}  // namespace detail
RAG_END
#endif
