// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_SCENARIOS_HPP
#define RAG_TESTS_STORE_SCENARIOS_HPP
#include <rag/store/flat.hpp>
#include <rag/store/jsonl.hpp>
#include <rag/store/salvage.hpp>

#include "rig.hpp"

#include <unistd.h>

#include <cstdlib>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace rig {

inline const std::string path = "db";

/// A store file that is opened when it is needed, and a reader beside it.
template <class File = fault::FaultFile>
struct SessionOf {
  rag::StoreOptions options = {};
  std::unique_ptr<DatabaseOf<File>> database = {}, reader = {};
  std::size_t openings = 0;

  DatabaseOf<File>& open() {
    if (database) return *database;
    database = std::make_unique<DatabaseOf<File>>(path, options);
    ++openings;
    return *database;
  }
  StoreOf<File> collection(const std::string& name) { return open().open(name); }
  DatabaseOf<File>& read() {
    if (!reader)
      reader = std::make_unique<DatabaseOf<File>>(path, rag::StoreOptions{.access = rag::Access::read});
    return *reader;
  }
  void close() { reader.reset(), database.reset(); }
};

/// One call, and what it changes when it returns; an Error must change nothing that the process sees.
template <class File = fault::FaultFile>
struct StepOf {
  const char* name;
  std::function<void(SessionOf<File>&)> run;
  std::function<void(Contents&)> change = [](Contents&) {};
  bool syncs = true;   ///< with Durability::batched: are all changes so far on the disk after it?
  bool writes = true;  ///< and works only while the store is whole: what failed before it has left nothing
};

template <class File = fault::FaultFile>
struct ScenarioOf {
  const char* name;
  std::vector<StepOf<File>> steps;
  bool begins_empty = false;  ///< without a file
  bool begins_torn = false;   ///< with a file that a crash left
  rag::StoreOptions options = {.compacts = false};
};

template <class File = fault::FaultFile>
class Steps {
 public:
  using Session = SessionOf<File>;
  using Step = StepOf<File>;

  static Step create(const std::string& name, rag::AnyMetric metric = {}) {
    return {
        "create",
        [=](Session& session) { session.open().create(name, {.dimension = dimension, .metric = metric}); },
        [=](Contents& all) { all[name]; }};
  }
  static Step drop(const std::string& name) {
    return {"drop", [=](Session& session) { session.open().drop(name); },
            [=](Contents& all) { all.erase(name); }};
  }
  static Step add(const std::string& name, rag::Id first, std::size_t count) {
    return {"add",
            [=](Session& session) {
              const Rows rows = rows_of(entries(first, count));
              session.collection(name).add(rows.chunks, rows.vectors);
            },
            [=](Contents& all) {
              for (const Entry& made : entries(first, count)) all[name][made.chunk.id] = made;
            }};
  }
  static Step upsert(const std::string& name, rag::Id first, std::size_t count, std::uint64_t revision) {
    return {"upsert",
            [=](Session& session) {
              const Rows rows = rows_of(entries(first, count, revision));
              session.collection(name).upsert(rows.chunks, rows.vectors);
            },
            [=](Contents& all) {
              for (const Entry& made : entries(first, count, revision)) all[name][made.chunk.id] = made;
            }};
  }
  static Step erase(const std::string& name, rag::Id first, std::size_t count) {
    return {"erase",
            [=](Session& session) {
              std::vector<rag::Id> ids;
              for (std::size_t i = 0; i < count; ++i) ids.push_back(first + static_cast<rag::Id>(i));
              session.collection(name).erase(ids);
            },
            [=](Contents& all) {
              for (std::size_t i = 0; i < count; ++i) all[name].erase(first + static_cast<rag::Id>(i));
            }};
  }
  /// Puts entries of other numbers in the place of a source's; their source is the one replaced.
  static Step replace(const std::string& name, const std::string& source, rag::Id first, std::size_t count) {
    const auto made = [=] {
      std::vector<Entry> all = entries(first, count, 7);
      for (Entry& one : all) one.chunk.source = source;
      return all;
    };
    return {"replace",
            [=](Session& session) {
              const Rows rows = rows_of(made());
              session.collection(name).replace(source, rows.chunks, rows.vectors);
            },
            [=](Contents& all) {
              std::erase_if(all[name], [&](const auto& one) { return one.second.chunk.source == source; });
              for (const Entry& one : made()) all[name][one.chunk.id] = one;
            }};
  }
  static Step checkpoint() {
    return {"checkpoint", [](Session& session) { session.open().checkpoint(); }};
  }
  /// Four entries from a file of lines that has nothing to do with the disk in memory.
  static Step import_lines(const std::string& name, const std::string& lines) {
    return {"import",
            [=](Session& session) {
              auto store = session.collection(name);
              rag::import_jsonl(store, lines);
            },
            [=](Contents& all) {
              for (const Entry& made : entries(800, 4)) all[name][made.chunk.id] = made;
            }};
  }
  /// Copies what is whole, which is all, to another file.
  static Step salvage() {
    return {"salvage", [](Session& session) {
              session.close();
              try {
                rag::salvage<File, Clock, Random>(path, "copy");
                DatabaseOf<File> copy("copy");
                if (contents_of(copy) != contents_of(session.open())) throw std::logic_error("another content");
              } catch (...) {
                File::remove("copy");
                throw;
              }
              File::remove("copy");
            }};
  }
  static Step flush() {
    return {"flush", [](Session& session) { session.open().flush(); }};
  }
  static Step compact() {
    return {"compact", [](Session& session) { session.open().compact(); }};
  }
  static Step reopen() {
    return {"reopen", [](Session& session) {
              session.close();
              session.open();
            }};
  }
  static Step refresh() {
    return {"refresh",
            [](Session& session) {
              session.open();
              session.read().refresh();
              contents_of(session.read());
            },
            [](Contents&) {}, true, false};
  }
};

