// SPDX-License-Identifier: MIT
#include <rag/store/flat.hpp>
#include <rag/store/open.hpp>
#include <rag/store/salvage.hpp>

#include "fault_file.hpp"
#include "laws/store.hpp"
#include "paths.hpp"
#include "repair.hpp"
#include "rig.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

// What a FileStore may hold, up to its limits, and where it lies.

namespace {

namespace fs = std::filesystem;
using laws::axes;
using laws::chunk_of;
using rig::Database, rig::Store;

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
  OnDisk() { disk.use(), rig::start_over(); }
};

/// Whether two chunks are the same, NaN in metadata too.
bool same(const rag::Chunk& a, const rag::Chunk& b) {
  if (a.text != b.text || a.source != b.source || a.begin != b.begin || a.end != b.end || a.id != b.id) return false;
  auto other = b.metadata.begin();
  for (const auto& [name, value] : a.metadata) {
    if (other == b.metadata.end() || other->first != name) return false;
    const auto& met = (other++)->second;
    if (value.is_number() && met.is_number()) {
      const double x = value.number(), y = met.number();
      if (std::memcmp(&x, &y, sizeof x) != 0) return false;
    } else if (!(value == met)) {
      return false;
    }
  }
  return other == b.metadata.end();
}

}  // namespace

TEST_CASE_FIXTURE(OnDisk, "what a chunk holds comes back after opening, a checkpoint, a compaction, and from a salvage") {
  using Number = std::numeric_limits<double>;
  const std::size_t largest = std::numeric_limits<std::size_t>::max();
  const std::vector<rag::Chunk> chunks = {
      {"", "", 0, 0, {}, 0},
      {std::string("\0 \xFF\xFE\n", 5), std::string("s\0t", 3), largest, largest, {{"", ""}}, 7},
      {"t",
       "s",
       1,
       0,
       {{"nan", Number::quiet_NaN()},
        {"inf", -Number::infinity()},
        {"zero", -0.0},
        {"tiny", Number::denorm_min()},
        {"yes", true},
        {"no", false},
        {std::string(1000, 'n'), std::string(5000, 'v')}},
       std::numeric_limits<rag::Id>::max() - 1}};
  const float values[] = {std::numeric_limits<float>::denorm_min(), -0.0f, 3e18f, 1, 0, 0, 1e-30f, 0, 1};
  rag::Matrix vectors(3, 3);
  std::copy(std::begin(values), std::end(values), vectors.data());
  Store("db").add(chunks, vectors);

  for (int round = 0; round < 4; ++round) {
    CAPTURE(round);
    Store store("db");
    REQUIRE(store.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      CAPTURE(i);
      CHECK(same(*store.find(chunks[i].id), chunks[i]));
      const std::vector<float> vector = store.vector(chunks[i].id);
      CHECK(std::memcmp(vector.data(), vectors.row(i).data(), 3 * sizeof(float)) == 0);
      CHECK(store.chunks(chunks[i].source).size() == 1);
    }
    CHECK(store.check().clean());
    if (round == 0) store.checkpoint();
    if (round == 1) store.compact();
    if (round == 2) CHECK(rag::salvage<fault::FaultFile, rig::Clock, rig::Random>("db", "new").rows == 3);
  }
  CHECK(same(*Store("new").find(7), chunks[1]));
  // The last id that there is was taken.
  CHECK(error_of([&] { Store("db").add(std::vector{chunk_of("s", "t")}, axes({0}, 3)); }).first ==
        rag::Errc::invalid_argument);
}

