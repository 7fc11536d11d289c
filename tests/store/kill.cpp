// SPDX-License-Identifier: MIT
// A child writes a FileStore on a real file system and is killed; what it promised is there.
//   kill FOLDER KILLS     FOLDER: an empty one
#include <rag/store/file.hpp>

#include "rig.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace {

/// A system that ends the process at the n-th call that changes something.
struct EndingSystem : rag::detail::PosixSystem {
  inline static std::uint64_t countdown = 0;  // 0: never
  static void count() {
    if (countdown > 0 && --countdown == 0) ::_exit(77);
  }
  static ssize_t pwrite(int file, const void* bytes, std::size_t size, off_t offset) {
    // Half of a write reaches the file.
    if (countdown == 1 && size > 1) (void)PosixSystem::pwrite(file, bytes, size / 2, offset);
    return count(), PosixSystem::pwrite(file, bytes, size, offset);
  }
  static int ftruncate(int file, off_t size) { return count(), PosixSystem::ftruncate(file, size); }
  static int fallocate(int file, off_t offset, off_t size) {
    return count(), PosixSystem::fallocate(file, offset, size);
  }
  static int fdatasync(int file) { return count(), PosixSystem::fdatasync(file); }
  static int fsync(int file) { return count(), PosixSystem::fsync(file); }
  static int rename(const char* from, const char* to) { return count(), PosixSystem::rename(from, to); }
  static int link(const char* from, const char* to) { return count(), PosixSystem::link(from, to); }
  static int unlink(const char* name) { return count(), PosixSystem::unlink(name); }
};
using File = rag::BasicDiskFile<EndingSystem>;
using Database = rig::DatabaseOf<File>;

/// The n-th change of all children together.
void apply(std::uint64_t n, rig::Collection& rows) {
  const auto first = static_cast<rag::Id>(n * 7 % 150);
  if (n % 5 == 4) {
    for (rag::Id id = first; id < first + 6; ++id) rows.erase(id);
  } else {
    for (const rig::Entry& one : rig::entries(first, 1 + n % 9, n)) rows[one.chunk.id] = one;
  }
}
void apply(std::uint64_t n, Database& database) {
  auto store = database.open("a");
  const auto first = static_cast<rag::Id>(n * 7 % 150);
  if (n % 5 == 4) {
    store.erase(std::vector<rag::Id>{first, first + 1, first + 2, first + 3, first + 4, first + 5});
  } else {
    const rig::Rows rows = rig::rows_of(rig::entries(first, 1 + n % 9, n));
    store.upsert(rows.chunks, rows.vectors);
  }
  if (n % 16 == 15) database.checkpoint();
  if (n % 40 == 39) database.compact();
}

[[noreturn]] void child(const std::string& path, std::uint64_t next, int promises, std::uint64_t end_at) {
  EndingSystem::countdown = end_at;
  try {
    Database database(path);
    if (!database.has("a")) database.create("a", {.dimension = rig::dimension});
    for (;; ++next) {
      apply(next, database);
      if (::write(promises, &next, sizeof next) != sizeof next) ::_exit(1);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "child: %s\n", error.what());
    ::_exit(1);
  }
}

struct Run {
  std::string path;
  std::uint64_t next = 0;  // the first change that is not there
  rig::Collection rows = {};
  std::uint64_t wrong = 0;

  /// end_at 0: killed after so many microseconds.
  void one(std::uint64_t end_at, unsigned microseconds) {
    int pipe[2];
    if (::pipe(pipe) != 0) std::exit(2);
    const pid_t process = ::fork();
    if (process == 0) {
      ::close(pipe[0]);
      child(path, next, pipe[1], end_at);
    }
    ::close(pipe[1]);
    if (end_at == 0) {
      ::usleep(microseconds);
      ::kill(process, SIGKILL);
    }
    std::uint64_t promised = next;
    for (std::uint64_t n; ::read(pipe[0], &n, sizeof n) == sizeof n;) promised = n + 1;
    ::close(pipe[0]);
    int status = 0;
    ::waitpid(process, &status, 0);
    if (WIFEXITED(status) && WEXITSTATUS(status) != 77) fault("the child failed");
    verify(promised);
  }

  void verify(std::uint64_t promised) {
    for (; next < promised; ++next) apply(next, rows);
    try {
      Database database(path);
      const auto report = database.check();
      if (!report.clean()) fault(report.problems.front());
      if (!database.has("a")) database.create("a", {.dimension = rig::dimension});
      const rig::Collection met = rig::collection_of(database.open("a"));
      if (met == rows) return;
      apply(next++, rows);
      if (!(met == rows))
        fault("neither what was promised nor one batch more, at change " + std::to_string(next));
      rows = met;
    } catch (const std::exception& error) {
      fault(error.what());
    }
  }
  void fault(const std::string& what) {
    std::printf("FAILED %s\n", what.c_str());
    ++wrong;
  }
};

/// A second writer is refused as long as the first lives, in this process and in another, and let in when it
/// is killed.
bool locks(const std::string& path) {
  int pipe[2];
  if (::pipe(pipe) != 0) return false;
  const pid_t process = ::fork();
  if (process == 0) {
    Database database(path);
    const bool told = ::write(pipe[1], "!", 1) == 1;
    for (;;) ::pause(), (void)told;
  }
  char byte = 0;
  if (::read(pipe[0], &byte, 1) != 1) return false;
  const auto refused = [&] {
    try {
      Database database(path);
      return false;
    } catch (const rag::Error& error) {
      return error.code() == rag::Errc::busy;
    }
  };
  bool right = refused();
  {
    Database reader(path, {.access = rag::Access::read});
    right = right && !reader.list().empty();
  }
  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
  Database database(path);
  return right && refused();
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) return std::puts("kill FOLDER KILLS"), 2;
  const std::uint64_t kills = std::strtoull(words[2], nullptr, 10);
  Run killed{std::string(words[1]) + "/killed.db"}, ended{std::string(words[1]) + "/ended.db"};
  std::mt19937_64 random(1);
  for (std::uint64_t i = 0; i < kills; ++i) killed.one(0, static_cast<unsigned>(random() % 50'000));
  for (std::uint64_t i = 1; i <= kills; ++i) ended.one(i, 0);
  std::printf("%llu kills, %llu changes, %llu wrong\n", static_cast<unsigned long long>(kills),
              static_cast<unsigned long long>(killed.next), static_cast<unsigned long long>(killed.wrong));
  std::printf("%llu ends at the n-th call of the system, %llu changes, %llu wrong\n",
              static_cast<unsigned long long>(kills), static_cast<unsigned long long>(ended.next),
              static_cast<unsigned long long>(ended.wrong));
  const bool locked = locks(killed.path);
  if (!locked) std::puts("FAILED a second writer");
  const int bad = (killed.wrong > 0) + (ended.wrong > 0) + !locked;
  std::printf("%d passed, %d failed\n", 3 - bad, bad);
  return bad;
}
