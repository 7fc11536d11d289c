// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PAIR_SCORER_HPP
#define RAG_DETAIL_PAIR_SCORER_HPP
#include <rag/detail/model_folder.hpp>
#include <rag/detail/model_tensors.hpp>
#include <rag/detail/parallel.hpp>
#include <rag/detail/tokenizer.hpp>
#include <rag/detail/transformer.hpp>
#include <rag/detail/work_units.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

// A transformer that reads two texts at once and gives one number: a …ForSequenceClassification with one label.

RAG_BEGIN
namespace detail {

struct PairScorerOptions {
  std::size_t threads = 0;     ///< at most; 0: as many as the machine runs at once
  std::size_t max_tokens = 0;  ///< of a pair, the special ones among them; 0: what the model's files say
  bool sigmoid = false;        ///< rerank() gives 1 / (1 + e^-logit) for scores
  Precision precision = Precision::fp32;
};

inline constexpr const char* pair_scorer_reader = "CrossEncoder";

/// Refuses what would give other numbers than the one label's.
template <class AnyJson = Json>
void check_pair_config(const AnyJson& json, const std::string& who) {
  const auto unsupported = [&](const char* key, const char* wanted) {
    return Error(Errc::unsupported, who + ": config.json: " + key + ": " + wanted + " wanted, " +
                                        (json.contains(key) ? json[key].dump().substr(0, 60) : "none") + " given");
  };
  if (!json.is_object()) throw Error(Errc::invalid_format, who + ": config.json: an object wanted");
  if (const auto found = json.find("architectures"); found != json.end() && !found->is_null()) {
    const AnyJson name = found->is_array() && found->size() == 1 ? (*found)[0] : AnyJson();
    if (!name.is_string() || !name.template get<std::string>().ends_with("ForSequenceClassification"))
      throw unsupported("architectures", "one …ForSequenceClassification");
  }
  if (json.contains("num_labels") && json["num_labels"] != 1u) throw unsupported("num_labels", "1");
  // Without both, transformers takes two labels.
  if (!json.contains("num_labels") && (!json.contains("id2label") || json["id2label"].size() != 1)) throw unsupported("id2label", "one label");
}

/// Makes the number of the state of a pair's first token.
struct PairHead {
  Linear dense, out;
  bool relu = false;  ///< between the two; else tanh

