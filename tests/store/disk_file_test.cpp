// SPDX-License-Identifier: MIT
#include <rag/store/disk_file.hpp>

#include "paths.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace {

/// The system's calls, of which some go wrong: `storm` interruptions before each, at most `most` bytes at a
/// time, and `problem` for the call named.
struct Scripted : rag::detail::PosixSystem {
  using Base = rag::detail::PosixSystem;
  inline static int storm = 0, left = 0, problem = 0;
  inline static std::size_t most = SIZE_MAX, calls = 0;
  inline static std::string call = {};

  static void reset() { storm = left = problem = 0, most = SIZE_MAX, calls = 0, call.clear(); }
  static bool goes_wrong(const char* name) {
    ++calls;
    if (left < storm) return ++left, errno = EINTR, true;
    left = 0;
    if (call != name) return false;
    errno = problem;
    return true;
  }

  static int open(const char* path, int flags, unsigned mode) {
    return goes_wrong("open") ? -1 : Base::open(path, flags, mode);
  }
  static ssize_t pread(int file, void* bytes, std::size_t size, off_t offset) {
    return goes_wrong("pread") ? -1 : Base::pread(file, bytes, std::min(size, most), offset);
  }
  static ssize_t pwrite(int file, const void* bytes, std::size_t size, off_t offset) {
    return goes_wrong("pwrite") ? -1 : Base::pwrite(file, bytes, std::min(size, most), offset);
  }
  static int ftruncate(int file, off_t size) {
    return goes_wrong("ftruncate") ? -1 : Base::ftruncate(file, size);
  }
  static int fdatasync(int file) { return goes_wrong("fdatasync") ? -1 : Base::fdatasync(file); }
  static int fsync(int file) { return goes_wrong("fsync") ? -1 : Base::fsync(file); }
  static int flock(int file, int operation) {
    return goes_wrong("flock") ? -1 : Base::flock(file, operation);
  }
  static int fallocate(int file, off_t offset, off_t size) {
    return goes_wrong("fallocate") ? errno : Base::fallocate(file, offset, size);
  }
  static int fstat(int file, struct stat* status) {
    if (call == "fstat") return errno = problem, -1;
    return Base::fstat(file, status);
  }
  static int stat(const char* path, struct stat* status) {
    if (call == "stat") return errno = problem, -1;
    return Base::stat(path, status);
  }
  static int rename(const char* from, const char* to) {
    if (call == "rename") return errno = problem, -1;
    return Base::rename(from, to);
  }
  static int link(const char* from, const char* to) {
    if (call == "link") return errno = problem, -1;
    return Base::link(from, to);
  }
  static void* mmap(std::size_t size, int file) {
    if (call == "mmap" || (call == "big mmap" && size > 100)) return errno = problem, MAP_FAILED;
    return Base::mmap(size, file);
  }
};
using File = rag::BasicDiskFile<Scripted>;

template <class Work>
std::pair<rag::Errc, std::string> error_of(Work&& work) {
  try {
    work();
  } catch (const rag::Error& error) {
    return {error.code(), error.what()};
  }
  return {rag::Errc::cancelled, "nothing thrown"};
}

std::vector<std::byte> bytes(const std::string& text) {
  std::vector<std::byte> result(text.size());
  std::memcpy(result.data(), text.data(), text.size());
  return result;
}

struct Fixture {
  tests::TemporaryFolder folder;
  std::string path = (folder / "file").string();
  Fixture() { Scripted::reset(); }
  ~Fixture() { Scripted::reset(); }

  File made() const { return File::open(path, File::Mode::create, "test"); }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "interruptions and parts of a write are not seen") {
  Scripted::storm = 7;
  Scripted::most = 3;
  File file = made();
  file.allocate(0, 4096);
  file.write(10, bytes("a text of some length"));
  std::vector<std::byte> back(21);
  file.read(10, back);

  CHECK(back == bytes("a text of some length"));
  CHECK(file.size() == 4096);
  file.truncate(31);
  file.sync();
  File::sync_folder(path, "test");
  CHECK(file.try_lock());
  CHECK(std::memcmp(file.map(31) + 10, "a text", 6) == 0);
  CHECK(Scripted::calls > 60);
}

