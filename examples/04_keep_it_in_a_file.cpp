// SPDX-License-Identifier: MIT
// 4. A store of its own: metadata, filters, updates, and one checked file on disk.
#include <rag/core.hpp>

#include <cstdio>
#include <iostream>

int main() {
  rag::HashingEmbedder embedder;
  rag::DenseRetriever retriever{embedder, rag::FlatStore{}};
  rag::Pipeline notes{rag::SeparatorChunker{"\n"}, retriever, rag::EchoLlm{}};

  notes.add({"2023.txt", "The roof was repaired.\nThe garden got a fence.", {{"year", 2023}}});
  notes.add({"2024.txt", "The roof got solar panels.", {{"year", 2024}}});
  notes.add({"2024.txt", "The roof got solar panels and a gutter.", {{"year", 2024}}});  // replaces the page

  const char* path = "notes.rag";
  notes.retriever().store().save(path);
  auto store = rag::FlatStore<>::load(path);
  std::remove(path);
  std::cout << store.size() << " chunks of " << store.dimension() << " dimensions\n";

  const rag::Filter recent = rag::field("year") >= 2024;
  for (const auto& [chunk, score] : store.search(rag::embed_query(embedder, "the roof"), 5, recent))
    std::cout << "id " << chunk.id << ", " << chunk.source << ": " << chunk.text << '\n';
}
