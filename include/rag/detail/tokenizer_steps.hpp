// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TOKENIZER_STEPS_HPP
#define RAG_DETAIL_TOKENIZER_STEPS_HPP
#include <rag/detail/base64.hpp>
#include <rag/detail/json_field.hpp>
#include <rag/detail/normalizer.hpp>
#include <rag/detail/pre_tokenizer.hpp>
#include <rag/detail/token_pipeline.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The steps of a tokenizer.json around the model. What is not known is unsupported, and the text names the field.

RAG_BEGIN
namespace detail {

/// The bytes of a text in base 64.
RAG_LAZY std::string base64_of(const JsonField& field) {
  std::optional<std::string> bytes = decode_base64(field.text_view());
  if (!bytes) field.malformed("base 64 wanted");
  return std::move(*bytes);
}

RAG_LAZY void read_bert_normalizer(const JsonField& json, std::vector<NormalStep>& steps) {
  const bool lower = json["lowercase"].flag_or(true);
  if (json["clean_text"].flag_or(true)) steps.push_back({.kind = NormalStep::bert_clean});
  if (json["handle_chinese_chars"].flag_or(true)) steps.push_back({.kind = NormalStep::bert_chinese});
  if (json["strip_accents"].flag_or(lower)) steps.push_back({.kind = NormalStep::bert_accents});
  if (lower) steps.push_back({.kind = NormalStep::lowercase});
}

/// Of patterns: texts, a text at least so many times ("x{2,}", "x+" with one character), and texts that no character
/// makes an expression of.
RAG_LAZY NormalStep read_replace(const JsonField& json) {
  NormalStep step{.kind = NormalStep::replace, .content = json["content"].text()};
  if (step.content.size() > 1024) json["content"].unsupported("more than 1024 bytes");
  const JsonField pattern = json["pattern"];
  if (pattern["String"].present()) {
    step.pattern = pattern["String"].text();
    if (step.pattern.empty()) pattern["String"].unsupported("an empty text is not supported");
    return step;
  }
  const JsonField regex = pattern["Regex"];
  const std::string text = regex.text();
  std::string_view plain = text;
  if (plain.ends_with("{2,}"))
    step.least = 2, plain.remove_suffix(4), step.kind = NormalStep::replace_runs;
  else if (plain.ends_with('+'))
    plain.remove_suffix(1), step.kind = NormalStep::replace_runs;
  const bool one = !plain.empty() && decode_utf8(plain, 0).length == plain.size();
  if (plain.empty() || plain.find_first_of("\\^$.|?*+()[]{}") != std::string_view::npos ||
      (step.kind == NormalStep::replace_runs && !one))
    regex.unsupported("'" + json_fault(text) + "' is not supported");
  step.pattern = plain;
  return step;
}

RAG_LAZY NormalStep read_normal_step(const JsonField& json) {
  const std::string type = json["type"].text();
  if (type == "NFC") return {.kind = NormalStep::form, .normal_form = NormalForm::nfc};
  if (type == "NFD") return {.kind = NormalStep::form, .normal_form = NormalForm::nfd};
  if (type == "NFKC") return {.kind = NormalStep::form, .normal_form = NormalForm::nfkc};
  if (type == "NFKD") return {.kind = NormalStep::form, .normal_form = NormalForm::nfkd};
  if (type == "Lowercase") return {.kind = NormalStep::lowercase};
  if (type == "StripAccents") return {.kind = NormalStep::strip_marks};
  if (type == "Nmt") return {.kind = NormalStep::nmt};
  if (type == "Replace") return read_replace(json);
  if (type == "Strip")
    return {.kind = NormalStep::strip,
            .left = json["strip_left"].flag_or(true),
            .right = json["strip_right"].flag_or(true)};
  if (type == "Prepend") {
    NormalStep step{.kind = NormalStep::prepend, .content = json["prepend"].text()};
    if (step.content.size() > 1024) json["prepend"].unsupported("more than 1024 bytes");
    return step;
  }
  if (type != "Precompiled") json["type"].unsupported("'" + type + "' is not supported");
  const JsonField rules = json["precompiled_charsmap"];
  return {
      .kind = NormalStep::precompiled,
      .rules = std::make_shared<const Charsmap>(rules.present() ? base64_of(rules) : std::string(), json.path())};
}

RAG_LAZY void read_normal_steps(const JsonField& json, std::vector<NormalStep>& steps) {
  if (!json.present()) return;
  if (steps.size() >= 32) json.unsupported("more than 32 steps");
  const std::string type = json["type"].text();
  if (type == "BertNormalizer") return read_bert_normalizer(json, steps);
  if (type != "Sequence") return steps.push_back(read_normal_step(json));
  const JsonField list = json["normalizers"];
  list.want_array();
  for (std::size_t i = 0; i < list.size(); ++i) read_normal_steps(list[i], steps);
}
RAG_LAZY std::vector<NormalStep> read_normal_steps(const JsonField& json) {
  std::vector<NormalStep> steps;
  read_normal_steps(json, steps);
  return steps;
}

RAG_LAZY CutStep read_metaspace(const JsonField& json) {
  CutStep step{.kind = CutStep::mark_blanks, .mark = json["replacement"].text()};
  if (step.mark.empty() || decode_utf8(step.mark, 0).length != step.mark.size())
    json["replacement"].malformed("one character wanted");
  const std::string prepend = json["prepend_scheme"].text_or("always");
  if (prepend == "first")
    step.prepend = CutStep::first;
  else if (prepend == "never")
    step.prepend = CutStep::never;
  else if (prepend != "always")
    json["prepend_scheme"].unsupported("'" + prepend + "' is not supported");
  if (!json["add_prefix_space"].flag_or(true)) step.prepend = CutStep::never;
  step.split = json["split"].flag_or(true);
  return step;
}

RAG_LAZY void read_cut_steps(const JsonField& json, std::vector<CutStep>& steps) {
  if (!json.present()) return;
  if (steps.size() >= 16) json.unsupported("more than 16 steps");
  const std::string type = json["type"].text();
  if (type == "BertPreTokenizer") return steps.push_back({.kind = CutStep::bert});
  if (type == "WhitespaceSplit") return steps.push_back({.kind = CutStep::blanks});
  if (type == "Whitespace") return steps.push_back({.kind = CutStep::words});
  if (type == "Metaspace") return steps.push_back(read_metaspace(json));
  if (type == "Punctuation") {
    if (json["behavior"].text_or("Isolated") != "Isolated")
      json["behavior"].unsupported("only 'Isolated' is supported");
    return steps.push_back({.kind = CutStep::punctuation});
  }
  if (type != "Sequence") json["type"].unsupported("'" + type + "' is not supported");
  const JsonField list = json["pretokenizers"];
  list.want_array();
  for (std::size_t i = 0; i < list.size(); ++i) read_cut_steps(list[i], steps);
}
RAG_LAZY std::vector<CutStep> read_cut_steps(const JsonField& json) {
  std::vector<CutStep> steps;
  read_cut_steps(json, steps);
  return steps;
}

/// One list of a TemplateProcessing: each text once, as many special tokens as one likes (up to 64).
RAG_LAZY std::vector<TokenTemplate::Part> read_parts(const JsonField& list, const JsonField& special,
                                                     std::size_t texts) {
  std::vector<TokenTemplate::Part> parts;
  list.want_array();
  std::size_t seen[2] = {0, 0};
  for (std::size_t i = 0; i < list.size(); ++i) {
    const JsonField piece = list[i], sequence = piece["Sequence"], token = piece["SpecialToken"];
    if (i == 64) list.unsupported("more than 64 parts");
    if (sequence.present()) {
      const std::string id = sequence["id"].text();
      if (id != "A" && id != "B") sequence["id"].malformed("'A' or 'B' wanted");
      ++seen[id == "B"];
      parts.push_back(
          {id == "A" ? TokenTemplate::Part::first : TokenTemplate::Part::second, sequence["type_id"].id_or(0), {}});
      continue;
    }
    const std::string name = token["id"].text();
    const JsonField ids = special[name.c_str()]["ids"];
    ids.want_array();
    if (ids.size() > 64) ids.unsupported("more than 64 ids");
    parts.push_back({TokenTemplate::Part::special, token["type_id"].id_or(0), {}});
    for (std::size_t j = 0; j < ids.size(); ++j) parts.back().ids.push_back(ids[j].id());
  }
  if (seen[0] != 1 || seen[1] != texts - 1) list.unsupported("each text once wanted");
  return parts;
}

RAG_LAZY TokenTemplate read_token_template(const JsonField& json) {
  using Part = TokenTemplate::Part;
  TokenTemplate made;
  if (!json.present()) return made;
  const std::string type = json["type"].text();
  if (type == "TemplateProcessing") {
    made.single = read_parts(json["single"], json["special_tokens"], 1);
    made.pair = read_parts(json["pair"], json["special_tokens"], 2);
    return made;
  }
  const bool bert = type == "BertProcessing";
  if (!bert && type != "RobertaProcessing") json["type"].unsupported("'" + type + "' is not supported");
  for (const char* name : {"cls", "sep"})
    if (json[name].want_array(), json[name].size() != 2) json[name].malformed("a text and an id wanted");
  const std::vector<std::int32_t> cls = {json["cls"][1].id()}, sep = {json["sep"][1].id()};
  made.single = {{Part::special, 0, cls}, {Part::first, 0, {}}, {Part::special, 0, sep}};
  made.pair = made.single;
  if (!bert) made.pair.push_back({Part::special, 0, sep});
  made.pair.push_back({Part::second, bert, {}});
  made.pair.push_back({Part::special, bert, sep});
  return made;
}

/// [CLS] text [SEP], and [CLS] first [SEP] second [SEP] with types 0 and 1.
RAG_LAZY bool is_bert_template(const TokenTemplate& around) {
  const auto &one = around.single, &two = around.pair;
  const auto special = [&](const TokenTemplate::Part& part, std::int32_t type, const TokenTemplate::Part& like) {
    return part.ids.size() == 1 && part.ids == like.ids && part.type == type;
  };
  return one.size() == 3 && two.size() == 5 && one[1].kind == TokenTemplate::Part::first &&
         special(one[0], 0, one[0]) && special(one[2], 0, one[2]) && special(two[0], 0, one[0]) &&
         two[1].kind == TokenTemplate::Part::first && two[1].type == 0 && special(two[2], 0, one[2]) &&
         two[3].kind == TokenTemplate::Part::second && two[3].type == 1 && special(two[4], 1, one[2]);
}

}  // namespace detail
RAG_END
#endif
