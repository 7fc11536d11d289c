// SPDX-License-Identifier: MIT
// fault: rag::field: a field is compared with a string, a number or a bool
#include <rag/core.hpp>

const int year = 2024;

int main() {
#ifdef BREAK
  const rag::Filter filter = rag::field("year") >= &year;
#else
  const rag::Filter filter = rag::field("year") >= year;
#endif
  return filter.keeps_everything();
}
