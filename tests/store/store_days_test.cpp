// SPDX-License-Identifier: MIT
#include <rag/store/open.hpp>
#include <rag/store/salvage.hpp>

#include "fault_file.hpp"
#include "laws/store.hpp"
#include "paths.hpp"

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <utility>
#include <vector>

// The rules of docs/store-format.md for the bad days, each by its sentence.

namespace {

using laws::axes;
using laws::chunk_of;

struct Clock {
  inline static std::chrono::milliseconds time{1'700'000'000'000};
  static std::chrono::milliseconds now() { return time; }
};
struct Random {
  inline static std::uint64_t next = 1;
  static std::uint64_t number() { return next++ * 0x9E3779B97F4A7C15u; }
};
using Store = rag::BasicFileStore<fault::FaultFile, Clock, Random>;
using Collections = Store::Collections;
using Bytes = std::vector<std::byte>;

template <class Work>
std::pair<rag::Errc, std::string> error_of(Work&& work) {
  try {
    work();
  } catch (const rag::Error& error) {
    return {error.code(), error.what()};
  }
  return {rag::Errc::cancelled, "nothing thrown"};
}
rag::StoreOptions reading() {
  rag::StoreOptions options;
  options.access = rag::Access::read;
  return options;
}

struct OnDisk {
  fault::FaultDisk disk;
  OnDisk() { disk.use(); }

  static std::vector<rag::Id> add(Store& store, std::size_t count, const std::string& source = "s") {
    std::vector<rag::Chunk> chunks;
    std::vector<std::size_t> numbers;
    for (std::size_t i = 0; i < count; ++i)
      chunks.push_back(chunk_of(source, "text " + std::to_string(store.size() + i))), numbers.push_back(i);
    return store.add(chunks, axes(numbers, 3));
  }
  void change(std::size_t at, int bits = 1) {
    Bytes bytes = disk.get("db");
    bytes[at] ^= static_cast<std::byte>(bits);
    disk.put("db", bytes);
  }
  template <class T>
  T get(std::size_t at) const {
    T value;
    std::memcpy(&value, disk.get("db").data() + at, sizeof value);
    return value;
  }
  /// Sets a number in both superblocks and makes their checksums right.
  template <class T>
  void set_in_superblocks(std::size_t at, T value) {
    Bytes bytes = disk.get("db");
    for (const std::size_t page : {0u, 4096u}) {
      std::memcpy(bytes.data() + page + at, &value, sizeof value);
      const std::uint32_t check =
          rag::detail::crc32c({reinterpret_cast<const char*>(bytes.data()) + page, 4092});
      std::memcpy(bytes.data() + page + 4092, &check, 4);
    }
    disk.put("db", bytes);
  }
  std::vector<std::uint64_t> frame_offsets() const {
    const Bytes bytes = disk.get("db");
    std::vector<std::uint64_t> offsets;
    for (std::uint64_t at = 8192; at + 64 <= bytes.size();) {
      rag::detail::FrameHeader header;
      std::memcpy(&header, bytes.data() + at, sizeof header);
      if (header.magic != rag::detail::frame_magic) break;
      offsets.push_back(at);
      at = header.next;
    }
    return offsets;
  }
};

}  // namespace

TEST_CASE_FIXTURE(OnDisk,
                  "another program's file, a newer format, another byte order and a poem are told apart") {
  add(*std::make_unique<Store>("db"), 3);
  const Bytes whole = disk.get("db");
  const auto opened = [&] { return error_of([] { Store("db"); }); };

  set_in_superblocks<std::uint32_t>(8, 2);
  CHECK(opened() ==
        std::pair{rag::Errc::unsupported, std::string("FileStore: db: format 1.0 wanted, 2.0 met")});
  disk.put("db", whole);
  set_in_superblocks<std::uint32_t>(16, 0x04030201);
  CHECK(opened().first == rag::Errc::unsupported);
  disk.put("db", whole);
  set_in_superblocks<std::uint32_t>(12, 1);
  CHECK(opened().first == rag::Errc::unsupported);
  CHECK(Store("db", {}, reading()).size() == 3);
  for (const std::string& text : {std::string(), std::string("a poem"), std::string(10000, 'x')}) {
    Bytes bytes(text.size());
    std::copy_n(reinterpret_cast<const std::byte*>(text.data()), text.size(), bytes.begin());
    disk.put("db", bytes);
    CHECK(opened().first == rag::Errc::invalid_format);
    CHECK(disk.get("db") == bytes);
  }
}

TEST_CASE_FIXTURE(OnDisk, "one superblock may be damaged; with both the file is, and can be salvaged") {
  {
    Store store("db");
    add(store, 3);
    store.checkpoint();
    add(store, 2);
    store.checkpoint();
  }
  change(40);
  CHECK(Store("db").size() == 5);
  change(40);
  change(4096 + 40);
  CHECK(Store("db").size() == 5);
  change(41);
  CHECK(error_of([] { Store("db"); }).first == rag::Errc::corrupt);

  const auto report = rag::salvage<fault::FaultFile, Clock, Random>("db", "new");
  CHECK(report.rows == 5);
  CHECK(report.lost_frames == 0);
  Store salvaged("new");
  CHECK(salvaged.size() == 5);
  CHECK(salvaged.find(4)->text == "text 4");
  CHECK(salvaged.check().clean());
}

