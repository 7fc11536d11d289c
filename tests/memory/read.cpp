// SPDX-License-Identifier: MIT
// read KIND PATH: reads one file of a model and says in one line whether it was taken, in another how much memory it
// took at most; 0, or 3 for a rag::Error. Built without sanitizers, for they take memory.
#include <rag/detail/safetensors.hpp>
#include <rag/detail/tokenizer.hpp>
#include <rag/embed/minilm.hpp>

#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

namespace {

void read(const std::string& kind, const std::string& path) {
  if (kind == "safetensors") {
    const rag::detail::MappedFile file(path, "read");
    std::printf("%zu tensors", rag::detail::read_safetensors(file.bytes(), "read").size());
  } else if (kind == "json") {
    const rag::detail::MappedFile file(path, "read");
    std::printf("%zu values", rag::detail::parse_json(file.bytes(), "read").size());
  } else if (kind == "tokenizer") {  // a folder
    const auto words = rag::detail::Tokenizer::from_folder(path, "read");
    std::printf("%zu words, %zu tokens", words.size(), words.count("How is data stored?"));
  } else {
    const rag::MiniLmEmbedder embedder(path, {.threads = 1});
    const std::string_view texts[] = {"water"};
    std::printf("%zu columns", embedder.embed(texts).columns());
  }
}

/// Of this process, mapped files too, in kB. The system begins anew at exec.
long peak_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::stol(line.substr(6));
  return -1;
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return 2;
  int code = 0;
  try {
    read(arguments[1], arguments[2]);
    std::puts("");
  } catch (const rag::Error& error) {
    std::printf("refused: %.150s\n", error.what());
    code = std::strlen(error.what()) > 4096 ? 4 : 3;  // an error is to be read
  }
  std::printf("peak kB: %ld\n", peak_memory());
  return code;
}
