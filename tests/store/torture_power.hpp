// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_TORTURE_POWER_HPP
#define RAG_TESTS_STORE_TORTURE_POWER_HPP
#include "repair.hpp"
#include "verdict.hpp"

#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace rig {

/// Bugs put into the file on purpose: the harness has to find them.
enum class Bug {
  none,
  no_row_checksum,          ///< what a batch's rows hold is believed
  acknowledge_before_sync,  ///< no batch is synced
  checkpoint_before_sync,   ///< the superblock names a checkpoint that is not on the disk
};
inline constexpr const char* bug_names[] = {"none", "no row checksum", "acknowledge before sync",
                                            "checkpoint before its sync"};

/// A FaultFile whose sync() does nothing where the bug says so.
template <Bug bug>
class BuggyFile : public fault::FaultFile {
 public:
  BuggyFile(fault::FaultFile file) : fault::FaultFile(std::move(file)) {}
  static BuggyFile open(const std::string& name, Mode mode, const std::string& who) {
    return fault::FaultFile::open(name, mode, who);
  }
  void write(std::uint64_t offset, std::span<const std::byte> bytes) {
    fault::FaultFile::write(offset, bytes);
    if (bytes.size() != sizeof(rag::detail::FrameHeader)) return;
    rag::detail::FrameHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.magic == rag::detail::frame_magic) last_ = header.kind;
  }
  void sync() {
    const auto skipped = bug == Bug::acknowledge_before_sync ? rag::detail::FrameKind::batch
                                                             : rag::detail::FrameKind::checkpoint;
    if (std::exchange(last_, rag::detail::FrameKind::end) != skipped) fault::FaultFile::sync();
  }

 private:
  rag::detail::FrameKind last_ = rag::detail::FrameKind::end;
};

struct PowerOptions {
  std::uint64_t samples = 64, all_up_to = 256, seed = 1;
  std::uint64_t full_every = 4;  ///< every so many images a further insert and the bytes of two openings too
  std::uint64_t compound_every =
      0;  ///< every so many images faults and power losses while it is recovered, 0: never
};

template <class File = fault::FaultFile>
class PowerTorture {
 public:
  PowerTorture(Tally& tally, PowerOptions options, bool trust_rows = false)
      : tally_(tally), options_(options), trust_rows_(trust_rows) {}

  void all() {
    for (std::size_t i = 0; i < scenarios<File>().size(); ++i) one(scenarios<File>()[i], scenarios()[i]);
  }

  void one(const ScenarioOf<File>& scenario, const ScenarioOf<>& same) {
    fault::FaultDisk disk;
    put_base(disk, same);
    std::vector<Promise> promises = {{0, base_of(same).contents, true}};
    {
      SessionOf<File> session{scenario.options};
      for (const StepOf<File>& step : scenario.steps) {
        Contents model = promises.back().contents;
        must("without a fault", [&] { step.run(session); });
        step.change(model);
        promises.push_back({disk.changes().size(), model,
                            same.options.durability == rag::Durability::each_batch || step.syncs});
      }
      session.close();
    }
    promises.push_back({disk.changes().size(), promises.back().contents, true});
    std::uint64_t number = 0;
    fault::each_image(disk, {options_.samples, options_.all_up_to, options_.seed},
                      [&](fault::FaultDisk& image, std::size_t cut) {
                        const std::string where = std::string(scenario.name) + ", cut " +
                                                  std::to_string(cut) + ", image " + std::to_string(number);
                        examine(image, allowed(promises, cut), where, ++number);
                      });
  }

 private:
  struct Promise {
    std::size_t change;  // the number of changes when the call returned
    Contents contents;
    bool on_disk;  // or only until the power fails
  };

  /// From what was on the disk for sure to what was being written.
  static std::vector<Contents> allowed(const std::vector<Promise>& promises, std::size_t cut) {
    std::size_t last = 0, sure = 0;
    for (std::size_t i = 0; i < promises.size() && promises[i].change <= cut; ++i) {
      last = i;
      if (promises[i].on_disk) sure = i;
    }
    std::vector<Contents> all;
    for (std::size_t i = sure; i < promises.size() && i <= last + 1; ++i) all.push_back(promises[i].contents);
    return all;
  }

  void examine(fault::FaultDisk& image, const std::vector<Contents>& allowed, const std::string& where,
               std::uint64_t number) {
    ++tally_.tried;
    start_over();
    try {
      if (trust_rows_ && image.has(path))
        fault::repair(image.names[path]->bytes(), fault::Repairs::rows_alone);
      if (options_.compound_every > 0 && number % options_.compound_every == 0)
        compound(image, allowed, number), image.use();
      Examination<File> examination(image, allowed);
      if (number % options_.full_every == 0)
        examination.full();
      else
        examination.look();
    } catch (const Violation& violation) {
      tally_.fault(where, violation.what);
    }
    image.restart();
  }

  /// Something goes wrong while an image is recovered, gets one more batch and is compacted: an operation
  /// fails, or the power again.
  void compound(const fault::FaultDisk& image, const std::vector<Contents>& allowed, std::uint64_t number) {
    if (!image.has(path)) return;
    fault::FaultDisk copy;
    const auto again = [&] {
      copy.names.clear(), copy.restart(), copy.use();
      for (const auto& [name, inode] : image.names) copy.put(name, inode->bytes());
      copy.record();
    };
    again();
    const Contents met = Examination<File>(copy, allowed).look();
    if (met.empty()) return;
    Contents more = met;
    more.begin()->second[8000] = entry(8000);
    again();
    const std::size_t promised = recover(copy, more.begin()->first);
    copy.restart();
    fault::each_image(
        copy, {.samples = 3, .all_up_to = 8, .seed = number}, [&](fault::FaultDisk& second, std::size_t cut) {
          ++tally_.further;
          Examination<File>(second, cut >= promised ? std::vector{more} : std::vector{met, more}).look();
        });
    const auto kind = static_cast<fault::Kind>(number / options_.compound_every % fault::kinds);
    for (std::size_t n = 0;; ++n) {
      again();
      copy.fail_at(n, kind, number / options_.compound_every / fault::kinds % 2 == 0);
      const bool done = recover(copy, more.begin()->first) != SIZE_MAX;
      copy.heal();
      copy.restart();
      ++tally_.further;
      Examination<File>(copy, done ? std::vector{more} : std::vector{met, more}).full();
      if (!copy.hit()) return;
    }
  }

  /// Gives the number of changes when the batch was promised.
  static std::size_t recover(fault::FaultDisk& disk, const std::string& name) {
    std::size_t promised = SIZE_MAX;
    try {
      DatabaseOf<File> database(path, {.compacts = false});
      const Rows rows = rows_of({entry(8000)});
      database.open(name).add(rows.chunks, rows.vectors);
      promised = disk.changes().size();
      database.compact();
    } catch (const rag::Error& error) {
      require(disk.hit(), std::string("recovery without a fault: ") + error.what());
    }
    return promised;
  }

  Tally& tally_;
  PowerOptions options_;
  bool trust_rows_;
};

/// The number of images in which a bug shows.
template <Bug bug>
std::uint64_t images_of_bug() {
  Tally tally{.quiet = true};
  PowerTorture<BuggyFile<bug>>(tally, {.samples = 16, .all_up_to = 32}, bug == Bug::no_row_checksum).all();
  return tally.wrong;
}

}  // namespace rig

#endif
