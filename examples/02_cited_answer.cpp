// SPDX-License-Identifier: MIT
// 2. A folder of documents, and an answer whose marks lead back to exact bytes of a file.
#include <rag/core.hpp>

#include <iostream>

int main() {
  const rag::Folder folder = rag::read_directory("examples/data", {.extensions = {".md"}});
  for (const auto& skipped : folder.skipped) std::cerr << "skipped " << skipped.path << ": " << skipped.reason << '\n';

  // Without a model of meaning, ranking by words (BM25) is the best there is. The ExtractiveLlm answers with
  // sentences of the passages it was given; it needs no service.
  rag::Pipeline library{rag::MarkdownChunker{}, rag::Bm25{}, rag::ExtractiveLlm{}};
  const rag::Added added = library.add(folder.documents, rag::ProgressBar("Indexing"));
  std::cout << added.documents << " documents, " << added.chunks << " chunks\n\n";

  const rag::Answer answer = library.ask("What happens when a book is late?");
  std::cout << answer.text << "\n\n";
  for (const std::size_t number : answer.cited) {
    const rag::Chunk& chunk = answer.sources[number - 1].chunk;
    std::cout << '[' << number << "] " << chunk.source << ", bytes " << chunk.begin << " to " << chunk.end << '\n';
  }
}