TEST_CASE_FIXTURE(OnDisk, "1 and 65,536 columns, no rows at all, and more hits wanted than there are rows") {
  for (const std::size_t columns : {std::size_t{1}, rag::detail::largest_dimension}) {
    CAPTURE(columns);
    const std::string path = std::to_string(columns);
    rag::FlatStore flat;
    for (int round = 0; round < 3; ++round) {
      Store store(path);
      CHECK(store.search(axes({0}, columns).row(0), 5) == flat.search(axes({0}, columns).row(0), 5));
      if (round > 0) CHECK(store.search(axes({0}, columns).row(0), 1'000'000).size() == flat.size());
      CHECK(store.search(axes({0}, columns).row(0), 0).empty());
      const std::vector<rag::Chunk> chunks(3, chunk_of("s", "t"));
      store.add(chunks, axes({0, columns - 1, columns / 2}, columns));
      flat.add(chunks, axes({0, columns - 1, columns / 2}, columns));
      CHECK(store.check().clean());
    }
    Store store(path);
    CHECK(store.erase(rag::Filter()) == 9);
    store.compact();
    CHECK(store.dimension() == columns);
    CHECK(store.search(axes({0}, columns).row(0), 5).empty());
    CHECK(store.search(axes({0}, columns), 5) == std::vector<std::vector<rag::Hit>>(1));
    CHECK(store.search_above(axes({0}, columns).row(0), -1).empty());
    CHECK(store.ids().empty());
    CHECK(store.add({}, rag::Matrix(0, columns)).empty());
    CHECK(store.check().clean());
  }
  Store none("none");
  CHECK(none.search(rag::Matrix(2, 7), 5) == std::vector<std::vector<rag::Hit>>(2));
  CHECK(none.search_above(axes({0}, 7).row(0), 0).empty());
}

TEST_CASE_FIXTURE(OnDisk, "what is not to be put into a store is refused, and nothing is changed") {
  Store store("db");
  store.add(std::vector<rag::Chunk>{{"one", "s", 0, 1, {}, 5}, {"two", "t", 0, 1, {}, 6}}, axes({0, 1}, 3));
  const auto before = disk.get("db");
  const auto refused = [&](auto&& work) {
    const auto [code, text] = error_of(work);
    CHECK(text.starts_with("FileStore::"));
    CHECK(disk.get("db") == before);
    return code;
  };
  using rag::Errc;
  const std::vector<rag::Chunk> one = {{"x", "s", 0, 1, {}, 9}}, none = {{"x", "s", 0, 1}},
                                taken = {{"x", "s", 0, 1, {}, 6}};
  CHECK(refused([&] { store.upsert(none, axes({0}, 3)); }) == Errc::invalid_argument);
  CHECK(refused([&] { store.replace("other", one, axes({0}, 3)); }) == Errc::invalid_argument);
  CHECK(refused([&] { store.replace("s", taken, axes({0}, 3)); }) == Errc::invalid_argument);
  CHECK(refused([&] { store.add(taken, axes({0}, 3)); }) == Errc::invalid_argument);
  CHECK(refused([&] { store.add(one, axes({0}, 4)); }) == Errc::dimension_mismatch);
  CHECK(refused([&] { store.add(one, rag::Matrix(1, 0)); }) == Errc::dimension_mismatch);
  CHECK(refused([&] { store.add(one, axes({0, 1}, 3)); }) == Errc::invalid_argument);
  rag::Matrix endless = axes({0}, 3);
  endless.data()[1] = std::numeric_limits<float>::infinity();
  CHECK(refused([&] { store.add(one, endless); }) == Errc::invalid_argument);
  CHECK(refused([&] { store.search(endless.row(0), 1); }) == Errc::invalid_argument);
  CHECK(refused([&] { store.search(axes({0}, 4).row(0), 1); }) == Errc::dimension_mismatch);
  CHECK(refused([&] { store.search_above(axes({0}, 3).row(0), std::nanf("")); }) == Errc::invalid_argument);
  Database database = store.collections();
  CHECK(error_of([&] { database.create("e", {.embedder = std::string(65536, 'e')}); }).first == Errc::invalid_argument);
  CHECK(database.create("e", {.embedder = std::string(65535, 'e')}).embedder().size() == 65535);
}

