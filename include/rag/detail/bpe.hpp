// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_BPE_HPP
#define RAG_DETAIL_BPE_HPP
#include <rag/detail/piece_trie.hpp>
#include <rag/detail/unigram.hpp>
#include <rag/detail/utf8.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN
namespace detail {

/// Which pairs of tokens merge, in which order, into what.
RAG_LAZY class BasicMergeTable {
 public:
  struct Merge {
    std::int32_t left, right, rank, id;
  };

  /// The last of equal pairs counts.
  explicit BasicMergeTable(std::vector<Merge> merges = {}) {
    std::size_t capacity = 2;
    while (2 * capacity < 3 * merges.size()) capacity *= 2;
    slots_.assign(capacity, {no_token, no_token, 0, 0});
    for (const Merge& merge : merges) slots_[place(merge.left, merge.right)] = merge;
  }

  const Merge* find(std::int32_t left, std::int32_t right) const {
    if (left < 0 || right < 0) return nullptr;
    const Merge& found = slots_[place(left, right)];
    return found.left == no_token ? nullptr : &found;
  }

 private:
  std::size_t place(std::int32_t left, std::int32_t right) const {
    const std::uint64_t key = static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
    std::size_t at = static_cast<std::size_t>(key * 0x9E3779B97F4A7C15u >> 32) & (slots_.size() - 1);
    while (slots_[at].left != no_token && (slots_[at].left != left || slots_[at].right != right))
      at = (at + 1) & (slots_.size() - 1);
    return at;
  }
  std::vector<Merge> slots_;  // a power of two, never full
};
using MergeTable = BasicMergeTable<>;

/// Byte pair encoding: of all neighbours the best are merged, until no two can be. A heap holds what may merge next: a
/// word of n characters takes n log n.
RAG_LAZY class BasicBpe {
 public:
  PieceTrie trie;
  MergeTable merges{};
  std::int32_t unknown = no_token;
  bool fuse_unknown = false, byte_fallback = false, ignore_merges = false;
  std::string prefix = {}, suffix = {};  // of a piece that does not begin the word; of the last one
  ByteTokens bytes = {};
  /// As SentencePiece does it: a merge is any piece of the vocabulary, the best score first.
  bool sentencepiece = false;
  std::vector<float> scores = {};  // by id
  PieceTrie kept{};                // texts that never merge

  template <class Emit>
  bool encode(std::string_view word, Emit&& emit, bool& unknown_before) const {
    if (ignore_merges && !sentencepiece)
      if (const std::int32_t id = trie.find(word); id != PieceTrie::none) return emit(id);
    std::vector<Symbol> symbols = sentencepiece ? pieces_of(word) : symbols_of(word);
    merge(word, symbols);
    for (std::size_t at = 0; at < symbols.size(); at = static_cast<std::size_t>(symbols[at].next)) {
      if (symbols[at].size > 0 && !give(word, symbols[at], emit, unknown_before)) return false;
      if (symbols[at].next < 0) break;
    }
    return true;
  }

 private:
  struct Symbol {
    std::size_t begin, size;  // of the word's bytes
    std::int32_t id, before, next;
    bool frozen;
  };
  struct Candidate {
    double order;  // the smallest first
    std::int32_t left, id;
    std::size_t size;
  };

  static void push(std::vector<Symbol>& symbols, std::size_t begin, std::size_t size, std::int32_t id,
                   bool frozen = false) {
    const auto at = static_cast<std::int32_t>(symbols.size());
    if (at > 0) symbols.back().next = at;
    symbols.push_back({begin, size, id, at - 1, -1, frozen});
  }

  std::vector<Symbol> pieces_of(std::string_view word) const {
    std::vector<Symbol> symbols;
    for (std::size_t at = 0; at < word.size();) {
      std::size_t length = 0;
      PieceTrie::Node node = PieceTrie::root;
      for (std::size_t i = at; i < word.size(); ++i) {
        if ((node = kept.step(node, static_cast<unsigned char>(word[i]))) == PieceTrie::nowhere) break;
        if (kept.id(node) != PieceTrie::none) length = i + 1 - at;
      }
      const bool frozen = length > 0;
      if (!frozen) length = decode_utf8(word, at).length;
      push(symbols, at, length, trie.find(word.substr(at, length)), frozen);
      at += length;
    }
    return symbols;
  }

  std::vector<Symbol> symbols_of(std::string_view word) const {
    std::vector<Symbol> symbols;
    std::size_t waiting = 0;  // bytes of an unknown character that is not pushed yet
    const auto flush = [&](std::size_t end) {
      if (waiting > 0) push(symbols, end - waiting, waiting, unknown);
      waiting = 0;
    };
    for (std::size_t at = 0; at < word.size();) {
      const std::size_t length = decode_utf8(word, at).length;
      std::string text(word.substr(at, length));
      if (at > 0) text = prefix + text;
      if (at + length == word.size()) text += suffix;
      if (const std::int32_t id = trie.find(text); id != PieceTrie::none) {
        flush(at);
        push(symbols, at, length, id);
      } else if (byte_fallback && has_bytes(bytes, text)) {
        // The library leaves an unknown one waiting here: it comes after the bytes.
        for (const char c : text) push(symbols, at, 1, bytes[static_cast<unsigned char>(c)]);
      } else if (unknown != no_token) {
        if (!fuse_unknown) flush(at);
        waiting += length;
      }
      at += length;
    }
    flush(word.size());
    return symbols;
  }

  /// What the symbol at `left` and the next become.
  bool candidate(std::string_view word, const std::vector<Symbol>& symbols, std::int32_t left, Candidate& found) const {
    const Symbol& a = symbols[static_cast<std::size_t>(left)];
    if (a.next < 0) return false;
    const Symbol& b = symbols[static_cast<std::size_t>(a.next)];
    found.left = left, found.size = a.size + b.size;
    if (!sentencepiece) {
      const MergeTable::Merge* merge = merges.find(a.id, b.id);
      if (merge == nullptr) return false;
      found.order = merge->rank, found.id = merge->id;
      return true;
    }
    if (a.frozen || b.frozen || found.size > trie.longest()) return false;
    found.id = trie.find(word.substr(a.begin, found.size));
    if (found.id == PieceTrie::none) return false;
    found.order = -static_cast<double>(scores[static_cast<std::size_t>(found.id)]);
    return true;
  }

  void merge(std::string_view word, std::vector<Symbol>& symbols) const {
    std::vector<Candidate> heap;
    const auto later = [](const Candidate& a, const Candidate& b) {
      return a.order != b.order ? a.order > b.order : a.left > b.left;
    };
    Candidate top;
    for (std::int32_t left = 0; left < static_cast<std::int32_t>(symbols.size()); ++left)
      if (candidate(word, symbols, left, top)) heap.push_back(top);
    std::make_heap(heap.begin(), heap.end(), later);
    const auto offer = [&](std::int32_t left) {
      Candidate found;
      if (left < 0 || !candidate(word, symbols, left, found)) return;
      heap.push_back(found);
      std::push_heap(heap.begin(), heap.end(), later);
    };
    while (!heap.empty()) {
      std::pop_heap(heap.begin(), heap.end(), later);
      top = heap.back();
      heap.pop_back();
      Symbol& left = symbols[static_cast<std::size_t>(top.left)];
      if (left.size == 0 || left.next < 0) continue;
      Candidate now;
      if (!candidate(word, symbols, top.left, now) || now.id != top.id || (sentencepiece && now.size != top.size))
        continue;
      Symbol& right = symbols[static_cast<std::size_t>(left.next)];
      left.size += right.size, left.id = top.id, left.next = right.next;
      right.size = 0;
      if (left.next >= 0) symbols[static_cast<std::size_t>(left.next)].before = top.left;
      offer(left.before), offer(top.left);
    }
  }

  template <class Emit>
  bool give(std::string_view word, const Symbol& symbol, Emit& emit, bool& unknown_before) const {
    if (!sentencepiece) return emit(symbol.id);
    const bool is_unknown = symbol.id == PieceTrie::none || symbol.id == unknown;
    const bool again = is_unknown && unknown_before && !byte_fallback;
    unknown_before = is_unknown;
    if (is_unknown && byte_fallback) return emit_bytes(bytes, word.substr(symbol.begin, symbol.size), emit);
    return again || emit(is_unknown ? unknown : symbol.id);
  }
};
using Bpe = BasicBpe<>;

}  // namespace detail
RAG_END
#endif
