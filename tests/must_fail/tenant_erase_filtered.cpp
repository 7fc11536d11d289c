// SPDX-License-Identifier: MIT
// fault: no member named 'erase'
#include <rag/core.hpp>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
#ifdef BREAK
  tenants.erase(rag::source() == "a.md");
#else
  alice.erase(rag::source() == "a.md");
#endif
}
