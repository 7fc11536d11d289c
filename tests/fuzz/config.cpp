// SPDX-License-Identifier: MIT
// The small JSON files of a model folder: modules, config, pooling, lengths, tokenizer's config, prompts, dense.
#include <rag/detail/sentence_model.hpp>

#include "fuzz.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Folder folder{"1_Pooling", "2_Dense"};
  fuzz::Parts parts(data, size);
  for (const char* name : {"modules.json", "config.json", "1_Pooling/config.json", "sentence_bert_config.json",
                           "tokenizer_config.json", "config_sentence_transformers.json", "2_Dense/config.json"})
    folder.write(name, parts.next());
  return fuzz::read_or_refuse([&] {
    const rag::detail::SentenceModel model = rag::detail::read_sentence_model(folder.path());
    if (model.max_tokens < 3 || model.max_tokens > model.config.positions) std::abort();
  });
}
