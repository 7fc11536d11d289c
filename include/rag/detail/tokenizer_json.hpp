// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TOKENIZER_JSON_HPP
#define RAG_DETAIL_TOKENIZER_JSON_HPP
#include <rag/detail/json_field.hpp>
#include <rag/detail/piece_list.hpp>
#include <rag/detail/token_pipeline.hpp>
#include <rag/detail/tokenizer_steps.hpp>
#include <rag/detail/wordpiece.hpp>
#include <rag/error.hpp>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

RAG_BEGIN
namespace detail {

/// Reads a tokenizer.json. What it does not know is unsupported, and the text names the field. Truncation, padding and
/// decoder are left aside.
template <class Pipeline = TokenPipeline>
class BasicTokenizerJson {
 public:
  static Pipeline read(std::string_view text, const std::string& who) {
    BasicTokenizerJson self(text, who);
    return self.read();
  }

  /// For a tokenizer.json that says what plain uncased BERT is, the lines of its vocab.txt; else "".
  static std::string plain_vocabulary(std::string_view text, const std::string& who, SpecialTokens& special) {
    BasicTokenizerJson self(text, who);
    return self.plain(special);
  }

 private:
  BasicTokenizerJson(std::string_view text, const std::string& who)
      : file_size_(text.size()),
        where_(who + ": tokenizer.json"),
        json_(parse_json(text, where_)),
        root_(json_, where_) {}

  Pipeline read() {
    Pipeline made;
    made.normalizer = Normalizer(read_normal_steps(root_["normalizer"]));
    made.words = PreTokenizer(read_cut_steps(root_["pre_tokenizer"]));
    made.around = read_token_template(root_["post_processor"]);
    const JsonField model = root_["model"];
    const std::string type = model["type"].text_or("WordPiece");
    pieces_.file_size = file_size_;
    if (type == "WordPiece")
      made.model = read_longest(model);
    else if (type == "Unigram")
      made.model = read_unigram(model);
    else if (type == "BPE")
      made.model = read_bpe(model);
    else
      model["type"].unsupported("'" + type + "' is not supported");
    std::vector<AddedToken> added = read_added(root_["added_tokens"]);
    made.size = pieces_.id_end();
    for (const AddedToken& token : added) made.size = std::max(made.size, static_cast<std::size_t>(token.id) + 1);
    made.added = AddedTokens(std::move(added), made.normalizer);
    check_template(made);
    json_ = Json();  // before the tables are built: one of the two at a time
    build(made);
    return made;
  }

  void check_template(const Pipeline& made) const {
    for (const auto* parts : {&made.around.single, &made.around.pair})
      for (const TokenTemplate::Part& part : *parts)
        for (const std::int32_t id : part.ids)
          if (static_cast<std::size_t>(id) >= made.size)
            root_["post_processor"].malformed("an id below " + std::to_string(made.size) + " wanted, " +
                                              std::to_string(id) + " given");
  }

  /// An object from texts to ids.
  void read_vocabulary(const JsonField& vocabulary) {
    vocabulary.want_object();
    for (auto entry = vocabulary.json().begin(); entry != vocabulary.json().end(); ++entry)
      pieces_.add(entry.key(), JsonField(*entry, vocabulary.path() + "." + json_fault(entry.key())).id());
  }

  std::int32_t id_of(const JsonField& token) const {
    const std::string text = token.text();
    const std::int32_t id = pieces_.slow_find(text);
    if (id == no_token) token.malformed("'" + text + "' is not in the vocabulary");
    return id;
  }

  LongestPieces read_longest(const JsonField& model) {
    read_vocabulary(model["vocab"]);
    LongestPieces made;
    made.prefix = model["continuing_subword_prefix"].text_or("##");
    made.longest_word = static_cast<std::size_t>(model["max_input_chars_per_word"].id_or(100));
    made.unknown = model["unk_token"].present() ? id_of(model["unk_token"]) : pieces_.slow_find("[UNK]");
    if (made.unknown == no_token) model["unk_token"].malformed("a token of the vocabulary wanted");
    return made;
  }

