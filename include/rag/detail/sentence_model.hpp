// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SENTENCE_MODEL_HPP
#define RAG_DETAIL_SENTENCE_MODEL_HPP
#include <rag/detail/model_folder.hpp>
#include <rag/detail/transformer_config.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

// The small files of a model folder as sentence-transformers lays it out. Everything in them that would change the
// vectors is either understood or refused.

RAG_BEGIN
namespace detail {

/// What is made of the states of a text's tokens. mean_sqrt: their sum through the square root of their number.
enum class Pooling : unsigned char { first, largest, mean, mean_sqrt };

/// What follows the pooling: a product with an activation, or a division by the length.
struct SentenceStep {
  enum class Kind : unsigned char { normalize, identity, tanh, relu };
  Kind kind = Kind::normalize;
  std::string folder = {};  ///< of a product: its model.safetensors
  std::size_t depth = 0, columns = 0;
  bool biased = false;
};

/// What the files beside the weights say.
struct SentenceModel {
  std::string folder;  ///< of the transformer: config.json, model.safetensors, the tokenizer's files
  TransformerConfig config;
  std::size_t max_tokens = 0;
  std::vector<Pooling> pooling;  ///< joined to one row
  std::vector<SentenceStep> steps = {};
  std::size_t columns = 0;    ///< of a vector that the steps give
  std::size_t dimension = 0;  ///< of it, the first so many are wanted
  std::string query_prompt = {}, document_prompt = {};
  bool lower_case = false;  ///< the text is to be in lower case before the tokenizer sees it

  bool ends_normalized() const { return !steps.empty() && steps.back().kind == SentenceStep::Kind::normalize; }
};

inline constexpr const char* sentence_model_reader = "SentenceEmbedder";

template <class AnyJson = Json>
class SentenceModelReader {
 public:
  explicit SentenceModelReader(const std::string& folder) : folder_(folder) {}

  SentenceModel read() {
    if (is_there(folder_ + "/modules.json")) read_modules();
    else {  // a folder of transformers alone: sentence-transformers takes the mean
      read_transformer(folder_);
      model_.pooling = {Pooling::mean}, model_.columns = model_.config.hidden;
    }
    std::string sentence_config;
    if (is_there(folder_ + "/modules.json")) sentence_config = read_sentence_config();
    model_.max_tokens = read_max_tokens(model_.folder, sentence_config, model_.config.positions, sentence_model_reader);
    model_.dimension = model_.columns;
    read_prompts();
    return std::move(model_);
  }

 private:
  static Error wrong(Errc code, const std::string& file, const std::string& text) {
    return Error(code, std::string(sentence_model_reader) + ": " + file + ": " + json_fault(text));
  }
  static AnyJson object(const std::string& folder, const std::string& name, bool needed) {
    AnyJson json = read_model_json(folder, name, sentence_model_reader, needed);
    if (!json.is_object()) throw wrong(Errc::invalid_format, folder + "/" + name, "an object wanted");
    return json;
  }
  /// Refuses a key whose value is not what it is without it.
  static void only(const AnyJson& json, const char* key, const AnyJson& wanted, const std::string& file) {
    const auto found = json.find(key);
    if (found != json.end() && !found->is_null() && *found != wanted)
      throw wrong(Errc::unsupported, file, std::string(key) + ": " + wanted.dump() + " wanted, " + found->dump().substr(0, 40) + " given");
  }

  void read_modules() {
    const std::string file = folder_ + "/modules.json";
    const AnyJson modules = read_model_json(folder_, "modules.json", sentence_model_reader, true);
    if (modules.size() > 16)
      throw wrong(Errc::unsupported, file, "at most 16 modules wanted, " + std::to_string(modules.size()) + " given");
    for (std::size_t i = 0; i < modules.size(); ++i) {
      const AnyJson module = modules.is_array() && modules[i].is_object() ? modules[i] : AnyJson::object();
      const AnyJson type = module.value("type", AnyJson()), path = module.value("path", AnyJson());
      if (!type.is_string() || !path.is_string())
        throw wrong(Errc::invalid_format, file, "an array of modules wanted, each with a type and a path");
      // "sentence_transformers.models.Pooling": the way to the class has changed, its name has not.
      const std::string name = type.template get<std::string>(), kind = name.substr(name.rfind('.') + 1);
      const std::string below = path.template get<std::string>(), inside = below.empty() ? folder_ : folder_ + "/" + below;
      if (below.size() > 255) throw wrong(Errc::invalid_format, file, "a path of more than 255 bytes");
      if (below.find("..") != std::string::npos) throw wrong(Errc::invalid_format, file, "a path leads out of the folder");
      if (name != kind && !name.starts_with("sentence_transformers."))
        throw wrong(Errc::unsupported, file, "a module of sentence_transformers wanted, " + name + " met");
      read_module(i, kind, inside, file);
    }
    if (model_.pooling.empty()) throw wrong(Errc::invalid_format, file, "Transformer and Pooling wanted");
  }

