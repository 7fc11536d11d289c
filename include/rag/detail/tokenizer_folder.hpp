// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TOKENIZER_FOLDER_HPP
#define RAG_DETAIL_TOKENIZER_FOLDER_HPP
#include <rag/detail/json_field.hpp>
#include <rag/detail/mapped_file.hpp>
#include <rag/detail/spiece_file.hpp>
#include <rag/detail/token_pipeline.hpp>
#include <rag/detail/tokenizer_json.hpp>
#include <rag/detail/wordpiece_folder.hpp>
#include <rag/error.hpp>

#include <unistd.h>

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

/// The tokenizer that the files of a model folder tell of: the one of uncased BERT, or any other.
template <class Pipeline = TokenPipeline>
struct TokenizerParts {
  std::shared_ptr<const WordPiece> words = {};
  std::shared_ptr<const Pipeline> pipeline = {};
};

// A template over what it makes, so that little of it is looked at where no tokenizer is used.
template <class Pipeline = TokenPipeline, class AnyJson = Json>
class BasicTokenizerFolder {
  using Parts = TokenizerParts<Pipeline>;
  using Template = decltype(Pipeline::around);

 public:
  BasicTokenizerFolder(const std::string& folder, const std::string& who) : folder_(folder), who_(who) {}

  Parts read() {
    if (there("tokenizer_config.json")) {
      config_ = parse_json(file("tokenizer_config.json").bytes(), who_ + ": tokenizer_config.json");
      config().want_object();
    }
    if (there("vocab.txt") && (is_uncased() || !there("tokenizer.json"))) return from_vocabulary();
    if (there("tokenizer.json")) return from_json();
    for (const char* name : {"spiece.model", "sentencepiece.bpe.model", "tokenizer.model"})
      if (there(name)) return from_spiece(name);
    throw Error(Errc::not_found,
                who_ + ": " + folder_ + ": a tokenizer.json, spiece.model or vocab.txt wanted, none is there");
  }

 private:
  bool there(const char* name) const { return ::access((folder_ + "/" + name).c_str(), F_OK) == 0; }
  MappedFile file(const char* name) const { return MappedFile(folder_ + "/" + name, who_); }
  JsonField config() const { return {config_, who_ + ": tokenizer_config.json"}; }
  std::string tokenizer_class() const {
    std::string name = config()["tokenizer_class"].text_or("");
    if (name.ends_with("Fast")) name.resize(name.size() - 4);
    return name;
  }

  /// Does tokenizer_config.json alone say that this is plain uncased BERT? Then a tokenizer.json need not be read,
  /// which takes longer than all else.
  bool is_uncased() const {
    if (!config_.is_object()) return !there("tokenizer.json");
    const std::string name = tokenizer_class();
    if (name != "BertTokenizer" && name != "DistilBertTokenizer" && !(name.empty() && !there("tokenizer.json")))
      return false;
    if (!config()["do_lower_case"].flag_or(!there("tokenizer.json")) || !config()["strip_accents"].flag_or(true) ||
        !config()["tokenize_chinese_chars"].flag_or(true))
      return false;
    for (const AnyJson& added : config_.value("added_tokens_decoder", AnyJson::object())) {
      if (!added.is_object()) return false;
      for (const char* flag : {"normalized", "lstrip", "rstrip", "single_word"})
        if (added.value(flag, AnyJson(false)) == true) return false;
      if (!is_special(added.value("content", AnyJson()))) return false;
    }
    for (const char* name_of_list : {"additional_special_tokens", "extra_special_tokens"})
      if (!config_.value(name_of_list, AnyJson()).empty()) return false;
    return true;
  }

  bool is_special(const AnyJson& content) const {
    for (const auto& [name, usual] : bert_specials())
      if (content == special(name, usual)) return true;
    return false;
  }

  using Named = std::pair<const char*, const char*>;
  static std::vector<Named> bert_specials() {
    return {{"pad_token", "[PAD]"},
            {"unk_token", "[UNK]"},
            {"cls_token", "[CLS]"},
            {"sep_token", "[SEP]"},
            {"mask_token", "[MASK]"}};
  }

