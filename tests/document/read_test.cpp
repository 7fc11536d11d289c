// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <rag/document/read.hpp>

#include "paths.hpp"

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <sys/stat.h>

namespace {

void write(const std::filesystem::path& path, const std::string& bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary) << bytes;
}

std::vector<std::string> ids(const rag::Folder& folder) {
  std::vector<std::string> result;
  for (const rag::Document& document : folder.documents) result.push_back(document.id);
  return result;
}

std::vector<std::string> ids(const std::filesystem::path& path, const rag::ReadOptions& options = {}) {
  return ids(rag::read_directory(path.string(), options));
}

/// The code of the Error that the call throws, and its text in `text`.
template <class Call>
rag::Errc code_of(Call call, std::string& text) {
  try {
    call();
  } catch (const rag::Error& error) {
    text = error.what();
    return error.code();
  }
  FAIL("no error");
  return {};
}

using Strings = std::vector<std::string>;

}  // namespace

TEST_CASE("read_file leaves the bytes untouched and takes the path for the id") {
  const tests::TemporaryFolder folder;
  const std::string path = (folder / "a.txt").string();
  for (const std::string& bytes :
       {std::string(), std::string("\xEF\xBB\xBF# é\r\nb\r\0\n", 13), std::string(100000, 'x')}) {
    write(path, bytes);

    const rag::Document document = rag::read_file(path);

    CHECK(document.id == path);
    CHECK(document.text == bytes);
    CHECK(document.metadata.empty());
  }
}

TEST_CASE("read_file says which file could not be read, and why") {
  const tests::TemporaryFolder folder;
  const std::string absent = (folder / "absent.txt").string(), broken = (folder / "broken.txt").string();
  write(broken, "abc\xE3\x80!");
  std::string text;

  CHECK(code_of([&] { rag::read_file(absent); }, text) == rag::Errc::not_found);
  CHECK(text == "read_file: " + absent + ": No such file or directory");
  CHECK(code_of([&] { rag::read_file(folder.path().string()); }, text) == rag::Errc::io);
  CHECK(text == "read_file: " + folder.path().string() + ": Is a directory");
  CHECK(code_of([&] { rag::read_file(broken); }, text) == rag::Errc::invalid_format);
  CHECK(text == "read_file: " + broken + ": not UTF-8 at byte 3");
}

TEST_CASE("read_directory reads the text files of a folder and those below, in byte order of their ids") {
  const tests::TemporaryFolder folder;
  for (const char* id : {"b.md", "a/z.txt", "a.md", "a/b/c.markdown", "C.MD", "a-b.rst", "é.md", "c.html", "md",
                         ".hidden.md", ".git/x.md"})
    write(folder / id, id);

  const rag::Folder read = rag::read_directory(folder.path().string() + "/");

  CHECK(ids(read) == Strings{"C.MD", "a-b.rst", "a.md", "a/b/c.markdown", "a/z.txt", "b.md", "é.md"});
  for (const rag::Document& document : read.documents) CHECK(document.text == document.id);
  CHECK(read.skipped.empty());
}

TEST_CASE("read_directory picks by extension, by glob, by both, and below the folder or not") {
  const tests::TemporaryFolder folder;
  for (const char* id : {"a.md", "b.txt", "c.html", "d/a.md", "d/e/a.md", "d/e/f.txt"}) write(folder / id, "x");
  const std::filesystem::path& path = folder.path();

  CHECK(ids(path, {.extensions = {".md"}}) == Strings{"a.md", "d/a.md", "d/e/a.md"});
  CHECK(ids(path, {.extensions = {".html", ".txt"}}) == Strings{"b.txt", "c.html", "d/e/f.txt"});
  CHECK(ids(path, {.glob = "**"}).size() == 6);
  CHECK(ids(path, {.glob = "d/**/*.md"}) == Strings{"d/a.md", "d/e/a.md"});
  CHECK(ids(path, {.extensions = {".txt"}, .glob = "d/**"}) == Strings{"d/e/f.txt"});
  CHECK(ids(path, {.recursive = false}) == Strings{"a.md", "b.txt"});
}

TEST_CASE("read_directory reports what it cannot read and reads the rest") {
  const tests::TemporaryFolder folder;
  write(folder / "a.md", "good");
  write(folder / "b.md", "\xFF");
  write(folder / "b.png", "\xFF");
  std::filesystem::create_symlink("nowhere", folder / "c.md");
  REQUIRE(mkfifo((folder / "d.md").c_str(), 0600) == 0);

  const rag::Folder read = rag::read_directory(folder.path().string());

  CHECK(ids(read) == Strings{"a.md"});
  const std::vector<rag::SkippedFile> skipped = {{"b.md", "not UTF-8 at byte 0"},
                                                 {"c.md", "No such file or directory"},
                                                 {"d.md", "not a regular file"}};
  CHECK(read.skipped == skipped);
}

#ifdef __linux__  // other systems refuse to make such a name
TEST_CASE("read_directory skips a file whose name is not UTF-8") {
  const tests::TemporaryFolder folder;
  write(folder / "bad\xFFname.md", "x");

  const rag::Folder read = rag::read_directory(folder.path().string());

  CHECK(read.documents.empty());
  CHECK(read.skipped == std::vector<rag::SkippedFile>{{"bad\xFFname.md", "its name is not UTF-8"}});
}
#endif

TEST_CASE("read_directory follows links to files and not to folders, so a loop has an end") {
  const tests::TemporaryFolder folder;
  write(folder / "a/one.md", "one");
  std::filesystem::create_symlink("a/one.md", folder / "two.md");
  std::filesystem::create_symlink("..", folder / "a/up");
  std::filesystem::create_symlink("a", folder / "again");

  const rag::Folder read = rag::read_directory(folder.path().string());

  CHECK(ids(read) == Strings{"a/one.md", "two.md"});
  const std::vector<rag::SkippedFile> skipped = {{"a/up", "a link to a folder is not followed"},
                                                 {"again", "a link to a folder is not followed"}};
  CHECK(read.skipped == skipped);
  CHECK(ids(folder / "again") == Strings{"one.md"});
}

TEST_CASE("read_directory of what is no folder is an Error") {
  const tests::TemporaryFolder folder;
  write(folder / "a.md", "x");
  std::string text;

  CHECK(code_of([&] { rag::read_directory((folder / "b").string()); }, text) == rag::Errc::not_found);
  CHECK(text == "read_directory: " + (folder / "b").string() + ": No such file or directory");
  CHECK(code_of([&] { rag::read_directory((folder / "a.md").string()); }, text) == rag::Errc::io);
  CHECK(code_of([&] { rag::read_directory(""); }, text) == rag::Errc::not_found);
}

TEST_CASE("read_directory reads the shared data whole") {
  if (tests::skip_without(tests::data_folder())) return;

  const rag::Folder read = rag::read_directory(tests::data_folder().string(), {.glob = "**"});

  CHECK(read.skipped.empty());
  CHECK(read.documents.size() > 200);
  for (const rag::Document& document : read.documents) {
    CAPTURE(document.id);
    CHECK(document.text.size() == std::filesystem::file_size(tests::data_folder() / document.id));
  }
}