TEST_CASE_FIXTURE(OnDisk,
                  "a torn tail is cut off by a writer, ignored by a reader, and its bytes are counted") {
  {
    Store store("db");
    add(store, 3);
    store.checkpoint();
    add(store, 2);
  }
  Bytes whole = disk.get("db");
  const std::size_t last = frame_offsets()[3];  // the second batch; the end frame is behind it
  for (const std::size_t size : {last + 1, last + 64, last + 70, whole.size() - 65}) {
    CAPTURE(size);
    disk.put("db", std::span(whole).first(size));
    {
      Collections reader("db", reading());
      CHECK(reader.open("default").size() == 3);
      CHECK(reader.recovered_bytes() == size - last);
      CHECK(disk.get("db").size() == size);
    }
    {
      Collections writer("db");
      CHECK(writer.open("default").size() == 3);
      CHECK(writer.recovered_bytes() == size - last);
    }
    CHECK(disk.get("db").size() == last + 64);  // the end frame
    Store store("db");
    CHECK(add(store, 1) == std::vector<rag::Id>{3});
    CHECK(store.check().clean());
  }
}

TEST_CASE_FIXTURE(OnDisk,
                  "damage where more was promised is an Error with the offset, never a shorter store") {
  {
    Store store("db");
    for (int i = 0; i < 4; ++i) add(store, 2);
  }
  const Bytes whole = disk.get("db");
  const auto frames = frame_offsets();
  REQUIRE(frames.size() == 6);  // create, 4 batches, end
  for (std::size_t i = 0; i < 4; ++i) {
    CAPTURE(i);
    change(frames[i] + 20);
    const auto [code, text] = error_of([] { Store("db"); });
    CHECK(code == rag::Errc::corrupt);
    CHECK(text.find("damaged at byte " + std::to_string(frames[i])) != std::string::npos);
    CHECK(error_of([] { Store("db", {}, reading()); }).first == rag::Errc::corrupt);
    disk.put("db", whole);
  }
  // The last batch is vouched for by the end frame.
  change(frames[4] + 20);
  CHECK(error_of([] { Store("db"); }).first == rag::Errc::corrupt);
  const auto report = rag::salvage<fault::FaultFile, Clock, Random>("db", "new");
  CHECK(report.rows == 6);
  CHECK(report.lost_frames == 1);
}

TEST_CASE_FIXTURE(OnDisk, "damage before the checkpoint waits for check(), or for verify") {
  {
    Store store("db");
    add(store, 5);
    store.checkpoint();
  }
  const std::uint64_t body = frame_offsets()[1] + 64;
  const auto extent = get<rag::detail::Piece>(body + sizeof(rag::detail::BatchHead)).offset;
  change(extent + 2);
  {
    Store store("db");
    CHECK(store.size() == 5);
    const auto report = store.check();
    REQUIRE(report.problems.size() == 1);
    CHECK(report.problems[0].find("damaged at byte") != std::string::npos);
  }
  rag::StoreOptions options;
  options.verify = true;
  CHECK(error_of([&] { Store("db", {}, options); }).first == rag::Errc::corrupt);
}

TEST_CASE_FIXTURE(OnDisk,
                  "after a failed sync nothing more is written, reads go on, and the next opening decides") {
  {
    Store store("db");
    add(store, 3);
    disk.fail_at(0, fault::Kind::sync_eio, false);
    CHECK(error_of([&] { add(store, 2); }).first == rag::Errc::io);
    CHECK(store.size() == 3);
    const auto [code, text] = error_of([&] { add(store, 2); });
    CHECK(code == rag::Errc::io);
    CHECK(text.find("open it anew") != std::string::npos);
    CHECK(error_of([&] { store.compact(); }).first == rag::Errc::io);
    CHECK(store.search(axes({0}, 3).row(0), 1).size() == 1);
    disk.heal();
  }
  Store store("db");
  CHECK((store.size() == 3 || store.size() == 5));
  CHECK(store.check().clean());
  add(store, 1);
}

TEST_CASE_FIXTURE(
    OnDisk, "a full disk is met before a byte of the batch is written, and room makes the store go on") {
  Store store("db");
  add(store, 3);
  const Bytes before = disk.get("db");
  disk.fail_at(0, fault::Kind::allocate_enospc, true);
  CHECK(error_of([&] { add(store, 300); }).first == rag::Errc::io);
  CHECK(disk.get("db") == before);
  CHECK(store.size() == 3);
  disk.heal();
  add(store, 300);
  CHECK(store.size() == 303);
  CHECK(store.check().clean());
}

TEST_CASE_FIXTURE(
    OnDisk,
    "a file has one writer and any number of readers, which see what they opened until they refresh") {
  Store writer("db");
  CHECK(error_of([] { Store("db"); }).first == rag::Errc::busy);
  add(writer, 2);
  Store early("db", {}, reading());
  add(writer, 3);
  Store late("db", {}, reading());
  CHECK(early.size() == 2);
  CHECK(late.size() == 5);
  CHECK(error_of([&] { add(late, 1); }).first == rag::Errc::unsupported);
  CHECK(early.refresh());
  CHECK(!early.refresh());
  CHECK(early.size() == 5);
  CHECK(early.search(axes({0}, 3).row(0), 9) == writer.search(axes({0}, 3).row(0), 9));

  writer.erase(std::vector<rag::Id>{0, 1, 2});
  writer.compact();
  CHECK(early.size() == 5);
  CHECK(early.find(0).has_value());
  CHECK(early.refresh());
  CHECK(early.size() == 2);
  CHECK(!early.find(0).has_value());
  CHECK(writer.size() == 2);
  CHECK(add(writer, 1) == std::vector<rag::Id>{5});
  CHECK(early.refresh());
  CHECK(early.size() == 3);
}

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
