// SPDX-License-Identifier: MIT
// fault: rag::sync_folder: the loader is not a Loader
#include <rag/core.hpp>

int main() {
  rag::Pipeline pipeline{rag::SeparatorChunker{"# "}, rag::Bm25{}, rag::EchoLlm{}};
#ifdef BREAK
  const auto report = rag::sync_folder(pipeline, "docs", {}, rag::SeparatorChunker{"# "});
#else
  const auto report = rag::sync_folder(pipeline, "docs", {}, rag::TextLoader{});
#endif
  return report.skipped.empty();
}
