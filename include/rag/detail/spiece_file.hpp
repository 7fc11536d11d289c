// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SPIECE_FILE_HPP
#define RAG_DETAIL_SPIECE_FILE_HPP
#include <rag/detail/piece_list.hpp>
#include <rag/detail/token_pipeline.hpp>
#include <rag/detail/utf8.hpp>
#include <rag/error.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// Reads the fields of a protobuf message one by one. Groups and lengths past the end are an Error.
RAG_LAZY class BasicProtobuf {
 public:
  BasicProtobuf(std::string_view bytes, std::string where) : bytes_(bytes), where_(std::move(where)) {}

  std::uint32_t field = 0;
  std::uint64_t value = 0;        ///< of a field that is a number
  std::string_view content = {};  ///< of a field that is text or a message

  bool next() {
    if (at_ == bytes_.size()) return false;
    const std::uint64_t key = varint();
    field = static_cast<std::uint32_t>(key >> 3);
    content = {};
    const unsigned wire = key & 7;
    if (key >> 3 == 0 || key >> 32 != 0) fail("a field's number");
    if (wire == 0)
      value = varint();
    else if (wire == 2)
      content = take(varint());
    else if (wire == 1 || wire == 5)
      value = fixed(take(wire == 1 ? 8 : 4));
    else
      fail("a field's kind " + std::to_string(wire));
    wire_ = wire;
    return true;
  }

  float real() const {
    if (wire_ != 5) fail("a score");
    const auto bits = static_cast<std::uint32_t>(value);
    float score;
    std::memcpy(&score, &bits, sizeof score);
    if (!std::isfinite(score)) fail("a score");
    return score;
  }
  std::string_view text() const {
    if (wire_ != 2) fail("a text");
    return content;
  }
  std::uint64_t number() const {
    if (wire_ != 0) fail("a number");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(Errc::invalid_format, where_ + ": damaged before byte " + std::to_string(at_) + ": " + what);
  }

  std::uint64_t varint() {
    std::uint64_t number = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      if (at_ == bytes_.size()) fail("cut short");
      const auto byte = static_cast<unsigned char>(bytes_[at_++]);
      number |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return number;
    }
    fail("a number of more than 64 bits");
  }

  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size() - at_) fail("cut short");
    const std::string_view taken = bytes_.substr(at_, static_cast<std::size_t>(size));
    at_ += taken.size();
    return taken;
  }

  static std::uint64_t fixed(std::string_view bytes) {
    std::uint64_t number = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) number = number << 8 | static_cast<unsigned char>(bytes[i]);
    return number;
  }

  std::string_view bytes_;
  std::size_t at_ = 0;
  unsigned wire_ = 0;
  std::string where_;
};
using Protobuf = BasicProtobuf<>;