TEST_CASE_FIXTURE(Fixture, "each call's failure is an Error that names who and the file") {
  File file = made();
  file.write(0, bytes("text"));
  std::vector<std::byte> back(4);
  const std::pair<const char*, std::function<void()>> works[] = {
      {"pread", [&] { file.read(0, back); }},
      {"pwrite", [&] { file.write(0, back); }},
      {"fallocate", [&] { file.allocate(0, 100); }},
      {"ftruncate", [&] { file.truncate(1); }},
      {"fdatasync", [&] { file.sync(); }},
      {"fstat", [&] { file.size(); }},
      {"stat", [&] { File::identity_of(path, "test"); }},
      {"flock", [&] { file.try_lock(); }},
      {"mmap", [&] { file.map(4); }},
      {"open", [&] { File::open(path, File::Mode::read, "test"); }},
      {"fsync", [&] { File::sync_folder(path, "test"); }},
      {"rename", [&] { File::rename(path, path + "2", "test"); }},
      {"link", [&] { File::rename_new(path, path + "2", "test"); }},
  };
  for (const auto& [name, work] : works) {
    const std::string call = name;
    CAPTURE(call);
    for (const int problem : {EIO, ENOSPC, EDQUOT, EFBIG}) {
      Scripted::call = call, Scripted::problem = problem;
      const auto [code, text] = error_of(work);
      CHECK(code == rag::Errc::io);
      CHECK(text.starts_with("test: "));
      CHECK(text.ends_with(std::strerror(problem)));
    }
    Scripted::call.clear();
    CHECK(error_of(work).second == "nothing thrown");
    if (call == "rename") File::rename(path + "2", path, "test");
  }
}

TEST_CASE_FIXTURE(Fixture, "what the file system can't do is done in another way, or does without") {
  File file = made();
  Scripted::call = "fallocate", Scripted::problem = EOPNOTSUPP;
  file.allocate(0, 1000);
  CHECK(file.size() == 1000);
  file.allocate(0, 10);
  CHECK(file.size() == 1000);

  Scripted::call = "fsync", Scripted::problem = EINVAL;
  File::sync_folder(path, "test");

  Scripted::call = "big mmap", Scripted::problem = ENOMEM;
  CHECK(file.map(50) != nullptr);
  Scripted::call = "flock", Scripted::problem = EWOULDBLOCK;
  CHECK(!file.try_lock());
}

TEST_CASE_FIXTURE(Fixture, "a map shows what is written later and stays where it is") {
  File file = made();
  file.allocate(0, 100);
  const std::byte* first = file.map(100);
  CHECK(file.map(0) == nullptr);
  file.allocate(0, 50 << 20);
  const std::byte* later = file.map(50 << 20);
  file.write(3, bytes("abc"));
  file.write((50 << 20) - 3, bytes("xyz"));

  CHECK(std::memcmp(first + 3, "abc", 3) == 0);
  CHECK(std::memcmp(later + 3, "abc", 3) == 0);
  CHECK(std::memcmp(later + (50 << 20) - 3, "xyz", 3) == 0);
  File moved = std::move(file);
  CHECK(std::memcmp(first + 3, "abc", 3) == 0);
  CHECK(moved.map(10) == later);
}

TEST_CASE_FIXTURE(Fixture, "a file is locked once, and told from others by what it is") {
  File file = made(), again = File::open(path, File::Mode::write, "test");
  CHECK(file.try_lock());
  CHECK(!again.try_lock());
  CHECK(file.identity() == again.identity());
  CHECK(file.identity() == File::identity_of(path, "test"));
  CHECK(File::identity_of(path + "x", "test") == rag::FileIdentity{});
  CHECK(!file.is_remote());

  File other = File::open(path + "2", File::Mode::create, "test");
  CHECK(other.identity() != file.identity());
  CHECK(!File::rename_new(path + "2", path, "test"));
  CHECK(File::rename_new(path + "2", path + "3", "test"));
  CHECK(File::identity_of(path + "2", "test") == rag::FileIdentity{});
  File::rename(path + "3", path, "test");
  CHECK(other.identity() == File::identity_of(path, "test"));
  file = std::move(other);
  File::remove(path);
  File::remove(path);
  CHECK(File::process() == static_cast<std::uint64_t>(::getpid()));
}

TEST_CASE_FIXTURE(Fixture,
                  "files that are not there, are there, end early or are none are Errors of their kind") {
  CHECK(error_of([&] { File::open(path, File::Mode::read, "test"); }).first == rag::Errc::not_found);
  CHECK(error_of([&] { File::open(path + "/x", File::Mode::create, "test"); }).first == rag::Errc::not_found);
  File file = made();
  CHECK(error_of([&] { made(); }).first == rag::Errc::busy);
  CHECK(error_of([&] {
          File::open(folder.path().string(), File::Mode::read, "test");
        }).second.ends_with("is not a file"));
  std::vector<std::byte> some(3);
  file.write(0, bytes("ab"));
  CHECK(error_of([&] { file.read(0, some); }) ==
        std::pair{rag::Errc::corrupt, "test: " + path + " ends at byte 2"});
}
