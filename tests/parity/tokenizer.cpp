// SPDX-License-Identifier: MIT
// tokenizer MODEL_FOLDER CASES: compares WordPiece with the ids in a file that tokenizer.py wrote. A case is two
// little-endian numbers of 32 bits, the bytes of the text and the count of the ids; then the text; then the ids,
// 32 bits each. Shows the first difference as code points, then says how many cases were equal and how many not.
#include <rag/detail/wordpiece_folder.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace {

using rag::detail::WordPiece;

struct Case {
  std::string_view text;
  std::vector<std::int32_t> ids;
};

std::vector<Case> read_cases(std::string_view bytes) {
  std::vector<Case> cases;
  const auto take = [&](void* to, std::size_t size) {
    if (size > bytes.size()) throw rag::Error(rag::Errc::corrupt, "tokenizer: the file of cases ends early");
    std::memcpy(to, bytes.data(), size);
    bytes.remove_prefix(size);
  };
  while (!bytes.empty()) {
    std::uint32_t sizes[2];
    take(sizes, sizeof sizes);
    Case one{bytes.substr(0, sizes[0]), std::vector<std::int32_t>(sizes[1])};
    bytes.remove_prefix(one.text.size());
    take(one.ids.data(), 4 * one.ids.size());
    cases.push_back(one);
  }
  return cases;
}

void show(const Case& expected, const std::vector<std::int32_t>& ids) {
  std::size_t same = 0;
  while (same < ids.size() && same < expected.ids.size() && ids[same] == expected.ids[same]) ++same;
  std::printf("first difference: id %zu of %zu (%zu wanted)\n text:", same, ids.size(), expected.ids.size());
  for (std::size_t at = 0; at < expected.text.size() && at < 400;) {
    const auto point = rag::detail::decode_utf8(expected.text, at);
    std::printf(" U+%04X", static_cast<unsigned>(point.value));
    at += point.length;
  }
  std::printf("\n wanted:");
  for (const std::int32_t id : expected.ids) std::printf(" %d", id);
  std::printf("\n given: ");
  for (const std::int32_t id : ids) std::printf(" %d", id);
  std::printf("\n");
}

double milliseconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

int compare(const std::string& model, const std::string& path) {
  const auto begin = std::chrono::steady_clock::now();
  const WordPiece tokenizer = WordPiece::from_folder(model);
  const double loaded = milliseconds_since(begin);
  const rag::detail::MappedFile file(path, "tokenizer");
  const std::vector<Case> cases = read_cases(file.bytes());
  std::size_t equal = 0, seen = 0, tokens = 0;
  double busy = 0;
  for (const Case& one : cases) {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<std::int32_t> ids = tokenizer.encode(one.text);
    busy += milliseconds_since(start);
    tokens += ids.size();
    if (ids == one.ids && tokenizer.count(one.text) == ids.size()) ++equal;
    else if (equal == seen) show(one, ids);
    ++seen;
  }
  std::printf("tokenizer: %zu of %zu texts equal, %zu tokens, %.2f M tokens/s, loaded in %.2f ms\n", equal,
              cases.size(), tokens, static_cast<double>(tokens) / busy / 1e3, loaded);
  return equal == cases.size() && !cases.empty() ? 0 : 1;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    if (count == 3) return compare(arguments[1], arguments[2]);
    std::fprintf(stderr, "usage: %s MODEL_FOLDER CASES\n", arguments[0]);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  return 2;
}
