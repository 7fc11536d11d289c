// SPDX-License-Identifier: MIT
// fault: rag::BasicBm25: argument 1 does not call visit(std::string_view word, bool stop) for a text's words
#include <rag/retrieve/bm25.hpp>

#include <string>
#include <string_view>
#include <vector>

struct Words {
#ifdef BREAK
  std::vector<std::string> operator()(std::string_view text) const { return {std::string(text)}; }
#else
  template <class Visit>
  void operator()(std::string_view text, Visit&& visit) const {
    visit(text, false);
  }
#endif
};

int main() {
  const rag::BasicBm25<Words> index;
  return sizeof(index) == 0;
}
