// SPDX-License-Identifier: MIT
#ifndef RAG_EMBED_MINILM_HPP
#define RAG_EMBED_MINILM_HPP
#include <rag/detail/sentence_encoder.hpp>
#include <rag/types.hpp>

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>

RAG_BEGIN

using MiniLmOptions = detail::SentenceEncoderOptions;

/// The encoder of all-MiniLM-L6-v2, and of any BERT with mean or first-token pooling, in fp32. Reads a model folder as
/// sentence-transformers lays it out; its weights (model.safetensors) stay mapped, so the file must not change
/// while the embedder lives. A text longer than max_tokens() is cut there; count_tokens() tells before.
/// Copies share one model, so a copy is cheap; embed() may be called from many threads at once.
///
///     rag::MiniLmEmbedder embedder("all-MiniLM-L6-v2");   // 384 columns, rows of length 1
RAG_LAZY class BasicMiniLmEmbedder {
 public:
  /// Throws not_found for a missing file, unsupported for a model of another kind (the text names the field),
  /// invalid_format for files that are damaged or do not fit together.
  explicit BasicMiniLmEmbedder(const std::string& model_folder, const MiniLmOptions& options = {})
      : encoder_(std::make_shared<const detail::SentenceEncoder>(model_folder, options)) {}

  /// Row i for texts[i].
  Matrix embed(std::span<const std::string_view> texts) const { return encoder_->embed(texts); }
  std::size_t dimension() const { return encoder_->dimension(); }
  /// What the products are made of on this machine: fp32 where bf16 was asked for and the processor has none.
  Precision precision() const { return encoder_->precision(); }
  std::size_t max_tokens() const { return encoder_->max_tokens(); }
  /// The tokens of the whole text and the two special ones: while this is at most max_tokens(), nothing is cut.
  std::size_t count_tokens(std::string_view text) const { return encoder_->count_tokens(text); }
  /// The folder's name, max_tokens() and a fingerprint of all that decides the vectors. The first call reads the weights.
  std::string name() const { return encoder_->name(); }

 private:
  std::shared_ptr<const detail::SentenceEncoder> encoder_;
};
using MiniLmEmbedder = BasicMiniLmEmbedder<>;

RAG_END
#endif
