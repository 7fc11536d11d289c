// SPDX-License-Identifier: MIT
#include <rag/document/read_within.hpp>

#include <doctest/doctest.h>

#include "paths.hpp"

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

TEST_CASE("read_within reads a file again that changes while it is read, and gives up in the end") {
  const tests::TemporaryFolder folder;
  const auto write_file = [](const std::filesystem::path& path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
  };
  write_file(folder / "a.md", "old");
  std::string bytes;
  std::size_t turns = 0;
  const std::string root = rag::detail::real_path(folder.path().string());

  const auto once = rag::detail::read_within(root, "a.md", 100, bytes, [&] {
    if (++turns == 1) write_file(folder / "a.md", "longer");
  });
  CHECK(once.reason.empty());
  CHECK(bytes == "longer");
  CHECK(turns == 2);

  const auto ever = rag::detail::read_within(root, "a.md", 100, bytes,
                                             [&] { write_file(folder / "a.md", std::string(++turns, 'x')); });
  CHECK(ever.reason == "changed while it was read");
  CHECK(!ever.gone);

  std::filesystem::remove(folder / "a.md");
  const auto gone = rag::detail::read_within(root, "a.md", 100, bytes, [] {});
  CHECK(gone.reason == "No such file or directory");
  CHECK(gone.gone);
}
