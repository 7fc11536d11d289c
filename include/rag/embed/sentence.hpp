// SPDX-License-Identifier: MIT
#ifndef RAG_EMBED_SENTENCE_HPP
#define RAG_EMBED_SENTENCE_HPP
#include <rag/detail/sentence_encoder.hpp>
#include <rag/types.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN

using SentenceEmbedderOptions = detail::SentenceEncoderOptions;

/// Embeds with a sentence-transformers model of the BERT family: BERT (MiniLM, BGE, GTE, E5, Arctic), DistilBERT,
/// MPNet, RoBERTa and XLM-RoBERTa, ALBERT. Reads a model folder as sentence-transformers lays it out: pooling, dense
/// layers, normalisation and prompts are those of its files; a folder without modules.json gives the mean of the
/// tokens, as it does there. The weights (model.safetensors) stay mapped, so the file must not change while the
/// embedder lives. A text longer than max_tokens() is cut there; count_tokens() tells before.
///
/// Prompts (config_sentence_transformers.json): embed() puts the one named document before a text, else the one named
/// passage, else corpus; embed_query() the one named query; each, where it is not there, the one that
/// default_prompt_name names, else none. A model without prompts embeds a question as it embeds a passage.
///
/// With fewer columns than the model has (option dimension, or truncate_dim in that file) a vector is cut and, where
/// the model normalises, brought to length 1 again: the cosine of models that were trained for it (Matryoshka).
///
/// Copies share one model, so a copy is cheap; embed() may be called from many threads at once.
///
///     rag::SentenceEmbedder embedder("bge-small-en-v1.5");   // 384 columns, rows of length 1
RAG_LAZY class BasicSentenceEmbedder {
 public:
  /// Throws not_found for a missing file, unsupported for a model of another kind (the text names the field),
  /// invalid_format for files that are damaged or do not fit together.
  explicit BasicSentenceEmbedder(const std::string& model_folder, const SentenceEmbedderOptions& options = {})
      : encoder_(std::make_shared<const detail::SentenceEncoder>(model_folder, options)) {}

  /// Row i for texts[i], passages all.
  Matrix embed(std::span<const std::string_view> texts) const { return encoder_->embed(texts); }
  /// The vector of a question.
  std::vector<float> embed_query(std::string_view text) const { return encoder_->embed_query(text); }
  std::size_t dimension() const { return encoder_->dimension(); }
  /// What the products are made of on this machine: fp32 where another was asked for and the processor has none of it.
  Precision precision() const { return encoder_->precision(); }
  std::size_t max_tokens() const { return encoder_->max_tokens(); }
  /// The tokens of the whole passage with its prompt and the special ones: while this is at most max_tokens(), nothing
  /// is cut.
  std::size_t count_tokens(std::string_view text) const { return encoder_->count_tokens(text); }
  /// The folder's name, max_tokens() and a fingerprint of all that decides the vectors. The first call reads the weights.
  std::string name() const { return encoder_->name(); }

 private:
  std::shared_ptr<const detail::SentenceEncoder> encoder_;
};
using SentenceEmbedder = BasicSentenceEmbedder<>;

RAG_END
#endif
