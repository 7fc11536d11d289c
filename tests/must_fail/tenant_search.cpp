// SPDX-License-Identifier: MIT
// fault: no member named 'search'
#include <rag/core.hpp>

#include <vector>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
  const std::vector<float> query(2);
#ifdef BREAK
  tenants.search(query, 1);
#else
  alice.search(query, 1);
#endif
}
