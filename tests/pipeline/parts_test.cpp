// SPDX-License-Identifier: MIT
#include <rag/core.hpp>

#include "laws.hpp"

#include <doctest/doctest.h>

#include <string>

TEST_CASE("the retrievers keep their laws over the library's own parts") {
  laws::check_retriever([] { return rag::DenseRetriever{rag::HashingEmbedder{}, rag::FlatStore{}}; });
  laws::check_retriever([] { return rag::DenseRetriever{rag::HashingEmbedder<64>{}, rag::FlatStore<64, rag::L2>{}}; });
  laws::check_retriever([] {
    return rag::Hybrid{rag::DenseRetriever{rag::HashingEmbedder{}, rag::FlatStore<1024, rag::Cosine>{}}, rag::Bm25{}};
  });
}

TEST_CASE("an updated document leaves nothing of the old one in either leg") {
  rag::Pipeline pipeline{rag::SeparatorChunker{"\n"},
                         rag::Hybrid{rag::DenseRetriever{rag::HashingEmbedder{}, rag::FlatStore{}}, rag::Bm25{}},
                         rag::ExtractiveLlm{}};
  pipeline.add({"a.txt", "The harbour opens at eight.\nThe museum opens at nine."});
  pipeline.add({"b.txt", "The market opens at six."});

  pipeline.add({"a.txt", "The harbour opens at ten."});

  CHECK(pipeline.retriever().first().store().size() == 2);
  CHECK(pipeline.retriever().second().size() == 2);
  for (const rag::Hit& hit : pipeline.search("When does the museum open?", 9)) {
    CAPTURE(hit.chunk.text);
    CHECK(hit.chunk.text.find("museum") == std::string::npos);
    CHECK(pipeline.retriever().first().store().find(hit.chunk.id)->text == hit.chunk.text);
  }
  CHECK(pipeline.ask("When does the harbour open?").text.starts_with("The harbour opens at ten. [1]"));
}
