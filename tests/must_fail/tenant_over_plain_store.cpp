// SPDX-License-Identifier: MIT
// fault: rag::TenantStore: argument 1 is not a Store that searches with a rag::Filter
#include <rag/core.hpp>

#include <cstddef>
#include <span>
#include <vector>

struct OneStore {
  std::vector<rag::Id> add(std::span<const rag::Chunk> added, const rag::Matrix&) {
    return std::vector<rag::Id>(added.size());
  }
#ifdef BREAK
  std::vector<rag::Hit> search(std::span<const float>, std::size_t) const { return {}; }
#else
  std::vector<rag::Hit> search(std::span<const float>, std::size_t, const rag::Filter& = {}) const { return {}; }
#endif
  std::vector<rag::Id> ids(const rag::Filter&) const { return {}; }
  std::size_t size() const { return 0; }
  std::size_t dimension() const { return 0; }
};

int main() {
  rag::TenantStore<OneStore> tenants;
  return static_cast<int>(tenants.of("alice").size());
}
