// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_WORDPIECE_HPP
#define RAG_DETAIL_WORDPIECE_HPP
#include <rag/detail/unicode.hpp>
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

/// Tokens and their numbers, 0, 1, 2, … in the order of the lines of a vocab.txt. Keeps the text as it is and
/// a table of open addressing over it.
RAG_LAZY class BasicVocabulary {
 public:
  static constexpr std::int32_t none = -1;
  static constexpr std::size_t longest_token = 1024;  ///< bytes

  // FNV-1a, taken byte by byte: the hash of each prefix of a word comes by the way.
  static constexpr std::uint32_t hash_start = 2166136261u;
  static constexpr std::uint32_t hash_step(std::uint32_t hash, char byte) {
    return (hash ^ static_cast<unsigned char>(byte)) * 16777619u;
  }
  static constexpr std::uint32_t hash_of(std::string_view text, std::uint32_t hash = hash_start) {
    for (const char byte : text) hash = hash_step(hash, byte);
    return hash;
  }

  /// An empty line, a token twice, one longer than longest_token, text that is not UTF-8: an Error.
  explicit BasicVocabulary(std::string text) : text_(std::move(text)) {
    if (text_.empty()) fail("is empty");
    if (text_.size() >> 30 != 0) fail("is larger than 1 GiB");
    if (const std::size_t at = invalid_utf8(text_); at != std::string::npos)
      fail("is not UTF-8 at byte " + std::to_string(at));
    for (std::size_t begin = 0; begin < text_.size();) {
      const std::size_t end = std::min(text_.find('\n', begin), text_.size());
      const std::size_t length = end - begin - (end > begin && text_[end - 1] == '\r' ? 1 : 0);
      if (length == 0 || length > longest_token)
        fail("line " + std::to_string(tokens_.size() + 1) + ": a token of 1 to " +
             std::to_string(longest_token) + " bytes wanted, " + std::to_string(length) + " given");
      tokens_.push_back({static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(length)});
      longest_ = std::max(longest_, length);
      begin = end + 1;
    }
    index();
  }

  std::size_t size() const { return tokens_.size(); }
  std::size_t bytes() const { return text_.size(); }
  std::string_view token(std::int32_t id) const {
    const Token& token = tokens_[static_cast<std::size_t>(id)];
    return {text_.data() + token.begin, token.length};
  }
  /// Bytes of the longest token.
  std::size_t longest() const { return longest_; }

  std::int32_t find(std::string_view token) const { return find("", token, hash_of(token)); }

  /// The number of the token `prefix` + `rest`, whose hash is given; none if there is no such token.
  std::int32_t find(std::string_view prefix, std::string_view rest, std::uint32_t hash) const {
    for (std::size_t at = place(hash); slots_[at].id != none; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at].hash != hash) continue;
      const std::string_view found = token(slots_[at].id);
      if (found.size() == prefix.size() + rest.size() && found.substr(0, prefix.size()) == prefix &&
          found.substr(prefix.size()) == rest)
        return slots_[at].id;
    }
    return none;
  }

 private:
  struct Token {
    std::uint32_t begin, length;
  };
  struct Slot {
    std::uint32_t hash = 0;
    std::int32_t id = none;
  };

  [[noreturn]] static void fail(const std::string& what) {
    throw Error(Errc::invalid_format, "WordPiece: the vocabulary " + what);
  }

  std::size_t place(std::uint32_t hash) const { return (hash * 0x9E3779B1u >> 7) & (slots_.size() - 1); }

  void index() {
    std::size_t capacity = 2;
    while (capacity < 2 * tokens_.size()) capacity *= 2;
    slots_.resize(capacity);
    for (std::int32_t id = 0; id < static_cast<std::int32_t>(tokens_.size()); ++id) {
      const std::uint32_t hash = hash_of(token(id));
      if (const std::int32_t first = find("", token(id), hash); first != none)
        fail("has one token twice, on lines " + std::to_string(first + 1) + " and " + std::to_string(id + 1));
      std::size_t at = place(hash);
      while (slots_[at].id != none) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = {hash, id};
    }
  }

  std::string text_;
  std::vector<Token> tokens_;
  std::vector<Slot> slots_;  // a power of two, at most half full
  std::size_t longest_ = 0;
};
using Vocabulary = BasicVocabulary<>;

/// The names of the tokens with a meaning of their own. They are found in a text as they stand here, before
/// anything is folded; `mask` need not be in the vocabulary.
struct SpecialTokens {
  std::string pad = "[PAD]";
  std::string unk = "[UNK]";
  std::string cls = "[CLS]";
  std::string sep = "[SEP]";
  std::string mask = "[MASK]";
};

