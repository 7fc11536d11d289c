// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SENTENCE_HEAD_HPP
#define RAG_DETAIL_SENTENCE_HEAD_HPP
#include <rag/detail/model_tensors.hpp>
#include <rag/detail/sentence_model.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// Makes one vector of the states of a text's tokens.
RAG_LAZY class BasicSentenceHead {
 public:
  /// Rows in work, kept for the next text.
  struct Scratch {
    std::vector<float> row, next;
  };

  BasicSentenceHead(const SentenceModel& model, Isa isa) : model_(model), isa_(isa) {
    for (const SentenceStep& step : model.steps) {
      if (step.kind == SentenceStep::Kind::normalize) continue;
      const MappedFile file = open_model_file(step.folder, "model.safetensors", sentence_model_reader);
      const std::string who = std::string(sentence_model_reader) + ": " + step.folder + "/model.safetensors";
      products_.push_back(ModelTensors(read_safetensors(file.bytes(), who), who).linear("linear", step.depth, step.columns, step.biased));
    }
  }

  /// vector: model.dimension floats. False: they are not finite.
  bool apply(const float* states, std::size_t tokens, Scratch& scratch, std::span<float> vector) const {
    const std::size_t hidden = model_.config.hidden;
    std::vector<float>& row = scratch.row;
    row.resize(hidden * model_.pooling.size());
    for (std::size_t i = 0; i < model_.pooling.size(); ++i)
      pool(model_.pooling[i], states, tokens, std::span(row).subspan(i * hidden, hidden));
    if (!std::isfinite(square_of(row))) return false;
    std::size_t product = 0;
    for (const SentenceStep& step : model_.steps)
      if (step.kind == SentenceStep::Kind::normalize) normalize(row);
      else multiply(step.kind, products_[product++], scratch);
    std::copy_n(row.begin(), vector.size(), vector.begin());
    if (vector.size() < row.size() && model_.ends_normalized()) normalize(vector);
    return std::isfinite(square_of(vector));
  }

 private:
  static void pool(Pooling pooling, const float* states, std::size_t tokens, std::span<float> row) {
    const std::size_t size = row.size();
    std::copy(states, states + size, row.begin());
    if (pooling == Pooling::first) return;
    for (std::size_t token = 1; token < tokens; ++token) {
      const float* state = states + token * size;
      if (pooling == Pooling::largest)
        for (std::size_t i = 0; i < size; ++i) row[i] = state[i] > row[i] || std::isnan(state[i]) ? state[i] : row[i];
      else
        for (std::size_t i = 0; i < size; ++i) row[i] += state[i];
    }
    if (pooling == Pooling::largest) return;
    const auto count = static_cast<float>(tokens);
    const float divisor = pooling == Pooling::mean ? count : std::sqrt(count);
    for (float& value : row) value /= divisor;
  }

  static double square_of(std::span<const float> row) {
    double square = 0;
    for (const float value : row) square += static_cast<double>(value) * static_cast<double>(value);
    return square;
  }
  static void normalize(std::span<float> row) {
    const double square = square_of(row);
    if (square == 0) return;
    const auto inverse = static_cast<float>(1 / std::sqrt(square));
    for (float& value : row) value *= inverse;
  }

  void multiply(SentenceStep::Kind kind, const Linear& product, Scratch& scratch) const {
    scratch.next.resize(product.columns);
    gemm(isa_, scratch.row.data(), product.depth, 1, product.view(), scratch.next.data(), product.columns);
    if (kind == SentenceStep::Kind::tanh)
      for (float& value : scratch.next) value = std::tanh(value);
    if (kind == SentenceStep::Kind::relu)
      for (float& value : scratch.next) value = std::max(value, 0.0f);
    std::swap(scratch.row, scratch.next);
  }

  const SentenceModel& model_;
  Isa isa_;
  std::vector<Linear> products_;
};
using SentenceHead = BasicSentenceHead<>;

}  // namespace detail
RAG_END
#endif
