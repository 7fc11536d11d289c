// SPDX-License-Identifier: MIT
// Our side of bench/search.py.
//   search work COLUMNS THREADS ROWS_FILE QUERIES_FILE   answers lines of stdin
//   search embed MODEL OUT FILE…                         vectors of the files' chunks to OUT.rows, of questions to OUT.queries
// The lines of work, each answered with seconds and, where it searches, id:score … of the ten best:
//   single I            of query I
//   filtered BELOW I    the same among the rows whose "percent" is below BELOW
//   batch N             of each of the first N queries, in one call
//   read BYTES          reads so many bytes once
//   bytes               the second number is what a row takes beside its chunk
#include <rag/core.hpp>
#include <rag/cpu.hpp>
#include <rag/embed/minilm.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t k = 10;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

/// A number from 0 to 99 for a row, as bench/search_python.py has it.
std::uint64_t percent_of(std::uint64_t row) {
  std::uint64_t x = row * 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 32) * 0xD6E8FEB86659FD93u;
  return (x ^ x >> 32) % 100;
}

/// The file's next rows, at most `count`.
rag::Matrix read_rows(std::istream& file, std::size_t count, std::size_t columns) {
  rag::Matrix rows(count, columns);
  const std::size_t row_bytes = columns * sizeof(float);
  file.read(reinterpret_cast<char*>(rows.data()), static_cast<std::streamsize>(count * row_bytes));
  const std::size_t read = static_cast<std::size_t>(file.gcount()) / row_bytes;
  if (read == count) return rows;
  rag::Matrix fewer(read, columns);
  std::copy_n(rows.data(), read * columns, fewer.data());
  return fewer;
}

/// Resident memory of this process.
std::size_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0, resident = 0;
  file >> all >> resident;
  return resident * 4096;
}

struct Work {
  rag::FlatStore<> store;
  rag::Matrix queries;
  std::size_t columns, threads;
  double insert_seconds = 0;

  Work(char** argument) : columns(std::stoul(argument[0])), threads(std::stoul(argument[1])) {
    std::ifstream rows(argument[2], std::ios::binary), asked(argument[3], std::ios::binary);
    queries = read_rows(asked, 200, columns);
    for (std::size_t row = 0;;) {
      const rag::Matrix some = read_rows(rows, 10'000, columns);
      if (some.rows() == 0) break;
      std::vector<rag::Chunk> chunks(some.rows());
      for (rag::Chunk& chunk : chunks) chunk.source = "rows", chunk.metadata.set("percent", percent_of(row++));
      const auto begin = Clock::now();
      store.add(chunks, some);
      insert_seconds += seconds_since(begin);
    }
  }

  static void print(const std::vector<rag::Hit>& hits) {
    for (const auto& [chunk, score] : hits)
      std::printf(" %lld:%.9g", static_cast<long long>(chunk.id), static_cast<double>(score));
  }

  void answer(const std::string& line) {
    std::istringstream words(line);
    std::string command;
    std::size_t first = 0, second = 0;
    words >> command >> first >> second;
    std::vector<std::vector<rag::Hit>> found;
    const auto begin = Clock::now();
    if (command == "single") found.push_back(store.search(queries.row(first), k));
    else if (command == "filtered") found.push_back(filtered(first, queries.row(second)));
    else if (command == "batch") found = batch(first);
    std::printf("%.9f", seconds_since(begin));
    for (const auto& hits : found) print(hits);
    std::puts("");
    std::fflush(stdout);
  }

  std::vector<rag::Hit> filtered(std::size_t below, std::span<const float> query) const {
    return store.search(query, k, [&](const rag::Chunk& chunk) {
      return chunk.metadata.find("percent")->number() < static_cast<double>(below);
    });
  }

  std::vector<std::vector<rag::Hit>> batch(std::size_t count) const {
    std::vector<std::vector<rag::Hit>> found;
    for (std::size_t i = 0; i < count; ++i) found.push_back(store.search(queries.row(i), k));
    return found;
  }
};

int work(char** argument) {
  Work job(argument);
  std::printf("# %s; %zu rows inserted in %.3f s\n", rag::cpu_report().c_str(), job.store.size(), job.insert_seconds);
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) job.answer(line);
  return 0;
}

}  // namespace

int main(int count, char** argument) {
  if (count == 6 && std::strcmp(argument[1], "work") == 0) return work(argument + 2);
  std::fputs("usage: see the head of bench/search.cpp\n", stderr);
  return 2;
}
