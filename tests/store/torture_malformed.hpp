// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_TORTURE_MALFORMED_HPP
#define RAG_TESTS_STORE_TORTURE_MALFORMED_HPP
#include "allocations.hpp"
#include "repair.hpp"
#include "verdict.hpp"

#include <algorithm>
#include <ctime>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace rig {

/// A store's file, damaged in every way: an error or the right answer, no crash, no allocation by a size that
/// it says.
class MalformedFiles {
 public:
  explicit MalformedFiles(Tally& tally) : tally_(tally) {
    start_over();
    fault::FaultDisk disk;
    disk.use();
    SessionOf<> session{{.compacts = false}};
    Contents contents;
    for (const StepOf<>& step : base_steps()) {
      step.run(session), step.change(contents);
      states_.push_back(contents);
    }
    session.close();
    good_ = disk.get(path);
  }

  /// Each byte set to 0, to 255, one more, and with one bit turned.
  void bytes(std::size_t every) {
    for (std::size_t at = 0; at < good_.size(); at += every) {
      const auto old = static_cast<unsigned>(good_[at]);
      for (const unsigned value : {0u, 255u, (old + 1) % 256, old ^ 1u << at % 8}) {
        if (value == old) continue;
        std::vector<std::byte> file = good_;
        file[at] = static_cast<std::byte>(value);
        examine(file, {states_.back()}, "byte " + std::to_string(at) + " = " + std::to_string(value));
      }
    }
  }

  /// What is cut off the end cannot be told from what a crash left: any state behind the checkpoint is right.
  void truncations(std::size_t every) {
    for (std::size_t size = 0; size < good_.size(); size += every)
      examine({good_.begin(), good_.begin() + static_cast<std::ptrdiff_t>(size)}, states_,
              "cut to " + std::to_string(size));
  }

  /// Numbers in the places of one field or two, all checksums put right.
  void fields(std::uint64_t pairs) {
    const std::vector<std::size_t> places = number_places();
    for (const std::size_t place : places)
      for (unsigned value = 0; value < 12; ++value) {
        std::vector<std::byte> file = good_;
        put(file, place, value);
        repaired(file, "field " + std::to_string(place) + ", value " + std::to_string(value));
      }
    std::mt19937_64 random(5);
    for (std::uint64_t i = 0; i < pairs; ++i) {
      std::vector<std::byte> file = good_;
      std::string where = "fields";
      for (int field = 0; field < 2; ++field) {
        const std::size_t place = places[random() % places.size()];
        const auto value = static_cast<unsigned>(random() % 12);
        put(file, place, value);
        where += ' ' + std::to_string(place) + ", value " + std::to_string(value);
      }
      repaired(file, where);
    }
  }

 private:
  /// Every fourth byte of what is not rows or padding.
  std::vector<std::size_t> number_places() const {
    std::vector<std::size_t> places;
    const auto add = [&](std::size_t begin, std::size_t end) {
      for (std::size_t at = begin; at + 8 <= std::min(end, good_.size()); at += 4) places.push_back(at);
    };
    add(0, 96), add(4096, 4096 + 96);
    for (std::size_t offset = rag::detail::first_frame; offset + 64 <= good_.size();) {
      rag::detail::FrameHeader header;
      std::memcpy(&header, good_.data() + offset, sizeof header);
      add(offset, offset + 64 + std::min<std::size_t>(static_cast<std::size_t>(header.body), 600));
      offset = static_cast<std::size_t>(header.next);
    }
    return places;
  }

  void put(std::vector<std::byte>& file, std::size_t place, unsigned value) const {
    const std::uint64_t size = good_.size(), values[] = {0, 1, UINT64_MAX, UINT64_MAX - 1, size, size + 1};
    const std::uint32_t small[] = {0,
                                   1,
                                   UINT32_MAX,
                                   UINT32_MAX - 1,
                                   static_cast<std::uint32_t>(size),
                                   static_cast<std::uint32_t>(size) + 1};
    if (value < 6)
      std::memcpy(file.data() + place, &values[value], 8);
    else
      std::memcpy(file.data() + place, &small[value - 6], 4);
  }

  void repaired(std::vector<std::byte>& file, const std::string& where) {
    fault::repair(file);
    examine(file, {}, where);
  }

  /// No state is allowed: any will do.
  void examine(const std::vector<std::byte>& file, const std::vector<Contents>& allowed,
               const std::string& where) {
    ++tally_.tried;
    disk_.names.clear();
    disk_.restart();
    disk_.put(path, file);
    disk_.use();
    memory::largest = 0;
    memory::refused_above = 4 * good_.size() + (std::size_t{8} << 20);
    const std::clock_t begin = std::clock();  // of this process: others may have the machine
    try {
      look({.access = rag::Access::read}, allowed);
      if (tally_.tried % 4 == 0) {
        look({.access = rag::Access::write, .compacts = false}, allowed);
        if (allowed.empty()) change();
      }
      if (tally_.tried % 16 == 0) salvage();
    } catch (const Violation& violation) {
      tally_.fault(where, violation.what);
    }
    memory::refused_above = SIZE_MAX;
    if (std::clock() - begin > 2 * CLOCKS_PER_SEC)
      tally_.fault(where, "took more than 2 s of processor time");
  }

  template <class Use>
  void refuse_or(const Use& use) {
    try {
      use();
    } catch (const Violation&) {
      throw;
    } catch (const rag::Error&) {
      ++tally_.further;
    } catch (const std::bad_alloc&) {
      throw Violation{"allocates " + std::to_string(memory::largest) + " bytes for a file of " +
                      std::to_string(good_.size())};
    } catch (const std::exception& error) {
      throw Violation{std::string("threw no rag::Error: ") + error.what()};
    }
  }

  void look(const rag::StoreOptions& options, const std::vector<Contents>& allowed) {
    refuse_or([&] {
      Database database(path, options);
      const bool clean = database.check().clean();
      const Contents met = contents_of(database);
      for (const auto& [name, rows] : met)
        if (!rows.empty()) database.open(name).search(rows.begin()->second.vector, 3);
      if (!allowed.empty() && clean) require_one_of(met, allowed, "opened, checked and clean");
    });
  }
  void salvage() {
    refuse_or([&] {
      disk_.names.erase("copy");
      rag::salvage<fault::FaultFile, Clock, Random>(path, "copy");
      Database copy("copy", {.access = rag::Access::read});
      contents_of(copy);
      require_clean(copy, "salvaged");
    });
  }
  void change() {
    refuse_or([&] {
      Database database(path);
      for (const std::string& name : database.list()) {
        Store store = database.open(name);
        const Rows rows = rows_of(entries(700, 2));
        store.upsert(rows.chunks, rows.vectors);
        store.erase(std::vector<rag::Id>{0});
      }
      database.compact();
    });
  }

  Tally& tally_;
  std::vector<Contents> states_ = {};
  std::vector<std::byte> good_ = {};
  fault::FaultDisk disk_ = {};
};

}  // namespace rig

#endif
