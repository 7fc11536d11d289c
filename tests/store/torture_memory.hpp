// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_TORTURE_MEMORY_HPP
#define RAG_TESTS_STORE_TORTURE_MEMORY_HPP
#include "allocations.hpp"
#include "verdict.hpp"

#include <string>
#include <utility>
#include <vector>

namespace rig {

/// A call that changes nothing, for the loops of memory.
inline StepOf<> looking(const char* name, std::function<void(SessionOf<>&)> run) {
  return {name, std::move(run)};
}

/// Every public call of a FileStore and of its file, on the base file, opened or not.
inline std::vector<StepOf<>> public_calls() {
  using S = Steps<>;
  const std::vector<float> query = entry(4).vector;
  return {
      S::reopen(),
      S::create("c"),
      S::drop("a"),
      S::add("a", 100, 3),
      S::add("a", 200, 40),
      S::upsert("a", 5, 3, 9),
      S::erase("a", 5, 3),
      S::replace("a", "source 2", 300, 2),
      S::flush(),
      S::checkpoint(),
      S::compact(),
      S::refresh(),
      S::import_lines("a", lines_to_import()),
      S::salvage(),
      looking("export", [](auto& s) { rag::export_jsonl(s.collection("a"), lines_to_import() + ".out"); }),
      looking("open", [](auto& s) { s.open().open("a"); }),
      looking("has", [](auto& s) { s.open().has("a"); }),
      looking("list", [](auto& s) { s.open().list(); }),
      looking("check", [](auto& s) { s.open().check(); }),
      looking("search", [=](auto& s) { s.collection("a").search(query, 5); }),
      looking("search with a filter",
              [=](auto& s) { s.collection("a").search(query, 5, rag::field("number") >= 100); }),
      looking("search of a batch",
              [](auto& s) { s.collection("b").search(rows_of(entries(3, 4)).vectors, 5); }),
      looking("search above", [=](auto& s) { s.collection("a").search_above(query, 0.5f); }),
      looking("find", [](auto& s) { s.collection("a").find(6); }),
      looking("chunks", [](auto& s) { s.collection("a").chunks("source 1"); }),
      looking("vector", [](auto& s) { s.collection("a").vector(6); }),
      looking("ids", [](auto& s) { s.collection("a").ids(); }),
  };
}

/// Lets the n-th allocation of a call fail: it throws and has changed nothing; called again, it works.
class MemoryLoop {
 public:
  explicit MemoryLoop(Tally& tally) : tally_(tally) {}

  void all() {
    for (const bool opened : {true, false})
      for (const StepOf<>& step : public_calls())
        for (const bool for_ever : {false, true})
          for (std::uint64_t n = 1; one(step, opened, n, for_ever); ++n) {
          }
  }

 private:
  bool one(const StepOf<>& step, bool opened, std::uint64_t n, bool for_ever) {
    static const Base base = make_base(base_steps(), true);
    fault::FaultDisk disk;
    disk.put(path, base.bytes);
    start_over();
    disk.use();
    ++tally_.tried;
    try {
      SessionOf<> session{{.compacts = false}};
      if (opened) session.open();
      if (!fails(step, session, n, for_ever)) return false;
      verify(step, session, base.contents);
      session.close();
      disk.restart();
      Contents after = base.contents;
      step.change(after);
      Examination<>(disk, {after}).full();
    } catch (const Violation& violation) {
      tally_.fault(std::string(step.name) + (opened ? "" : " with opening") + ", allocation " +
                       std::to_string(n) + (for_ever ? " for ever" : " once"),
                   violation.what);
    }
    return true;
  }

  bool fails(const StepOf<>& step, SessionOf<>& session, std::uint64_t n, bool for_ever) {
    done_ = true;
    memory::fail_at(n, for_ever);
    try {
      step.run(session);
    } catch (const std::bad_alloc&) {
      done_ = false;
    } catch (const std::exception& error) {
      memory::heal();
      throw Violation{std::string("another exception: ") + error.what()};
    }
    memory::heal();
    return memory::hit;
  }

  void verify(const StepOf<>& step, SessionOf<>& session, const Contents& before) {
    Contents after = before;
    step.change(after);
    must("out of memory", [&] {
      if (session.database)
        require_one_of(contents_of(*session.database), {done_ ? after : before}, "in the process");
    });
    must("called again", [&] {
      if (!done_) step.run(session);
      require_one_of(contents_of(session.open()), {after}, "called again");
    });
  }

  Tally& tally_;
  bool done_ = false;
};

}  // namespace rig

#endif
