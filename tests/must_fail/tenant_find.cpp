// SPDX-License-Identifier: MIT
// fault: no member named 'find'
#include <rag/core.hpp>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
#ifdef BREAK
  tenants.find(1);
#else
  alice.find(1);
#endif
}
