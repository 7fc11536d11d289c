// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SENTENCE_MODEL_HPP
#define RAG_DETAIL_SENTENCE_MODEL_HPP
#include <rag/detail/json.hpp>
#include <rag/detail/mapped_file.hpp>
#include <rag/detail/transformer_config.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

// The small files of a model folder as sentence-transformers lays it out. Everything in them that would change the
// vectors is either understood or refused.

RAG_BEGIN
namespace detail {

/// What the files beside the weights say.
struct SentenceModel {
  std::string folder;  ///< of the transformer: config.json, model.safetensors, vocab.txt
  TransformerConfig config;
  std::size_t max_tokens = 0;
  bool mean = true;  ///< the mean of all tokens; else the first token alone
  bool normalize = false;
};

inline constexpr const char* sentence_model_reader = "MiniLmEmbedder";

RAG_LAZY MappedFile open_model_file(const std::string& folder, const std::string& name) {
  try {
    return MappedFile(folder + "/" + name, sentence_model_reader);
  } catch (const Error& error) {
    if (error.code() != Errc::not_found) throw;
    throw Error(Errc::not_found, std::string(error.what()) +
                                     "; a model folder, as sentence-transformers lays it out, holds config.json, "
                                     "model.safetensors, vocab.txt, modules.json and 1_Pooling/config.json");
  }
}

/// A JSON file of the model; null where it may be absent and is.
RAG_LAZY Json read_model_json(const std::string& folder, const std::string& name, bool needed) {
  try {
    const MappedFile file = open_model_file(folder, name);
    return parse_json(file.bytes(), std::string(sentence_model_reader) + ": " + folder + "/" + name);
  } catch (const Error& error) {
    if (needed || error.code() != Errc::not_found) throw;
    return {};
  }
}

/// Is it the mean of all tokens (true) or the first token (false)?
template <class AnyJson = Json>
bool read_pooling(const std::string& folder, std::size_t dimension) {
  const AnyJson json = read_model_json(folder, "config.json", true);
  const auto wrong = [&](Errc code, const std::string& text) {
    return Error(code, std::string(sentence_model_reader) + ": " + folder + "/config.json: " + text);
  };
  if (!json.is_object()) throw wrong(Errc::invalid_format, "an object wanted");
  bool mean = false, first = false;
  for (const auto& [key, value] : json.items()) {
    if (key == "word_embedding_dimension" && value != dimension)
      throw wrong(Errc::invalid_format, key + ": " + std::to_string(dimension) + " wanted, as in the model's config.json");
    if (!key.starts_with("pooling_mode") || value == false) continue;
    // Newer files name the one mode; older ones have a switch for each.
    if (key == "pooling_mode_mean_tokens" || (key == "pooling_mode" && value == "mean")) mean = true;
    else if (key == "pooling_mode_cls_token" || (key == "pooling_mode" && value == "cls")) first = true;
    else throw wrong(Errc::unsupported, key + ": the mean of the tokens or the first one wanted");
  }
  if (mean == first) throw wrong(Errc::unsupported, "one pooling mode wanted, mean or cls");
  return mean;
}

/// How many tokens the model was made for, [CLS] and [SEP] among them. tokenizer.json speaks of lengths too, but for
/// another program: all-MiniLM-L6-v2 says 128 there, 512 in the second of these files and, rightly, 256 in the first.
template <class AnyJson = Json>
std::size_t read_max_tokens(const SentenceModel& model) {
  constexpr std::pair<const char*, const char*> places[] = {{"sentence_bert_config.json", "max_seq_length"},
                                                            {"tokenizer_config.json", "model_max_length"}};
  for (const auto& [name, key] : places) {
    const AnyJson json = read_model_json(model.folder, name, false);
    const auto found = json.is_object() ? json.find(key) : json.end();
    if (found == json.end() || !found->is_number()) continue;
    const double tokens = found->template get<double>();
    if (!(tokens >= 3)) throw Error(Errc::invalid_format, std::string(sentence_model_reader) + ": " + model.folder + "/" +
                                                              name + ": " + key + ": at least 3 wanted");
    return tokens < static_cast<double>(model.config.positions) ? static_cast<std::size_t>(tokens) : model.config.positions;
  }
  return model.config.positions;
}

template <class AnyJson = Json>
SentenceModel read_sentence_model(const std::string& folder) {
  const auto wrong = [&](Errc code, const std::string& text) {
    return Error(code, std::string(sentence_model_reader) + ": " + folder + "/modules.json: " + text);
  };
  const AnyJson modules = read_model_json(folder, "modules.json", true);
  SentenceModel model;
  bool pooled = false;
  for (std::size_t i = 0; i < modules.size(); ++i) {
    const AnyJson module = modules.is_array() && modules[i].is_object() ? modules[i] : AnyJson::object();
    const AnyJson type = module.value("type", AnyJson()), path = module.value("path", AnyJson());
    if (!type.is_string() || !path.is_string())
      throw wrong(Errc::invalid_format, "an array of modules wanted, each with a type and a path");
    // "sentence_transformers.models.Pooling": the way to the class has changed, its name has not.
    const std::string name = type.template get<std::string>(), kind = name.substr(name.rfind('.') + 1);
    const std::string below = path.template get<std::string>(), inside = below.empty() ? folder : folder + "/" + below;
    if (below.find("..") != std::string::npos) throw wrong(Errc::invalid_format, "a path leads out of the folder");
    if (i == 0 && kind == "Transformer") model.folder = inside;
    else if (i == 1 && kind == "Pooling") {
      const std::string who = std::string(sentence_model_reader) + ": " + model.folder;
      model.config = read_transformer_config(read_model_json(model.folder, "config.json", true), who);
      model.mean = read_pooling(inside, model.config.hidden), pooled = true;
    } else if (i == 2 && kind == "Normalize") model.normalize = true;
    else throw wrong(Errc::unsupported, "Transformer, Pooling and perhaps Normalize wanted, " + kind + " met");
  }
  if (!pooled) throw wrong(Errc::invalid_format, "Transformer and Pooling wanted");
  model.max_tokens = read_max_tokens(model);
  return model;
}

}  // namespace detail
RAG_END
#endif
