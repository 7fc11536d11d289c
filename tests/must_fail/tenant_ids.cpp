// SPDX-License-Identifier: MIT
// fault: no member named 'ids'
#include <rag/core.hpp>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
#ifdef BREAK
  tenants.ids();
#else
  alice.ids();
#endif
}
