// SPDX-License-Identifier: MIT
// fault: no member named 'search_above'
#include <rag/core.hpp>

#include <vector>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
  const std::vector<float> query(2);
#ifdef BREAK
  tenants.search_above(query, 0.5f);
#else
  alice.search_above(query, 0.5f);
#endif
}
