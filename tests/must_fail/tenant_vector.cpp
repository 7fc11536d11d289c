// SPDX-License-Identifier: MIT
// fault: no member named 'vector'
#include <rag/core.hpp>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
#ifdef BREAK
  tenants.vector(1);
#else
  alice.vector(1);
#endif
}
