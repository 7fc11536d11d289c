// SPDX-License-Identifier: MIT
// fault: no member named 'erase'
#include <rag/core.hpp>

#include <vector>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
#ifdef BREAK
  tenants.erase(std::vector<rag::Id>{1});
#else
  alice.erase(std::vector<rag::Id>{1});
#endif
}
