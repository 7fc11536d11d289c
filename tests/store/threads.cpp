// SPDX-License-Identifier: MIT
// One writer, four readers in its process, two more handles that refresh, and compactions: for
// ThreadSanitizer.
//   threads FOLDER MILLISECONDS
#include <rag/store/file.hpp>

#include "rig.hpp"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

namespace {

std::atomic<bool> stop = false;
std::atomic<std::uint64_t> searches = 0, refreshes = 0, wrong = 0;

/// A hit is a chunk that was written in one piece, whatever revision of it.
bool is_whole(const rag::Hit& hit) {
  const auto number = static_cast<std::uint64_t>(hit.chunk.metadata.find("number")->number());
  return hit.chunk.text ==
         rig::entry(hit.chunk.id, number - static_cast<std::uint64_t>(hit.chunk.id) * 31).chunk.text;
}

template <class Database>
void search(const Database& database, std::uint64_t seed) {
  const auto store = database.open("a");
  const auto hits = store.search(rig::entry(static_cast<rag::Id>(seed % 300)).vector, 5);
  for (const rag::Hit& hit : hits) wrong += !is_whole(hit);
  if (hits.empty() || store.size() == 0) ++wrong;
  ++searches;
}

}  // namespace

int main(int count, char** words) {
  if (count != 3) return std::puts("threads FOLDER MILLISECONDS"), 2;
  const std::string path = std::string(words[1]) + "/threads.db";
  using Database = rig::DatabaseOf<rag::DiskFile>;
  Database database(path, {.durability = rag::Durability::batched, .compacts = false});
  auto writer = database.create("a", {.dimension = rig::dimension});
  const auto add = [&](std::uint64_t n) {
    const rig::Rows rows = rig::rows_of(rig::entries(static_cast<rag::Id>(n * 11 % 280), 20, n));
    writer.upsert(rows.chunks, rows.vectors);
  };
  add(0);
  database.flush();

  std::vector<std::thread> threads;
  for (std::uint64_t i = 0; i < 4; ++i)
    threads.emplace_back([&, i] {
      for (std::uint64_t n = i; !stop; n += 4) search(database, n);
    });
  for (std::uint64_t i = 0; i < 2; ++i)
    threads.emplace_back([&, i] {
      Database reader(path, {.access = rag::Access::read});
      for (std::uint64_t n = i; !stop; n += 2) {
        refreshes += reader.refresh();
        search(reader, n);
      }
    });
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(std::atoi(words[2]));
  std::uint64_t n = 1;
  for (; std::chrono::steady_clock::now() < end; ++n) {
    add(n);
    if (n % 7 == 0) writer.erase(std::vector<rag::Id>{static_cast<rag::Id>(n % 280)});
    if (n % 13 == 0) database.checkpoint();
    if (n % 29 == 0) database.compact();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  // Readers without a pause don't keep the writer out.
  const bool right = wrong == 0 && database.check().clean() && refreshes > 0 && n > 60;
  std::printf("%llu batches, %llu searches, %llu refreshes, %llu wrong\n%d passed, %d failed\n",
              static_cast<unsigned long long>(n), static_cast<unsigned long long>(searches.load()),
              static_cast<unsigned long long>(refreshes.load()),
              static_cast<unsigned long long>(wrong.load()), right, !right);
  return right ? 0 : 1;
}