  void read_module(std::size_t i, const std::string& kind, const std::string& inside, const std::string& file) {
    if (i == 0 && kind == "Transformer") return read_transformer(inside);
    if (i == 1 && kind == "Pooling") return read_pooling(inside);
    if (i > 1 && kind == "Dense") return read_dense(inside);
    if (i > 1 && kind == "Dropout") return;  // for training
    if (i <= 1 || kind != "Normalize")
      throw wrong(Errc::unsupported, file, "Transformer, Pooling, then Dense and Normalize wanted, " + kind + " met");
    only(object(inside, "config.json", false), "module_input_name", "sentence_embedding", inside + "/config.json");
    model_.steps.push_back({});
  }

  void read_transformer(const std::string& inside) {
    model_.folder = inside;
    model_.config = read_transformer_config(object(inside, "config.json", true), std::string(sentence_model_reader) + ": " + inside);
  }

  void read_pooling(const std::string& inside) {
    const AnyJson json = object(inside, "config.json", true);
    const std::string file = inside + "/config.json";
    for (const char* key : {"word_embedding_dimension", "embedding_dimension"})
      if (json.contains(key) && json[key] != model_.config.hidden)
        throw wrong(Errc::invalid_format, file, std::string(key) + ": " + std::to_string(model_.config.hidden) +
                                                    " wanted, as in the model's config.json");
    if (const auto mode = json.find("pooling_mode"); mode != json.end()) {
      for (const AnyJson& one : mode->is_array() ? *mode : AnyJson::array({*mode})) add_pooling(one, "pooling_mode", file);
    } else {  // older files have a switch for each, and the order of the joined row is this
      constexpr std::pair<const char*, const char*> switches[] = {{"pooling_mode_cls_token", "cls"},
                                                                  {"pooling_mode_max_tokens", "max"},
                                                                  {"pooling_mode_mean_tokens", "mean"},
                                                                  {"pooling_mode_mean_sqrt_len_tokens", "mean_sqrt_len_tokens"},
                                                                  {"pooling_mode_weightedmean_tokens", "weightedmean"},
                                                                  {"pooling_mode_lasttoken", "lasttoken"}};
      for (const auto& [key, name] : switches)
        if (const auto found = json.find(key); found != json.end() && *found != false) add_pooling(name, key, file);
    }
    if (model_.pooling.empty()) model_.pooling = {Pooling::mean};
    include_prompt_ = json.value("include_prompt", AnyJson(true)) == true;
    model_.columns = model_.pooling.size() * model_.config.hidden;
  }

  void add_pooling(const AnyJson& mode, const std::string& key, const std::string& file) {
    constexpr std::pair<const char*, Pooling> known[] = {
        {"cls", Pooling::first}, {"max", Pooling::largest}, {"mean", Pooling::mean}, {"mean_sqrt_len_tokens", Pooling::mean_sqrt}};
    if (model_.pooling.size() == 8) throw wrong(Errc::unsupported, file, key + ": at most 8 wanted");
    for (const auto& [name, pooling] : known)
      if (mode == name) return model_.pooling.push_back(pooling);
    throw wrong(Errc::unsupported, file, key + ": cls, max, mean or mean_sqrt_len_tokens wanted, " + mode.dump().substr(0, 40) + " given");
  }

