// SPDX-License-Identifier: MIT
#ifndef EVALUATE_EMBEDDERS_HPP
#define EVALUATE_EMBEDDERS_HPP
#include "options.hpp"
#include "tiktoken.hpp"

#include <rag/chunk/recursive.hpp>
#include <rag/embed/cached.hpp>
#include <rag/embed/hashing.hpp>
#include <rag/embed/model_folder.hpp>
#include <rag/embed/sentence.hpp>

#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

using Length = std::function<std::size_t(std::string_view)>;

/// The embedder that an option names, behind one type.
struct AnyEmbedder {
  std::function<rag::Matrix(std::span<const std::string_view>)> embed_texts = {};
  std::function<std::vector<float>(std::string_view)> embed_question = {};
  Length tokens = {};  // empty: it counts none
  std::size_t columns = 0;

  std::size_t dimension() const { return columns; }
  rag::Matrix embed(std::span<const std::string_view> texts) const { return embed_texts(texts); }
  std::vector<float> embed_query(std::string_view text) const { return embed_question(text); }
};

template <class Embedder>
AnyEmbedder any(Embedder embedder) {
  const auto kept = std::make_shared<Embedder>(std::move(embedder));
  AnyEmbedder any;
  any.embed_texts = [kept](std::span<const std::string_view> texts) { return kept->embed(texts); };
  any.embed_question = [kept](std::string_view text) { return rag::embed_query(*kept, text); };
  any.columns = kept->dimension();
  if constexpr (rag::TokenCounter<Embedder>)
    any.tokens = [kept](std::string_view text) { return kept->count_tokens(text); };
  return any;
}

inline AnyEmbedder make_embedder(const Options& options) {
  if (options.embedder.empty()) return {};
  if (options.embedder == "hashing") return any(rag::HashingEmbedder{});
  rag::SentenceEmbedder model(rag::model_folder(options.embedder == "minilm" ? "all-MiniLM-L6-v2" : options.embedder));
  if (options.cache.empty()) return any(std::move(model));
  return any(rag::CachedEmbedder{std::move(model), options.cache});
}

inline Length make_length(const Options& options, const AnyEmbedder& embedder) {
  if (options.unit == "characters") return rag::CodePointLength{};
  if (options.unit == "tokens") return embedder.tokens;
  const auto counter = std::make_shared<const TokenCounter>(options.unit);
  return [counter](std::string_view text) { return (*counter)(text); };
}

#endif
