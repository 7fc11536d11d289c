// SPDX-License-Identifier: MIT
#include <rag/chunk/separator.hpp>
#include <rag/retrieve/dense.hpp>
#include <rag/retrieve/hybrid.hpp>
#include <rag/retrieve/store_bm25.hpp>
#include <rag/store/open.hpp>
#include <rag/sync.hpp>

#include "laws/retriever.hpp"
#include "paths.hpp"
#include "retrieve/toys.hpp"
#include "store/fault_file.hpp"
#include "store/rig.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using rig::Store;
using WordsOf = rag::StoreBm25<Store>;
using Dense = rag::DenseRetriever<toys::LetterEmbedder, Store>;
static_assert(rag::ReplacingRetriever<WordsOf>);
static_assert(rag::FilteringRetriever<WordsOf, rag::Filter>);
static_assert(rag::ReplacingRetriever<rag::Hybrid<Dense, WordsOf>>);

struct OnDisk {
  fault::FaultDisk disk;
  OnDisk() { disk.use(), rig::start_over(); }
};

rag::StoreOptions batched(rag::Access access = rag::Access::write) {
  rag::StoreOptions options;
  options.access = access;
  options.durability = rag::Durability::batched;
  return options;
}

/// A Bm25 that is given all that the store has.
template <class S>
rag::Bm25 fresh_index(const S& store) {
  rag::Bm25 index;
  index.add(store.chunks(rag::Filter()));
  return index;
}

rag::Matrix vectors(std::size_t rows) {
  rag::Matrix vectors(rows, 3);
  for (std::size_t i = 0; i < rows; ++i) vectors.row(i)[i % 3] = 1;
  return vectors;
}

std::vector<rag::Chunk> chunks_of(const std::string& source, std::vector<std::string> texts) {
  std::vector<rag::Chunk> chunks;
  for (const std::string& text : texts) {
    const std::size_t begin = chunks.size() * 100;
    chunks.push_back({text, source, begin, begin + text.size()});
  }
  return chunks;
}

/// A store that random changes are made to, and its words.
class Busy {
 public:
  explicit Busy(unsigned seed) : random_(seed) { open(); }

  unsigned below(unsigned n) { return static_cast<unsigned>(random_()) % n; }
  std::string words(unsigned count) {
    std::string text;
    for (unsigned i = 0; i < count; ++i) text += "w" + std::to_string(below(1 + below(40))) + ' ';
    return text;
  }
  void change() {
    const std::string source = "s" + std::to_string(below(12));
    std::vector<rag::Chunk> chunks;
    for (unsigned i = 0, n = below(5); i < n; ++i)
      chunks.push_back({words(below(15)), source, i, i + 1, {{"even", i % 2 == 0}, {"search_context", words(below(2))}}});
    switch (below(12)) {
      case 0: case 1: case 2: store_->add(chunks, vectors(chunks.size())); break;
      case 3: case 4: store_->replace(source, chunks, vectors(chunks.size())); break;
      case 5: case 6: case 7: upsert(std::move(chunks)); break;
      case 8: store_->erase(std::vector<rag::Id>{some_id(), some_id()}); break;
      case 9: if (below(6) == 0) store_->erase(rag::source() == source && rag::field("even") == true); break;
      case 10: if (below(8) == 0) store_->compact(); else store_->checkpoint(); break;
      default: if (below(6) == 0) open();
    }
  }
  /// The words as an index of long standing has them, and those of one that has just been made.
  void check() {
    const rag::Bm25 fresh = fresh_index(*store_);
    const rag::Filter filter = rag::field("even") == true && !(rag::source() == "s3");
    for (int i = 0; i < 3; ++i) {
      const std::string question = words(1 + below(4));
      CAPTURE(question);
      for (const std::size_t k : {3u, 1000u}) {
        CHECK(words_->search(question, k) == fresh.search(question, k));
        CHECK(words_->search(question, k, filter) == fresh.search(question, k, filter));
      }
    }
    CHECK(words_->size() == fresh.size());
    CHECK(WordsOf(*store_).search("w0 w1", 50) == fresh.search("w0 w1", 50));
  }

 private:
  void open() {
    words_.reset(), store_.reset();
    store_.emplace("db", rag::CollectionOptions(), batched());
    words_.emplace(*store_);
  }
  rag::Id some_id() {
    const std::vector<rag::Id> ids = store_->ids();
    return ids.empty() ? rag::Id{0} : ids[below(static_cast<unsigned>(ids.size()))];
  }
  void upsert(std::vector<rag::Chunk> chunks) {
    for (rag::Chunk& chunk : chunks) {
      chunk.id = below(4) == 0 ? static_cast<rag::Id>(10000 + below(50)) : some_id();
      chunk.begin = below(1000);
    }
    std::sort(chunks.begin(), chunks.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
    const auto same = [](const auto& a, const auto& b) { return a.id == b.id; };
    chunks.erase(std::unique(chunks.begin(), chunks.end(), same), chunks.end());
    store_->upsert(chunks, vectors(chunks.size()));
  }

  std::mt19937 random_;
  std::optional<Store> store_;
  std::optional<WordsOf> words_;
};

}  // namespace

