// SPDX-License-Identifier: MIT
#include <rag/store/file.hpp>

#include "power_loss.hpp"
#include "rig.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

// What a power loss leaves after a session in which a sync failed, in cases that the torture meets by chance alone.

namespace {

void add(rig::Database& database, rag::Id first) {
  const rig::Rows rows = rig::rows_of(rig::entries(first, 2));
  database.open_or_create("a", {.dimension = rig::dimension}).add(rows.chunks, rows.vectors);
}

}  // namespace

TEST_CASE("a superblock whose sync failed is written again before the other page is touched") {
  rig::start_over();
  fault::FaultDisk disk;
  disk.use();
  {
    rig::Database database("db");
    add(database, 0);
    database.checkpoint();
  }
  disk.record();
  {
    rig::Database database("db");
    add(database, 10);
    disk.fail_at(1, fault::Kind::sync_eio_then_ok, false);  // 0: of the checkpoint, 1: of the superblock
    CHECK_THROWS_AS(database.checkpoint(), rag::Error);
    REQUIRE(disk.hit());
    disk.heal();
  }
  const std::size_t failed = disk.changes().size();
  {
    rig::Database database("db");
    add(database, 20);
    database.checkpoint();
  }

  std::uint64_t later = 0;
  fault::each_image(disk, {.samples = 64}, [&](fault::FaultDisk& image, std::size_t cut) {
    CAPTURE(cut);
    if (cut < failed) return;
    ++later;
    std::string met;
    try {
      rig::Database database("db", {.access = rag::Access::read});
      met = std::to_string(database.open("a").size()) + " rows";
    } catch (const rag::Error& error) {
      met = error.what();
    }
    CAPTURE(met);
    REQUIRE((met == "4 rows" || met == "6 rows"));
    image.restart();
  });
  CHECK(later > 100);
}
