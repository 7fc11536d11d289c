// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PIECE_LIST_HPP
#define RAG_DETAIL_PIECE_LIST_HPP
#include <rag/detail/piece_trie.hpp>
#include <rag/detail/unigram.hpp>
#include <rag/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN
namespace detail {

/// The pieces of a vocabulary in the order of the file, before a trie is made of them.
RAG_LAZY class BasicPieceList {
 public:
  /// Bytes of a token. It bounds what a walk from each place of a text takes.
  static constexpr std::size_t longest = 1024;

  std::size_t file_size = 0;

  void add(std::string_view text, std::int32_t id) {
    if (text.size() > longest)
      throw Error(Errc::unsupported, "Tokenizer: a token of " + std::to_string(text.size()) + " bytes, more than " +
                                         std::to_string(longest));
    if (text_.size() + text.size() >= std::size_t{1} << 32)
      throw Error(Errc::unsupported, "Tokenizer: a vocabulary of 4 GiB");
    entries_.push_back({static_cast<std::uint32_t>(text_.size()), static_cast<std::uint32_t>(text.size()), id});
    text_ += text;
    id_end_ = std::max(id_end_, static_cast<std::size_t>(id) + 1);
  }

  std::size_t count() const { return entries_.size(); }
  std::string_view text(std::size_t i) const {
    return std::string_view(text_).substr(entries_[i].begin, entries_[i].length);
  }
  std::int32_t id(std::size_t i) const { return entries_[i].id; }
  std::size_t id_end() const { return id_end_; }  ///< the largest id + 1

  std::int32_t slow_find(std::string_view wanted) const {
    for (std::size_t i = count(); i-- > 0;)
      if (text(i) == wanted) return id(i);
    return no_token;
  }

  /// Is `mark` in some piece behind other text? Not in one of nothing else.
  bool has_inner(std::string_view mark) const {
    for (std::size_t i = 0; i < count(); ++i)
      if (const std::size_t at = text(i).rfind(mark); at != std::string_view::npos && at > 0) return true;
    return false;
  }

  PieceTrie trie(const std::string& where) const {
    PieceTrie made(PieceTrie::nodes_of(file_size));
    for (std::size_t i = 0; i < count(); ++i)
      if (!text(i).empty() && !made.add(text(i), id(i)))
        throw Error(Errc::unsupported, where + ": a vocabulary whose table takes more than " +
                                           std::to_string((PieceTrie::nodes_of(file_size) * 40) >> 20) + " MiB");
    return made;
  }

 private:
  struct Entry {
    std::uint32_t begin, length;
    std::int32_t id;
  };
  std::string text_;
  std::vector<Entry> entries_;
  std::size_t id_end_ = 0;
};
using PieceList = BasicPieceList<>;

RAG_LAZY ByteTokens byte_tokens(const PieceTrie& trie) {
  ByteTokens tokens;
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const char* digits = "0123456789ABCDEF";
    tokens[byte] = trie.find(std::string("<0x") + digits[byte >> 4] + digits[byte & 15] + ">");
  }
  return tokens;
}

}  // namespace detail
RAG_END
#endif
