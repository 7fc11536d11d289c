// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_SENTENCE_ENCODER_HPP
#define RAG_DETAIL_SENTENCE_ENCODER_HPP
#include <rag/detail/fingerprint.hpp>
#include <rag/detail/parallel.hpp>
#include <rag/detail/sentence_model.hpp>
#include <rag/detail/transformer.hpp>
#include <rag/detail/wordpiece_folder.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN

namespace detail {

struct SentenceEncoderOptions {
  std::size_t threads = 0;     ///< at most; 0: as many as the machine runs at once
  std::size_t max_tokens = 0;  ///< of a text, the two special ones among them; 0: what the model's files say
  Precision precision = Precision::fp32;
};

/// What a MiniLmEmbedder is a handle of.
RAG_LAZY class BasicSentenceEncoder {
 public:
  /// Throws not_found for a missing file, unsupported for a model of another kind (the text names the field),
  /// invalid_format for files that are damaged or do not fit together.
  explicit BasicSentenceEncoder(const std::string& model_folder, const SentenceEncoderOptions& options = {})
      : BasicSentenceEncoder(model_folder, read_sentence_model(model_folder), options) {}

  std::size_t dimension() const { return encoder_.config().hidden; }
  std::size_t max_tokens() const { return model_.max_tokens; }
  /// The tokens of the whole text and the two special ones: while this is at most max_tokens(), nothing is cut.
  std::size_t count_tokens(std::string_view text) const { return words_.count(text) + 2; }

  /// What the products are made of on this machine.
  Precision precision() const { return encoder_.precision(); }

  /// The folder's name, max_tokens() and a fingerprint of all that decides the vectors. The first call reads the weights.
  std::string name() const {
    std::call_once(name_->once, [&] { name_->text = make_name(); });
    return name_->text;
  }

  Matrix embed(std::span<const std::string_view> texts) const {
    std::vector<std::int32_t> tokens;
    std::vector<std::size_t> lengths;
    for (const std::string_view text : texts) {
      const std::size_t before = tokens.size();
      tokens.push_back(words_.cls());
      words_.encode(text, tokens, model_.max_tokens - 2);
      tokens.push_back(words_.sep());
      lengths.push_back(tokens.size() - before);
    }
    const std::vector<Unit> units = split(lengths, tokens.size());
    Matrix vectors(texts.size(), dimension());
    parallel_for(options_.threads, units.size(), [&] {
      return [&, scratch = TransformerScratch()](std::size_t i) mutable {
        const Unit& unit = units[i];
        const auto some = std::span(lengths).subspan(unit.text, unit.texts);
        const float* states = encoder_.encode(std::span(tokens).subspan(unit.token, unit.tokens), {}, some, scratch);
        for (std::size_t text = 0; text < some.size(); states += some[text++] * dimension())
          pool(states, some[text], vectors.row(unit.text + text));
      };
    });
    return vectors;
  }

 private:
  /// Texts that go through the model side by side.
  struct Unit {
    std::size_t text, texts, token, tokens;
  };
  struct Name {
    std::once_flag once;
    std::string text;
  };

  BasicSentenceEncoder(const std::string& given, SentenceModel model, const SentenceEncoderOptions& options)
      : folder_(given),
        model_(std::move(model)),
        options_(options),
        words_(WordPiece::from_folder(model_.folder)),
        encoder_(open_model_file(model_.folder, "model.safetensors"), model_.config,
                 std::string(sentence_model_reader) + ": " + model_.folder + "/model.safetensors", options.threads, best_isa(),
                 options.precision),
        name_(std::make_unique<Name>()) {
    if (words_.size() > model_.config.vocabulary)
      throw Error(Errc::invalid_format, "MiniLmEmbedder: " + model_.folder + "/vocab.txt: at most " +
                                            std::to_string(model_.config.vocabulary) + " words wanted by config.json, " +
                                            std::to_string(words_.size()) + " given");
    if (options.max_tokens == 0) return;
    if (options.max_tokens < 3 || options.max_tokens > model_.config.positions)
      throw Error(Errc::invalid_argument, "MiniLmEmbedder: max_tokens from 3 to " + std::to_string(model_.config.positions) +
                                              " wanted, " + std::to_string(options.max_tokens) + " given");
    model_.max_tokens = options.max_tokens;
  }

  /// About 256 tokens a unit, less where that leaves threads without work. A text's vector does not depend on it.
  std::vector<Unit> split(std::span<const std::size_t> lengths, std::size_t tokens) const {
    const std::size_t threads = options_.threads ? options_.threads : std::max(1u, std::thread::hardware_concurrency());
    const std::size_t most = std::min<std::size_t>(256, tokens / (2 * threads) + 1);
    std::vector<Unit> units;
    std::size_t token = 0;
    for (std::size_t text = 0; text < lengths.size(); token += lengths[text++]) {
      if (units.empty() || units.back().tokens + lengths[text] > most) units.push_back({text, 0, token, 0});
      ++units.back().texts;
      units.back().tokens += lengths[text];
    }
    return units;
  }

  void pool(const float* states, std::size_t tokens, std::span<float> vector) const {
    std::copy(states, states + vector.size(), vector.begin());
    if (model_.mean) {
      for (std::size_t token = 1; token < tokens; ++token)
        for (std::size_t i = 0; i < vector.size(); ++i) vector[i] += states[token * vector.size() + i];
      for (float& value : vector) value /= static_cast<float>(tokens);
    }
    double square = 0;
    for (const float value : vector) square += static_cast<double>(value) * static_cast<double>(value);
    // The table of words is not read at load, and finite weights can overflow.
    if (!std::isfinite(square)) throw Error(Errc::invalid_format, "MiniLmEmbedder: the weights of " + folder_ + " give a NaN or infinity");
    if (!model_.normalize || square == 0) return;
    const auto inverse = static_cast<float>(1 / std::sqrt(square));
    for (float& value : vector) value *= inverse;
  }

  std::string make_name() const {
    Fingerprint fingerprint;
    std::string_view weights = encoder_.file();
    while (!weights.empty()) {  // piece by piece given back to the system
      const std::string_view piece = weights.substr(0, 1 << 20);
      fingerprint.add(piece);
      encoder_.release(piece);
      weights.remove_prefix(piece.size());
    }
    for (const char* file : {"config.json", "vocab.txt"})
      fingerprint.add(open_model_file(model_.folder, file).bytes());
    fingerprint.add(read_model_json(model_.folder, "tokenizer_config.json", false).dump());
    fingerprint.add(model_.mean ? "mean" : "first");
    fingerprint.add(model_.normalize ? "normalize" : "");
    fingerprint.add(precision() == Precision::bf16 ? "bf16" : "");
    const std::size_t end = folder_.find_last_not_of('/') + 1, slash = folder_.rfind('/', end ? end - 1 : 0);
    const std::size_t begin = slash == std::string::npos ? 0 : slash + 1;
    return folder_.substr(begin, end - begin) + "-" + std::to_string(model_.max_tokens) + "-" + fingerprint.text();
  }

  std::string folder_;
  SentenceModel model_;
  SentenceEncoderOptions options_;
  WordPiece words_;
  Transformer encoder_;
  std::unique_ptr<Name> name_;
};
using SentenceEncoder = BasicSentenceEncoder<>;

}  // namespace detail
RAG_END
#endif
