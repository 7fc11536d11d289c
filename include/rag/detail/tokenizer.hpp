// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TOKENIZER_HPP
#define RAG_DETAIL_TOKENIZER_HPP
#include <rag/detail/tokenizer_folder.hpp>
#include <rag/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN
namespace detail {

/// The tokenizer of a model folder. Immutable; a copy shares the tables. A byte that is not UTF-8 counts as U+FFFD.
template <class Pipeline = TokenPipeline>
class BasicTokenizer {
 public:
  /// Reads vocab.txt and tokenizer_config.json where these say that it is uncased BERT, else tokenizer.json, else
  /// spiece.model, sentencepiece.bpe.model or tokenizer.model, else vocab.txt. `who` begins the text of every Error:
  /// not_found, unsupported for what is not known (the text names the field), invalid_format for damaged files.
  static BasicTokenizer from_folder(const std::string& folder, const std::string& who) {
    BasicTokenizer made;
    made.parts_ = BasicTokenizerFolder<Pipeline>(folder, who).read();
    return made;
  }

  /// Appends the ids of the text with the special tokens that the model wants around it, at most `limit` in all: the
  /// text is cut, the special tokens stay. True if nothing was cut. Costs no more than the part read, and somewhat
  /// more.
  bool encode(std::string_view text, std::vector<std::int32_t>& ids, std::size_t limit) const {
    check(limit, special_count());
    if (words() != nullptr) {
      ids.push_back(words()->cls());
      const bool whole = words()->encode(text, ids, limit - 2);
      ids.push_back(words()->sep());
      return whole;
    }
    bool whole = true;
    for (const Part& part : around().single)
      if (part.kind == Part::special)
        ids.insert(ids.end(), part.ids.begin(), part.ids.end());
      else
        whole = read(text, ids, limit - special_count());
    return whole;
  }

  /// The same for a pair; `types` gets the token type of each id. The longer text is cut first, as transformers does.
  bool encode_pair(std::string_view first, std::string_view second, std::vector<std::int32_t>& ids,
                   std::vector<std::int32_t>& types, std::size_t limit) const {
    const std::size_t special = words() != nullptr ? 3 : TokenTemplate::special_count(around().pair);
    check(limit, special);
    std::vector<std::int32_t> texts[2];
    const bool whole = cut_pair(first, second, texts, limit - special);
    if (words() != nullptr) {
      const std::int32_t cls[] = {words()->cls()}, sep[] = {words()->sep()};
      append(cls, 0, ids, types), append(texts[0], 0, ids, types), append(sep, 0, ids, types);
      append(texts[1], 1, ids, types), append(sep, 1, ids, types);
      return whole;
    }
    for (const Part& part : around().pair)
      append(part.kind == Part::special ? part.ids : texts[part.kind == Part::second], part.type, ids, types);
    return whole;
  }

  /// The number of tokens of the whole text, the special ones among them.
  std::size_t count(std::string_view text) const {
    if (words() != nullptr) return words()->count(text) + 2;
    std::size_t count = special_count();
    parts_.pipeline->read(text, [&](std::int32_t) { return ++count, true; });
    return count;
  }
  /// Of the special tokens around one text.
  std::size_t special_count() const { return words() != nullptr ? 2 : TokenTemplate::special_count(around().single); }
  /// The largest id + 1.
  std::size_t size() const { return words() != nullptr ? words()->size() : parts_.pipeline->size; }

 private:
  using Part = TokenTemplate::Part;

  BasicTokenizer() = default;

  /// Uncased BERT's; null: the pipeline is there.
  const WordPiece* words() const { return parts_.words.get(); }
  const TokenTemplate& around() const { return parts_.pipeline->around; }

  static void check(std::size_t limit, std::size_t special) {
    if (limit < special)
      throw Error(Errc::invalid_argument, "Tokenizer: a limit of at least " + std::to_string(special) + " wanted, " +
                                              std::to_string(limit) + " given");
  }

  bool read(std::string_view text, std::vector<std::int32_t>& ids, std::size_t limit) const {
    return words() != nullptr ? words()->encode(text, ids, limit) : parts_.pipeline->encode(text, ids, limit);
  }

  static void append(std::span<const std::int32_t> some, std::int32_t type, std::vector<std::int32_t>& ids,
                     std::vector<std::int32_t>& types) {
    ids.insert(ids.end(), some.begin(), some.end());
    types.insert(types.end(), some.size(), type);
  }

  /// The ids of both texts, at most `room` in all.
  bool cut_pair(std::string_view first, std::string_view second, std::vector<std::int32_t> (&texts)[2],
                std::size_t room) const {
    // Of a text that is longer than the room it does not matter how much, but where both are and the room is odd.
    const std::size_t enough = room + 1 == 0 ? room : room + 1;
    read(first, texts[0], enough);
    read(second, texts[1], enough);
    if (texts[0].size() + texts[1].size() <= room) return true;
    bool first_longer = texts[0].size() > texts[1].size();
    const std::size_t shorter = std::min(texts[0].size(), texts[1].size());
    if (shorter > room && room % 2 == 1) first_longer = count(first) > count(second);
    const std::size_t small = 2 * shorter > room ? room / 2 : shorter;
    texts[first_longer ? 1 : 0].resize(small);
    texts[first_longer ? 0 : 1].resize(room - small);
    return false;
  }

  TokenizerParts<Pipeline> parts_;
};
using Tokenizer = BasicTokenizer<>;

}  // namespace detail
RAG_END
#endif