/// A real file of lines to import, made once, gone at the end.
inline const std::string& lines_to_import() {
  struct Lines {
    std::string name = "/tmp/rag-torture-XXXXXX";
    Lines() {
      const int file = ::mkstemp(name.data());
      if (file < 0) throw std::runtime_error("mkstemp");
      ::close(file);
      rag::FlatStore store;
      const Rows rows = rows_of(entries(800, 4));
      store.add(rows.chunks, rows.vectors);
      rag::export_jsonl(store, name);
    }
    ~Lines() {
      ::unlink(name.c_str());
      ::unlink((name + ".out").c_str());
    }
  };
  static const Lines lines;
  return lines.name;
}

/// The file that most scenarios begin with: two collections, a checkpoint, and changes behind it.
template <class File = fault::FaultFile>
std::vector<StepOf<File>> base_steps() {
  using S = Steps<File>;
  return {S::create("a"),     S::create("b", rag::Cosine{}), S::add("a", 0, 20),
          S::add("b", 0, 3),  S::erase("a", 3, 2),           S::checkpoint(),
          S::add("a", 20, 5), S::upsert("a", 6, 2, 1),       S::erase("b", 1, 1)};
}

/// A step that does not count for the durability of batches before it.
template <class Step>
Step unsynced(Step step) {
  step.syncs = false;
  return step;
}

template <class File = fault::FaultFile>
std::vector<ScenarioOf<File>> scenarios() {
  using S = Steps<File>;
  return {
      {"create", {S::create("a"), S::add("a", 0, 2), S::create("c"), S::reopen(), S::add("c", 5, 1)}, true},
      {"add", {S::add("a", 100, 1), S::add("a", 110, 4), S::add("b", 120, 2), S::add("a", 130, 17)}},
      {"grow", {S::add("a", 100, 240), S::add("a", 400, 30), S::add("a", 500, 5)}},
      {"upsert", {S::upsert("a", 7, 3, 2), S::upsert("b", 0, 1, 2), S::upsert("a", 23, 6, 3)}},
      {"erase", {S::erase("a", 0, 1), S::erase("b", 0, 3), S::erase("a", 10, 9), S::add("b", 50, 1)}},
      {"replace",
       {S::replace("a", "source 1", 100, 3), S::replace("a", "source 2", 110, 0),
        S::replace("b", "new", 120, 2)}},
      {"checkpoint",
       {S::checkpoint(), S::add("a", 100, 2), S::checkpoint(), S::reopen(), S::erase("a", 100, 1),
        S::checkpoint()}},
      {"compact",
       {S::compact(), S::add("a", 100, 2), S::erase("a", 0, 6), S::compact(), S::reopen(),
        S::add("b", 110, 1)}},
      {"reopen", {S::add("a", 100, 1), S::reopen(), S::reopen(), S::add("a", 110, 1), S::reopen()}},
      {"recover", {S::reopen(), S::add("a", 100, 2), S::reopen()}, false, true},
      {"refresh",
       {S::refresh(), S::add("a", 100, 2), S::refresh(), S::compact(), S::refresh(), S::add("a", 110, 1),
        S::refresh()}},
      {"drop",
       {S::drop("a"), S::create("a"), S::add("a", 0, 2), S::drop("b"), S::checkpoint(), S::compact()}},
      {"mixed",
       {S::create("d"), S::add("d", 0, 3), S::checkpoint(), S::upsert("d", 1, 1, 1), S::add("a", 100, 1),
        S::erase("d", 0, 1), S::compact(), S::replace("d", "source 2", 10, 2), S::reopen()}},
      {"import", {S::import_lines("a", lines_to_import()), S::checkpoint(), S::erase("a", 801, 2)}},
      {"salvage", {S::salvage(), S::add("a", 100, 1), S::salvage()}},
      {"batched",
       {unsynced(S::add("a", 100, 2)), unsynced(S::add("b", 110, 1)), unsynced(S::erase("a", 100, 1)),
        S::flush(), unsynced(S::upsert("a", 5, 2, 4)), unsynced(S::add("a", 120, 1)), S::checkpoint(),
        unsynced(S::add("a", 130, 1)), S::compact(), unsynced(S::add("b", 140, 1))},
       false,
       false,
       {.durability = rag::Durability::batched,
        .compacts = false,
        .sync_after = std::chrono::milliseconds(1 << 30)}},
  };
}

}  // namespace rig

#endif
