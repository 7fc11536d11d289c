// SPDX-License-Identifier: MIT
// fault: rag::StoreBm25: argument 1 is not a FileStore; use rag::Bm25 beside another store
#include <rag/core.hpp>

int main() {
#ifdef BREAK
  rag::StoreBm25 words{rag::FlatStore{}};
#else
  rag::StoreBm25 words{rag::FileStore{"notes.rag"}};
#endif
  return static_cast<int>(words.search("how is data stored", 1).size());
}
