// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>

#include "fault_file.hpp"
#include "power_loss.hpp"

#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

using fault::Call;
using fault::FaultDisk;
using fault::FaultSystem;
using fault::Kind;

int make(const char* name) { return FaultSystem::open(name, O_RDWR | O_CREAT | O_EXCL); }
ssize_t put(int file, std::string_view text, off_t offset) {
  return FaultSystem::pwrite(file, text.data(), text.size(), offset);
}
std::string get(int file, std::size_t size, off_t offset) {
  std::string text(size, '\0');
  const ssize_t got = FaultSystem::pread(file, text.data(), size, offset);
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}
std::string text_of(const FaultDisk& disk, const std::string& name) {
  const auto bytes = disk.get(name);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// All that may be there at the cut after all changes.
std::multiset<std::string> at_end(const FaultDisk& disk, const std::string& name, fault::Images want = {}) {
  std::multiset<std::string> texts;
  const std::size_t end = disk.changes().size();
  fault::each_image(disk, want, [&](FaultDisk& image, std::size_t cut) {
    if (cut == end) texts.insert(image.has(name) ? text_of(image, name) : "none");
  });
  return texts;
}

}  // namespace

TEST_CASE("FaultDisk keeps files as a disk does") {
  FaultDisk disk;
  disk.use();
  CHECK(FaultSystem::open("a", O_RDWR) == -1);
  CHECK(errno == ENOENT);
  const int file = make("a");
  CHECK(file >= FaultSystem::first_file);
  CHECK(make("a") == -1);
  CHECK(errno == EEXIST);
  CHECK(put(file, "hello", 3) == 5);
  CHECK(get(file, 99, 0) == std::string("\0\0\0hello", 8));
  CHECK(get(file, 2, 4) == "el");
  CHECK(get(file, 2, 40).empty());
  CHECK(FaultSystem::fallocate(file, 4, 6) == 0);
  CHECK(FaultSystem::fallocate(file, 0, 2) == 0);
  struct stat status = {};
  CHECK(FaultSystem::fstat(file, &status) == 0);
  CHECK(status.st_size == 10);
  CHECK(S_ISREG(status.st_mode));
  CHECK(FaultSystem::ftruncate(file, 5) == 0);
  CHECK(FaultSystem::ftruncate(file, 8) == 0);
  CHECK(get(file, 99, 3) == std::string("he\0\0\0", 5));
  const int reader = FaultSystem::open("a", O_RDONLY);
  CHECK(put(reader, "x", 0) == -1);
  CHECK(errno == EBADF);

  const auto* mapped = static_cast<const char*>(FaultSystem::mmap(8, reader));
  CHECK(FaultSystem::rename("a", "b") == 0);
  CHECK(FaultSystem::rename("a", "b") == -1);
  struct stat renamed = {};
  CHECK(FaultSystem::stat("b", &renamed) == 0);
  CHECK(renamed.st_ino == status.st_ino);
  CHECK(FaultSystem::stat("a", &renamed) == -1);
  CHECK(FaultSystem::unlink("b") == 0);
  FaultSystem::close(reader);
  put(file, "H", 3);
  FaultSystem::close(file);
  CHECK(std::string_view(mapped + 3, 2) == "He");
  CHECK(FaultSystem::munmap(const_cast<char*>(mapped), 8) == 0);
  CHECK(disk.maps.empty());
}

TEST_CASE("a lock belongs to the open file") {
  FaultDisk disk;
  disk.use();
  const int first = make("a"), second = FaultSystem::open("a", O_RDWR);
  CHECK(FaultSystem::flock(first, LOCK_EX | LOCK_NB) == 0);
  CHECK(FaultSystem::flock(first, LOCK_EX | LOCK_NB) == 0);
  CHECK(FaultSystem::flock(second, LOCK_EX | LOCK_NB) == -1);
  CHECK(errno == EWOULDBLOCK);
  FaultSystem::close(first);
  CHECK(FaultSystem::flock(second, LOCK_EX | LOCK_NB) == 0);
}

TEST_CASE("each kind of fault hits its operations, once or for ever") {
  for (std::size_t kind = 0; kind < fault::kinds; ++kind)
    for (const bool for_ever : {false, true})
      for (std::size_t n = 0; n < 3; ++n) {
        CAPTURE(fault::kind_names[kind]);
        CAPTURE(for_ever);
        CAPTURE(n);
        for (std::size_t c = 0; c <= static_cast<std::size_t>(Call::remove); ++c) {
          const Call call = static_cast<Call>(c);
          FaultDisk disk;
          disk.use();
          disk.fail_at(n, static_cast<Kind>(kind), for_ever);
          std::string met;
          for (int i = 0; i < 24; ++i) {
            std::size_t take = 100;
            const int error = disk.begin(call, &take);
            met += take != 100       ? 's'
                   : error == EINTR  ? 'i'
                   : error == EIO    ? 'e'
                   : error == ENOSPC ? 'f'
                                     : '.';
          }
          std::string wanted(24, '.');
          if (fault::can_hit(static_cast<Kind>(kind), call)) {
            const char* letters = "efssieefeee";
            for (std::size_t i = n; i < 24; ++i) {
              const bool hit =
                  static_cast<Kind>(kind) == Kind::interrupted ? (for_ever ? (i - n) % 4 != 3 : i < n + 16)
                  : static_cast<Kind>(kind) == Kind::sync_eio_then_ok && for_ever ? (i - n) % 2 == 0
                                                                                  : for_ever || i == n;
              if (hit) wanted[i] = letters[kind];
            }
          }
          CHECK(met == wanted);
          CHECK(disk.hit() == (met != std::string(24, '.')));
        }
      }
}