  Unigram read_unigram(const JsonField& model) {
    Unigram made;
    const JsonField vocabulary = model["vocab"];
    vocabulary.want_array();
    double least = 0;
    for (std::size_t i = 0; i < vocabulary.size(); ++i) {
      const JsonField piece = vocabulary[i];
      piece.want_array();
      if (piece.size() != 2) piece.malformed("a text and a score wanted");
      pieces_.add(piece[std::size_t{0}].text_view(), static_cast<std::int32_t>(i));
      made.scores.push_back(as_the_library_reads(piece[1].number()));
      least = i == 0 ? made.scores[0] : std::min(least, made.scores[i]);
    }
    made.unknown = model["unk_id"].id();
    if (static_cast<std::size_t>(made.unknown) >= made.scores.size())
      model["unk_id"].malformed("is past the vocabulary");
    made.unknown_score = least - 10;
    made.byte_fallback = model["byte_fallback"].flag_or(false);
    return made;
  }

  /// The library's parser of numbers takes all digits as one whole number and divides by a power of ten, which is not
  /// always the nearest double. Scores that differ in the last bit decide between paths of equal sums.
  static double as_the_library_reads(double number) {
    char text[40];
    const auto end = std::to_chars(text, text + sizeof text, number, std::chars_format::scientific).ptr;
    std::uint64_t digits = 0;
    int exponent = 0;
    const char* at = text;
    for (bool fraction = false; at != end && *at != 'e'; ++at) {
      if (*at >= '0' && *at <= '9') digits = digits * 10 + static_cast<std::uint64_t>(*at - '0'), exponent -= fraction;
      fraction = fraction || *at == '.';
    }
    int written = 0;
    if (at != end) std::from_chars(at + (at[1] == '+' ? 2 : 1), end, written);
    exponent += written;
    if (exponent < -22 || exponent > 22) return number;
    const double power = std::pow(10.0, std::abs(exponent)), whole = static_cast<double>(digits);
    const double read = exponent < 0 ? whole / power : whole * power;
    return number < 0 ? -read : read;
  }

  Bpe read_bpe(const JsonField& model) {
    read_vocabulary(model["vocab"]);
    Bpe made;
    if (const JsonField dropout = model["dropout"]; dropout.present() && dropout.number() != 0)
      dropout.unsupported("only null is supported");
    if (model["unk_token"].present()) made.unknown = id_of(model["unk_token"]);
    made.fuse_unknown = model["fuse_unk"].flag_or(false);
    made.byte_fallback = model["byte_fallback"].flag_or(false);
    made.ignore_merges = model["ignore_merges"].flag_or(false);
    made.prefix = model["continuing_subword_prefix"].text_or("");
    made.suffix = model["end_of_word_suffix"].text_or("");
    read_merges(model["merges"], made.prefix.size());
    return made;
  }

  /// Pairs, or texts with a blank between the two. The ids are looked up when the trie is there.
  void read_merges(const JsonField& merges, std::size_t prefix) {
    merges.want_array();
    merge_prefix_ = prefix;
    for (std::size_t i = 0; i < merges.size(); ++i) {
      const JsonField merge = merges[i];
      std::string left, right;
      if (merge.json().is_array()) {
        if (merge.size() != 2) merge.malformed("two texts wanted");
        left = merge[std::size_t{0}].text(), right = merge[1].text();
      } else {
        const std::string both = merge.text();
        const std::size_t blank = both.find(' ');
        if (blank == std::string::npos || both.find(' ', blank + 1) != std::string::npos)
          merge.malformed("two texts with a blank between them wanted");
        left = both.substr(0, blank), right = both.substr(blank + 1);
      }
      merges_.add(left, 0), merges_.add(right, 0);
    }
  }

  std::vector<AddedToken> read_added(const JsonField& list) const {
    std::vector<AddedToken> added;
    if (!list.present()) return added;
    list.want_array();
    if (list.size() > 4096 && list.size() > pieces_.count()) list.unsupported("more tokens than the vocabulary has");
    for (std::size_t i = 0; i < list.size(); ++i) {
      const JsonField token = list[i];
      token.want_object();
      added.push_back({token["content"].text(), token["id"].id(), token["single_word"].flag_or(false),
                       token["lstrip"].flag_or(false), token["rstrip"].flag_or(false),
                       token["normalized"].flag_or(!token["special"].flag_or(false))});
    }
    return added;
  }