  void read_dense(const std::string& inside) {
    const AnyJson json = object(inside, "config.json", true);
    const std::string file = inside + "/config.json";
    SentenceStep step{.kind = SentenceStep::Kind::tanh, .folder = inside, .depth = model_.columns};
    const auto depth = json.find("in_features"), columns = json.find("out_features");
    if (depth == json.end() || *depth != model_.columns)
      throw wrong(Errc::invalid_format, file, "in_features: " + std::to_string(model_.columns) + " wanted, as the module before it gives");
    if (columns == json.end() || !columns->is_number_unsigned() || *columns == 0u || *columns > 1u << 24)
      throw wrong(Errc::invalid_format, file, "out_features: a whole number from 1 to 2^24 wanted");
    step.columns = columns->template get<std::size_t>();
    step.biased = json.value("bias", AnyJson(true)) == true;
    only(json, "module_input_name", "sentence_embedding", file);
    only(json, "module_output_name", "sentence_embedding", file);
    only(json, "use_residual", false, file);
    if (const auto found = json.find("activation_function"); found != json.end()) {
      if (*found == "torch.nn.modules.linear.Identity") step.kind = SentenceStep::Kind::identity;
      else if (*found == "torch.nn.modules.activation.ReLU") step.kind = SentenceStep::Kind::relu;
      else only(json, "activation_function", "torch.nn.modules.activation.Tanh", file);
    }
    model_.columns = step.columns;
    model_.steps.push_back(std::move(step));
  }

  /// The name of the file that says how the transformer is used; empty: there is none.
  std::string read_sentence_config() {
    for (const char* kind : {"bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta"}) {
      const std::string name = "sentence_" + std::string(kind) + "_config.json", file = model_.folder + "/" + name;
      if (!is_there(file)) continue;
      const AnyJson json = object(model_.folder, name, true);
      only(json, "transformer_task", "feature-extraction", file);
      for (const char* key : {"query_expansion", "query_length", "document_length"}) only(json, key, AnyJson(), file);
      model_.lower_case = json.value("do_lower_case", AnyJson(false)) == true;
      return name;
    }
    return {};
  }

  /// The file that names the prompts: sentence_embedder.hpp says which are used.
  void read_prompts() {
    const std::string file = folder_ + "/config_sentence_transformers.json";
    const AnyJson json = object(folder_, "config_sentence_transformers.json", false);
    AnyJson prompts = json.value("prompts", AnyJson());
    if (prompts.is_null()) prompts = AnyJson::object();
    if (!prompts.is_object() || !std::all_of(prompts.begin(), prompts.end(), [](const AnyJson& text) { return text.is_string(); }))
      throw wrong(Errc::invalid_format, file, "prompts: an object of texts wanted");
    if (const AnyJson name = json.value("default_prompt_name", AnyJson()); !name.is_null()) {
      if (!name.is_string() || !prompts.contains(name.template get<std::string>()))
        throw wrong(Errc::invalid_format, file, "default_prompt_name: one of prompts wanted, " + name.dump().substr(0, 40) + " given");
      model_.query_prompt = model_.document_prompt = prompts[name.template get<std::string>()].template get<std::string>();
    }
    if (prompts.contains("query")) model_.query_prompt = prompts["query"].template get<std::string>();
    for (const char* name : {"corpus", "passage", "document"})  // the last one there counts
      if (prompts.contains(name)) model_.document_prompt = prompts[name].template get<std::string>();
    if (!include_prompt_ && (!model_.query_prompt.empty() || !model_.document_prompt.empty()))
      throw wrong(Errc::unsupported, file, "prompts: none wanted, as the pooling has include_prompt false");
    if (const AnyJson dimension = json.value("truncate_dim", AnyJson()); !dimension.is_null()) {
      if (!dimension.is_number_unsigned() || dimension == 0u)
        throw wrong(Errc::invalid_format, file, "truncate_dim: a whole number from 1 on wanted");
      model_.dimension = std::min(model_.dimension, dimension.template get<std::size_t>());
    }
  }

  std::string folder_;
  SentenceModel model_;
  bool include_prompt_ = true;
};

template <class AnyJson = Json>
SentenceModel read_sentence_model(const std::string& folder) {
  return SentenceModelReader<AnyJson>(folder).read();
}

}  // namespace detail
RAG_END
#endif
