// SPDX-License-Identifier: MIT
// Vectors as blobs in SQLite: what bench/search.py compares the opening of a FileStore with.
//   sqlite insert PATH COLUMNS ROWS_FILE   WAL, synchronous NORMAL, 10,000 rows a transaction; prints seconds
//   sqlite load PATH COLUMNS               opens it and reads all vectors into memory; prints seconds
#include <sqlite3.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

sqlite3* database = nullptr;

void must(bool good) {
  if (good) return;
  std::fprintf(stderr, "sqlite: %s\n", sqlite3_errmsg(database));
  std::exit(1);
}
void run(const char* sql) { must(sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK); }
sqlite3_stmt* prepare(const char* sql) {
  sqlite3_stmt* statement = nullptr;
  must(sqlite3_prepare_v2(database, sql, -1, &statement, nullptr) == SQLITE_OK);
  return statement;
}

void insert(std::size_t columns, const char* rows_file) {
  run("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL");
  run("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT NOT NULL, vector BLOB NOT NULL)");
  sqlite3_stmt* statement = prepare("INSERT INTO rows (text, vector) VALUES (?, ?)");
  std::ifstream file(rows_file, std::ios::binary);
  std::vector<char> row(columns * sizeof(float));
  const std::string text(200, 'x');
  for (std::size_t i = 0; file.read(row.data(), static_cast<std::streamsize>(row.size())); ++i) {
    if (i % 10'000 == 0) run(i == 0 ? "BEGIN" : "COMMIT; BEGIN");
    sqlite3_bind_text(statement, 1, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
    sqlite3_bind_blob(statement, 2, row.data(), static_cast<int>(row.size()), SQLITE_STATIC);
    must(sqlite3_step(statement) == SQLITE_DONE);
    sqlite3_reset(statement);
  }
  run("COMMIT");
  sqlite3_finalize(statement);
}

void load(std::size_t columns) {
  sqlite3_stmt* count = prepare("SELECT MAX(id) FROM rows");
  must(sqlite3_step(count) == SQLITE_ROW);
  std::vector<float> rows(static_cast<std::size_t>(sqlite3_column_int64(count, 0)) * columns);
  sqlite3_finalize(count);
  sqlite3_stmt* statement = prepare("SELECT id, vector FROM rows");
  while (sqlite3_step(statement) == SQLITE_ROW) {
    const auto place = static_cast<std::size_t>(sqlite3_column_int64(statement, 0) - 1);
    std::memcpy(rows.data() + place * columns, sqlite3_column_blob(statement, 1), columns * sizeof(float));
  }
  sqlite3_finalize(statement);
}

}  // namespace

int main(int count, char** argument) {
  const std::string command = count > 3 ? argument[1] : "";
  const auto begin = Clock::now();
  if (count > 3) must(sqlite3_open(argument[2], &database) == SQLITE_OK);
  if (command == "insert" && count == 5) insert(std::stoul(argument[3]), argument[4]);
  else if (command == "load") load(std::stoul(argument[3]));
  else return std::fputs("usage: see the head of bench/sqlite.cpp\n", stderr), 2;
  const double spent = seconds_since(begin);
  sqlite3_close(database);
  std::printf("%.9f\n", spent);
  return 0;
}
