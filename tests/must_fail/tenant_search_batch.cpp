// SPDX-License-Identifier: MIT
// fault: no member named 'search'
#include <rag/core.hpp>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
#ifdef BREAK
  tenants.search(rag::Matrix(3, 2), 1);
#else
  alice.search(rag::Matrix(3, 2), 1);
#endif
}
