// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_LAWS_EMBEDDER_HPP
#define RAG_TESTS_LAWS_EMBEDDER_HPP
#include <doctest/doctest.h>

#include <rag/concepts.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace laws {

/// Embeds `texts` and checks the shape: a row a text, dimension() columns, all finite.
template <rag::Embedder E>
rag::Matrix embed_checked(E& embedder, std::span<const std::string_view> texts) {
  const rag::Matrix vectors = embedder.embed(texts);
  CHECK(vectors.rows() == texts.size());
  if (!texts.empty()) CHECK(vectors.columns() == embedder.dimension());
  for (std::size_t i = 0; i < vectors.rows(); ++i) {
    CAPTURE(i);
    const auto row = vectors.row(i);
    CHECK(std::all_of(row.begin(), row.end(), [](float value) { return std::isfinite(value); }));
  }
  return vectors;
}

/// The sentences of TokenCounter.
template <rag::TokenCounter E>
void check_token_counter(const E& embedder) {
  CHECK(embedder.max_tokens() > 0);
  const std::size_t nothing = embedder.count_tokens("");
  CHECK(nothing <= embedder.max_tokens());
  std::string text;
  std::size_t before = nothing;
  for (int words = 1; words <= 8; ++words) {
    CAPTURE(words);
    text += "water ";
    const std::size_t count = embedder.count_tokens(text);
    CHECK(count > before);
    before = count;
  }
  CHECK(embedder.count_tokens(text) == before);
  while (text.size() < 8 * embedder.max_tokens()) text += "water ";
  CHECK(embedder.count_tokens(text) > embedder.max_tokens());  // counts what embed() cuts too
}

/// The sentences of Embedder, and of TokenCounter, NamedEmbedder and QueryEmbedder where it is one.
template <rag::Embedder E>
void check_embedder(E& embedder) {
  const std::string long_text = [] {
    std::string text;
    while (text.size() < 6000) text += "A sentence that is said once more. ";
    return text;
  }();
  const std::vector<std::string_view> texts = {
      "How is data stored in milvus?", "", "How is data stored in milvus", " \n\t", long_text, "water",
      "Wie groß ist das? 数据 存储 🙂", std::string_view("a\0b", 3), "water"};

  CHECK(embedder.dimension() > 0);
  CHECK(embedder.embed({}).rows() == 0);
  const rag::Matrix together = embed_checked(embedder, texts);

  for (std::size_t i = 0; i < texts.size(); ++i) {  // alone
    CAPTURE(i);
    const rag::Matrix alone = embed_checked(embedder, std::span(&texts[i], 1));
    CHECK(std::ranges::equal(alone.row(0), together.row(i)));
    const std::vector<float> query = rag::embed_query(embedder, texts[i]);
    CHECK(query.size() == embedder.dimension());
    if constexpr (!rag::QueryEmbedder<E>) CHECK(std::ranges::equal(query, together.row(i)));
  }

  std::vector<std::string_view> backwards(texts.rbegin(), texts.rend());  // in another order, beside others
  backwards.insert(backwards.begin() + 3, {"a neighbour", "and another one, longer than the first"});
  const rag::Matrix other = embed_checked(embedder, backwards);
  for (std::size_t i = 0; i < texts.size(); ++i) {
    CAPTURE(i);
    const auto at = static_cast<std::size_t>(std::find(backwards.begin(), backwards.end(), texts[i]) - backwards.begin());
    CHECK(std::ranges::equal(other.row(at), together.row(i)));
  }
  CHECK(!std::ranges::equal(together.row(0), together.row(5)));  // two texts that have nothing in common

  for (const std::string_view text : {"\xff\xfe\x80", "cut \xe6\x95", "\xed\xa0\x80 and on"}) {  // not UTF-8
    CAPTURE(text.size());
    try {
      embed_checked(embedder, std::span(&text, 1));
    } catch (const rag::Error& error) {
      CHECK(!std::string(error.what()).empty());  // refused, and said so
    }
  }

  if constexpr (rag::TokenCounter<E>) check_token_counter(embedder);
  if constexpr (rag::NamedEmbedder<E>) {
    const std::string name = embedder.name();
    CHECK(!name.empty());
    CHECK(embedder.name() == name);
  }
}

}  // namespace laws

#endif
