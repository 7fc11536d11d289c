// SPDX-License-Identifier: MIT
// A text, a tokenizer_config.json and a vocab.txt: the ids of the text are those of words that are there.
#include <rag/detail/wordpiece_folder.hpp>

#include "fuzz.hpp"

#include <cstdlib>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Folder folder;
  fuzz::Parts parts(data, size);
  const std::string_view text = parts.next();
  folder.write("tokenizer_config.json", parts.next());
  folder.write("vocab.txt", parts.next());
  return fuzz::read_or_refuse([&] {
    const rag::detail::WordPiece words = rag::detail::WordPiece::from_folder(folder.path());
    const auto ids = words.encode(text);
    for (const std::int32_t id : ids)
      if (id < 0 || static_cast<std::size_t>(id) >= words.size()) std::abort();
    if (words.count(text) != ids.size()) std::abort();
  });
}
