// SPDX-License-Identifier: MIT
#ifndef RAG_EMBED_OPENAI_HPP
#define RAG_EMBED_OPENAI_HPP
#include <rag/detail/base64.hpp>
#include <rag/net/batches.hpp>
#include <rag/net/openai_api.hpp>
#include <rag/net/openai_services.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

struct OpenAiEmbedderOptions {
  std::string base_url = "https://api.openai.com/v1";
  std::string model = "text-embedding-3-small";
  std::string api_key = {};
  std::size_t dimension = 0;  ///< columns, checked on every vector; 0: learned from the first answer
  bool shorten = false;       ///< asks the service for vectors of that dimension, where its model can shorten them
  std::size_t batch = 64;     ///< texts a request, 1 to 2048; fewer where they have more than 300,000 bytes
};

/// The embeddings of a service whose chat is known by a preset:
/// `rag::OpenAiEmbedder{rag::embeddings_of(rag::ollama(), "all-minilm"), rag::HttpsTransport{}}`.
RAG_LAZY OpenAiEmbedderOptions embeddings_of(const OpenAiOptions& service, std::string model) {
  return {service.base_url, std::move(model), service.api_key};
}

namespace detail {

/// One embedding as services send it: a flat list of numbers, or base64 of little-endian floats, told apart by
/// the JSON type. False if it is neither, or holds what is not a finite number.
RAG_LAZY bool read_embedding(const Json& embedding, std::vector<float>& vector) {
  vector.clear();
  if (const std::string* text = embedding.get_ptr<const std::string*>()) {
    const std::optional<std::string> bytes = decode_base64(*text);
    if (!bytes || bytes->size() % 4 != 0) return false;
    const auto byte = [&](std::size_t i) { return std::uint32_t{static_cast<unsigned char>((*bytes)[i])}; };
    for (std::size_t i = 0; i < bytes->size(); i += 4)
      vector.push_back(std::bit_cast<float>(byte(i) | byte(i + 1) << 8 | byte(i + 2) << 16 | byte(i + 3) << 24));
  } else if (embedding.is_array()) {
    for (const Json& number : embedding) {
      if (!number.is_number()) return false;
      vector.push_back(number.get<float>());
    }
  }
  return !vector.empty() && std::all_of(vector.begin(), vector.end(), [](float x) { return std::isfinite(x); });
}

}  // namespace detail

/// Vectors from any service that speaks the OpenAI protocol (POST {base_url}/embeddings). An empty text is sent as
/// one space, since most services refuse an empty one. A batch that the service finds too large is sent in halves; where
/// one text is, the Error names it. Errors of the service as with OpenAiLlm; vectors of another dimension than stated or
/// learned are a dimension_mismatch. May be called from several threads if the transport may.
RAG_LAZY class BasicOpenAiEmbedder {
 public:
  BasicOpenAiEmbedder(OpenAiEmbedderOptions options, AnyTransport transport)
      : api_("OpenAiEmbedder", options.base_url, "/embeddings", std::move(options.api_key), std::move(transport)),
        model_(std::move(options.model)), batch_(options.batch), dimension_(options.dimension),
        asked_dimension_(options.shorten ? options.dimension : 0) {
    const auto refuse = [](const char* text) {
      throw Error(Errc::invalid_argument, std::string("OpenAiEmbedder: ") + text);
    };
    if (model_.empty()) refuse("the name of a model wanted, none given");
    if (batch_ == 0 || batch_ > 2048) refuse("a batch of 1 to 2048 texts wanted");
    if (options.shorten && options.dimension == 0) refuse("a dimension to shorten to wanted, 0 given");
  }

  Matrix embed(std::span<const std::string_view> texts) const {
    for (std::size_t i = 0; i < texts.size(); ++i)
      if (detail::invalid_utf8(texts[i]) != std::string_view::npos)
        throw Error(Errc::invalid_format, "OpenAiEmbedder::embed: text " + std::to_string(i) + " is not valid UTF-8");
    Matrix vectors(0, known_dimension());
    detail::ask_in_batches(texts, batch_, [&](std::size_t begin, std::size_t end) {
      embed_batch(texts.subspan(begin, end - begin), begin, texts.size(), vectors);
    });
    return vectors;
  }

  /// Embeds one word to learn it, where it was not stated and nothing was embedded yet.
  std::size_t dimension() const {
    if (known_dimension() == 0) {
      const std::string_view word = "dimension";
      embed({&word, 1});
    }
    return known_dimension();
  }

  /// Host and model, and the dimension where the service was asked to shorten.
  std::string name() const {
    return api_.host() + '/' + model_ + (asked_dimension_ ? '/' + std::to_string(asked_dimension_) : std::string());
  }

 private:
  void embed_batch(std::span<const std::string_view> texts, std::size_t first, std::size_t all, Matrix& vectors) const {
    detail::Json body{{"model", model_}, {"input", detail::Json::array()}};
    for (const std::string_view text : texts) body["input"].push_back(text.empty() ? " " : text);
    if (asked_dimension_) body["dimensions"] = asked_dimension_;
    const detail::Json answer = api_.parse(api_.send(body).body);
    const detail::Json& data = detail::member(answer, "data");
    if (!data.is_array() || data.size() != texts.size())
      api_.fail(Errc::invalid_format, "sent " + std::to_string(data.is_array() ? data.size() : 0) + " vectors for " +
                                          std::to_string(texts.size()) + " texts");
    std::vector<bool> seen(texts.size());
    std::vector<float> vector;
    for (const detail::Json& item : data) {
      const std::size_t index = api_.index_of(item, seen, "vector");
      if (!detail::read_embedding(detail::member(item, "embedding"), vector))
        api_.fail(Errc::invalid_format, "sent for text " + std::to_string(first + index) +
                                            " what is not a flat list of finite numbers");
      learn(vector.size());
      if (vectors.rows() == 0) vectors = Matrix(all, vector.size());
      std::copy(vector.begin(), vector.end(), vectors.row(first + index).begin());
    }
  }

  std::size_t known_dimension() const { return std::atomic_ref(dimension_).load(); }

  void learn(std::size_t columns) const {
    std::size_t known = 0;
    if (std::atomic_ref(dimension_).compare_exchange_strong(known, columns) || known == columns) return;
    api_.fail(Errc::dimension_mismatch,
              "sent " + std::to_string(columns) + " columns, " + std::to_string(known) + " wanted");
  }

  detail::OpenAiApi api_;
  std::string model_;
  std::size_t batch_;
  mutable std::size_t dimension_;  // 0: not known yet
  std::size_t asked_dimension_;
};
using OpenAiEmbedder = BasicOpenAiEmbedder<>;

RAG_END
#endif