  void build(Pipeline& made) {
    const bool inner = pieces_.has_inner(metaspace);
    made.pieces_end_at_blanks = !inner && made.model.index() != 0;
    std::visit([&](auto& model) { model.trie = pieces_.trie(where_); }, made.model);
    if (auto* unigram = std::get_if<Unigram>(&made.model)) unigram->bytes = byte_tokens(unigram->trie);
    if (auto* bpe = std::get_if<Bpe>(&made.model)) {
      bpe->bytes = byte_tokens(bpe->trie);
      bpe->merges = merge_table(bpe->trie);
    }
  }

  MergeTable merge_table(const PieceTrie& trie) const {
    std::vector<MergeTable::Merge> table;
    for (std::size_t i = 0; i + 1 < merges_.count(); i += 2) {
      const std::string_view left = merges_.text(i), right = merges_.text(i + 1);
      const std::string both = std::string(left) + std::string(right.substr(std::min(merge_prefix_, right.size())));
      const MergeTable::Merge merge{trie.find(left), trie.find(right), static_cast<std::int32_t>(i / 2),
                                    trie.find(both)};
      if (merge.left == no_token || merge.right == no_token || merge.id == no_token)
        throw Error(Errc::invalid_format,
                    where_ + ": model.merges[" + std::to_string(i / 2) + "]: a token that the vocabulary has not");
      table.push_back(merge);
    }
    return MergeTable(std::move(table));
  }

  std::string plain(SpecialTokens& special) {
    const JsonField model = root_["model"], normalizer = root_["normalizer"];
    if (model["type"].text_or("WordPiece") != "WordPiece" || normalizer["type"].text_or("") != "BertNormalizer" ||
        root_["pre_tokenizer"]["type"].text_or("") != "BertPreTokenizer" || !is_plain_bert(normalizer))
      return "";
    pieces_.file_size = file_size_;
    const LongestPieces longest = read_longest(model);
    if (longest.prefix != "##" || longest.longest_word != 100) return "";
    const TokenTemplate around = read_token_template(root_["post_processor"]);
    if (!is_bert_template(around)) return "";
    std::vector<std::string> lines(pieces_.count());
    for (std::size_t i = 0; i < pieces_.count(); ++i) {
      const auto id = static_cast<std::size_t>(pieces_.id(i));
      const std::string_view text = pieces_.text(i);
      if (id >= lines.size() || !lines[id].empty() || text.empty() || text.size() > Vocabulary::longest_token ||
          text.find_first_of("\r\n") != std::string_view::npos)
        return "";
      lines[id] = text;
    }
    const auto cls = static_cast<std::size_t>(around.single[0].ids[0]),
               sep = static_cast<std::size_t>(around.single[2].ids[0]);
    if (cls >= lines.size() || sep >= lines.size()) return "";
    special = {.pad = "",
               .unk = lines[static_cast<std::size_t>(longest.unknown)],
               .cls = lines[cls],
               .sep = lines[sep],
               .mask = ""};
    if (!take_added(lines, special)) return "";
    std::string all;
    for (const std::string& line : lines) all += line + '\n';
    return all;
  }

  static bool is_plain_bert(const JsonField& normalizer) {
    return normalizer["clean_text"].flag_or(true) && normalizer["handle_chinese_chars"].flag_or(true) &&
           normalizer["lowercase"].flag_or(true) && normalizer["strip_accents"].flag_or(true);
  }

  /// Are the added tokens the three that are known, one to pad, and perhaps a mask?
  bool take_added(const std::vector<std::string>& lines, SpecialTokens& special) const {
    const std::vector<AddedToken> added = read_added(root_["added_tokens"]);
    std::size_t known = 0;
    for (const AddedToken& token : added) {
      const auto id = static_cast<std::size_t>(token.id);
      if (token.normalized || token.single_word || token.left || token.right || id >= lines.size() ||
          lines[id] != token.text)
        return false;
      if (token.text == special.unk || token.text == special.cls || token.text == special.sep)
        ++known;
      else if (special.pad.empty())
        special.pad = token.text;
      else if (special.mask.empty())
        special.mask = token.text;
      else
        return false;
    }
    if (special.mask.empty()) special.mask = special.unk;
    return known == 3 && !special.pad.empty();
  }

  std::size_t file_size_;
  std::string where_;
  Json json_;
  JsonField root_;
  PieceList pieces_{}, merges_{};
  std::size_t merge_prefix_ = 0;
};
using TokenizerJson = BasicTokenizerJson<>;

}  // namespace detail
RAG_END
#endif