TEST_CASE("StoreBm25 as the second leg of a Hybrid keeps the laws of a Retriever") {
  OnDisk on;
  laws::check_retriever([] {
    Store store("db");
    return rag::Hybrid{Dense{{}, store}, WordsOf{store}};
  });
}

namespace {

/// Writes by a store and finds by its words.
struct Written {
  Store store{"db"};
  WordsOf words{store};

  std::vector<rag::Id> add(std::span<const rag::Chunk> chunks) { return store.add(chunks, vectors(chunks.size())); }
  std::vector<rag::Id> replace(std::string_view source, std::span<const rag::Chunk> chunks) {
    return store.replace(source, chunks, vectors(chunks.size()));
  }
  std::vector<rag::Hit> search(std::string_view question, std::size_t k) { return words.search(question, k); }
  std::vector<rag::Chunk> chunks(std::string_view source) { return words.chunks(source); }
};

}  // namespace

TEST_CASE("StoreBm25 over a store that is written to keeps the laws of a Retriever") {
  OnDisk on;
  laws::check_retriever([] { return Written(); });
}

TEST_CASE("StoreBm25 finds what a new Bm25 with the store's chunks finds, to the bit, whatever was done to the store") {
  for (const unsigned seed : {1u, 2u, 3u}) {
    OnDisk on;
    Busy busy(seed);
    CAPTURE(seed);
    for (int step = 0; step < 1500; ++step) {
      busy.change();
      if (busy.below(4) == 0) busy.check();
    }
  }
}

TEST_CASE("StoreBm25 of many chunks is the same on any number of threads") {
  OnDisk on;
  std::mt19937 random(5);
  std::vector<rag::Chunk> chunks;
  for (int i = 0; i < 20000; ++i)
    chunks.push_back({"w" + std::to_string(random() % 500) + " w" + std::to_string(random() % 30), "s"});
  Store("db", {}, batched()).add(chunks, vectors(chunks.size()));
  std::vector<rag::Id> gone;
  for (rag::Id id = 0; id < 20000; id += 3) gone.push_back(id);
  Store("db", {}, batched()).erase(gone);
  std::vector<rag::Hit> wanted;
  for (const std::size_t threads : {1u, 2u, 3u}) {
    rag::StoreOptions options = batched();
    options.threads = threads;
    Store store("db", {}, options);
    const WordsOf words(store);
    words.catch_up();
    if (wanted.empty()) wanted = fresh_index(store).search("w7 w400 w3", 40);
    CHECK(wanted.size() == 40);
    CHECK(words.search("w7 w400 w3", 40) == wanted);
  }
}

TEST_CASE("StoreBm25 of a reader finds what it sees, and after refresh() what was written since") {
  OnDisk on;
  Store store("db", {}, batched());
  const auto first = chunks_of("a", {"red fox", "green hill"}), second = chunks_of("b", {"blue fox"});
  store.add(first, vectors(2));
  Store reader("db", {}, batched(rag::Access::read));
  const WordsOf words(reader);
  CHECK(words.search("fox", 5).size() == 1);

  store.add(second, vectors(1));
  store.erase(rag::source() == "a");
  CHECK(words.search("fox", 5).size() == 1);
  CHECK(reader.refresh());
  REQUIRE(words.search("fox hill", 5).size() == 1);
  CHECK(words.search("fox hill", 5)[0].chunk.text == "blue fox");

  store.add(first, vectors(2));
  store.compact();
  CHECK(reader.refresh());
  CHECK(words.search("fox", 5) == fresh_index(store).search("fox", 5));
  CHECK(words.search("hill", 5).size() == 1);
}

TEST_CASE("StoreBm25's copies share what they know, and a dropped collection is an Error") {
  OnDisk on;
  rig::Database database("db");
  Store store = database.create("pages");
  WordsOf words(store);
  const WordsOf copy = words;
  store.add(chunks_of("a", {"red fox"}), vectors(1));
  CHECK(copy.search("fox", 1) == words.search("fox", 1));

  database.drop("pages");
  CHECK_THROWS_AS(words.search("fox", 1), rag::Error);
  Store another = database.create("pages");
  CHECK(WordsOf(another).search("fox", 1).empty());
}

