// SPDX-License-Identifier: MIT
// tokenizer MODEL_FOLDER CASES: compares WordPiece and fold() with a file that tokenizer.py wrote. A case is
// three little-endian numbers of 32 bits, the bytes of the text, those of the folded text and the count of
// the ids; then these three, 32 bits an id. Shows the first difference as code points, then says how many
// cases were equal.
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
  std::string_view text, folded;
  std::vector<std::int32_t> ids;
};

std::vector<Case> read_cases(std::string_view bytes) {
  std::vector<Case> cases;
  const auto take = [&](std::size_t size) {
    if (size > bytes.size()) throw rag::Error(rag::Errc::corrupt, "tokenizer: the file of cases ends early");
    const std::string_view taken = bytes.substr(0, size);
    bytes.remove_prefix(size);
    return taken;
  };
  while (!bytes.empty()) {
    std::uint32_t sizes[3];
    std::memcpy(sizes, take(sizeof sizes).data(), sizeof sizes);
    Case one{take(sizes[0]), take(sizes[1]), std::vector<std::int32_t>(sizes[2])};
    const std::string_view ids = take(4 * one.ids.size());
    if (!ids.empty()) std::memcpy(one.ids.data(), ids.data(), ids.size());
    cases.push_back(one);
  }
  return cases;
}

void show_points(const char* name, std::string_view text) {
  std::printf("  %s:", name);
  for (std::size_t at = 0; at < text.size() && at < 400;) {
    const auto point = rag::detail::decode_utf8(text, at);
    std::printf(" U+%04X", static_cast<unsigned>(point.value));
    at += point.length;
  }
  std::printf("\n");
}

void show_ids(const char* name, const std::vector<std::int32_t>& ids, std::size_t from) {
  std::printf("  %s: %zu ids, from %zu on:", name, ids.size(), from);
  for (std::size_t i = from; i < ids.size() && i < from + 20; ++i) std::printf(" %d", ids[i]);
  std::printf("\n");
}

void show(const Case& wanted, const std::vector<std::int32_t>& ids) {
  std::size_t same = 0;
  while (same < ids.size() && same < wanted.ids.size() && ids[same] == wanted.ids[same]) ++same;
  std::printf("first difference\n");
  show_points("text", wanted.text);
  show_points("folded, wanted", wanted.folded);
  show_points("folded, given ", rag::detail::fold(wanted.text));
  show_ids("wanted", wanted.ids, same);
  show_ids("given ", ids, same);
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
    if (ids == one.ids && tokenizer.count(one.text) == ids.size() &&
        rag::detail::fold(one.text) == one.folded)
      ++equal;
    else if (equal == seen)
      show(one, ids);
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
