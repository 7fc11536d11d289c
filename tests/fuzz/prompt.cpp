// SPDX-License-Identifier: MIT
// A way of quoting, a question, and sources and texts of hits. The prompt holds exactly these blocks, by the library's
// reader and by another; also when the last hit quotes the prompt of the others.
#include <rag/prompt/qa.hpp>

#include "../prompt/blocks.hpp"
#include "fuzz.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Parts parts(data, size);
  const std::string_view head = parts.next();
  const unsigned which = head.empty() ? 0 : static_cast<unsigned char>(head[0]) % 3;
  const rag::QaPrompter prompter{{.quoting = static_cast<rag::Quoting>(which)}};
  const std::string question(parts.next());
  std::vector<rag::Hit> hits;
  while (!parts.rest().empty() && hits.size() < 6) {
    const std::string source(parts.next()), text(parts.next());
    hits.push_back({{text, source, 0, text.size()}, 1.0f});
  }
  const std::vector<rag::Message> clean = prompter.prompt("?", {});
  std::string earlier;
  for (int i = 0; i < 2; ++i) {
    const std::vector<rag::Message> messages = prompter.prompt(question, hits);
    if (const std::string fault = blocks::fault_of(messages, question, hits, clean); !fault.empty()) {
      std::fprintf(stderr, "%s\n", fault.c_str());
      std::abort();
    }
    earlier = messages.back().content;
    hits.push_back({{earlier, earlier, 0, earlier.size()}, 1.0f});
  }
  return 0;
}
