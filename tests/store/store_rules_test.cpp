// SPDX-License-Identifier: MIT
#include "days.hpp"
#include "paths.hpp"

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

// The rules of docs/store-format.md for the bad days, each by its sentence: what a caller or another process did.

using namespace days;

TEST_CASE_FIXTURE(OnDisk, "a child of fork() may read the store and not write it") {
  Store store("db");
  add(store, 2);
  disk.process = 2;
  CHECK(store.size() == 2);
  const auto [code, text] = error_of([&] { add(store, 1); });
  CHECK(code == rag::Errc::unsupported);
  CHECK(text.find("forked") != std::string::npos);
  disk.process = 1;
  add(store, 1);
}

TEST_CASE_FIXTURE(OnDisk, "a file that another program cuts short gives an Error, not a killed process") {
  Store store("db");
  add(store, 20);
  disk.names["db"]->resize(9000);
  const auto [code, text] = error_of([&] { store.search(axes({0}, 3).row(0), 1); });
  CHECK(code == rag::Errc::corrupt);
  CHECK(text.find("cut the file short") != std::string::npos);
  CHECK(error_of([&] { store.find(0); }).first == rag::Errc::corrupt);
}

TEST_CASE_FIXTURE(OnDisk, "another dimension, metric or embedder is refused, and both are named") {
  Collections database("db");
  database.create("faq", {.dimension = 384, .metric = rag::Cosine{}, .embedder = "MiniLM"});
  const auto opened = [&](rag::CollectionOptions options) {
    return error_of([&] { database.open("faq", options); }).second;
  };
  CHECK(opened({.dimension = 384, .metric = rag::Cosine{}, .embedder = "MiniLM"}) == "nothing thrown");
  CHECK(opened({.metric = rag::Cosine{}}) == "nothing thrown");
  CHECK(opened({.dimension = 768, .metric = rag::Cosine{}}) ==
        "FileStore: db: collection 'faq': 768 columns wanted, 384 met");
  CHECK(opened({.metric = rag::L2{}}) == "FileStore: db: collection 'faq': L2 wanted, cosine met");
  CHECK(opened({.metric = rag::Cosine{}, .embedder = "e5"}) ==
        "FileStore: db: collection 'faq': vectors of 'e5' wanted, those of 'MiniLM' met");
  CHECK(error_of([&] { database.create("faq"); }).first == rag::Errc::invalid_argument);
  CHECK(error_of([&] { database.open("none"); }).first == rag::Errc::not_found);
  CHECK(error_of([&] { database.create(""); }).first == rag::Errc::invalid_argument);
  CHECK(error_of([&] { database.create(std::string(256, 'x')); }).first == rag::Errc::invalid_argument);
  CHECK(error_of([&] { database.create("\xFF"); }).first == rag::Errc::invalid_argument);
  CHECK(error_of([&] { database.create("wide", {.dimension = 65537}); }).first ==
        rag::Errc::invalid_argument);
  CHECK(database.create(std::string(255, 'x'), {.dimension = 65536}).dimension() == 65536);
}

TEST_CASE_FIXTURE(OnDisk,
                  "collections are made, listed, dropped, and keep apart, across openings and compaction") {
  {
    Collections database("db");
    CHECK(!database.has("a"));
    CHECK(!database.drop("a"));
    Store a = database.create("a"), b = database.create("b"), c = database.create("c", {.embedder = "e"});
    add(a, 3), add(b, 4);
    CHECK(database.list() == std::vector<std::string>{"a", "b", "c"});
    CHECK(database.drop("a"));
    CHECK(error_of([&] { a.size(); }).first == rag::Errc::not_found);
    CHECK(error_of([&] { add(a, 1); }).first == rag::Errc::not_found);
    CHECK(database.create("a").size() == 0);
  }
  for (int round = 0; round < 3; ++round) {
    CAPTURE(round);
    Collections database("db");
    CHECK(database.list() == std::vector<std::string>{"b", "c", "a"});
    CHECK(database.open("b").size() == 4);
    CHECK(database.open("c").embedder() == "e");
    CHECK(database.open("b").collections().has("c"));
    if (round == 0) database.checkpoint();
    if (round == 1) database.compact();
    CHECK(database.check().clean());
  }
}

