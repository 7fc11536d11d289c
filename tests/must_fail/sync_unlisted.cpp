// SPDX-License-Identifier: MIT
// fault: rag::sync_folder: no part of the retriever is a ListingStore
#include <rag/core.hpp>

#include <span>
#include <string_view>
#include <vector>

struct Plain {
  std::vector<rag::Id> add(std::span<const rag::Chunk>) { return {}; }
  std::vector<rag::Hit> search(std::string_view, std::size_t) { return {}; }
  std::vector<rag::Id> replace(std::string_view, std::span<const rag::Chunk>) { return {}; }
  std::vector<rag::Chunk> chunks(std::string_view) { return {}; }
#ifndef BREAK
  std::vector<rag::Chunk> chunks(const rag::Filter&) const { return {}; }
#endif
};

int main() {
  Plain plain;
  return rag::sync_folder(rag::SeparatorChunker{"# "}, plain, "docs").skipped.empty();
}
