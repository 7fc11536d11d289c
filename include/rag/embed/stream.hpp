// SPDX-License-Identifier: MIT
#ifndef RAG_EMBED_STREAM_HPP
#define RAG_EMBED_STREAM_HPP
#include <rag/concepts.hpp>
#include <rag/error.hpp>

#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

/// Embeds more texts than fit in memory: calls next() until it gives nothing, embeds `batch` texts at a time and hands
/// each batch with its vectors to sink(texts, vectors), row i for texts[i]. Gives the number of texts. Memory: one batch.
/// What next, sink or the embedder throw ends it; the batches before were handed out.
///
///     std::ifstream lines("corpus.txt");
///     rag::embed_stream(embedder,
///                       [&]() -> std::optional<std::string> {
///                         std::string line;
///                         return std::getline(lines, line) ? std::optional(line) : std::nullopt;
///                       },
///                       [&](std::span<const std::string> texts, const rag::Matrix& vectors) { … });
template <Embedder E, class Next, class Sink>
  requires std::same_as<std::invoke_result_t<Next&>, std::optional<std::string>> &&
           std::invocable<Sink&, std::span<const std::string>, const Matrix&>
std::size_t embed_stream(E& embedder, Next&& next, Sink&& sink, std::size_t batch = 256) {
  if (batch == 0) throw Error(Errc::invalid_argument, "embed_stream: a batch of at least 1 text wanted, 0 given");
  std::size_t total = 0;
  std::vector<std::string> texts;
  std::vector<std::string_view> views;
  for (bool more = true; more;) {
    texts.clear();
    while (texts.size() < batch) {
      std::optional<std::string> text = next();
      if (!text) {
        more = false;
        break;
      }
      texts.push_back(std::move(*text));
    }
    if (texts.empty()) break;
    views.assign(texts.begin(), texts.end());
    const Matrix vectors = embedder.embed(views);
    if (vectors.rows() != texts.size())
      throw Error(Errc::invalid_argument, "embed_stream: " + std::to_string(texts.size()) + " rows wanted from embed(), " +
                                              std::to_string(vectors.rows()) + " given");
    sink(std::span<const std::string>(texts), vectors);
    total += texts.size();
  }
  return total;
}

RAG_END
#endif