TEST_CASE_FIXTURE(OnDisk, "limits are enforced on both sides") {
  Store store("db");
  const auto put = [&](const rag::Chunk& chunk) {
    return error_of([&] { store.add(std::vector{chunk}, axes({0}, 3)); }).first;
  };
  CHECK(put({"t", std::string(65535, 's'), 0, 1}) == rag::Errc::cancelled);
  CHECK(put({"t", std::string(65536, 's'), 0, 1}) == rag::Errc::invalid_argument);
  const std::size_t rest = (16u << 20) - (3 * 8 + 8 + 8 + 4);
  CHECK(put({std::string(rest, 't'), "", 0, 1}) == rag::Errc::cancelled);
  CHECK(put({std::string(rest + 1, 't'), "", 0, 1}) == rag::Errc::invalid_argument);
  CHECK(error_of([&] { Store("wide").add(std::vector<rag::Chunk>(1), rag::Matrix(1, 65537)); }).first ==
        rag::Errc::dimension_mismatch);
  CHECK(store.size() == 2);
  CHECK(store.check().clean());
}

TEST_CASE_FIXTURE(OnDisk, "batched changes are synced when it is time, and by flush()") {
  rag::StoreOptions options;
  options.durability = rag::Durability::batched;
  Store store("db", {}, options);
  disk.record();
  const auto syncs = [&] {
    return std::count_if(disk.changes().begin(), disk.changes().end(),
                         [](const fault::Change& change) { return change.what == fault::Change::sync; });
  };
  add(store, 1), add(store, 1);
  CHECK(syncs() == 0);
  store.flush();
  store.flush();
  CHECK(syncs() == 1);
  add(store, 1);
  Clock::time += std::chrono::seconds(1);
  add(store, 1);
  CHECK(syncs() == 2);
  CHECK(store.size() == 4);
}

TEST_CASE_FIXTURE(OnDisk, "a store more than half dead is compacted by itself, unless it is told not to") {
  for (const bool compacts : {true, false}) {
    rag::StoreOptions options;
    options.compacts = compacts;
    const std::string path = compacts ? "compacts" : "stays";
    Store store(path, {}, options);
    for (int round = 0; round < 40; ++round) {
      std::vector<rag::Chunk> chunks;
      for (rag::Id id = 0; id < 50; ++id) chunks.push_back({std::string(2000, 'x'), "s", 0, 1, {}, id});
      store.upsert(chunks, axes(std::vector<std::size_t>(50, 1), 3));
    }
    CHECK(store.size() == 50);
    CHECK((store.collections().file_bytes() < (2u << 20)) == compacts);
    CHECK(store.check().clean());
    CHECK(disk.names.size() == (compacts ? 1 : 2));
  }
}

TEST_CASE_FIXTURE(OnDisk,
                  "a clean close writes an end frame, and an opening that changes nothing writes nothing") {
  add(*std::make_unique<Store>("db"), 3);
  const Bytes before = disk.get("db");
  {
    Store store("db");
    store.search(axes({0}, 3).row(0), 1);
    CHECK(store.erase(std::vector<rag::Id>{77}) == 0);
    CHECK(store.add({}, rag::Matrix()).empty());
  }
  CHECK(disk.get("db") == before);
  CHECK(get<std::uint32_t>(frame_offsets().back() + 4) == 5);
}

TEST_CASE("two processes: the second writer is refused, a reader is not, and a death gives the lock back") {
  const tests::TemporaryFolder folder;
  const std::string path = (folder / "db").string();
  const auto in_child = [&](auto&& work) {
    const pid_t child = fork();
    if (child == 0) _exit(work() ? 0 : 1);
    int status = 1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
  };
  {
    rag::FileStore store(path);
    store.add(std::vector{chunk_of("s", "one")}, axes({0}, 3));
    CHECK(in_child([&] { return error_of([&] { rag::FileStore again(path); }).first == rag::Errc::busy; }));
    CHECK(in_child([&] { return rag::FileStore(path, {}, reading()).size() == 1; }));
  }
  CHECK(in_child([&] {
    auto* leaked = new rag::FileStore(path);
    leaked->add(std::vector{chunk_of("s", "two")}, axes({0}, 3));
    return true;  // _exit without closing
  }));
  rag::FileStore store(path);
  CHECK(store.size() == 2);
  CHECK(store.check().clean());
}

TEST_CASE("a read-only file in a read-only folder is opened, and nothing is made beside it") {
  const tests::TemporaryFolder folder;
  const std::string path = (folder / "db").string();
  rag::FileStore(path).add(std::vector{chunk_of("s", "one")}, axes({0}, 3));
  namespace fs = std::filesystem;
  fs::permissions(path, fs::perms::owner_read);
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
  CHECK(rag::FileStore(path, {}, reading()).size() == 1);
  fs::permissions(folder.path(), fs::perms::owner_all);
  CHECK(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()) == 1);
  CHECK(error_of([&] { rag::FileStore(path + "x", {}, reading()); }).first == rag::Errc::not_found);
}
