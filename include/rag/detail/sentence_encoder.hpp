// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SENTENCE_ENCODER_HPP
#define RAG_DETAIL_SENTENCE_ENCODER_HPP
#include <rag/detail/fingerprint.hpp>
#include <rag/detail/parallel.hpp>
#include <rag/detail/sentence_head.hpp>
#include <rag/detail/sentence_model.hpp>
#include <rag/detail/tokenizer.hpp>
#include <rag/detail/transformer.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN

namespace detail {

struct SentenceEncoderOptions {
  std::size_t threads = 0;     ///< at most; 0: as many as the machine runs at once
  std::size_t max_tokens = 0;  ///< of a text, the special ones among them; 0: what the model's files say
  std::size_t dimension = 0;   ///< of a vector: its first so many columns; 0: what the model's files say, else all
  Precision precision = Precision::fp32;
  Executor executor = {};  ///< what runs the threads; empty: they are started for a call and end with it
};

/// What a SentenceEmbedder is a handle of.
RAG_LAZY class BasicSentenceEncoder {
 public:
  explicit BasicSentenceEncoder(const std::string& model_folder, const SentenceEncoderOptions& options = {}, Isa isa = best_isa())
      : folder_(model_folder),
        model_(read_sentence_model(model_folder)),
        options_(options),
        tokenizer_(Tokenizer::from_folder(model_.folder, sentence_model_reader)),
        transformer_(open_model_file(model_.folder, "model.safetensors", sentence_model_reader), model_.config,
                     std::string(sentence_model_reader) + ": " + model_.folder + "/model.safetensors", options.threads, isa,
                     options.precision),
        head_(model_, isa) {
    if (tokenizer_.size() > model_.config.vocabulary)
      throw wrong(Errc::invalid_format, model_.folder + ": at most " + std::to_string(model_.config.vocabulary) +
                                            " tokens wanted by config.json, " + std::to_string(tokenizer_.size()) + " given");
    if (model_.max_tokens <= tokenizer_.special_count())
      throw wrong(Errc::invalid_format, model_.folder + ": room for a text wanted in " +
                                            std::to_string(model_.max_tokens) + " tokens, " +
                                            std::to_string(tokenizer_.special_count()) + " are the tokenizer's own");
    model_.max_tokens = chosen("max_tokens", options.max_tokens, model_.max_tokens, tokenizer_.special_count() + 1, model_.config.positions);
    model_.dimension = chosen("dimension", options.dimension, model_.dimension, 1, model_.columns);
  }
  BasicSentenceEncoder(const BasicSentenceEncoder&) = delete;  // the head refers to the model

  std::size_t dimension() const { return model_.dimension; }
  Precision precision() const { return transformer_.precision(); }
  std::size_t max_tokens() const { return model_.max_tokens; }
  std::size_t count_tokens(std::string_view text) const {
    return tokenizer_.count(model_.document_prompt.empty() ? text : model_.document_prompt + std::string(text));
  }

  std::string name() const {
    std::call_once(name_once_, [&] { name_ = make_name(); });
    return name_;
  }

  Matrix embed(std::span<const std::string_view> texts) const { return embed(texts, model_.document_prompt); }
  std::vector<float> embed_query(std::string_view text) const {
    const Matrix vectors = embed(std::span(&text, 1), model_.query_prompt);
    return {vectors.row(0).begin(), vectors.row(0).end()};
  }

 private:
  static Error wrong(Errc code, const std::string& text) { return Error(code, std::string(sentence_model_reader) + ": " + text); }

  static std::size_t chosen(const char* name, std::size_t wanted, std::size_t otherwise, std::size_t least, std::size_t most) {
    if (wanted == 0) return otherwise;
    if (wanted < least || wanted > most)
      throw wrong(Errc::invalid_argument, std::string(name) + " from " + std::to_string(least) + " to " + std::to_string(most) +
                                              " wanted, " + std::to_string(wanted) + " given");
    return wanted;
  }

  /// Texts that go through the model side by side, without padding.
  struct Unit {
    std::vector<std::int32_t> tokens = {};
    std::vector<std::size_t> texts = {}, lengths = {};
    TransformerScratch scratch = {};
    SentenceHead::Scratch rows = {};
  };

  Matrix embed(std::span<const std::string_view> texts, const std::string& prompt) const {
    Matrix vectors(texts.size(), dimension());
    const std::size_t threads = std::min(thread_count(options_.threads), std::max<std::size_t>(texts.size(), 1));
    std::atomic<std::size_t> next = 0;
    const auto work = [&] {
      Unit unit = spare_unit();
      while (take(texts, prompt, threads, next, unit)) encode(unit, vectors);
      keep(std::move(unit));
    };
    run_workers(threads, options_.executor, work, [&] { next = texts.size(); });
    return vectors;
  }

  // A question's memory waits for the next one: getting it anew from the system takes a fiftieth of the time.
  Unit spare_unit() const {
    const std::lock_guard lock(spare_mutex_);
    if (spare_.empty()) return {};
    Unit unit = std::move(spare_.back());
    spare_.pop_back();
    return unit;
  }
  void keep(Unit unit) const {
    const std::lock_guard lock(spare_mutex_);
    if (unit.scratch.tokens <= most_kept_tokens && spare_.size() < most_kept) spare_.push_back(std::move(unit));
  }

  /// Fills a unit with the next texts: about unit_tokens, and fewer towards the end, so that no thread waits long for
  /// the others. False: there are none.
  bool take(std::span<const std::string_view> texts, const std::string& prompt, std::size_t threads,
            std::atomic<std::size_t>& next, Unit& unit) const {
    unit.tokens.clear(), unit.texts.clear(), unit.lengths.clear();
    while (unit.tokens.size() < unit_tokens) {
      const std::size_t text = next++;
      if (text >= texts.size()) break;
      const std::size_t before = unit.tokens.size();
      if (prompt.empty()) tokenizer_.encode(texts[text], unit.tokens, model_.max_tokens);
      else tokenizer_.encode(prompt + std::string(texts[text]), unit.tokens, model_.max_tokens);
      unit.texts.push_back(text);
      unit.lengths.push_back(unit.tokens.size() - before);
      if (unit.texts.size() >= (texts.size() - text) / (2 * threads)) break;
    }
    return !unit.texts.empty();
  }

  void encode(Unit& unit, Matrix& vectors) const {
    const float* states = transformer_.encode(unit.tokens, {}, unit.lengths, unit.scratch);
    for (std::size_t i = 0; i < unit.texts.size(); states += unit.lengths[i++] * model_.config.hidden)
      // The table of words is not read at load, and finite weights can overflow.
      if (!head_.apply(states, unit.lengths[i], unit.rows, vectors.row(unit.texts[i])))
        throw wrong(Errc::invalid_format, "the weights of " + folder_ + " give a NaN or infinity");
  }

  std::string make_name() const {
    Fingerprint fingerprint;
    add_mapped(fingerprint, transformer_.file(), transformer_);
    add_file(fingerprint, open_model_file(model_.folder, "config.json", sentence_model_reader));
    add_tokenizer_files(fingerprint, model_.folder, sentence_model_reader);
    for (const Pooling pooling : model_.pooling) fingerprint.add(std::to_string(static_cast<int>(pooling)));
    for (const SentenceStep& step : model_.steps) {
      fingerprint.add("step " + std::to_string(static_cast<int>(step.kind)));
      if (!step.folder.empty()) add_file(fingerprint, open_model_file(step.folder, "model.safetensors", sentence_model_reader));
    }
    fingerprint.add(model_.query_prompt);
    fingerprint.add(model_.document_prompt);
    fingerprint.add(std::to_string(model_.dimension));
    fingerprint.add(precision() == Precision::bf16 ? "bf16" : precision() == Precision::int16 ? "int16" : "");
    return folder_name(folder_) + "-" + std::to_string(model_.max_tokens) + "-" + fingerprint.text();
  }

  static constexpr std::size_t unit_tokens = 256, most_kept_tokens = 64, most_kept = 8;

  std::string folder_;
  SentenceModel model_;
  SentenceEncoderOptions options_;
  Tokenizer tokenizer_;
  Transformer transformer_;
  SentenceHead head_;
  mutable std::once_flag name_once_;
  mutable std::mutex spare_mutex_;
  mutable std::vector<Unit> spare_;
  mutable std::string name_;
};
using SentenceEncoder = BasicSentenceEncoder<>;

}  // namespace detail
RAG_END
#endif
