// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_UNIGRAM_HPP
#define RAG_DETAIL_UNIGRAM_HPP
#include <rag/detail/piece_trie.hpp>
#include <rag/detail/utf8.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

RAG_BEGIN
namespace detail {

inline constexpr std::int32_t no_token = -1;

/// The numbers of the tokens <0x00> … <0xFF>; no_token where there is none.
using ByteTokens = std::array<std::int32_t, 256>;

/// Gives the tokens of the bytes of a text, if each is there.
template <class Emit>
bool emit_bytes(const ByteTokens& tokens, std::string_view text, Emit& emit) {
  for (const char c : text)
    if (!emit(tokens[static_cast<unsigned char>(c)])) return false;
  return true;
}
inline bool has_bytes(const ByteTokens& tokens, std::string_view text) {
  for (const char c : text)
    if (tokens[static_cast<unsigned char>(c)] == no_token) return false;
  return true;
}

/// The pieces whose scores sum up to the most.
RAG_LAZY class BasicUnigram {
 public:
  PieceTrie trie;
  std::vector<double> scores;  // by id
  std::int32_t unknown = no_token;
  double unknown_score = 0;
  bool fuse_unknown = true, byte_fallback = false;
  ByteTokens bytes = {};
  /// As SentencePiece does it: sums in float, and only an id tells what is unknown.
  bool sentencepiece = false;

  /// Gives the ids of a word as long as `emit` says true. Memory: 16 bytes a byte of the word.
  template <class Emit>
  bool encode(std::string_view word, Emit&& emit, bool& unknown_before) const {
    std::vector<Node> best;
    if (sentencepiece)
      search<float>(word, best);
    else
      search<double>(word, best);
    // From the end back; then each node holds where its piece ends.
    std::int32_t next = static_cast<std::int32_t>(word.size()), id = no_token;
    for (std::int32_t at = next; at > 0;) {
      const Node node = best[static_cast<std::size_t>(at)];
      best[static_cast<std::size_t>(at)].id = id;
      best[static_cast<std::size_t>(at)].begin = next;
      next = at, id = node.id, at = node.begin;
    }
    std::int32_t begin = 0;
    for (std::int32_t end = next; begin < static_cast<std::int32_t>(word.size());) {
      const std::int32_t last = end;
      const Node after = best[static_cast<std::size_t>(end)];
      std::int32_t after_end = after.begin, after_id = after.id;
      if (fuse_unknown && !sentencepiece && id == unknown)
        while (end < static_cast<std::int32_t>(word.size()) && after_id == unknown) {
          const Node further = best[static_cast<std::size_t>(after_end)];
          end = after_end, after_end = further.begin, after_id = further.id;
        }
      const auto from = static_cast<std::size_t>(begin);
      if (!give(word.substr(from, static_cast<std::size_t>(end) - from), id, end != last, emit, unknown_before))
        return false;
      begin = end, end = after_end, id = after_id;
    }
    return true;
  }

 private:
  struct Node {
    double score = 0;
    std::int32_t begin = -1, id = no_token;
  };

  template <class Score>
  void search(std::string_view word, std::vector<Node>& best) const {
    best.assign(word.size() + 1, Node());
    for (std::size_t begin = 0; begin < word.size();) {
      const double till_here = best[begin].score;
      const std::size_t length = decode_utf8(word, begin).length;
      const auto offer = [&](std::size_t end, double score, std::int32_t id) {
        Node& node = best[end];
        const auto rounded = static_cast<double>(static_cast<Score>(score));
        if (node.begin == -1 || rounded > node.score) node = {rounded, static_cast<std::int32_t>(begin), id};
      };
      bool single = false;
      PieceTrie::Node node = PieceTrie::root;
      for (std::size_t end = begin; end < word.size();) {
        if ((node = trie.step(node, static_cast<unsigned char>(word[end++]))) == PieceTrie::nowhere) break;
        const std::int32_t id = trie.id(node);
        if (id == PieceTrie::none) continue;
        offer(end, scores[static_cast<std::size_t>(id)] + till_here, id);
        single = single || end - begin == length;
      }
      if (!single) offer(begin + length, unknown_score + till_here, unknown);
      begin += length;
    }
  }

  template <class Emit>
  bool give(std::string_view piece, std::int32_t id, bool fused, Emit& emit, bool& unknown_before) const {
    if (sentencepiece) {
      const bool is_unknown = id == unknown, again = is_unknown && unknown_before && !byte_fallback;
      unknown_before = is_unknown;
      if (is_unknown && byte_fallback) return emit_bytes(bytes, piece, emit);
      return again || emit(id);
    }
    if (fused || id == unknown) id = trie.find(piece);
    if (id == PieceTrie::none && byte_fallback && has_bytes(bytes, piece)) return emit_bytes(bytes, piece, emit);
    return emit(id == PieceTrie::none ? unknown : id);
  }
};
using Unigram = BasicUnigram<>;

}  // namespace detail
RAG_END
#endif