TEST_CASE_FIXTURE(OnDisk, "a checkpoint that says another thing than its frames is met by check()") {
  {
    Database database("db");
    Store a = database.create("a", {.embedder = "model"}), b = database.create("b", {.metric = rag::Cosine{}});
    a.add(std::vector<rag::Chunk>{{"one", "s", 0, 1}, {"two", "t", 0, 1}, {"three", "s", 0, 1}}, axes({0, 1, 2}, 3));
    b.add(std::vector<rag::Chunk>{{"one", "s", 0, 1}}, axes({0}, 3));
    a.erase(std::vector<rag::Id>{1});
    database.checkpoint();
  }
  const std::vector<std::byte> whole = disk.get("db");
  std::size_t offset = 8192;
  rag::detail::FrameHeader header;
  do {
    std::memcpy(&header, whole.data() + offset, sizeof header);
    if (header.kind != rag::detail::FrameKind::checkpoint) offset = static_cast<std::size_t>(header.next);
  } while (header.kind != rag::detail::FrameKind::checkpoint);

  std::size_t met = 0;
  const std::size_t begin = offset + 64 + 8, end = offset + 64 + static_cast<std::size_t>(header.body);
  for (std::size_t at = begin; at < end; ++at) {
    std::vector<std::byte> bytes = whole;
    bytes[at] ^= std::byte{1};
    fault::repair(bytes);
    disk.put("db", bytes);
    const auto [code, text] = error_of([&] {
      if (!Database("db", reading()).check().clean()) ++met;
    });
    if (code == rag::Errc::corrupt) ++met;
    disk.restart();
  }
  // The others: bytes between tables, and words that are always 0.
  std::size_t zeros = 0;
  for (std::size_t at = begin; at < end; ++at) zeros += whole[at] == std::byte{0};
  CHECK(met >= end - begin - zeros);
  CHECK(met > (end - begin) / 3);
}

TEST_CASE_FIXTURE(OnDisk, "a record too short for an id, all checksums right, is a lost row for a salvage") {
  {
    Database database("db");
    database.create("a").add(std::vector{chunk_of("s", "t")}, axes({0}, 3));
  }
  const std::vector<std::byte> whole = disk.get("db");
  std::size_t offset = 8192;
  rag::detail::FrameHeader header;
  for (;; offset = static_cast<std::size_t>(header.next)) {
    std::memcpy(&header, whole.data() + offset, sizeof header);
    if (header.kind == rag::detail::FrameKind::batch) break;
  }
  const std::size_t record = sizeof header + sizeof(rag::detail::BatchHead) + sizeof(rag::detail::Piece);
  for (std::uint32_t size = 0; size < sizeof(rag::Id); ++size) {
    CAPTURE(size);
    std::vector<std::byte> bytes = whole;
    header.body = record - sizeof header + rag::detail::record_head + size;
    std::memcpy(bytes.data() + offset, &header, sizeof header);
    std::memcpy(bytes.data() + offset + record, &size, sizeof size);
    fault::repair(bytes);
    disk.put("db", bytes);
    const auto report = rag::salvage<fault::FaultFile, rig::Clock, rig::Random>("db", "copy");
    CHECK(report.rows == 0);
    CHECK(report.lost_rows == 1);
    CHECK(report.lost_frames == 0);
    disk.restart();
    fault::FaultFile::remove("copy");
  }
}

TEST_CASE_FIXTURE(OnDisk, "files of other names beside a store stay, and a new file that another makes is waited for") {
  const std::vector<std::byte> mine(3, std::byte{7});
  disk.put("db.tmp", mine), disk.put("db.new", mine);
  {
    Store store("db");
    store.add(std::vector{chunk_of("s", "t")}, axes({0}, 3));
    store.compact();
  }
  CHECK(disk.get("db.tmp") == mine);
  CHECK(disk.get("db.new") == mine);

  auto other = fault::FaultFile::open("late.rag-new", rag::FileMode::create, "test");
  REQUIRE(other.try_lock());
  CHECK(error_of([] { Store("late"); }) ==
        std::pair{rag::Errc::busy, std::string("FileStore: late is made elsewhere")});
}

TEST_CASE_FIXTURE(OnDisk, "a file of the network is written only where that is allowed") {
  Store("db").add(std::vector{chunk_of("s", "t")}, axes({0}, 3));
  disk.remote = true;
  CHECK(error_of([] { Store("db"); }).first == rag::Errc::unsupported);
  CHECK(Store("db", {}, reading()).size() == 1);
  rag::StoreOptions options;
  options.allows_network = true;
  CHECK(Store("db", {}, options).size() == 1);
}

