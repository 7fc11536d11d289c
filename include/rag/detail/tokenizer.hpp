// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TOKENIZER_HPP
#define RAG_DETAIL_TOKENIZER_HPP
#include <rag/detail/wordpiece_folder.hpp>
#include <rag/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// The tokenizer of a model folder. Immutable; a copy shares the tables.
RAG_LAZY class BasicTokenizer {
 public:
  /// Reads a model folder. `who` begins the text of every Error.
  static BasicTokenizer from_folder(const std::string& folder, const std::string& who) {
    (void)who;
    return BasicTokenizer(std::make_shared<const WordPiece>(WordPiece::from_folder(folder)));
  }

  /// Appends the ids of the text with the special tokens that the model wants around it, at most `limit` in all: the text
  /// is cut, the special tokens stay. True if nothing was cut.
  bool encode(std::string_view text, std::vector<std::int32_t>& ids, std::size_t limit) const {
    check(limit, 2);
    ids.push_back(words_->cls());
    const bool whole = words_->encode(text, ids, limit - 2);
    ids.push_back(words_->sep());
    return whole;
  }

  /// The same for a pair; `types` gets the token type of each id. The longer text is cut first, as transformers does.
  bool encode_pair(std::string_view first, std::string_view second, std::vector<std::int32_t>& ids,
                   std::vector<std::int32_t>& types, std::size_t limit) const {
    check(limit, 3);
    std::vector<std::int32_t> one = words_->encode(first), two = words_->encode(second);
    const std::size_t room = limit - 3;
    const bool whole = one.size() + two.size() <= room;
    if (!whole) {
      const std::size_t shorter = std::min(one.size(), two.size());
      const bool halves = 2 * shorter > room;
      const std::size_t small = halves ? room / 2 : shorter, large = room - small;
      const bool swapped = one.size() > two.size();
      one.resize(swapped ? large : small), two.resize(swapped ? small : large);
    }
    const std::size_t begin = ids.size();
    ids.push_back(words_->cls());
    ids.insert(ids.end(), one.begin(), one.end());
    ids.push_back(words_->sep());
    types.insert(types.end(), ids.size() - begin, 0);
    ids.insert(ids.end(), two.begin(), two.end());
    ids.push_back(words_->sep());
    types.insert(types.end(), two.size() + 1, 1);
    return whole;
  }

  /// The number of tokens of the whole text, the special ones among them.
  std::size_t count(std::string_view text) const { return words_->count(text) + 2; }
  /// Of the special tokens around one text.
  std::size_t special_count() const { return 2; }
  /// The largest id + 1.
  std::size_t size() const { return words_->size(); }

 private:
  explicit BasicTokenizer(std::shared_ptr<const WordPiece> words) : words_(std::move(words)) {}

  static void check(std::size_t limit, std::size_t special) {
    if (limit < special)
      throw Error(Errc::invalid_argument, "Tokenizer: a limit of at least " + std::to_string(special) + " wanted, " +
                                              std::to_string(limit) + " given");
  }

  std::shared_ptr<const WordPiece> words_;
};
using Tokenizer = BasicTokenizer<>;

}  // namespace detail
RAG_END
#endif