TEST_CASE("what was not synced is kept, dropped, zeroed or garbage, sector by sector") {
  FaultDisk disk;
  disk.use();
  const int file = make("a");
  put(file, std::string(1024, 'o'), 0);
  disk.record();
  put(file, std::string(600, 'n'), 100);  // 412 bytes of the first sector, 188 of the second

  const auto seen = at_end(disk, "a");
  CHECK(seen.size() == 16);
  std::set<std::string> first, second;
  for (const std::string& text : seen) {
    REQUIRE(text.size() == 1024);
    CHECK(text.substr(0, 100) == std::string(100, 'o'));
    CHECK(text.substr(700) == std::string(324, 'o'));
    first.insert(text.substr(100, 412)), second.insert(text.substr(512, 188));
  }
  CHECK(first.size() == 4);
  CHECK(second.size() == 4);
  for (const char c : {'o', 'n', '\0', '\xA5'}) CHECK(first.count(std::string(412, c)) == 1);

  FaultSystem::fdatasync(file);
  const auto synced = at_end(disk, "a");
  CHECK(synced.size() == 1);
  CHECK(synced.begin()->substr(100, 600) == std::string(600, 'n'));
}

TEST_CASE("a sector written with what it holds is not hurt") {
  FaultDisk disk;
  disk.use();
  const int file = make("a");
  put(file, std::string(1024, 'o'), 0);
  disk.record();
  put(file, std::string(512, 'o') + std::string(512, 'n'), 0);
  const auto seen = at_end(disk, "a");
  CHECK(seen.size() == 4);
  for (const std::string& text : seen) CHECK(text.substr(0, 512) == std::string(512, 'o'));

  put(file, std::string(512, 'x'), 0);
  put(file, std::string(512, 'o'), 0);
  CHECK(at_end(disk, "a", {.samples = 200}).size() > 16);
}

TEST_CASE("the size of a file is any that it had since its last sync") {
  FaultDisk disk;
  disk.use();
  const int file = make("a");
  put(file, "1234", 0);
  disk.record();
  FaultSystem::fallocate(file, 0, 6);
  FaultSystem::ftruncate(file, 2);
  FaultSystem::ftruncate(file, 5);

  const auto seen = at_end(disk, "a");
  using namespace std::string_literals;
  CHECK(std::set<std::string>(seen.begin(), seen.end()) ==
        std::set{"1234"s, "1234\0\0"s, "12"s, "12\0\0\0"s});
}

TEST_CASE("changes of the folder are there or not, each on its own") {
  FaultDisk disk;
  disk.use();
  const int old = make("a");
  put(old, "old", 0);
  disk.record();
  const int file = make("a.tmp");
  put(file, "new", 0);
  FaultSystem::fsync(file);
  FaultSystem::rename("a.tmp", "a");
  auto seen = at_end(disk, "a");
  CHECK(std::set<std::string>(seen.begin(), seen.end()) == std::set<std::string>{"old", "new"});
  seen = at_end(disk, "a.tmp");
  CHECK(std::set<std::string>(seen.begin(), seen.end()) == std::set<std::string>{"none", "new"});

  FaultSystem::fsync(FaultSystem::open(".", O_RDONLY | O_DIRECTORY));
  CHECK(at_end(disk, "a") == std::multiset<std::string>{"new"});
  FaultSystem::unlink("a");
  seen = at_end(disk, "a");
  CHECK(std::set<std::string>(seen.begin(), seen.end()) == std::set<std::string>{"none", "new"});
}

TEST_CASE("after a sync that failed and one that lied, what was written is never safe") {
  FaultDisk disk;
  disk.use();
  const int file = make("a");
  put(file, "0000", 0);
  disk.record();
  put(file, "11", 0);
  disk.fail_at(0, Kind::sync_eio_then_ok, false);
  CHECK(FaultSystem::fdatasync(file) == -1);
  put(file, "22", 2);
  CHECK(FaultSystem::fdatasync(file) == 0);
  const auto seen = at_end(disk, "a");
  const std::set<std::string> texts(seen.begin(), seen.end());
  CHECK(texts == std::set<std::string>{"1122", "0022",
                                       std::string("\0\0"
                                                   "22",
                                                   4),
                                       "\xA5\xA5"
                                       "22"});

  put(file, "33", 0);
  CHECK(FaultSystem::fdatasync(file) == 0);
  CHECK(at_end(disk, "a").count("3322") == 4);
}

TEST_CASE("of many open sectors a seeded sample is drawn, the same each time") {
  FaultDisk disk;
  disk.use();
  const int file = make("a");
  FaultSystem::ftruncate(file, 20'480);
  disk.record();
  put(file, std::string(20'480, 'n'), 0);
  const auto seen = at_end(disk, "a", {.samples = 500});
  CHECK(seen.size() == 500);
  CHECK(std::set<std::string>(seen.begin(), seen.end()).size() > 300);
  CHECK(seen == at_end(disk, "a", {.samples = 500}));
  CHECK(seen != at_end(disk, "a", {.samples = 500, .seed = 2}));

  std::size_t one_dropped = 0;
  for (const std::string& text : seen) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < text.size(); i += 512)
      kept += text.compare(i, 512, std::string(512, 'n')) == 0;
    one_dropped += kept == 39;
  }
  CHECK(one_dropped > 0);
}
