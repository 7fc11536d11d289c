// SPDX-License-Identifier: MIT
// fault: no member named 'replace'
#include <rag/core.hpp>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
#ifdef BREAK
  tenants.replace("a.md", {}, rag::Matrix());
#else
  alice.replace("a.md", {}, rag::Matrix());
#endif
}
