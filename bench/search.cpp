// SPDX-License-Identifier: MIT
// Our side of bench/search.py.
//   search work COLUMNS THREADS ROWS_FILE QUERIES_FILE   answers lines of stdin
//   search bytes COLUMNS ROWS_FILE                       what a row takes in memory beside its chunk
//   search embed MODEL OUT FILE…                         vectors of the files' chunks: OUT.rows, and 200 in OUT.queries
// The lines of work, each answered with seconds and, where it searches, id:score … of the ten best:
//   single I            of query I
//   filtered BELOW I    the same among the rows whose "percent" is below BELOW
//   batch N             of each of the first N queries, in one call
//   limit               reads, on all threads, as many bytes as the smallest scan of the rows must: 4 bits a column and 12 bytes
#include <rag/core.hpp>
#include <rag/cpu.hpp>
#include <rag/embed/minilm.hpp>

#include <immintrin.h>
#include <malloc.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
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

template <class Store>
double fill(Store& store, const char* rows_file, std::size_t columns, std::size_t kept_columns, bool has_percent) {
  std::ifstream file(rows_file, std::ios::binary);
  double seconds = 0;
  for (std::size_t row = 0;;) {
    rag::Matrix rows = read_rows(file, 10'000, columns);
    if (rows.rows() == 0) return seconds;
    if (kept_columns < columns) {
      rag::Matrix fewer(rows.rows(), kept_columns);
      for (std::size_t i = 0; i < rows.rows(); ++i) std::copy_n(rows.row(i).data(), kept_columns, fewer.row(i).data());
      rows = std::move(fewer);
    }
    std::vector<rag::Chunk> chunks(rows.rows());
    for (rag::Chunk& chunk : chunks) {
      chunk.source = "rows";
      if (has_percent) chunk.metadata.set("percent", percent_of(row++));
    }
    const auto begin = Clock::now();
    store.add(chunks, rows);
    seconds += seconds_since(begin);
  }
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) std::uint64_t read_all(std::span<const std::uint64_t> words) {
  const auto* from = reinterpret_cast<const __m256i*>(words.data());
  __m256i sums[8] = {};
  for (std::size_t i = 0; i + 8 <= words.size() / 4; i += 8)
    for (std::size_t j = 0; j < 8; ++j) {
      if (j % 2 == 0) rag::detail::prefetch_far(from + i + j + 128);  // a page ahead
      sums[j] = _mm256_xor_si256(sums[j], _mm256_loadu_si256(from + i + j));
    }
  for (std::size_t j = 1; j < 8; ++j) sums[0] = _mm256_xor_si256(sums[0], sums[j]);
  return static_cast<std::uint64_t>(_mm256_extract_epi64(sums[0], 0) ^ _mm256_extract_epi64(sums[0], 3));
}
#else
std::uint64_t read_all(std::span<const std::uint64_t> words) {
  std::uint64_t sum = 0;
  for (const std::uint64_t word : words) sum ^= word;
  return sum;
}
#endif

std::uint64_t read_all(std::span<const std::uint64_t> words, std::size_t threads) {
  std::atomic<std::uint64_t> sum = 0;
  const std::size_t share = words.size() / threads;
  rag::detail::parallel_for(threads, threads, [&] { return [&](std::size_t i) { sum ^= read_all(words.subspan(i * share, share)); }; });
  return sum;
}

struct Work {
  rag::FlatStore<> store;
  rag::Matrix queries;
  std::size_t columns, threads;
  double insert_seconds = 0;
  std::vector<std::uint64_t> bytes;  // for limit
  std::uint64_t sum = 0;

  Work(char** argument) : store(rag::FlatOptions{.threads = std::stoul(argument[1])}), columns(std::stoul(argument[0])), threads(std::stoul(argument[1])) {
    std::ifstream asked(argument[3], std::ios::binary);
    queries = read_rows(asked, 200, columns);
    insert_seconds = fill(store, argument[2], columns, columns, true);
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
    if (command == "limit" && bytes.empty()) bytes.assign(store.size() * ((columns + 7) / 8 * 4 + 12) / 8, 1);
    rag::Matrix asked;
    if (command == "batch") {
      asked = rag::Matrix(first, columns);
      std::copy_n(queries.data(), first * columns, asked.data());
    }
    const auto begin = Clock::now();
    if (command == "single") found.push_back(store.search(queries.row(first), k));
    else if (command == "filtered") found.push_back(store.search(queries.row(second), k, rag::field("percent") < first));
    else if (command == "batch") found = store.search(asked, k);
    else if (command == "limit") sum += read_all(bytes, threads);
    std::printf("%.9f", seconds_since(begin));
    for (const auto& hits : found) print(hits);
    std::puts("");
    std::fflush(stdout);
  }
};

int work(char** argument) {
  Work job(argument);
  std::printf("# %s; %zu rows inserted in %.3f s\n", rag::cpu_report().c_str(), job.store.size(), job.insert_seconds);
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) job.answer(line);
  return 0;
}

void bytes(std::size_t columns, const char* rows_file) {
  mallopt(M_MMAP_THRESHOLD, 1 << 20);  // so that what is freed is the system's again
  const auto growth = [&](std::size_t kept_columns) {
    malloc_trim(0);
    const std::size_t before = resident_bytes();
    rag::FlatStore<> store;
    fill(store, rows_file, columns, kept_columns, false);
    malloc_trim(0);
    return static_cast<double>(resident_bytes() - before) / static_cast<double>(store.size());
  };
  const double one = growth(8), all = growth(columns);
  // A row of 8 columns: 32 bytes, 4 and 12 in 4 bits, 64 and 16 in 8 bits.
  std::printf("bytes %.1f\n", all - one + 32 + 4 + 12 + 64 + 16);
}

int embed(int count, char** argument) {
  const rag::MiniLmEmbedder embedder(argument[0]);
  const rag::RecursiveChunker chunker{{.size = 120}};
  std::set<std::string> seen;
  std::vector<std::string> texts;
  for (int i = 2; i < count; ++i)
    for (const rag::Chunk& chunk : chunker.chunk(rag::read_file(argument[i])))
      if (chunk.text.size() > 20 && seen.insert(chunk.text).second) texts.push_back(chunk.text);
  const std::string out = argument[1];
  const rag::Matrix vectors = embedder.embed(std::vector<std::string_view>(texts.begin(), texts.end()));
  std::ofstream rows(out + ".rows", std::ios::binary), queries(out + ".queries", std::ios::binary);
  const std::size_t step = texts.size() / 200;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::ofstream& file = i % step == 0 && i / step < 200 ? queries : rows;
    file.write(reinterpret_cast<const char*>(vectors.row(i).data()), static_cast<std::streamsize>(vectors.row(i).size_bytes()));
  }
  return 0;
}

}  // namespace

int main(int count, char** argument) {
  if (count == 6 && std::strcmp(argument[1], "work") == 0) return work(argument + 2);
  if (count == 4 && std::strcmp(argument[1], "bytes") == 0) return bytes(std::stoul(argument[2]), argument[3]), 0;
  if (count > 4 && std::strcmp(argument[1], "embed") == 0) return embed(count - 2, argument + 2);
  std::fputs("usage: see the head of bench/search.cpp\n", stderr);
  return 2;
}
