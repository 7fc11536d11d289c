// SPDX-License-Identifier: MIT
// fault: rag::field: a field is compared with a string, a number or a bool
#include <rag/core.hpp>

int main() {
#ifdef BREAK
  const rag::Filter filter = rag::field("grade") != nullptr;
#else
  const rag::Filter filter = !rag::field("grade").exists();
#endif
  return filter.keeps_everything();
}
