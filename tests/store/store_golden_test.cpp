// SPDX-License-Identifier: MIT
#include <rag/store/open.hpp>

#include "paths.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

// tests/store/format_1_0.txt is a file that the first version with a FileStore wrote: its size, and the lines of
// 32 bytes that are not all zeros, each with its number. Every later version opens it and gives these answers.
// RAG_WRITE_GOLDEN=FILE writes it anew by write_golden(), which is right only before a release.

namespace {

rag::Matrix vectors(std::size_t first, std::size_t count) {
  rag::Matrix matrix(count, 5);
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = 0; j < 5; ++j)
      matrix.row(i)[j] =
          static_cast<float>((first + i) * 7 % 13) - 2.0f * static_cast<float>((first + i + j) % 5);
  return matrix;
}
std::vector<rag::Chunk> chunks(std::size_t first, std::size_t count) {
  std::vector<rag::Chunk> made;
  for (std::size_t i = first; i < first + count; ++i) {
    const std::string text = "Text " + std::to_string(i) + " ä€";
    made.push_back(
        {text,
         "source " + std::to_string(i % 3),
         i,
         i + text.size(),
         {{"number", static_cast<double>(i) / 3}, {"odd", i % 2 == 1}, {"name", "n" + std::to_string(i)}}});
  }
  return made;
}

constexpr std::size_t line_bytes = 32;

std::string bytes_of_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
std::string packed(std::string_view bytes) {
  std::string text = std::to_string(bytes.size()) + '\n';
  for (std::size_t at = 0; at < bytes.size(); at += line_bytes) {
    const std::string_view line = bytes.substr(at, line_bytes);
    if (line.find_first_not_of('\0') == line.npos) continue;
    text += std::to_string(at / line_bytes) + ' ';
    for (const char byte : line) {
      char digits[3];
      std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(static_cast<unsigned char>(byte)));
      text += digits;
    }
    text += '\n';
  }
  return text;
}
std::string unpacked(const std::string& path) {
  std::ifstream in(path);
  std::size_t size = 0, line = 0;
  in >> size;
  std::string bytes(size, '\0');
  for (std::string digits; in >> line >> digits;)
    for (std::size_t i = 0; i < digits.size() / 2; ++i)
      bytes.at(line * line_bytes + i) = static_cast<char>(std::stoi(digits.substr(2 * i, 2), nullptr, 16));
  return bytes;
}

void write_golden(const std::string& path) {
  rag::FileCollections database(path);
  auto cosine = database.create("cosine", {.dimension = 5, .metric = rag::Cosine{}, .embedder = "a model"});
  auto dropped = database.create("dropped");
  auto plain = database.create("plain");
  cosine.add(chunks(0, 40), vectors(0, 40));
  dropped.add(chunks(0, 5), vectors(0, 5));
  plain.add(chunks(0, 20), vectors(0, 20));
  cosine.erase(std::vector<rag::Id>{3, 4, 30});
  database.checkpoint();
  database.drop("dropped");
  std::vector<rag::Chunk> again = chunks(100, 2);
  again[0].id = 7, again[1].id = 200;
  cosine.upsert(again, vectors(100, 2));
  plain.replace("source 1", {}, rag::Matrix());
}

}  // namespace

TEST_CASE("the golden file of format 1.0 opens and gives its answers") {
  const tests::TemporaryFolder folder;
  const std::string path = (folder / "golden").string();
  if (const char* anew = std::getenv("RAG_WRITE_GOLDEN")) {
    write_golden(path);
    std::ofstream(anew) << packed(bytes_of_file(path));
    return;
  }
  const std::string golden = unpacked(RAG_SOURCE_DIR "/tests/store/format_1_0.txt");
  REQUIRE(golden.size() > 100'000);
  std::ofstream(path, std::ios::binary) << golden;

  rag::FileCollections database(path);
  CHECK(database.list() == std::vector<std::string>{"cosine", "plain"});
  CHECK(database.recovered_bytes() == 0);
  const auto report = database.check();
  CHECK(report.clean());
  CHECK(report.frames == 12);
  auto cosine = database.open("cosine");
  CHECK(cosine.size() == 38);
  CHECK(cosine.embedder() == "a model");
  CHECK(cosine.metric() == rag::Cosine{});
  CHECK(cosine.find(7)->text == "Text 100 ä€");
  CHECK(!cosine.find(4));
  rag::Chunk wanted = chunks(101, 1)[0];
  wanted.id = 200;
  CHECK(*cosine.find(200) == wanted);
  const rag::Matrix last = vectors(39, 1);
  CHECK(cosine.vector(39) == std::vector<float>(last.data(), last.data() + 5));
  std::vector<rag::Id> found;
  for (const rag::Hit& hit : cosine.search(vectors(12, 1).row(0), 4)) found.push_back(hit.chunk.id);
  CHECK(found == std::vector<rag::Id>{12, 27, 22, 37});
  CHECK(cosine.search(vectors(12, 1).row(0), 2)[1].score == doctest::Approx(0.9801960588));
  CHECK(cosine.count(rag::field("odd") == true) == 19);
  CHECK(database.open("plain").ids() == std::vector<rag::Id>{0, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18});
  CHECK(cosine.add(chunks(0, 1), vectors(0, 1)) == std::vector<rag::Id>{201});
  CHECK(database.check().clean());
}
