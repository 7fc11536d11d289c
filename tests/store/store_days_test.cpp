// SPDX-License-Identifier: MIT
#include "days.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

// The rules of docs/store-format.md for the bad days, each by its sentence: what a file met.

using namespace days;

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
