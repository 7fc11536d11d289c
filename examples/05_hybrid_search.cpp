// SPDX-License-Identifier: MIT
// 5. Two ways to search, one ranking: vectors and words, joined by how far each hit stands above the rest.
#include <rag/core.hpp>

#include <iostream>

int main() {
  const rag::Folder folder = rag::read_directory("examples/data", {.extensions = {".md"}});

  // With a model folder at hand, put rag::MiniLmEmbedder{"…/all-MiniLM-L6-v2"} in the place of the hashing.
  rag::Pipeline library{rag::RecursiveChunker{{.size = 300, .overlap = 0}},
                        rag::Hybrid{rag::DenseRetriever{rag::HashingEmbedder{}, rag::FlatStore{}}, rag::Bm25{}},
                        rag::ExtractiveLlm{}};
  library.add(folder.documents);

  for (const char* question : {"Where can I print?", "What does a new card cost?"}) {
    const rag::Answer answer = library.ask(question);
    std::cout << question << '\n' << answer.text << "\n\n";
  }
}
