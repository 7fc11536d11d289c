// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_WORDPIECE_FOLDER_HPP
#define RAG_DETAIL_WORDPIECE_FOLDER_HPP
#include <rag/detail/json.hpp>
#include <rag/detail/mapped_file.hpp>
#include <rag/detail/wordpiece.hpp>
#include <rag/error.hpp>

#include <unistd.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// The text of a special token: a string, or an object with a "content".
template <class AnyJson = Json>
std::string token_text(const AnyJson& token) {
  const AnyJson content = token.is_object() ? token.value("content", AnyJson()) : token;
  if (!content.is_string() || content.template get_ref<const std::string&>().size() > Vocabulary::longest_token)
    throw Error(Errc::invalid_format, "WordPiece: tokenizer_config.json: a special token is not a text, or too long");
  return content.template get<std::string>();
}

/// The special tokens of a tokenizer_config.json. A tokenizer that is not the uncased one is refused.
template <class AnyJson = Json>
SpecialTokens read_special_tokens(std::string_view text) {
  const AnyJson config = parse_json(text, "WordPiece: tokenizer_config.json");
  if (!config.is_object())
    throw Error(Errc::invalid_format, "WordPiece: tokenizer_config.json: an object wanted");
  for (const char* name : {"do_lower_case", "strip_accents", "tokenize_chinese_chars"})
    if (const AnyJson value = config.value(name, AnyJson()); !value.is_null() && value != true)
      throw Error(Errc::unsupported,
                  std::string("WordPiece: tokenizer_config.json: ") + name + " of true wanted");
  SpecialTokens special;
  const std::pair<const char*, std::string*> names[] = {{"pad_token", &special.pad},
                                                        {"unk_token", &special.unk},
                                                        {"cls_token", &special.cls},
                                                        {"sep_token", &special.sep},
                                                        {"mask_token", &special.mask}};
  for (const auto& [name, token] : names)
    if (const AnyJson value = config.value(name, AnyJson()); !value.is_null()) *token = token_text(value);
  for (const AnyJson& added : config.value("added_tokens_decoder", AnyJson::object())) {
    const std::string token = token_text(added);
    bool known = false;
    for (const auto& entry : names) known = known || *entry.second == token;
    if (!known) throw Error(Errc::unsupported, "WordPiece: tokenizer_config.json: added token " + token);
  }
  return special;
}

/// The vocab.txt that a tokenizer.json holds.
template <class AnyJson = Json>
std::string read_vocabulary(std::string_view text) {
  const std::string who = "WordPiece: tokenizer.json: ";
  const AnyJson root = parse_json(text, "WordPiece: tokenizer.json");
  const AnyJson* model = root.is_object() && root.contains("model") ? &root["model"] : nullptr;
  if (model == nullptr || !model->is_object() || !model->contains("vocab") || !(*model)["vocab"].is_object())
    throw Error(Errc::invalid_format, who + "no object model.vocab");
  if (model->value("type", AnyJson("WordPiece")) != "WordPiece" ||
      model->value("continuing_subword_prefix", AnyJson("##")) != "##" ||
      model->value("max_input_chars_per_word", AnyJson(100)) != 100)
    throw Error(Errc::unsupported,
                who + "a WordPiece model with prefix ## and words of 100 characters wanted");
  const AnyJson& vocabulary = (*model)["vocab"];
  std::vector<const std::string*> tokens(vocabulary.size(), nullptr);
  for (auto entry = vocabulary.begin(); entry != vocabulary.end(); ++entry) {
    const std::size_t id = entry->is_number_unsigned() ? entry->template get<std::size_t>() : tokens.size();
    if (id >= tokens.size() || tokens[id] != nullptr ||
        entry.key().find_first_of("\r\n") != std::string::npos)
      throw Error(Errc::invalid_format, who + "model.vocab: ids 0 to " + std::to_string(tokens.size() - 1) +
                                            " wanted, each once, for tokens of one line");
    tokens[id] = &entry.key();
  }
  std::string lines;
  for (const std::string* token : tokens) lines += *token + '\n';
  return lines;
}

template <class T>
BasicWordPiece<T> BasicWordPiece<T>::from_folder(const std::string& folder) {
  const auto there = [&](const char* name) { return ::access((folder + "/" + name).c_str(), F_OK) == 0; };
  const auto file = [&](const char* name) { return MappedFile(folder + "/" + name, "WordPiece"); };
  SpecialTokens special;
  if (there("tokenizer_config.json")) special = read_special_tokens(file("tokenizer_config.json").bytes());
  if (there("tokenizer.json") && !there("vocab.txt"))
    return WordPiece(read_vocabulary(file("tokenizer.json").bytes()), special);
  return WordPiece(std::string(file("vocab.txt").bytes()), special);
}

}  // namespace detail
RAG_END
#endif
