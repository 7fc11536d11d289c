// SPDX-License-Identifier: MIT
// The bytes of a safetensors file. Each byte of each tensor is looked at, so that a view past the end is seen.
#include <rag/detail/safetensors.hpp>

#include "fuzz.hpp"

#include <cstdlib>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  return fuzz::read_or_refuse([&] {
    const std::string_view file(reinterpret_cast<const char*>(data), size);
    std::size_t total = 0, sum = 0;
    for (const auto& [name, tensor] : rag::detail::read_safetensors(file, "fuzz")) {
      total += tensor.bytes.size();
      for (const char byte : tensor.bytes) sum += static_cast<unsigned char>(byte);
    }
    if (total > size || sum > 255 * total) std::abort();
  });
}
