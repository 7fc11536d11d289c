// SPDX-License-Identifier: MIT
// Our side of bench/store.py and of the file's figures in bench/search.py.
//   store insert PATH COLUMNS ROWS_FILE BATCH      adds the rows to a new FileStore, BATCH at a time
//   store ask PATH COLUMNS QUERIES_FILE [THREADS]  opens it, searches, searches with a filter
//   store shrink PATH                              erases half of the rows, compacts
// Prints lines of a name and seconds, and "found_…" with the ids of the last answer.
#include <rag/core.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t k = 10;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }
void print(const std::string& name, double seconds) { std::printf("%s %.9f\n", name.c_str(), seconds); }

/// A number from 0 to 99 for a row, as bench/search_python.py has it.
std::uint64_t percent_of(std::uint64_t row) {
  std::uint64_t x = row * 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 32) * 0xD6E8FEB86659FD93u;
  return (x ^ x >> 32) % 100;
}

/// The file's next rows, `count` or none.
rag::Matrix read_rows(std::istream& file, std::size_t count, std::size_t columns) {
  rag::Matrix rows(count, columns);
  const auto bytes = static_cast<std::streamsize>(count * columns * sizeof(float));
  file.read(reinterpret_cast<char*>(rows.data()), bytes);
  return file.gcount() == bytes ? rows : rag::Matrix(0, columns);
}

void insert(const std::string& path, std::size_t columns, const char* rows_file, std::size_t batch) {
  std::ifstream file(rows_file, std::ios::binary);
  double spent = 0;
  auto begin = Clock::now();
  {
    rag::FileStore store(path, {.dimension = columns});
    spent += seconds_since(begin);
    const std::string text(200, 'x');
    for (std::uint64_t row = 0;;) {
      const rag::Matrix rows = read_rows(file, batch, columns);
      if (rows.rows() == 0) break;
      begin = Clock::now();
      std::vector<rag::Chunk> chunks;
      for (std::size_t i = 0; i < rows.rows(); ++i)
        chunks.push_back({text, "rows", 0, text.size(), {{"percent", percent_of(row++)}}});
      store.add(chunks, rows);
      spent += seconds_since(begin);
    }
    begin = Clock::now();
  }
  print("insert", spent + seconds_since(begin));  // with the closing
}

template <class Search>
void ask(const std::string& name, const rag::Matrix& queries, Search&& search) {
  std::vector<double> spent;
  std::vector<rag::Hit> hits;
  for (std::size_t i = 0; i < 20; ++i) {
    const auto begin = Clock::now();
    hits = search(queries.row(i));
    spent.push_back(seconds_since(begin));
  }
  print("first_" + name, spent[0]);
  std::nth_element(spent.begin(), spent.begin() + 10, spent.end());
  print(name, spent[10]);
  std::printf("found_%s", name.c_str());
  for (const rag::Hit& hit : hits) std::printf(" %lld", static_cast<long long>(hit.chunk.id));
  std::puts("");
}

void ask_all(const std::string& path, std::size_t columns, const char* queries_file, std::size_t threads) {
  std::ifstream file(queries_file, std::ios::binary);
  const rag::Matrix queries = read_rows(file, 20, columns);
  const auto begin = Clock::now();
  const rag::FileStore store(path, {}, {.threads = threads});
  print("open", seconds_since(begin));
  ask("search", queries, [&](auto query) { return store.search(query, k); });
  ask("filtered", queries, [&](auto query) { return store.search(query, k, rag::field("percent") < 10); });
}

void shrink(const std::string& path) {
  rag::FileStore store(path, {}, {.compacts = false});
  std::vector<rag::Id> half;
  for (const rag::Id id : store.ids())
    if (percent_of(static_cast<std::uint64_t>(id)) < 50) half.push_back(id);
  auto begin = Clock::now();
  store.erase(half);
  print("erase", seconds_since(begin));
  begin = Clock::now();
  store.compact();
  print("compact", seconds_since(begin));
}

}  // namespace

int main(int count, char** argument) {
  const std::string command = count > 2 ? argument[1] : "";
  if (command == "insert" && count == 6) insert(argument[2], std::stoul(argument[3]), argument[4], std::stoul(argument[5]));
  else if (command == "ask" && count >= 5)
    ask_all(argument[2], std::stoul(argument[3]), argument[4], count > 5 ? std::stoul(argument[5]) : 1);
  else if (command == "shrink" && count == 3) shrink(argument[2]);
  else return std::fputs("usage: see the head of bench/store.cpp\n", stderr), 2;
  return 0;
}
