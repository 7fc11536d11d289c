// SPDX-License-Identifier: MIT
// fault: no member named 'chunks'
#include <rag/core.hpp>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
#ifdef BREAK
  tenants.chunks("a.md");
#else
  alice.chunks("a.md");
#endif
}
