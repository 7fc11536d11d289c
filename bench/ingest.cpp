// SPDX-License-Identifier: MIT
// Our side of bench/ingest.py: makes a store hold what a folder of Markdown holds.
//   ingest FOLDER MODEL STORE fp32|bf16|int16    prints "added changed removed unchanged chunks"
// Chunks are of at most 1,000 characters, cut as the Python splitter cuts them.
#include <rag/chunk/recursive.hpp>
#include <rag/embed/sentence.hpp>
#include <rag/retrieve/dense.hpp>
#include <rag/store/file.hpp>
#include <rag/sync.hpp>

#include <cstdio>
#include <string_view>

int main(int count, char** argument) try {
  if (count != 5) throw rag::Error(rag::Errc::invalid_argument, "usage: ingest FOLDER MODEL STORE fp32|bf16|int16");
  const std::string_view name = argument[4];
  const auto precision = name == "int16" ? rag::Precision::int16 : name == "bf16" ? rag::Precision::bf16 : rag::Precision::fp32;
  rag::SentenceEmbedder embedder(argument[2], {.precision = precision});
  rag::FileStore store(argument[3], {.dimension = embedder.dimension(), .embedder = embedder.name()});
  rag::DenseRetriever retriever{std::move(embedder), std::move(store)};
  const rag::RecursiveChunker chunker{{.size = 1000, .separators = {"\n\n", "\n", " ", ""}, .stops_close = false}};
  const rag::SyncReport done = rag::sync_folder(chunker, retriever, argument[1], {.extensions = {".md"}});
  std::printf("%zu %zu %zu %zu %zu\n", done.added, done.changed, done.removed, done.unchanged,
              retriever.store().size());
} catch (const rag::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
