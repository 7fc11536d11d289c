// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_RIG_HPP
#define RAG_TESTS_STORE_RIG_HPP
#include <rag/store/file.hpp>

#include "fault_file.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

// What the programs that torture a FileStore share: stores on a disk in memory whose clock and random numbers
// are the same in each run, and what should be in them.

namespace rig {

struct Clock {
  inline static std::atomic<std::int64_t> time = 1'000'000;
  static std::chrono::milliseconds now() { return std::chrono::milliseconds(time++); }
};
struct Random {
  inline static std::atomic<std::uint64_t> state = 0;
  static std::uint64_t number() {
    const std::uint64_t value = (state += 0x9E3779B97F4A7C15u);
    return (value ^ value >> 29) * 0xBF58476D1CE4E5B9u;
  }
};
inline void start_over() { Clock::time = 1'000'000, Random::state = 0; }

template <class File>
using StoreOf = rag::BasicFileStore<File, Clock, Random>;
template <class File>
using DatabaseOf = rag::BasicFileCollections<File, Clock, Random>;
using Store = StoreOf<fault::FaultFile>;
using Database = DatabaseOf<fault::FaultFile>;

inline constexpr std::size_t dimension = 3;

struct Entry {
  rag::Chunk chunk;
  std::vector<float> vector;
  bool operator==(const Entry&) const = default;
};
using Collection = std::map<rag::Id, Entry>;
using Contents = std::map<std::string, Collection>;

/// A chunk whose every byte follows from its numbers; `revision` tells an upsert from what it replaced.
inline Entry entry(rag::Id id, std::uint64_t revision = 0) {
  const auto number = static_cast<std::uint64_t>(id) * 31 + revision;
  Entry made;
  made.chunk.text =
      "text " + std::to_string(number) + std::string(number * 37 % 300, static_cast<char>('a' + number % 26));
  made.chunk.source = "source " + std::to_string(id % 5);
  made.chunk.begin = static_cast<std::size_t>(number);
  made.chunk.end = made.chunk.begin + made.chunk.text.size();
  made.chunk.metadata = {{"number", static_cast<double>(number)},
                         {"even", number % 2 == 0},
                         {"name", made.chunk.text.substr(0, 8)}};
  made.chunk.id = id;
  for (std::size_t i = 0; i < dimension; ++i)
    made.vector.push_back(static_cast<float>((number + 1) * (i * i + 3) * 2654435761u % 1999) / 999.5f -
                          1.0f);
  return made;
}

struct Rows {
  std::vector<rag::Chunk> chunks;
  rag::Matrix vectors;
};
inline Rows rows_of(const std::vector<Entry>& entries) {
  Rows rows{{}, rag::Matrix(entries.size(), dimension)};
  for (std::size_t i = 0; i < entries.size(); ++i) {
    rows.chunks.push_back(entries[i].chunk);
    std::copy(entries[i].vector.begin(), entries[i].vector.end(), rows.vectors.row(i).begin());
  }
  return rows;
}
inline std::vector<Entry> entries(rag::Id first, std::size_t count, std::uint64_t revision = 0) {
  std::vector<Entry> made;
  for (std::size_t i = 0; i < count; ++i) made.push_back(entry(first + static_cast<rag::Id>(i), revision));
  return made;
}

template <class S>
Collection collection_of(const S& store) {
  Collection all;
  for (const rag::Id id : store.ids()) {
    const auto chunk = store.find(id);
    all[id] = {chunk ? *chunk : rag::Chunk{}, store.vector(id)};
  }
  return all;
}
template <class D>
Contents contents_of(D& database) {
  Contents all;
  for (const std::string& name : database.list()) all[name] = collection_of(database.open(name));
  return all;
}

}  // namespace rig

#endif