  /// The text of a special token: a string, or an object with a "content".
  std::string special(const char* name, const char* usual) const {
    const JsonField token = config()[name];
    const std::string text = token.json().is_object() ? token["content"].text() : token.text_or(usual);
    if (text.size() > PieceList::longest)
      token.malformed("a text of at most " + std::to_string(PieceList::longest) + " bytes wanted");
    return text;
  }

  Parts from_vocabulary() const {
    Parts parts;
    const std::string name = tokenizer_class();
    if (!name.empty() && name != "BertTokenizer" && name != "DistilBertTokenizer" && name != "MPNetTokenizer")
      config()["tokenizer_class"].unsupported("'" + name + "' with a vocab.txt alone is not supported");
    if (is_uncased()) {
      SpecialTokens tokens;
      tokens.pad = special("pad_token", "[PAD]"), tokens.unk = special("unk_token", "[UNK]");
      tokens.cls = special("cls_token", "[CLS]"), tokens.sep = special("sep_token", "[SEP]");
      tokens.mask = special("mask_token", "[MASK]");
      parts.words = std::make_shared<const WordPiece>(std::string(file("vocab.txt").bytes()), tokens);
      return parts;
    }
    parts.pipeline = std::make_shared<const Pipeline>(bert_pipeline(name == "MPNetTokenizer"));
    return parts;
  }

  /// A vocab.txt that is not plain uncased BERT's.
  Pipeline bert_pipeline(bool mpnet) const {
    Pipeline made;
    const Vocabulary lines{std::string(file("vocab.txt").bytes())};
    PieceList list;
    list.file_size = lines.bytes();
    for (std::size_t i = 0; i < lines.size(); ++i)
      list.add(lines.token(static_cast<std::int32_t>(i)), static_cast<std::int32_t>(i));
    LongestPieces model;
    model.trie = list.trie(who_ + ": vocab.txt");
    const auto id = [&](const std::string& text) {
      const std::int32_t found = model.trie.find(text);
      if (found == no_token) throw Error(Errc::invalid_format, who_ + ": vocab.txt has no token " + text);
      return found;
    };
    model.unknown = id(special("unk_token", "[UNK]"));
    const std::string cls = special("cls_token", mpnet ? "<s>" : "[CLS]"),
                      sep = special("sep_token", mpnet ? "</s>" : "[SEP]");
    made.around = mpnet ? roberta_template(id(cls), id(sep)) : bert_template(id(cls), id(sep));
    std::vector<NormalStep> steps;
    const bool lower = config()["do_lower_case"].flag_or(true);
    steps.push_back({.kind = NormalStep::bert_clean});
    if (config()["tokenize_chinese_chars"].flag_or(true)) steps.push_back({.kind = NormalStep::bert_chinese});
    if (config()["strip_accents"].flag_or(lower)) steps.push_back({.kind = NormalStep::bert_accents});
    if (lower) steps.push_back({.kind = NormalStep::lowercase});
    made.normalizer = Normalizer(std::move(steps));
    made.words = PreTokenizer(std::vector<CutStep>{{.kind = CutStep::bert}});
    made.size = lines.size();
    std::vector<AddedToken> added;
    for (const auto& [name, usual] : bert_specials()) {
      const std::string text = special(name, usual);
      const bool mask = std::string_view(name) == "mask_token";
      if (const std::int32_t found = model.trie.find(text); found != no_token)
        added.push_back({.text = text, .id = found, .left = mask && mpnet});
    }
    made.added = AddedTokens(std::move(added), made.normalizer);
    made.model = std::move(model);
    return made;
  }

  using Part = typename Template::Part;
  static Template bert_template(std::int32_t cls, std::int32_t sep) {
    Template made;
    made.single = {{Part::special, 0, {cls}}, {Part::first, 0, {}}, {Part::special, 0, {sep}}};
    made.pair = made.single;
    made.pair.push_back({Part::second, 1, {}});
    made.pair.push_back({Part::special, 1, {sep}});
    return made;
  }
  static Template roberta_template(std::int32_t cls, std::int32_t sep) {
    Template made = bert_template(cls, sep);
    made.pair[2].ids = {sep, sep};
    made.pair[3].type = made.pair[4].type = 0;
    return made;
  }

