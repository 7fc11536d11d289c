// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TRANSFORMER_CONFIG_HPP
#define RAG_DETAIL_TRANSFORMER_CONFIG_HPP
#include <rag/detail/json.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// What a config.json says about a transformer of the BERT family. All in it that would change the numbers is either
// understood or refused by the field's name.

RAG_BEGIN
namespace detail {

/// Models that name their tensors in one way. roberta: XLM-RoBERTa and CamemBERT too.
enum class Family : unsigned char { bert, distilbert, mpnet, roberta, albert };

/// Between the two products of a layer. gelu: the form with erf.
enum class Activation : unsigned char { gelu, gelu_tanh, relu };

struct TransformerConfig {
  static constexpr std::int32_t no_token = -1;

  Family family = Family::bert;
  std::size_t hidden = 0, layers = 0, heads = 0, intermediate = 0, vocabulary = 0;
  std::size_t positions = 0;       ///< tokens that a sequence may have
  std::size_t first_position = 0;  ///< the row of the first token in the table of positions
  std::size_t types = 0;           ///< token types; 0: the model has none
  std::size_t embedding = 0;       ///< floats of a word; other than `hidden` where the family expands them
  std::size_t groups = 0;          ///< layers that differ; as many as layers where none is shared
  std::size_t buckets = 0;         ///< of distances, each with a bias for a head's scores; 0: no such bias
  std::int32_t pad = no_token;     ///< the token that takes no position, but the row before the first
  Activation activation = Activation::gelu;
  float epsilon = 0;

  /// The layer whose weights layer i uses, among those that differ.
  std::size_t group_of(std::size_t i) const {
    if (groups == layers) return i;
    return static_cast<std::size_t>(static_cast<double>(i) / (static_cast<double>(layers) / static_cast<double>(groups)));
  }
};

// A template, so that none of the many operators of a Json is looked at before it is called.
template <class AnyJson = Json>
class TransformerConfigReader {
 public:
  TransformerConfigReader(const AnyJson& json, const std::string& who) : json_(json), who_(who) {}

  TransformerConfig read() const {
    if (!json_.is_object()) throw wrong(Errc::invalid_format, "an object wanted");
    TransformerConfig config;
    config.family = family();
    refuse_others();
    const bool distil = config.family == Family::distilbert;
    config.hidden = size(distil ? "dim" : "hidden_size");
    config.layers = config.groups = size(distil ? "n_layers" : "num_hidden_layers");
    config.heads = size(distil ? "n_heads" : "num_attention_heads");
    config.intermediate = size(distil ? "hidden_dim" : "intermediate_size");
    config.vocabulary = size("vocab_size");
    config.positions = size("max_position_embeddings");
    config.embedding = config.hidden;
    config.activation = activation(distil ? "activation" : "hidden_act", config.family);
    config.epsilon = distil ? 1e-12f : epsilon();
    read_family(config);
    if (config.hidden % config.heads != 0)
      throw wrong(Errc::invalid_format, std::string(distil ? "n_heads: " : "num_attention_heads: ") +
                                            std::to_string(config.heads) + " do not divide " + (distil ? "dim " : "hidden_size ") +
                                            std::to_string(config.hidden));
    return config;
  }

 private:
  Error wrong(Errc code, const std::string& text) const { return Error(code, who_ + ": config.json: " + text); }
  Error unsupported(const std::string& key, const std::string& wanted) const {
    return wrong(Errc::unsupported, key + ": " + wanted + " wanted, " + json_[key].dump().substr(0, 40) + " given");
  }

  std::size_t size(const char* key) const {
    const auto found = json_.find(key);
    constexpr std::uint64_t most = 1 << 24;
    if (found == json_.end() || !found->is_number_unsigned() || *found == 0u || *found > most)
      throw wrong(Errc::invalid_format, std::string(key) + ": a whole number from 1 to 2^24 wanted");
    return found->template get<std::size_t>();
  }
  std::size_t size(const char* key, std::size_t otherwise) const { return json_.contains(key) ? size(key) : otherwise; }

