// SPDX-License-Identifier: MIT
// Several at once: who makes a file, who makes a collection, who exports while another erases. A lock belongs to the
// opening of a file, so threads meet as processes do.
#include <rag/store/file.hpp>
#include <rag/store/flat.hpp>
#include <rag/store/jsonl.hpp>
#include <rag/store/open.hpp>

#include "paths.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

struct Folder {
  std::string path = std::filesystem::temp_directory_path() / ("rag-race-" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directory(path); }
  ~Folder() { std::filesystem::remove_all(path); }
};

rag::Matrix row(float x) {
  rag::Matrix one(1, 2);
  one.row(0)[0] = x, one.row(0)[1] = 1;
  return one;
}
std::vector<rag::Chunk> chunk(const std::string& text) {
  rag::Chunk made;
  made.text = text, made.source = text;
  return {made};
}

/// A DiskFile before whose opening or locking something else happens, once.
struct RacedFile : rag::DiskFile {
  inline static std::function<bool(Mode)> before_open;
  inline static std::function<void()> before_lock;

  RacedFile(rag::DiskFile&& file) : rag::DiskFile(std::move(file)) {}
  static RacedFile open(const std::string& path, Mode mode, const std::string& who) {
    if (before_open && path.ends_with(".rag-new"))
      if (before_open(mode)) before_open = {};
    return rag::DiskFile::open(path, mode, who);
  }
  bool try_lock() {
    if (before_lock) std::exchange(before_lock, {})();
    return rag::DiskFile::try_lock();
  }
};
using RacedStore = rag::BasicFileStore<RacedFile>;

void at_once(int count, const std::function<void(int)>& work) {
  std::atomic<int> waiting = count;
  std::vector<std::thread> threads;
  for (int i = 0; i < count; ++i)
    threads.emplace_back([&, i] {
      for (--waiting; waiting > 0;) {
      }
      work(i);
    });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

TEST_CASE("Several make one file at the same moment: each gets it or is told that it is busy, and no row is lost") {
  const Folder folder;
  int made = 0, busy = 0;
  for (int round = 0; round < 200; ++round) {
    const std::string path = folder.path + "/" + std::to_string(round) + ".rag";
    std::atomic<std::size_t> added = 0;
    std::atomic<int> refused = 0;
    std::vector<std::string> others(3);
    at_once(3, [&](int i) {
      try {
        rag::FileStore store(path);
        store.add(chunk("by " + std::to_string(i)), row(1));
        ++added;
      } catch (const rag::Error& error) {
        if (error.code() == rag::Errc::busy) ++refused;
        else others[static_cast<std::size_t>(i)] = error.what();
      }
    });
    for (const std::string& other : others) CHECK(other == "");
    REQUIRE(added + static_cast<std::size_t>(refused) == 3);
    if (added > 0) CHECK(rag::FileStore(path).size() == added);
    made += static_cast<int>(added.load()), busy += refused;
    for (const char* left : {".rag-new", ".rag-compacted"}) CHECK_FALSE(std::filesystem::exists(path + left));
    std::filesystem::remove(path);
  }
  CHECK(made > 0);
  CHECK(made + busy == 600);
}

TEST_CASE("Whoever makes the file meanwhile, at any moment, it is made once and whole") {
  const Folder folder;
  const std::string path = folder.path + "/made.rag", making = path + ".rag-new";
  const auto other = [&] { std::ofstream(making) << "half of a file"; };
  const auto make = [&] {
    {
      RacedStore store(path);
      store.add(chunk("mine"), row(1));
    }
    CHECK(rag::FileStore(path).size() == 1);
    CHECK_FALSE(std::filesystem::exists(making));
    std::filesystem::remove(path);
  };

  SUBCASE("another begins just before") {
    RacedFile::before_open = [&](RacedFile::Mode mode) { return mode == RacedFile::Mode::create && (other(), true); };
    make();
  }
  SUBCASE("another takes ours for what a crash left, and begins anew") {
    RacedFile::before_lock = [&] { std::filesystem::remove(making), other(); };
    make();
  }
  SUBCASE("what a crash left is taken away by another") {
    other();
    RacedFile::before_open = [&](RacedFile::Mode mode) { return mode == RacedFile::Mode::write && std::filesystem::remove(making); };
    make();
  }
  CHECK(!RacedFile::before_open);  // it happened
  CHECK(!RacedFile::before_lock);
}

TEST_CASE("A link to a file that is not there is told as such") {
  const Folder folder;
  std::filesystem::create_symlink(folder.path + "/nothing.rag", folder.path + "/link.rag");
  try {
    rag::FileStore store(folder.path + "/link.rag");
    CHECK(false);
  } catch (const rag::Error& error) {
    CHECK(error.code() == rag::Errc::not_found);
    CHECK(std::string(error.what()) == "FileStore: " + folder.path + "/link.rag: a link to a file that is not there");
  }
}

TEST_CASE("Threads that open or create one collection get the same") {
  const Folder folder;
  rag::FileCollections all(folder.path + "/all.rag");
  for (int round = 0; round < 100; ++round) {
    const std::string name = "c" + std::to_string(round);
    at_once(4, [&](int i) { all.open_or_create(name, {.dimension = 2}).add(chunk("by " + std::to_string(i)), row(1)); });
    CHECK(all.open(name).size() == 4);
  }
  CHECK(all.list().size() == 100);
}

TEST_CASE("An export beside erasing gives whole chunks in their order") {
  const Folder folder;
  rag::FileStore store(folder.path + "/store.rag");
  for (int i = 0; i < 400; ++i) store.add(chunk(std::to_string(i)), row(static_cast<float>(i)));
  std::atomic<bool> done = false;
  std::thread eraser([&] {
    for (rag::Id id = 0; id < 400; ++id) store.erase(std::vector<rag::Id>{id});
    done = true;
  });
  std::size_t before = 400;
  do {
    rag::export_jsonl(store, folder.path + "/lines");
    rag::FlatStore<> copy;
    const std::size_t count = rag::import_jsonl(copy, folder.path + "/lines");
    CHECK(count <= before);
    before = count;
    rag::Id last = -1;
    for (const rag::Id id : copy.ids()) {
      CHECK(id > std::exchange(last, id));
      CHECK(copy.find(id)->text == std::to_string(id));
      CHECK(copy.vector(id)[0] == static_cast<float>(id));
    }
  } while (!done);
  eraser.join();
}
