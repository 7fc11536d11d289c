// SPDX-License-Identifier: MIT
// tokenizer_kinds FOLDER [NAME]: compares Tokenizer with the cases that tokenizer_kinds.py wrote, for each NAME.cases
// beside a model folder NAME. Shows the first difference of a model as code points, then says how many cases were
// equal.
#include <rag/detail/tokenizer.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace {

using rag::detail::Tokenizer;
using Ids = std::vector<std::int32_t>;

struct Case {
  std::size_t limit;
  bool pair;
  std::string_view first, second;
  Ids ids, types;
};

bool read_case(std::string_view& bytes, Case& one) {
  if (bytes.empty()) return false;
  const auto take = [&](std::size_t size) {
    if (size > bytes.size()) throw rag::Error(rag::Errc::corrupt, "tokenizer_kinds: the file of cases ends early");
    const std::string_view taken = bytes.substr(0, size);
    bytes.remove_prefix(size);
    return taken;
  };
  const auto numbers = [&](std::size_t count) {
    Ids ids(count);
    const std::string_view taken = take(4 * count);
    if (count > 0) std::memcpy(ids.data(), taken.data(), taken.size());
    return ids;
  };
  std::uint32_t sizes[6];
  std::memcpy(sizes, take(sizeof sizes).data(), sizeof sizes);
  one.limit = sizes[0] == ~0u ? ~std::size_t{0} : sizes[0];
  one.pair = sizes[2] != ~0u;
  one.first = take(sizes[1]);
  one.second = take(one.pair ? sizes[2] : 0);
  one.ids = numbers(sizes[3]);
  one.types = numbers(sizes[4]);
  return true;
}

void show_points(const char* name, std::string_view text) {
  std::printf("  %s:", name);
  for (std::size_t at = 0; at < text.size() && at < 300;) {
    const auto point = rag::detail::decode_utf8(text, at);
    std::printf(" %04X",
                point.valid ? static_cast<unsigned>(point.value) : 0x110000u | static_cast<unsigned char>(text[at]));
    at += point.length;
  }
  std::printf("\n");
}

void show(const Case& wanted, const Ids& ids) {
  std::size_t same = 0;
  while (same < ids.size() && same < wanted.ids.size() && ids[same] == wanted.ids[same]) ++same;
  std::printf("  limit %zu, of %zu and %zu ids the first %zu are the same\n", wanted.limit, wanted.ids.size(),
              ids.size(), same);
  show_points("first", wanted.first);
  if (wanted.pair) show_points("second", wanted.second);
  const auto tail = [&](const char* name, const Ids& list) {
    std::printf("  %s:", name);
    for (std::size_t i = same; i < list.size() && i < same + 16; ++i) std::printf(" %d", list[i]);
    std::printf("\n");
  };
  tail("wanted", wanted.ids), tail("given ", ids);
}

/// The head of all ids is what a limit leaves, with the special tokens around it.
bool is_cut(const Tokenizer& tokenizer, const Case& one, std::size_t limit) {
  Ids ids;
  const bool whole = tokenizer.encode(one.first, ids, limit);
  return whole == (one.ids.size() <= limit) && ids.size() == std::min(limit, one.ids.size()) &&
         [&] {  // all but what stands behind the text
           const std::size_t behind = tokenizer.special_count() / 2;
           return std::equal(ids.begin(), ids.end() - static_cast<std::ptrdiff_t>(behind), one.ids.begin()) &&
                  std::equal(ids.rbegin(), ids.rbegin() + static_cast<std::ptrdiff_t>(behind), one.ids.rbegin());
         }();
}

bool same(const Tokenizer& tokenizer, const Case& one, Ids& ids, double& busy) {
  using Clock = std::chrono::steady_clock;
  Ids types;
  const auto start = Clock::now();
  if (one.pair) {
    tokenizer.encode_pair(one.first, one.second, ids, types, one.limit);
    return ids == one.ids && types == one.types;
  }
  tokenizer.encode(one.first, ids, one.limit);
  busy += std::chrono::duration<double>(Clock::now() - start).count();
  const std::size_t special = tokenizer.special_count();
  bool equal = ids == one.ids && tokenizer.count(one.first) == ids.size();
  for (const std::size_t limit : {special, special + 1, special + 7, special + 60})
    equal = equal && is_cut(tokenizer, one, limit);
  return equal;
}

bool compare(const std::string& folder) {
  const auto begin = std::chrono::steady_clock::now();
  const Tokenizer tokenizer = Tokenizer::from_folder(folder, "tokenizer_kinds");
  const double loaded = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  const rag::detail::MappedFile file(folder + ".cases", "tokenizer_kinds");
  std::string_view bytes = file.bytes();
  std::size_t equal = 0, seen = 0, tokens = 0;
  double busy = 0;
  for (Case one; read_case(bytes, one); ++seen) {
    Ids ids;
    const bool good = same(tokenizer, one, ids, busy);
    tokens += one.pair ? 0 : ids.size();
    if (!good && equal == seen) show(one, ids);
    equal += good;
  }
  const std::string name = std::filesystem::path(folder).filename().string();
  std::printf("%s: %zu of %zu texts equal, %zu tokens, %.2f M tokens/s, loaded in %.2f ms\n", name.c_str(), equal, seen,
              tokens, static_cast<double>(tokens) / busy / 1e6, loaded);
  return equal == seen && seen > 0;
}

}  // namespace

int main(int count, char** arguments) {
  try {
    std::vector<std::string> folders;
    for (const auto& entry : std::filesystem::directory_iterator(count > 1 ? arguments[1] : "."))
      if (entry.path().extension() == ".cases" && (count < 3 || entry.path().stem() == arguments[2]))
        folders.push_back((entry.path().parent_path() / entry.path().stem()).string());
    std::sort(folders.begin(), folders.end());
    bool good = !folders.empty();
    for (const std::string& folder : folders) {
      try {
        good = compare(folder) && good;
      } catch (const std::exception& error) {
        std::printf("%s: %s\n", folder.c_str(), error.what());
        good = false;
      }
    }
    return good ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
  }
  return 2;
}
