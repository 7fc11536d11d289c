// SPDX-License-Identifier: MIT
// fault: rag::DenseRetriever: argument 2 is not a Store
#include <rag/core.hpp>

#include <utility>

int main() {
  rag::TenantStore tenants{rag::FlatStore{}};
  auto alice = tenants.of("alice");
#ifdef BREAK
  rag::DenseRetriever dense{rag::HashingEmbedder{}, std::move(tenants)};
#else
  rag::DenseRetriever dense{rag::HashingEmbedder{}, std::move(alice)};
#endif
}