  template <class = void>  // or each user of the header would compile the kernels
  float apply(Isa isa, const float* state, std::vector<float>& row) const {
    row.resize(dense.columns);
    gemm(isa, state, dense.depth, 1, dense.view(), row.data(), dense.columns);
    for (float& value : row) value = relu ? std::max(value, 0.0f) : std::tanh(value);
    float logit = 0;
    gemm(isa, row.data(), out.depth, 1, out.view(), &logit, 1);
    return logit;
  }
};

RAG_LAZY PairHead read_pair_head(std::string_view weights, Family family, std::size_t hidden, const std::string& who) {
  const char *dense = "classifier.dense", *out = "classifier.out_proj";  // RoBERTa's children and MPNet
  if (family == Family::bert) dense = "bert.pooler.dense", out = "classifier";
  if (family == Family::distilbert) dense = "pre_classifier", out = "classifier";
  if (family == Family::albert) dense = "albert.pooler", out = "classifier";
  const ModelTensors tensors(read_safetensors(weights, who), who);
  return {tensors.linear(dense, hidden, hidden), tensors.linear(out, hidden, 1), family == Family::distilbert};
}

/// What a CrossEncoder is a handle of.
RAG_LAZY class BasicPairScorer {
 public:
  explicit BasicPairScorer(const std::string& folder, const PairScorerOptions& options = {}, Isa isa = best_isa())
      : folder_(folder),
        options_(options),
        isa_(isa),
        tokenizer_(Tokenizer::from_folder(folder, pair_scorer_reader)),
        transformer_(open_model_file(folder, "model.safetensors", pair_scorer_reader), read_config(folder),
                     std::string(pair_scorer_reader) + ": " + folder + "/model.safetensors", options.threads, isa, options.precision),
        head_(read_pair_head(transformer_.file(), config().family, config().hidden,
                             std::string(pair_scorer_reader) + ": " + folder + "/model.safetensors")),
        max_tokens_(read_max_tokens(folder, "", config().positions, pair_scorer_reader)) {
    if (tokenizer_.size() > config().vocabulary)
      throw wrong(Errc::invalid_format, folder + ": at most " + std::to_string(config().vocabulary) + " tokens wanted by config.json, " +
                                            std::to_string(tokenizer_.size()) + " given");
    // The special tokens of a pair are 4 at most.
    const std::size_t wanted = options.max_tokens != 0 ? options.max_tokens : max_tokens_;
    if (wanted < 5 || wanted > config().positions)
      throw wrong(options.max_tokens != 0 ? Errc::invalid_argument : Errc::invalid_format,
                  "max_tokens from 5 to " + std::to_string(config().positions) + " wanted, " + std::to_string(wanted) + " given");
    max_tokens_ = wanted;
  }

  std::size_t max_tokens() const { return max_tokens_; }
  Precision precision() const { return transformer_.precision(); }
  const PairScorerOptions& options() const { return options_; }

  std::vector<float> scores(std::string_view question, std::span<const std::string_view> texts) const {
    std::vector<std::int32_t> tokens, types;
    std::vector<std::size_t> lengths;
    for (const std::string_view text : texts) {
      const std::size_t before = tokens.size();
      tokenizer_.encode_pair(question, text, tokens, types, max_tokens_);
      lengths.push_back(tokens.size() - before);
    }
    if (config().types < 2) types.clear();
    for (const std::int32_t type : types)
      if (type < 0 || static_cast<std::size_t>(type) >= config().types)
        throw wrong(Errc::invalid_format, folder_ + ": token type " + std::to_string(type) + " of the tokenizer is not one of the model's");
    const std::vector<WorkUnit> units = work_units(lengths, tokens.size(), options_.threads);
    std::vector<float> logits(texts.size());
    parallel_for(options_.threads, units.size(), [&] {
      return [&, scratch = TransformerScratch(), row = std::vector<float>()](std::size_t i) mutable {
        const WorkUnit& unit = units[i];
        const auto some = std::span(lengths).subspan(unit.text, unit.texts);
        const auto kinds = types.empty() ? std::span<const std::int32_t>() : std::span(types).subspan(unit.token, unit.tokens);
        const float* states = transformer_.encode(std::span(tokens).subspan(unit.token, unit.tokens), kinds, some, scratch);
        for (std::size_t text = 0; text < some.size(); states += some[text++] * config().hidden) {
          const float logit = head_.apply(isa_, states, row);
          // The table of words is not read at load, and finite weights can overflow.
          if (!std::isfinite(logit)) throw wrong(Errc::invalid_format, "the weights of " + folder_ + " give a NaN or infinity");
          logits[unit.text + text] = logit;
        }
      };
    });
    return logits;
  }

 private:
  static Error wrong(Errc code, const std::string& text) { return Error(code, std::string(pair_scorer_reader) + ": " + text); }
  const TransformerConfig& config() const { return transformer_.config(); }

  template <class AnyJson = Json>
  static TransformerConfig read_config(const std::string& folder) {
    const std::string who = std::string(pair_scorer_reader) + ": " + folder;
    const AnyJson json = read_model_json(folder, "config.json", pair_scorer_reader, true);
    check_pair_config(json, who);
    const AnyJson sentence = read_model_json(folder, "config_sentence_transformers.json", pair_scorer_reader, false);
    if (sentence.is_object() && sentence.contains("default_prompt_name") && !sentence["default_prompt_name"].is_null())
      throw Error(Errc::unsupported, who + "/config_sentence_transformers.json: default_prompt_name: none wanted");
    return read_transformer_config(json, who);
  }

  std::string folder_;
  PairScorerOptions options_;
  Isa isa_;
  Tokenizer tokenizer_;
  Transformer transformer_;
  PairHead head_;
  std::size_t max_tokens_;
};
using PairScorer = BasicPairScorer<>;

}  // namespace detail
RAG_END
#endif
