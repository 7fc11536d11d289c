// SPDX-License-Identifier: MIT
// fault: no member named 'add'
#include <rag/core.hpp>

#include <vector>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
  const std::vector<rag::Chunk> chunks = {{"text", "a.md", 0, 4}};
#ifdef BREAK
  tenants.add(chunks, rag::Matrix(1, 2));
#else
  alice.add(chunks, rag::Matrix(1, 2));
#endif
}