  Parts from_json() const {
    Parts parts;
    const MappedFile mapped = file("tokenizer.json");
    SpecialTokens tokens;
    std::string lines;
    // Parsing a large file takes most of a second: not twice in vain.
    if (mapped.bytes().find("\"BertNormalizer\"") != std::string_view::npos)
      lines = BasicTokenizerJson<Pipeline>::plain_vocabulary(mapped.bytes(), who_, tokens);
    if (!lines.empty())
      parts.words = std::make_shared<const WordPiece>(std::move(lines), tokens);
    else
      parts.pipeline = std::make_shared<const Pipeline>(BasicTokenizerJson<Pipeline>::read(mapped.bytes(), who_));
    return parts;
  }

  /// A SentencePiece model alone. Whose special tokens stand around a text is told by config.json; without one there
  /// are none.
  Parts from_spiece(const char* name) const {
    const MappedFile mapped = file(name);
    const SpieceFile spiece(mapped.bytes(), who_ + ": " + name);
    Parts parts;
    std::string type;
    if (there("config.json")) {
      const AnyJson json = parse_json(file("config.json").bytes(), who_ + ": config.json");
      const JsonField model(json, who_ + ": config.json");
      type = model["model_type"].text();
      if (type != "albert" && type != "xlm-roberta")
        model["model_type"].unsupported("'" + type + "' with " + name + " alone is not supported");
    }
    parts.pipeline = std::make_shared<const Pipeline>(type == "albert"        ? albert(spiece)
                                                      : type == "xlm-roberta" ? xlm_roberta(spiece)
                                                                              : spiece.template pipeline<Pipeline>({}));
    return parts;
  }

  Pipeline albert(const SpieceFile& spiece) const {
    std::vector<NormalStep> steps = {{.kind = NormalStep::replace, .pattern = "``", .content = "\""},
                                     {.kind = NormalStep::replace, .pattern = "''", .content = "\""}};
    if (!config()["keep_accents"].flag_or(false)) {
      steps.push_back({.kind = NormalStep::form, .normal_form = NormalForm::nfkd});
      steps.push_back({.kind = NormalStep::strip_marks});
    }
    if (config()["do_lower_case"].flag_or(true)) steps.push_back({.kind = NormalStep::lowercase});
    auto made = spiece.template pipeline<Pipeline>(std::move(steps));
    std::vector<AddedToken> added;
    std::int32_t cls = no_token, sep = no_token;
    for (const SpieceFile::Control& control : spiece.controls()) {
      added.push_back({.text = control.text, .id = control.id, .left = control.text == "[MASK]"});
      if (control.text == special("cls_token", "[CLS]")) cls = control.id;
      if (control.text == special("sep_token", "[SEP]")) sep = control.id;
    }
    if (cls == no_token || sep == no_token)
      throw Error(Errc::invalid_format, who_ + ": the SentencePiece model has no [CLS] and [SEP]");
    made.around = bert_template(cls, sep);
    made.added = AddedTokens(std::move(added), Normalizer());
    return made;
  }

  /// The ids of fairseq: <s> <pad> </s> <unk>, then the pieces from the model's fourth on, each one further; <mask>
  /// last.
  Pipeline xlm_roberta(const SpieceFile& spiece) const {
    auto made = spiece.template pipeline<Pipeline>({});
    made.fairseq = true;
    const auto mask = static_cast<std::int32_t>(spiece.count() + 1);
    made.size = spiece.count() + 2;
    made.around = roberta_template(0, 2);
    made.added = AddedTokens({{.text = "<s>", .id = 0},
                              {.text = "<pad>", .id = 1},
                              {.text = "</s>", .id = 2},
                              {.text = "<unk>", .id = 3},
                              {.text = "<mask>", .id = mask, .left = true}},
                             Normalizer());
    return made;
  }

  std::string folder_, who_;
  AnyJson config_;
};
using TokenizerFolder = BasicTokenizerFolder<>;

}  // namespace detail
RAG_END
#endif
