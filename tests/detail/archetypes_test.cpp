// SPDX-License-Identifier: MIT
#include <rag/detail/archetypes.hpp>

#include <doctest/doctest.h>

static_assert(rag::Chunker<rag::detail::ChunkerArchetype>);
static_assert(rag::Embedder<rag::detail::EmbedderArchetype>);
static_assert(rag::Store<rag::detail::StoreArchetype>);
static_assert(rag::Retriever<rag::detail::RetrieverArchetype>);
static_assert(rag::ReplacingRetriever<rag::detail::ReplacingRetrieverArchetype>);
static_assert(rag::Prompter<rag::detail::PrompterArchetype>);
static_assert(rag::Llm<rag::detail::LlmArchetype>);

TEST_CASE("archetypes are made from anything") {
  CHECK(rag::detail::ChunkerArchetype(1, "two").chunk({"a", "b"}).empty());
  CHECK(rag::detail::RetrieverArchetype(3.0).search("question", 3).empty());
}
