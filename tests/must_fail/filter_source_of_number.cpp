// SPDX-License-Identifier: MIT
// fault: rag::source: a source is compared with a string
#include <rag/core.hpp>

int main() {
#ifdef BREAK
  const rag::Filter filter = rag::source() == 7;
#else
  const rag::Filter filter = rag::source() == "7";
#endif
  return filter.keeps_everything();
}