/// Reads a SentencePiece model, unigram or BPE: sentencepiece_model.proto of google/sentencepiece.
RAG_LAZY class BasicSpieceFile {
 public:
  struct Control {
    std::string text;
    std::int32_t id;
  };

  /// `where` begins the text of an Error, and ends with the file's name.
  BasicSpieceFile(std::string_view bytes, std::string where) : where_(std::move(where)) {
    pieces_.file_size = bytes.size();
    Protobuf message(bytes, where_);
    while (message.next()) {
      if (message.field == 1)
        read_piece(message.text());
      else if (message.field == 2)
        read_trainer(message.text());
      else if (message.field == 3)
        read_normalizer(message.text());
    }
    if (pieces_.count() == 0 || unknown_ == no_token)
      throw Error(Errc::invalid_format, where_ + ": pieces and one of type UNKNOWN wanted");
  }

  /// The pieces that stand for no text, and the unknown one.
  const std::vector<Control>& controls() const { return controls_; }
  std::size_t count() const { return types_.size(); }

  /// A pipeline without added tokens; `before` comes before the model's own normalizer.
  template <class Pipeline = TokenPipeline>
  Pipeline pipeline(std::vector<NormalStep> before) const {
    Pipeline made;
    PieceList kept;
    kept.file_size = pieces_.file_size;
    for (std::size_t i = 0; i < pieces_.count(); ++i)
      if (type_of(i) == user_defined) kept.add(pieces_.text(i), pieces_.id(i));
    NormalStep own{.kind = NormalStep::sentencepiece};
    own.rules = std::make_shared<const Charsmap>(rules_, where_ + ": normalizer_spec");
    own.dummy_prefix = dummy_prefix_, own.remove_extra = remove_extra_, own.escape = escape_;
    if (kept.count() > 0) own.kept = std::make_shared<const PieceTrie>(kept.trie(where_));
    before.push_back(std::move(own));
    made.normalizer = Normalizer(std::move(before));
    made.size = types_.size();
    made.pieces_end_at_blanks = escape_ && kept.count() == 0 && !pieces_.has_inner(metaspace);
    if (bpe_)
      made.model = bpe(kept);
    else
      made.model = unigram();
    return made;
  }

 private:
  enum Type : std::uint8_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

  std::uint8_t type_of(std::size_t i) const { return types_[static_cast<std::size_t>(pieces_.id(i))]; }

  void read_piece(std::string_view bytes) {
    Protobuf message(bytes, where_);
    std::string_view text;
    std::uint64_t type = normal;
    float score = 0;
    while (message.next()) {
      if (message.field == 1)
        text = message.text();
      else if (message.field == 2)
        score = message.real();
      else if (message.field == 3)
        type = message.number();
    }
    const std::string name = where_ + ": pieces[" + std::to_string(types_.size()) + "]";
    if (text.empty() || text.size() > PieceList::longest || invalid_utf8(text) != std::string_view::npos)
      throw Error(Errc::invalid_format, name + ": UTF-8 of 1 to 1024 bytes wanted");
    if (type < normal || type > byte)
      throw Error(Errc::unsupported, name + ".type: " + std::to_string(type) + " is not supported");
    const auto id = static_cast<std::int32_t>(types_.size());
    types_.push_back(static_cast<std::uint8_t>(type));
    scores_.push_back(score);
    if (type == unknown && std::exchange(unknown_, id) != no_token)
      throw Error(Errc::invalid_format, name + ": a second one of type UNKNOWN");
    if (type == control || type == unknown) controls_.push_back({std::string(text), id});
    if (type == byte) bytes_.add(text, id);
    if (type == normal || type == user_defined) pieces_.add(text, id);
  }

  void read_trainer(std::string_view bytes) {
    Protobuf message(bytes, where_ + ": trainer_spec");
    while (message.next()) {
      if (message.field == 3) {
        if (message.number() != 1 && message.number() != 2)
          throw Error(Errc::unsupported, where_ + ": trainer_spec.model_type: " + std::to_string(message.number()) +
                                             " is not supported, 1 (unigram) and 2 (BPE) are");
        bpe_ = message.number() == 2;
      } else if (message.field == 24 && message.number() != 0) {
        throw Error(Errc::unsupported, where_ + ": trainer_spec.treat_whitespace_as_suffix: true is not supported");
      } else if (message.field == 35) {
        byte_fallback_ = message.number() != 0;
      }
    }
  }

  void read_normalizer(std::string_view bytes) {
    Protobuf message(bytes, where_ + ": normalizer_spec");
    while (message.next()) {
      if (message.field == 2)
        rules_ = message.text();
      else if (message.field == 3)
        dummy_prefix_ = message.number() != 0;
      else if (message.field == 4)
        remove_extra_ = message.number() != 0;
      else if (message.field == 5)
        escape_ = message.number() != 0;
    }
  }

  ByteTokens byte_ids() const {
    PieceList list = bytes_;
    list.file_size = pieces_.file_size;
    const ByteTokens tokens = byte_tokens(list.trie(where_));
    if (byte_fallback_ && std::find(tokens.begin(), tokens.end(), no_token) != tokens.end())
      throw Error(Errc::invalid_format, where_ + ": byte_fallback without 256 pieces of type BYTE");
    return tokens;
  }

  Unigram unigram() const {
    Unigram made;
    made.trie = pieces_.trie(where_);
    made.scores.assign(scores_.begin(), scores_.end());
    made.unknown = unknown_;
    made.sentencepiece = true;
    made.byte_fallback = byte_fallback_;
    made.bytes = byte_ids();
    float least = 0;
    bool any = false;
    for (std::size_t id = 0; id < types_.size(); ++id) {
      if (types_[id] != normal) continue;
      least = any ? std::min(least, scores_[id]) : scores_[id];
      any = true;
    }
    made.unknown_score = static_cast<double>(least - 10.0f);
    return made;
  }

  Bpe bpe(const PieceList& kept) const {
    if (std::find(types_.begin(), types_.end(), unused) != types_.end())
      throw Error(Errc::unsupported, where_ + ": pieces of type UNUSED are not supported with BPE");
    Bpe made;
    made.trie = pieces_.trie(where_);
    made.scores = scores_;
    made.unknown = unknown_;
    made.sentencepiece = true;
    made.byte_fallback = byte_fallback_;
    made.bytes = byte_ids();
    made.kept = kept.trie(where_);
    return made;
  }

  std::string where_, rules_;
  PieceList pieces_{}, bytes_{};
  std::vector<std::uint8_t> types_;
  std::vector<float> scores_;
  std::vector<Control> controls_;
  std::int32_t unknown_ = no_token;
  bool bpe_ = false, byte_fallback_ = false, dummy_prefix_ = true, remove_extra_ = true, escape_ = true;
};
using SpieceFile = BasicSpieceFile<>;

}  // namespace detail
RAG_END
#endif