  Family family() const {
    const auto found = json_.find("model_type");
    if (found == json_.end()) return Family::bert;  // as in the first such files
    if (*found == "bert") return Family::bert;
    if (*found == "distilbert") return Family::distilbert;
    if (*found == "mpnet") return Family::mpnet;
    if (*found == "xlm-roberta" || *found == "roberta" || *found == "camembert") return Family::roberta;
    if (*found == "albert") return Family::albert;
    throw unsupported("model_type", "bert, distilbert, mpnet, xlm-roberta, roberta, camembert or albert");
  }

  /// A key that is not there has the value that these models had from the first.
  void refuse_others() const {
    const auto found = json_.find("position_embedding_type");
    if (found != json_.end() && *found != "absolute") throw unsupported("position_embedding_type", "'absolute'");
    for (const char* key : {"is_decoder", "add_cross_attention", "is_encoder_decoder"})
      if (const auto flag = json_.find(key); flag != json_.end() && *flag != false && !flag->is_null())
        throw unsupported(key, "false");
    // Code of the model's own, turned positions, heads cut out, weights in few bits: another graph behind a known name.
    for (const char* key : {"auto_map", "rope_theta", "rope_scaling", "rope_parameters", "pruned_heads", "quantization_config"})
      if (const auto found_key = json_.find(key); found_key != json_.end() && !found_key->is_null() &&
                                                  !(found_key->is_structured() && found_key->empty()))
        throw unsupported(key, "none");
  }

  Activation activation(const char* key, Family family) const {
    const auto found = json_.find(key);
    if (found == json_.end()) return family == Family::albert ? Activation::gelu_tanh : Activation::gelu;
    if (*found == "gelu" || *found == "gelu_python") return Activation::gelu;
    if (*found == "gelu_new" || *found == "gelu_pytorch_tanh" || *found == "gelu_fast") return Activation::gelu_tanh;
    if (*found == "relu") return Activation::relu;
    throw unsupported(key, "gelu, gelu_new, gelu_pytorch_tanh, gelu_fast or relu");
  }

  float epsilon() const {
    const auto found = json_.find("layer_norm_eps");
    if (found == json_.end()) return 1e-12f;
    if (!found->is_number() || !(*found > 0.0) || !(*found < 1.0))
      throw wrong(Errc::invalid_format, "layer_norm_eps: a number between 0 and 1 wanted");
    return found->template get<float>();
  }

  void read_family(TransformerConfig& config) const {
    switch (config.family) {
      case Family::bert: config.types = size("type_vocab_size"); break;
      case Family::distilbert: break;
      case Family::mpnet:
        config.buckets = size("relative_attention_num_buckets", 32);
        if (config.buckets != 32) throw unsupported("relative_attention_num_buckets", "32");
        skip_padding(config, 1);
        break;
      case Family::roberta:
        config.types = size("type_vocab_size");
        skip_padding(config, json_.contains("pad_token_id") ? padding() : 1);
        break;
      case Family::albert:
        config.types = size("type_vocab_size");
        config.embedding = size("embedding_size");
        config.groups = size("num_hidden_groups", 1);
        if (config.groups > config.layers)
          throw wrong(Errc::invalid_format, "num_hidden_groups: at most num_hidden_layers wanted");
        if (size("inner_group_num", 1) != 1) throw unsupported("inner_group_num", "1");
    }
  }

  std::size_t padding() const {
    const AnyJson& pad = json_["pad_token_id"];
    if (!pad.is_number_unsigned() || pad > 1u << 24)
      throw wrong(Errc::invalid_format, "pad_token_id: a whole number up to 2^24 wanted");
    return pad.template get<std::size_t>();
  }

  /// The positions of RoBERTa's children begin after the number of the padding token.
  void skip_padding(TransformerConfig& config, std::size_t pad) const {
    config.pad = static_cast<std::int32_t>(pad);
    config.first_position = pad + 1;
    if (config.positions <= config.first_position)
      throw wrong(Errc::invalid_format, "max_position_embeddings: more than " + std::to_string(config.first_position) + " wanted");
    config.positions -= config.first_position;
  }

  const AnyJson& json_;
  const std::string& who_;
};

template <class AnyJson>
TransformerConfig read_transformer_config(const AnyJson& json, const std::string& who) {
  return TransformerConfigReader<AnyJson>(json, who).read();
}

}  // namespace detail
RAG_END
#endif