TEST_CASE_FIXTURE(OnDisk, "the texts of errors name the file once, after a compaction too") {
  CHECK(error_of([] { Store("none", {}, reading()); }) ==
        std::pair{rag::Errc::not_found, std::string("FileStore: none: No such file or directory")});
  Store store("db");
  store.add(std::vector{chunk_of("s", "t")}, axes({0}, 3));
  store.compact();
  disk.fail_at(0, fault::Kind::enospc, true);
  CHECK(error_of([&] { store.add(std::vector{chunk_of("s", "t")}, axes({0}, 3)); }) ==
        std::pair{rag::Errc::io, std::string("FileStore: db: No space left on device")});
  disk.heal();
  disk.names.erase("db");
  Store reader("other");
  CHECK(error_of([&] { Store("db", {}, reading()); }).first == rag::Errc::not_found);
}

TEST_CASE_FIXTURE(OnDisk, "a salvage that fails leaves nothing") {
  {
    Store store("db");
    for (int i = 0; i < 20; ++i) store.add(std::vector{chunk_of("s", "t")}, axes({0}, 3));
  }
  const auto salvage = [] { return rag::salvage<fault::FaultFile, rig::Clock, rig::Random>("db", "new").rows; };
  std::size_t n = 0;
  for (std::size_t rows = 0; rows == 0; ++n) {  // until a whole salvage has less than n operations that need room
    CAPTURE(n);
    REQUIRE(n < 1000);
    disk.fail_at(n, fault::Kind::enospc, true);
    const auto code = error_of([&] { rows = salvage(); }).first;
    disk.heal();
    CHECK(disk.names.size() == (rows == 0 ? 1u : 2u));
    CHECK(code == (rows == 0 ? rag::Errc::io : rag::Errc::cancelled));
    CHECK((rows == 0 || rows == 20));
  }
  CHECK(n > 5);
  CHECK(error_of([] { rag::salvage<fault::FaultFile, rig::Clock, rig::Random>("db", "new"); }).second ==
        "salvage: new is there already");
}

TEST_CASE_FIXTURE(OnDisk, "a reader of a file that is cut short or taken away gets Errors, and no more") {
  Store writer("db");
  writer.add(std::vector<rag::Chunk>(40, chunk_of("s", "t")), axes(std::vector<std::size_t>(40, 1), 3));
  Store reader("db", {}, reading());
  disk.names["db"]->resize(8300);
  CHECK(error_of([&] { reader.find(3); }).first == rag::Errc::corrupt);
  CHECK(!reader.refresh());
  CHECK(error_of([&] { reader.search(axes({1}, 3).row(0), 3); }).first == rag::Errc::corrupt);
  disk.names.erase("db");
  CHECK(error_of([&] { reader.refresh(); }) ==
        std::pair{rag::Errc::not_found, std::string("FileStore: db is not there any more")});
}

TEST_CASE("a link to a file stays a link when the file is compacted") {
  const tests::TemporaryFolder folder;
  fs::create_directory(folder / "far");
  const std::string file = (folder / "far" / "db").string(), link = (folder / "db").string();
  fs::create_symlink(file, link);
  rag::FileStore(file).add(std::vector{chunk_of("s", "one"), chunk_of("t", "two")}, axes({0, 1}, 3));
  {
    rag::FileStore store(link);
    CHECK(store.erase(std::vector<rag::Id>{0}) == 1);
    store.compact();
    CHECK(store.collections().path() == link);
    CHECK(store.check().rows == 1);
  }
  CHECK(fs::is_symlink(link));
  CHECK(rag::FileStore(file).size() == 1);
  CHECK(std::distance(fs::directory_iterator(folder / "far"), fs::directory_iterator()) == 1);
}

TEST_CASE("a relative path means what it meant, wherever the process goes before a compaction") {
  const tests::TemporaryFolder here, there;
  const fs::path before = fs::current_path();
  fs::current_path(here.path());
  rag::FileStore store("db");
  fs::current_path(there.path());
  store.add(std::vector{chunk_of("s", "one"), chunk_of("t", "two")}, axes({0, 1}, 3));
  CHECK(store.erase(std::vector<rag::Id>{0}) == 1);
  store.compact();
  fs::current_path(before);
  CHECK(fs::is_empty(there.path()));
  CHECK(rag::FileStore((here / "db").string(), {}, reading()).size() == 1);
  CHECK(std::distance(fs::directory_iterator(here.path()), fs::directory_iterator()) == 1);
}
