// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_VERDICT_HPP
#define RAG_TESTS_STORE_VERDICT_HPP
#include "scenarios.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace rig {

/// Counts what was tried, and says what went wrong, the first times in words.
struct Tally {
  std::uint64_t tried = 0, wrong = 0, further = 0;
  bool quiet = false;

  void fault(const std::string& where, const std::string& what) {
    if (++wrong <= 20 && !quiet) std::printf("FAILED %s: %s\n", where.c_str(), what.c_str());
  }
};

/// Thrown by the checks below.
struct Violation {
  std::string what;
};
inline void require(bool right, const std::string& what) {
  if (!right) throw Violation{what};
}

/// In words, what was met instead of what is allowed.
inline std::string difference(const Contents& met, const Contents& wanted) {
  for (const auto& [name, rows] : wanted) {
    const auto found = met.find(name);
    if (found == met.end()) return "collection " + name + " is missing";
    for (const auto& [id, one] : rows) {
      const auto row = found->second.find(id);
      if (row == found->second.end()) return "row " + std::to_string(id) + " of " + name + " is missing";
      if (!(row->second == one)) return "row " + std::to_string(id) + " of " + name + " is another";
    }
    for (const auto& [id, one] : found->second)
      if (rows.count(id) == 0) return "row " + std::to_string(id) + " of " + name + " should not be there";
  }
  for (const auto& [name, rows] : met)
    if (wanted.count(name) == 0) return "collection " + name + " should not be there";
  return "nothing";
}
inline void require_one_of(const Contents& met, const std::vector<Contents>& allowed,
                           const std::string& when) {
  if (std::find(allowed.begin(), allowed.end(), met) == allowed.end())
    throw Violation{when + ": " + difference(met, allowed.back())};
}

/// Calls use(); any exception becomes a Violation.
template <class Use>
auto must(const std::string& when, const Use& use) {
  try {
    return use();
  } catch (const std::exception& error) {
    throw Violation{when + ": " + error.what()};
  }
}

template <class D>
void require_clean(D& database, const std::string& when) {
  const auto report = database.check();
  if (!report.clean()) throw Violation{when + ": check: " + report.problems.front()};
}

/// What a disk must fulfil after anything that may have happened to it: one of the states that are allowed is
/// there, whole; a further insert works; opening again changes no byte.
template <class File = fault::FaultFile>
class Examination {
 public:
  Examination(fault::FaultDisk& disk, const std::vector<Contents>& allowed)
      : disk_(disk), allowed_(allowed) {}

  /// Only what is there and whether it is whole.
  Contents look() {
    if (!disk_.has(path)) {
      require_one_of({}, allowed_, "without a file");
      return {};
    }
    return must("opening", [&] {
      DatabaseOf<File> database(path);
      const Contents met = contents_of(database);
      require_one_of(met, allowed_, "opened");
      require_clean(database, "opened");
      return met;
    });
  }

  void full() {
    Contents met = look();
    const auto first = disk_.get(path);
    if (disk_.has(path)) {
      require(look() == met, "opened again: another content");
      require(disk_.get(path) == first, "opened again: other bytes");
      for (const auto& [name, inode] : disk_.names)
        require(name == path || !name.starts_with(path), name + " is left over");
    }
    insert(met);
  }

  /// A further insert into the first collection, or a new one.
  void insert(Contents& met) {
    const std::string name = met.empty() ? "new" : met.begin()->first;
    const Entry one = entry(9000);
    must("a further insert", [&] {
      DatabaseOf<File> database(path);
      if (met.empty()) database.create(name, {.dimension = dimension});
      StoreOf<File> store = database.open(name);
      const Rows rows = rows_of({one});
      store.add(rows.chunks, rows.vectors);
      met[name][9000] = one;
      require_one_of(contents_of(database), {met}, "after a further insert");
    });
    must("after a further insert", [&] {
      DatabaseOf<File> database(path, {.access = rag::Access::read});
      require_one_of(contents_of(database), {met}, "a further insert opened again");
      require_clean(database, "a further insert opened again");
    });
  }

 private:
  fault::FaultDisk& disk_;
  const std::vector<Contents>& allowed_;
};

/// The bytes of a store file that some steps made, and what is in it.
struct Base {
  std::vector<std::byte> bytes = {};
  Contents contents = {};
};
inline Base make_base(const std::vector<StepOf<>>& steps, bool closed) {
  start_over();
  fault::FaultDisk disk;
  disk.use();
  Base base;
  SessionOf<> session{{.compacts = false}};
  for (const StepOf<>& step : steps) step.run(session), step.change(base.contents);
  if (closed) session.close();
  base.bytes = disk.get(path);
  session.close();
  return base;
}

/// What a scenario finds on the disk.
inline const Base& base_of(const ScenarioOf<>& scenario) {
  static const Base none, whole = make_base(base_steps(), true);
  static const Base torn = [] {
    Base base = make_base(base_steps(), false);
    auto more = base_steps();
    more.push_back(Steps<>::add("a", 900, 3));
    auto longer = make_base(more, false).bytes;
    longer.resize(longer.size() - 700);
    base.bytes = longer;
    return base;
  }();
  return scenario.begins_empty ? none : scenario.begins_torn ? torn : whole;
}
inline void put_base(fault::FaultDisk& disk, const ScenarioOf<>& scenario) {
  const Base& base = base_of(scenario);
  start_over();
  disk.use();
  if (!scenario.begins_empty) disk.put(path, base.bytes);
  disk.record();
}

}  // namespace rig

#endif