/// The tokenizer of the uncased BERT models. Its ids are those of the tokenizers library, for every text. A
/// byte that is not UTF-8 counts as U+FFFD, which gives nothing.
RAG_LAZY class BasicWordPiece {
 public:
  /// Takes the text of a vocab.txt. Malformed, or without one of the special tokens: an Error.
  explicit BasicWordPiece(std::string vocabulary, const SpecialTokens& special = {})
      : vocabulary_(std::move(vocabulary)),
        pad_(add_special(special.pad)),
        unk_(add_special(special.unk)),
        cls_(add_special(special.cls)),
        sep_(add_special(special.sep)) {
    if (vocabulary_.find(special.mask) != Vocabulary::none) add_special(special.mask);
  }

  /// Reads the model folder that sentence-transformers and transformers write. Defined in
  /// wordpiece_folder.hpp.
  static BasicWordPiece from_folder(const std::string& folder);

  /// The ids of a text, without [CLS] and [SEP].
  std::vector<std::int32_t> encode(std::string_view text) const {
    std::vector<std::int32_t> ids;
    read(text, [&](std::int32_t id) { return ids.push_back(id), true; });
    return ids;
  }

  /// Appends the first `limit` ids. True if these are all; costs no more than the part of the text that they
  /// are of.
  bool encode(std::string_view text, std::vector<std::int32_t>& ids, std::size_t limit) const {
    return read(text, [&, left = limit](std::int32_t id) mutable {
      if (left == 0) return false;
      --left;
      ids.push_back(id);
      return true;
    });
  }

  /// How many ids encode() gives.
  std::size_t count(std::string_view text) const {
    std::size_t count = 0;
    read(text, [&](std::int32_t) { return ++count, true; });
    return count;
  }

  std::int32_t pad() const { return pad_; }
  std::int32_t unk() const { return unk_; }
  std::int32_t cls() const { return cls_; }
  std::int32_t sep() const { return sep_; }
  std::size_t size() const { return vocabulary_.size(); }

 private:
  static constexpr std::size_t longest_word = 100;  // code points; a longer one is unknown

  struct Special {
    std::string text;
    std::int32_t id;
  };

  // One word on its way from the folded text to its ids.
  template <class Emit>
  struct Word {
    const BasicWordPiece& pieces;
    Emit emit;  // takes an id; false: no more is wanted
    bool wanted = true;
    std::string bytes = {};
    std::size_t length = 0;  // code points; bytes holds no more of them than longest_word

    void take(char32_t c) {
      if (c == U' ') return end();
      const bool alone = is_punctuation(c) || is_cjk(c);
      if (alone) end();
      if (++length <= longest_word) append_utf8(bytes, c);
      if (alone) end();
    }

    void end() {
      if (length == 0) return;
      std::int32_t ids[longest_word];
      const std::size_t count = length > longest_word ? 0 : pieces.match(bytes, ids);
      if (count == 0) give(pieces.unk_);
      for (std::size_t i = 0; i < count; ++i) give(ids[i]);
      bytes.clear();
      length = 0;
    }

    void give(std::int32_t id) { wanted = wanted && emit(id); }
  };

  std::int32_t add_special(const std::string& text) {
    const std::int32_t id = vocabulary_.find(text);
    if (id == Vocabulary::none)
      throw Error(Errc::invalid_format, "WordPiece: the vocabulary has no token " + text);
    specials_.push_back({text, id});
    return id;
  }

  // The special token that starts a text: the longest, or null.
  const Special* special(std::string_view text) const {
    const Special* longest = nullptr;
    for (const Special& special : specials_)
      if (text.front() == special.text.front() && text.substr(0, special.text.size()) == special.text &&
          (longest == nullptr || special.text.size() > longest->text.size()))
        longest = &special;
    return longest;
  }

  // Gives each id in turn, as long as `emit` says true; true if it always did.
  template <class Emit>
  bool read(std::string_view text, Emit emit) const {
    Word<Emit> word{*this, emit};
    Folder folder;
    const auto take = [&](char32_t c) { word.take(c); };
    const auto end = [&] { folder.flush(take), word.end(); };
    for (std::size_t at = 0; at < text.size() && word.wanted;) {
      if (const Special* found = special(text.substr(at))) {
        end();
        word.give(found->id);
        at += found->text.size();
        continue;
      }
      const CodePoint point = decode_utf8(text, at);
      folder.push(point.value, take);
      at += point.length;
    }
    end();
    return word.wanted;
  }

  // Cuts a word into the longest tokens there are, from the left; 0 if some part is none.
  std::size_t match(std::string_view word, std::int32_t (&ids)[longest_word]) const {
    std::uint32_t hashes[4 * longest_word];
    std::string_view prefix;
    std::size_t count = 0;
    for (std::size_t begin = 0; begin < word.size(); prefix = "##") {
      const std::string_view rest = word.substr(begin, vocabulary_.longest() - prefix.size());
      std::uint32_t hash = Vocabulary::hash_of(prefix);
      for (std::size_t i = 0; i < rest.size(); ++i) hashes[i] = hash = Vocabulary::hash_step(hash, rest[i]);
      std::size_t length = rest.size();
      std::int32_t id = Vocabulary::none;
      for (; length > 0; --length) {
        id = vocabulary_.find(prefix, rest.substr(0, length), hashes[length - 1]);
        if (id != Vocabulary::none) break;
      }
      if (length == 0) return 0;
      ids[count++] = id;
      begin += length;
    }
    return count;
  }

  Vocabulary vocabulary_;
  std::vector<Special> specials_;
  std::int32_t pad_, unk_, cls_, sep_;
};
using WordPiece = BasicWordPiece<>;

}  // namespace detail
RAG_END
#endif
