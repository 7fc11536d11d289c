// SPDX-License-Identifier: MIT
// A text, a config.json that says whose model it is, and the bytes of a SentencePiece model.
#include "fuzz.hpp"
#include "tokens.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Folder folder;
  fuzz::Parts parts(data, size);
  const std::string_view text = parts.next();
  for (const char* name : {"config.json", "tokenizer_config.json"}) folder.write(name, parts.next());
  folder.write("spiece.model", parts.rest());
  return fuzz::read_or_refuse(
      [&] { fuzz::check_tokens(rag::detail::Tokenizer::from_folder(folder.path(), "fuzz"), text); });
}
