// SPDX-License-Identifier: MIT
// fault: no member named 'upsert'
#include <rag/core.hpp>

#include <vector>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
  const std::vector<rag::Chunk> chunks = {{"text", "a.md", 0, 4, {}, 7}};
#ifdef BREAK
  tenants.upsert(chunks, rag::Matrix(1, 2));
#else
  alice.upsert(chunks, rag::Matrix(1, 2));
#endif
}
