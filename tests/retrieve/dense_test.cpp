// SPDX-License-Identifier: MIT
#include "laws/retriever.hpp"
#include "retrieve/toys.hpp"

#include <rag/retrieve/dense.hpp>

#include <doctest/doctest.h>

#include <string>
#include <type_traits>
#include <vector>

namespace {

using Replacing = rag::DenseRetriever<toys::LetterEmbedder, toys::ReplacingPlainStore>;
using Plain = rag::DenseRetriever<toys::LetterEmbedder, toys::PlainStore>;
static_assert(rag::ReplacingRetriever<Replacing>);
static_assert(rag::Retriever<Plain> && !rag::ReplacingRetriever<Plain>);
static_assert(!rag::TokenCounter<Plain>);

/// Gives one row too few.
struct LazyEmbedder : toys::LetterEmbedder {
  rag::Matrix embed(std::span<const std::string_view> texts) const {
    return toys::LetterEmbedder::embed(texts.subspan(std::min<std::size_t>(1, texts.size())));
  }
};

/// Has no dimension before its first text, and reads three tokens of one letter.
struct LateEmbedder : toys::LetterEmbedder {
  std::size_t dimension() const { return 0; }
  std::size_t count_tokens(std::string_view text) const { return text.size(); }
  std::size_t max_tokens() const { return 3; }
};
static_assert(rag::TokenCounter<rag::DenseRetriever<LateEmbedder, toys::PlainStore>>);

/// Questions go another way.
struct AskingEmbedder : toys::LetterEmbedder {
  std::vector<float> embed_query(std::string_view) const {
    std::vector<float> row(26);
    row[25] = 1;
    return row;
  }
};

template <class F>
std::string error_of(rag::Errc code, F f) {
  try {
    f();
  } catch (const rag::Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  return "no error";
}

}  // namespace

TEST_CASE("DenseRetriever keeps the laws of a Retriever, with replace() where the store has it") {
  laws::check_retriever([] { return Replacing{{}, {}}; });
  laws::check_retriever([] { return Plain{{}, {}}; });
}

TEST_CASE("DenseRetriever refuses a store of another dimension when both are known, with both numbers") {
  toys::PlainStore store;
  store.columns = 768;

  const std::string text = error_of(rag::Errc::dimension_mismatch, [&] {
    rag::DenseRetriever{toys::LetterEmbedder{}, store};
  });

  CHECK(text == "DenseRetriever: the store has 768 columns, the embedder gives 26");
}

TEST_CASE("DenseRetriever refuses vectors of another dimension when the embedder did not say it before") {
  toys::PlainStore store;
  store.columns = 768;
  rag::DenseRetriever dense{LateEmbedder{}, store};
  const rag::Chunk chunk{"text", "a", 0, 4};

  const auto add = [&] { dense.add({&chunk, 1}); };

  CHECK(error_of(rag::Errc::dimension_mismatch, add) ==
        "DenseRetriever: the store has 768 columns, the embedder gives 26");
  CHECK(dense.store().size() == 0);
}

TEST_CASE("DenseRetriever refuses an embedder that forgets a row") {
  rag::DenseRetriever dense{LazyEmbedder{}, toys::ReplacingPlainStore{}};
  const rag::Chunk chunks[] = {{"one", "a", 0, 3}, {"two", "a", 4, 7}};

  CHECK(error_of(rag::Errc::invalid_argument, [&] { dense.add(chunks); }) ==
        "DenseRetriever::add: 2 rows wanted from the embedder, 1 given");
  CHECK(error_of(rag::Errc::invalid_argument, [&] { dense.replace("a", chunks); }) ==
        "DenseRetriever::replace: 2 rows wanted from the embedder, 1 given");
  CHECK(dense.store().size() == 0);
}

TEST_CASE("DenseRetriever embeds a question by embed_query() where there is one") {
  rag::DenseRetriever dense{AskingEmbedder{}, toys::PlainStore{}};
  const rag::Chunk chunks[] = {{"apple", "a", 0, 5}, {"zzz", "a", 6, 9}};
  dense.add(chunks);

  CHECK(dense.search("apple", 1).at(0).chunk.text == "zzz");
}

TEST_CASE("DenseRetriever counts tokens as its embedder does") {
  const rag::DenseRetriever dense{LateEmbedder{}, toys::PlainStore{}};

  CHECK(dense.count_tokens("abcd") == 4);
  CHECK(dense.max_tokens() == 3);
}
