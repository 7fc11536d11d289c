// SPDX-License-Identifier: MIT
// fault: rag::MergeNeighbours: argument 1 is not a function std::string(std::string_view source
#include <rag/core.hpp>

#include <cstddef>
#include <string>
#include <string_view>

#ifdef BREAK
using Text = std::string_view;
#else
using Text = std::string;
#endif

int main() {
  const std::string text = "# One\n# Two";
  const auto read = [&](std::string_view, std::size_t begin, std::size_t end) { return Text(text).substr(begin, end - begin); };
  rag::Refined retriever{rag::Bm25{}, rag::MergeNeighbours{read, {.gap = 4}}};
  retriever.add(rag::SeparatorChunker{"# "}.chunk({"a.md", text}));
  return retriever.search("one", 1).empty();
}
