// SPDX-License-Identifier: MIT
// fault: rag::field: a field is compared with a string, a number or a bool
#include <rag/core.hpp>

#include <vector>

int main() {
#ifdef BREAK
  const rag::Filter filter = rag::field("year") == std::vector<int>{2024};
#else
  const rag::Filter filter = rag::field("year").in(std::vector<int>{2024});
#endif
  return filter.keeps_everything();
}
