// SPDX-License-Identifier: MIT
// A text, a tokenizer_config.json and a tokenizer.json of any kind.
#include "fuzz.hpp"
#include "tokens.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Folder folder;
  fuzz::Parts parts(data, size);
  const std::string_view text = parts.next();
  for (const char* name : {"tokenizer_config.json", "tokenizer.json"}) folder.write(name, parts.next());
  return fuzz::read_or_refuse(
      [&] { fuzz::check_tokens(rag::detail::Tokenizer::from_folder(folder.path(), "fuzz"), text); });
}
