// SPDX-License-Identifier: MIT
#include <rag/concepts.hpp>
#include <rag/embed/hashing.hpp>

#include "laws/embedder.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

static_assert(rag::NamedEmbedder<rag::HashingEmbedder<>>);
static_assert(rag::static_dimension<rag::HashingEmbedder<>> == 1024);
static_assert(rag::static_dimension<rag::HashingEmbedder<64>> == 64);
static_assert(!rag::QueryEmbedder<rag::HashingEmbedder<>>);
static_assert(!rag::TokenCounter<rag::HashingEmbedder<>>);  // it reads all of a text

namespace {

rag::Matrix embed(std::vector<std::string_view> texts) { return rag::HashingEmbedder{}.embed(texts); }

double cosine(std::string_view a, std::string_view b) {
  const rag::Matrix vectors = embed({a, b});
  double sum = 0;
  for (std::size_t j = 0; j < vectors.columns(); ++j)
    sum += static_cast<double>(vectors.row(0)[j]) * static_cast<double>(vectors.row(1)[j]);
  return sum;
}

}  // namespace

TEST_CASE("HashingEmbedder obeys the laws of an Embedder") {
  rag::HashingEmbedder embedder;
  laws::check_embedder(embedder);
}

TEST_CASE("texts that share words or parts of words are near, others are not") {
  CHECK(cosine("How is data stored?", "how IS DATA stored") == doctest::Approx(1));
  CHECK(cosine("the storage of vectors", "a vector storage") > 0.9);  // stop words and the plural s aside
  CHECK(cosine("indexing", "indexed") > 0.2);
  CHECK(std::abs(cosine("car", "automobile")) < 0.15);
  CHECK(cosine("Straße", "STRASSE") > 0.2);
  CHECK(cosine("数据库存储", "存储数据库") > 0.3);
}

TEST_CASE("a row has length 1; a text without words is a zero row") {
  const rag::Matrix vectors = embed({"a text of words", "", " .,!", "the of", "\xFF\xFE broken"});

  for (const std::size_t i : {0u, 3u, 4u}) {
    CAPTURE(i);
    double sum = 0;
    for (const float value : vectors.row(i)) sum += static_cast<double>(value) * static_cast<double>(value);
    CHECK(sum == doctest::Approx(1));
  }
  for (const std::size_t i : {1u, 2u})
    for (const float value : vectors.row(i)) CHECK(value == 0.0f);
}

TEST_CASE("version 1 of the vectors never changes") {
  std::uint64_t sum = 0;
  const rag::Matrix vectors = embed({"How is data stored in Milvus?", "Größe 数据 naïve x1"});
  for (std::size_t i = 0; i < vectors.rows(); ++i)
    for (const float value : vectors.row(i)) sum = sum * 31 + std::bit_cast<std::uint32_t>(value);

  CHECK(sum == 10421377182843427254u);
  CHECK(rag::HashingEmbedder{}.name() == "hashing-1024-v1");
  CHECK(rag::HashingEmbedder<16>{}.name() == "hashing-16-v1");
}
