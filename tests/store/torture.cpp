// SPDX-License-Identifier: MIT
// Tortures a FileStore on a disk in memory.
//   torture faults | power | memory | malformed [EVERY]    the set of every commit, see run.sh, or one of
//   EVERY of it torture long SEED IMAGES    at least so many images of power losses, with faults in recovery
#include "torture_faults.hpp"
#include "torture_malformed.hpp"
#include "torture_memory.hpp"
#include "torture_power.hpp"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

int passed = 0, failed = 0;

void verdict(bool right, const std::string& what) {
  std::printf("%s%s\n", right ? "" : "FAILED ", what.c_str());
  std::fflush(stdout);
  ++(right ? passed : failed);
}
std::string counted(std::uint64_t count, const char* what) { return std::to_string(count) + ' ' + what; }

void faults(std::size_t every) {
  rig::Tally tally;
  rig::FaultLoop(tally).all(every);
  verdict(tally.wrong == 0 && tally.tried >= 5'000 / every,
          counted(tally.tried, "runs with a fault, ") + counted(tally.further, "power losses in them, ") +
              counted(tally.wrong, "wrong"));
}

void power(std::size_t every) {
  rig::Tally tally;
  rig::PowerTorture<>(tally, {.samples = 240 / every, .all_up_to = 512 / every}).all();
  verdict(tally.wrong == 0 && tally.tried >= 100'000 / every,
          counted(tally.tried, "power losses, ") + counted(tally.wrong, "wrong"));
  const auto seeded = [](rig::Bug bug, std::uint64_t found) {
    verdict(found > 0, std::string("seeded bug, ") + rig::bug_names[static_cast<int>(bug)] + ": found in " +
                           counted(found, "images"));
  };
  seeded(rig::Bug::no_row_checksum, rig::images_of_bug<rig::Bug::no_row_checksum>());
  seeded(rig::Bug::acknowledge_before_sync, rig::images_of_bug<rig::Bug::acknowledge_before_sync>());
  seeded(rig::Bug::checkpoint_before_sync, rig::images_of_bug<rig::Bug::checkpoint_before_sync>());
}

void out_of_memory() {
  rig::Tally tally;
  rig::MemoryLoop(tally).all();
  verdict(tally.wrong == 0 && tally.tried >= 2'000,
          counted(tally.tried, "calls without memory, ") + counted(tally.wrong, "wrong"));
}

void malformed(std::size_t every) {
  const auto run = [&](const char* name, auto&& work) {
    rig::Tally tally;
    rig::MalformedFiles files(tally);
    work(files);
    verdict(tally.wrong == 0 && tally.tried >= 1'000 / every,
            std::string(name) + ": " + counted(tally.tried, "files, ") + counted(tally.further, "refused, ") +
                counted(tally.wrong, "wrong"));
  };
  run("bytes changed", [&](auto& files) { files.bytes(every); });
  run("truncations", [&](auto& files) { files.truncations(every); });
  run("fields changed", [&](auto& files) { files.fields(20'000 / every); });
}

void for_long(std::uint64_t seed, std::uint64_t images) {
  rig::Tally tally;
  std::uint64_t rounds = 0;
  for (; tally.tried < images && tally.wrong == 0; ++rounds) {
    // All images of a cut are the same in each round, those that are drawn are others.
    rig::PowerTorture<>(tally, {.samples = 256,
                                .all_up_to = rounds == 0 ? 4096u : 0u,
                                .seed = seed + rounds,
                                .compound_every = 2048})
        .all();
    std::printf("%s so far\n", counted(tally.tried, "power losses").c_str());
    std::fflush(stdout);
  }
  verdict(tally.wrong == 0,
          counted(tally.tried, "power losses, ") +
              counted(tally.further, "faults and power losses while they were recovered, ") +
              counted(tally.wrong, "wrong"));
  rig::Tally fields;
  rig::MalformedFiles(fields).fields(1'000'000);
  verdict(fields.wrong == 0,
          counted(fields.tried, "files with fields changed, ") + counted(fields.wrong, "wrong"));
}

}  // namespace

int main(int count, char** words) {
  const std::string_view part = count > 1 ? words[1] : "";
  const std::size_t every = count > 2 ? std::strtoull(words[2], nullptr, 10) : 1;
  if (part == "faults")
    faults(every);
  else if (part == "power")
    power(every);
  else if (part == "memory")
    out_of_memory();
  else if (part == "malformed")
    malformed(every);
  else if (part == "long" && count == 4)
    for_long(std::strtoull(words[2], nullptr, 10), std::strtoull(words[3], nullptr, 10));
  else
    return std::puts("torture faults | power | memory | malformed | long SEED IMAGES"), 2;
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
