// SPDX-License-Identifier: MIT
// A whole model folder, from its files to the vector of a text. The weights' header is made up too; their floats are not.
#include <rag/embed/minilm.hpp>

#include "fuzz.hpp"

#include <cmath>
#include <cstdlib>
#include <string>

namespace {

std::string floats(std::size_t count) {
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i) {
    const float value = static_cast<float>(i * 37 % 101) / 101.0f - 0.4f;
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return bytes;
}

std::string with_length(std::string_view header) {
  std::string bytes;
  for (int shift = 0; shift < 64; shift += 8) bytes += static_cast<char>(header.size() >> shift & 0xFF);
  return bytes.append(header);
}

/// Where the last tensor ends, so that a header that fits itself is met by as many floats.
std::size_t end_of_tensors(std::string_view header) {
  constexpr std::size_t most = 1 << 16;
  const std::size_t close = header.rfind(']'), comma = header.rfind(',', close);
  if (close == std::string_view::npos || comma == std::string_view::npos) return 0;
  return std::min<std::size_t>(most, std::strtoul(std::string(header.substr(comma + 1, 9)).c_str(), nullptr, 10));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::Folder folder{"1_Pooling", "2_Dense"};
  fuzz::Parts parts(data, size);
  const std::string_view text = parts.next();
  for (const char* name : {"modules.json", "config.json", "1_Pooling/config.json", "sentence_bert_config.json",
                           "tokenizer_config.json", "config_sentence_transformers.json", "2_Dense/config.json", "vocab.txt"})
    folder.write(name, parts.next());
  for (const char* name : {"model.safetensors", "2_Dense/model.safetensors"}) {
    const std::string_view header = parts.next();
    folder.write(name, header.empty() ? "" : with_length(header) + floats(end_of_tensors(header) / 4));
  }
  return fuzz::read_or_refuse([&] {
    const rag::MiniLmEmbedder embedder(folder.path(), {.threads = 1});
    const std::string_view texts[] = {text, ""};
    const rag::Matrix vectors = embedder.embed(texts);
    if (vectors.rows() != 2 || vectors.columns() != embedder.dimension()) std::abort();
    for (std::size_t row = 0; row < 2; ++row)
      for (const float value : vectors.row(row))
        if (!std::isfinite(value)) std::abort();
  });
}