TEST_CASE("StoreBm25 refuses what the store has not got, and options outside of their range") {
  OnDisk on;
  Store store("db");
  WordsOf words(store);
  std::vector<rag::Chunk> chunks = chunks_of("a", {"red fox", "green hill"});
  const char* refused = "StoreBm25::add: a chunk wanted that is in the store, one of 'a' given that is not; the store "
                        "itself or the first leg of a Hybrid writes";
  CHECK_THROWS_WITH_AS(words.add(chunks), refused, rag::Error);
  const std::vector<rag::Id> ids = store.add(chunks, vectors(2));
  for (std::size_t i = 0; i < 2; ++i) chunks[i].id = ids[i];

  CHECK(words.add(chunks) == ids);
  CHECK(words.replace("a", chunks) == ids);
  CHECK(words.replace("b", {}).empty());
  CHECK_THROWS_AS(words.replace("a", {}), rag::Error);
  CHECK_THROWS_AS(words.replace("a", std::span(chunks).first(1)), rag::Error);
  chunks[1].text = "another hill";
  CHECK_THROWS_AS(words.add(chunks), rag::Error);
  CHECK_THROWS_AS(words.replace("a", chunks), rag::Error);
  CHECK(store.size() == 2);
  CHECK_THROWS_AS(WordsOf(store, {.k1 = -1}), rag::Error);
}

TEST_CASE("A Hybrid with a StoreBm25 has both legs alike after a write that fails, and undoes one to another store") {
  OnDisk on;
  Store store("db"), another("other");
  rag::Hybrid hybrid{Dense{{}, store}, WordsOf{store}};
  hybrid.add(chunks_of("a", {"red fox", "green hill"}));
  const std::vector<rag::Chunk> before = store.chunks(rag::Filter());

  for (const bool replaces : {false, true}) {
    on.disk.fail_at(0, fault::Kind::enospc, true);
    const std::vector<rag::Chunk> more = chunks_of("a", {"yellow sun", std::string(100000, 'x')});
    if (replaces) CHECK_THROWS_AS(hybrid.replace("a", more), rag::Error);
    else CHECK_THROWS_AS(hybrid.add(more), rag::Error);
    on.disk.heal();
    CHECK(store.chunks(rag::Filter()) == before);
    CHECK(hybrid.second().search("sun", 3).empty());
    CHECK(hybrid.second().search("fox", 3).size() == 1);
  }

  rag::Hybrid torn{Dense{{}, store}, WordsOf{another}};
  CHECK_THROWS_AS(torn.add(chunks_of("b", {"yellow sun"})), rag::Error);
  CHECK_THROWS_AS(torn.replace("c", chunks_of("c", {"yellow sun"})), rag::Error);
  CHECK(store.chunks(rag::Filter()) == before);
  CHECK(hybrid.second().search("sun", 3).empty());
}

TEST_CASE("sync_folder with a StoreBm25 as the second leg: found by words at once in the next process") {
  OnDisk on;
  const tests::TemporaryFolder folder;
  const auto write = [&](const char* name, const char* text) { std::ofstream(folder / name) << text; };
  write("a.md", "red fox\ngreen hill"), write("b.md", "blue fox");
  const rag::SeparatorChunker lines{"\n"};
  for (int run = 0; run < 3; ++run) {
    CAPTURE(run);
    if (run == 2) write("a.md", "yellow sun"), std::filesystem::remove(folder / "b.md");
    Store store("db");
    rag::Hybrid hybrid{Dense{{}, store}, WordsOf{store}};
    if (run > 0) CHECK(hybrid.second().search("fox", 5).size() == 2);
    const rag::SyncReport report = rag::sync_folder(lines, hybrid, folder.path().string());
    CHECK(report.added == (run == 0 ? 2 : 0));
    CHECK(report.unchanged == (run == 1 ? 2 : 0));
    CHECK(report.removed == (run == 2 ? 1 : 0));
    CHECK(hybrid.second().search("fox", 5).size() == (run < 2 ? 2 : 0));
    CHECK(hybrid.second().search("sun", 5).size() == (run < 2 ? 0 : 1));
  }
}

TEST_CASE("StoreBm25 may be asked by several threads while another one writes") {
  const tests::TemporaryFolder folder;
  rag::FileStore store((folder / "db").string(), {}, batched());
  const rag::StoreBm25 words(store);
  std::atomic<bool> done = false;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i)
    threads.emplace_back([&] {
      while (!done)
        for (const rag::Hit& hit : words.search("fox", 10)) wrong += hit.chunk.text.find("fox") == std::string::npos;
    });
  for (int i = 0; i < 150; ++i) {
    const std::string source = "s" + std::to_string(i % 7);
    store.replace(source, chunks_of(source, {"red fox " + std::to_string(i), "green hill"}), vectors(2));
    if (i % 50 == 49) store.compact();
  }
  done = true;
  for (std::thread& thread : threads) thread.join();

  CHECK(wrong == 0);
  CHECK(words.search("fox hill", 20) == fresh_index(store).search("fox hill", 20));
}
