// SPDX-License-Identifier: MIT
// What a large load must stand: every fault of the bridge at several rates, several writers at once, one of them killed.
#include "bridge.hpp"

#include <rag/store/content_id.hpp>

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

/// Changes a collection by chance, and knows what must be in it.
class Walk {
 public:
  explicit Walk(unsigned seed) : random_(seed), store_(made()) {}

  /// Says how many calls failed for good, and were made again.
  std::size_t go(int steps) {
    for (int i = 0; i < steps; ++i) {
      switch (random_() % 4) {
        case 0: add(); break;
        case 1: upsert(); break;
        case 2: erase(); break;
        default: replace(); break;
      }
    }
    return failures_;
  }

  void check() {
    std::vector<rag::Chunk> wanted;
    std::vector<rag::Id> ids;
    for (const auto& [id, row] : rows_) wanted.push_back(row.first), ids.push_back(id);
    CHECK(store_.size() == rows_.size());
    CHECK(store_.ids() == ids);
    CHECK(store_.chunks(rag::Filter()) == wanted);
    CHECK(store_.search(std::vector<float>{1, 0, 0, 0}, 10'000).size() == rows_.size());
    for (const auto& [id, row] : rows_)
      if (id % 3 == 0) CHECK(store_.vector(id) == row.second);
  }

 private:
  static rag::MilvusStore made() {
    rag::MilvusOptions some = options(4);
    some.batch_rows = 12;
    some.ids = rag::MilvusIds::unique;
    some.timeout = std::chrono::seconds(1);
    return {some, https()};
  }

  /// A call that fails has to be made again, nothing else.
  template <class F>
  auto insist(F&& call) {
    for (int tries = 0;; ++tries) {
      try {
        return call();
      } catch (const rag::Error&) {
        ++failures_;
        if (tries == 60) throw;
      }
    }
  }

  std::vector<rag::Chunk> some_chunks(const std::string& source) {
    std::vector<rag::Chunk> chunks;
    for (auto n = 1 + random_() % 9; n > 0; --n) chunks.push_back(laws::chunk_of(source, "text " + std::to_string(++made_)));
    return chunks;
  }
  std::string some_source() { return "s" + std::to_string(random_() % 5); }
  void keep(std::vector<rag::Chunk> chunks, const std::vector<rag::Id>& ids, const rag::Matrix& vectors) {
    REQUIRE(ids.size() == chunks.size());
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      chunks[i].id = ids[i];
      rows_[ids[i]] = {chunks[i], {vectors.row(i).begin(), vectors.row(i).end()}};
    }
  }

  void add() {
    const auto chunks = some_chunks(some_source());
    const rag::Matrix vectors = random_rows(chunks.size(), 4, made_);
    const std::size_t before = rows_.size();
    keep(chunks, insist([&] { return store_.add(chunks, vectors); }), vectors);
    CHECK(rows_.size() == before + chunks.size());
  }
  void upsert() {
    auto chunks = some_chunks(some_source());
    for (rag::Chunk& chunk : chunks) chunk.id = rag::content_id(chunk);
    for (const auto& [id, row] : rows_)
      if (random_() % 8 == 0) chunks.push_back(laws::chunk_of(some_source(), "changed " + std::to_string(++made_))), chunks.back().id = id;
    const rag::Matrix vectors = random_rows(chunks.size(), 4, made_);
    keep(chunks, insist([&] { return store_.upsert(chunks, vectors); }), vectors);
  }
  void erase() {
    if (random_() % 2 == 0) {
      const std::string source = some_source();
      insist([&] { return store_.erase(rag::source() == source); });
      std::erase_if(rows_, [&](const auto& row) { return row.second.first.source == source; });
      return;
    }
    std::vector<rag::Id> ids = {12'345};
    for (const auto& [id, row] : rows_)
      if (random_() % 4 == 0) ids.push_back(id);
    insist([&] { return store_.erase(ids); });
    for (const rag::Id id : ids) rows_.erase(id);
  }
  void replace() {
    const std::string source = some_source();
    const auto chunks = some_chunks(source);
    const rag::Matrix vectors = random_rows(chunks.size(), 4, made_);
    const auto ids = insist([&] { return store_.replace(source, chunks, vectors); });
    std::erase_if(rows_, [&](const auto& row) { return row.second.first.source == source; });
    keep(chunks, ids, vectors);
  }

  std::mt19937 random_;
  rag::MilvusStore store_;
  std::map<rag::Id, std::pair<rag::Chunk, std::vector<float>>> rows_;
  unsigned made_ = 0;
  std::size_t failures_ = 0;
};

}  // namespace

TEST_CASE("A collection holds what was written, each row once, whatever fails and however often") {
  // Of `slow`, one is an answer that comes late, the other one that the server gives up. `garbage` is no answer that is
  // worth another try, so the call fails; at most every fifth one, lest each try of a call of four requests does.
  unsigned seed = 0;
  for (const char* fault : {"ratelimit:2", "ratelimit:3", "ratelimit:7", "timeout:2", "timeout:3", "timeout:7", "timeout_applied:2", "timeout_applied:3",
                            "timeout_applied:7", "unavailable:2", "unavailable:3", "unavailable:7", "close:2", "close:3", "close:7", "reset:2", "reset:3",
                            "reset:7", "garbage:5", "garbage:7", "garbage:11", "slow:2:0.01", "slow:7:0.02", "slow:23:1.2"}) {
    CAPTURE(fault);
    Walk walk(++seed);
    {
      const Faults faults(fault);
      const std::size_t failures = walk.go(16);
      CHECK((failures > 0) == std::string(fault).starts_with("garbage"));
      CHECK(Faults::met() > 0);
    }
    walk.check();
  }
}

TEST_CASE("Where every call fails, whatever its fault, a row is there once or not at all") {
  for (const char* kind : {"ratelimit:1", "timeout:1", "timeout_applied:1", "unavailable:1", "close:1", "reset:1", "garbage:1", "slow:1:1.2"}) {
    CAPTURE(kind);
    rag::MilvusOptions some = options(4);
    some.batch_rows = 50;
    some.timeout = std::chrono::seconds(1);
    some.retry.retries = 1;
    rag::MilvusStore store(some, https());
    std::vector<rag::Chunk> chunks = made_chunks(30);
    for (rag::Chunk& chunk : chunks) chunk.id = rag::content_id(chunk);
    std::sort(chunks.begin(), chunks.end(), [](const rag::Chunk& a, const rag::Chunk& b) { return a.id < b.id; });
    const rag::Matrix vectors = random_rows(30, 4, 9);
    {
      const Faults faults(kind);
      CHECK_THROWS_AS(store.upsert(chunks, vectors), rag::Error);
      CHECK_THROWS_AS(store.add(made_chunks(3), random_rows(3, 4, 1)), rag::Error);
    }
    const bool applied = std::string(kind) == "timeout_applied:1" || std::string(kind) == "close:1" || std::string(kind) == "reset:1";
    CHECK(store.size() == (applied ? 30 : 0));
    store.upsert(chunks, vectors);
    CHECK(store.size() == 30);
    CHECK(store.chunks(rag::Filter()) == chunks);
  }
}

namespace {

constexpr std::size_t pieces = 56, piece_rows = 40;

std::vector<rag::Chunk> piece(std::size_t number) {
  std::vector<rag::Chunk> chunks;
  for (std::size_t i = 0; i < piece_rows; ++i) {
    const std::size_t begin = 10 * (number * piece_rows + i);
    chunks.push_back({"row " + std::to_string(begin), "file " + std::to_string(number % 7), begin, begin + 10, {{"piece", number}}});
    chunks.back().id = rag::content_id(chunks.back());
  }
  return chunks;
}

rag::MilvusOptions shared_options() {
  rag::MilvusOptions some = options(8);
  some.drop_existing = false;
  return some;
}

/// One of four writers: half of the pieces, each of which another one writes too. Gives the number of rows that were not
/// there before.
std::size_t write_share(std::size_t writer, const rag::AnyTransport& transport) {
  rag::MilvusStore store(shared_options(), transport);
  std::size_t fresh = 0;
  for (std::size_t number = 0; number < pieces; ++number) {
    if (number % 4 != writer && (number + 1) % 4 != writer) continue;
    const std::vector<rag::Chunk> chunks = piece(number);
    std::vector<rag::Id> ids;
    for (const rag::Chunk& chunk : chunks) ids.push_back(chunk.id);
    fresh += ids.size() - store.present(ids).size();
    store.upsert(chunks, random_rows(piece_rows, 8, static_cast<unsigned>(number)));
  }
  return fresh;
}

/// Does the work in another process, without the open connections of this one.
pid_t start(const std::function<void()>& work) {
  const pid_t child = fork();
  if (child != 0) return child;
  try {
    work();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "a writer failed: %s\n", error.what());
    _exit(1);
  }
  _exit(0);
}

int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

TEST_CASE("Four writers at once, one killed and begun again, whatever fails: the rows of one that wrote them all") {
  rag::MilvusStore store(options(8), https());
  const Faults faults("timeout_applied:6");
  std::vector<pid_t> writers;
  for (std::size_t i = 0; i < 4; ++i) writers.push_back(start([i] { write_share(i, rag::HttpsTransport{}); }));
  while (store.size() < pieces * piece_rows / 8) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  REQUIRE(kill(writers[0], SIGKILL) == 0);
  const int killed = wait_for(writers[0]);
  CHECK((WIFSIGNALED(killed) && WTERMSIG(killed) == SIGKILL));
  const std::size_t before = store.size();
  CHECK(before < pieces * piece_rows);

  const std::size_t fresh = write_share(0, https());
  for (std::size_t i = 1; i < 4; ++i) CHECK(wait_for(writers[i]) == 0);

  CHECK(fresh < pieces / 2 * piece_rows);
  std::vector<rag::Chunk> wanted;
  for (std::size_t i = 0; i < pieces; ++i)
    for (const rag::Chunk& chunk : piece(i)) wanted.push_back(chunk);
  std::sort(wanted.begin(), wanted.end(), [](const rag::Chunk& a, const rag::Chunk& b) { return a.id < b.id; });
  CHECK(store.size() == wanted.size());
  CHECK(store.chunks(rag::Filter()) == wanted);
  CHECK(store.search(std::vector<float>(8, 1), 16'384).size() == wanted.size());
  for (std::size_t i = 0; i < pieces; i += 8) {
    const auto row = random_rows(piece_rows, 8, static_cast<unsigned>(i)).row(5);
    CHECK(store.vector(piece(i)[5].id) == std::vector<float>(row.begin(), row.end()));
  }
  CHECK(Faults::met() > 20);
}

TEST_CASE("Four threads add to one store: each row gets an id of its own, whatever their order") {
  no_faults();
  rag::MilvusOptions some = options(4);
  some.ids = rag::MilvusIds::unique;
  rag::MilvusStore store(some, https());
  std::vector<std::vector<rag::Id>> ids(4);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < 8; ++i)
        for (const rag::Id id : store.add(std::vector(5, laws::chunk_of("thread " + std::to_string(t), "text")), random_rows(5, 4, i))) ids[t].push_back(id);
    });
  for (std::thread& thread : threads) thread.join();

  std::set<rag::Id> all;
  for (std::size_t t = 0; t < 4; ++t) {
    CAPTURE(t);
    all.insert(ids[t].begin(), ids[t].end());
    CHECK(store.ids(rag::source() == "thread " + std::to_string(t)) == ids[t]);
  }
  CHECK(all.size() == 160);
  CHECK(store.size() == 160);
}
