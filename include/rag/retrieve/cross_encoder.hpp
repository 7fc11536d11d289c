// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_CROSS_ENCODER_HPP
#define RAG_RETRIEVE_CROSS_ENCODER_HPP
#include <rag/detail/pair_scorer.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN

using CrossEncoderOptions = detail::PairScorerOptions;

/// A Reranker that reads the question and a passage together, which is slower than comparing two vectors and tells
/// more. Takes the folder of a model for sequence classification with one label: BERT, DistilBERT, MPNet, RoBERTa and
/// XLM-RoBERTa, ALBERT. Its weights (model.safetensors) stay mapped, so the file must not change while it lives. A
/// pair longer than max_tokens() is cut there, the longer text first.
///
/// A score is the model's logit, any number; sentence-transformers gives that or its sigmoid, as the model's files say
/// (the sigmoid where they say nothing), and the order is the same: option sigmoid.
///
/// Copies share one model, so a copy is cheap; it may be called from many threads at once.
///
///     rag::CrossEncoder reranker("ms-marco-MiniLM-L6-v2");
///     const std::vector<rag::Hit> best = reranker.rerank(question, retriever.search(question, 50));
RAG_LAZY class BasicCrossEncoder {
 public:
  /// Throws not_found for a missing file, unsupported for a model of another kind (the text names the field),
  /// invalid_format for files that are damaged or do not fit together.
  explicit BasicCrossEncoder(const std::string& model_folder, const CrossEncoderOptions& options = {})
      : scorer_(std::make_shared<const detail::PairScorer>(model_folder, options)) {}

  /// The logit of each text with the question.
  std::vector<float> scores(std::string_view question, std::span<const std::string_view> texts) const {
    return scorer_->scores(question, texts);
  }

  /// The same hits in the order of their logits, ties in the order given.
  std::vector<Hit> rerank(std::string_view question, std::span<const Hit> hits) const {
    std::vector<std::string_view> texts;
    for (const Hit& hit : hits) texts.push_back(hit.chunk.text);
    const std::vector<float> logits = scores(question, texts);
    std::vector<std::size_t> order(hits.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
    std::vector<Hit> best;
    for (const std::size_t i : order) {
      const float score = scorer_->options().sigmoid ? 1 / (1 + std::exp(-logits[i])) : logits[i];
      best.push_back({hits[i].chunk, score});
    }
    return best;
  }

  /// What the products are made of on this machine: fp32 where another was asked for and the processor has none of it.
  Precision precision() const { return scorer_->precision(); }
  std::size_t max_tokens() const { return scorer_->max_tokens(); }

 private:
  std::shared_ptr<const detail::PairScorer> scorer_;
};
using CrossEncoder = BasicCrossEncoder<>;

RAG_END
#endif
