// SPDX-License-Identifier: MIT
// A store of your own over a database: SQLite holds the chunks, their metadata as JSON and their vectors as blobs.
// Built where SQLite is found. For speed take rag::FileStore: it searches its file in place, and this one reads every
// vector through a cursor.
#include <rag/core.hpp>

#include <nlohmann/json.hpp>
#include <sqlite3.h>

#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>

[[noreturn]] inline void fail(sqlite3* database) {
  throw rag::Error(rag::Errc::io, std::string("SqliteStore: ") + sqlite3_errmsg(database));
}

struct Close {
  void operator()(sqlite3* database) const { sqlite3_close(database); }
  void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};

/// One prepared SQL statement. Places of parameters count from 1, those of columns from 0, as SQLite has it.
class Statement {
 public:
  Statement(sqlite3* database, const char* sql) : database_(database) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(database, sql, -1, &statement, nullptr) != SQLITE_OK) fail(database);
    statement_.reset(statement);
  }
  Statement& bind(int at, std::int64_t number) { return expect_ok(sqlite3_bind_int64(statement_.get(), at, number)); }
  Statement& bind(int at, std::string_view text) {
    const auto size = static_cast<sqlite3_uint64>(text.size());
    return expect_ok(sqlite3_bind_text64(statement_.get(), at, text.data(), size, SQLITE_TRANSIENT, SQLITE_UTF8));
  }
  Statement& bind(int at, std::span<const float> vector) {
    return expect_ok(sqlite3_bind_blob64(statement_.get(), at, vector.data(), vector.size_bytes(), SQLITE_TRANSIENT));
  }
  /// False: no more rows.
  bool step() {
    const int result = sqlite3_step(statement_.get());
    if (result != SQLITE_ROW && result != SQLITE_DONE) fail(database_);
    return result == SQLITE_ROW;
  }
  void run() {
    step();
    sqlite3_reset(statement_.get());
  }
  std::int64_t number(int column) const { return sqlite3_column_int64(statement_.get(), column); }
  std::string text(int column) const {
    const auto* bytes = sqlite3_column_text(statement_.get(), column);
    const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
    return {reinterpret_cast<const char*>(bytes), size};
  }
  std::span<const float> vector(int column) const {
    const auto* values = static_cast<const float*>(sqlite3_column_blob(statement_.get(), column));
    return {values, static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column)) / sizeof(float)};
  }

 private:
  Statement& expect_ok(int result) {
    if (result != SQLITE_OK) fail(database_);
    return *this;
  }
  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, Close> statement_;
};

class SqliteStore {
 public:
  explicit SqliteStore(const std::string& path) {
    sqlite3* database = nullptr;
    const int result = sqlite3_open(path.c_str(), &database);
    database_.reset(database);
    if (result != SQLITE_OK) fail(database);
    run("CREATE TABLE IF NOT EXISTS chunks (place INTEGER PRIMARY KEY, id INTEGER NOT NULL UNIQUE, text TEXT NOT NULL,"
        " source TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, metadata TEXT NOT NULL,"
        " vector BLOB NOT NULL)");
    run("CREATE INDEX IF NOT EXISTS sources ON chunks (source)");
    Statement any(database, "SELECT vector FROM chunks LIMIT 1");
    if (any.step()) dimension_ = any.vector(0).size();
  }

  std::vector<rag::Id> add(std::span<const rag::Chunk> chunks, const rag::Matrix& vectors) {
    return change([&] { return insert(chunks, vectors, next_id()); });
  }

  std::vector<rag::Id> replace(std::string_view source, std::span<const rag::Chunk> chunks,
                               const rag::Matrix& vectors) {
    return change([&] {
      const rag::Id next = next_id();  // no id of a chunk that goes comes back
      Statement(database_.get(), "DELETE FROM chunks WHERE source = ?").bind(1, source).run();
      return insert(chunks, vectors, next);
    });
  }

  std::vector<rag::Hit> search(std::span<const float> query, std::size_t k) const {
    if (dimension_ == 0) return {};
    check(query, "the query");
    std::vector<std::pair<float, rag::Id>> scores;
    Statement rows(database_.get(), "SELECT id, vector FROM chunks ORDER BY place");
    while (rows.step()) {
      const std::span<const float> row = rows.vector(1);
      float score = 0;
      for (std::size_t i = 0; i < row.size(); ++i) score += row[i] * query[i];
      scores.push_back({score, rows.number(0)});
    }
    std::stable_sort(scores.begin(), scores.end(), [](const auto& a, const auto& b) { return a.first > b.first; });
    scores.resize(std::min(k, scores.size()));
    std::vector<rag::Hit> hits;
    for (const auto& [score, id] : scores) hits.push_back({chunk(id), score});
    return hits;
  }

  /// Those of one source. With it, a retriever over this store can replace a document.
  std::vector<rag::Chunk> chunks(std::string_view source) const {
    std::vector<rag::Chunk> found;
    Statement rows(database_.get(), "SELECT id FROM chunks WHERE source = ? ORDER BY place");
    rows.bind(1, source);
    while (rows.step()) found.push_back(chunk(rows.number(0)));
    return found;
  }

  std::size_t size() const {
    Statement count(database_.get(), "SELECT COUNT(*) FROM chunks");
    count.step();
    return static_cast<std::size_t>(count.number(0));
  }
  std::size_t dimension() const { return dimension_; }

 private:
  void run(const char* sql) { Statement(database_.get(), sql).run(); }

  /// All of the work or nothing.
  template <class Work>
  std::vector<rag::Id> change(Work work) {
    const std::size_t dimension = dimension_;
    run("BEGIN IMMEDIATE");
    try {
      std::vector<rag::Id> ids = work();
      run("COMMIT");
      return ids;
    } catch (...) {
      sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
      dimension_ = dimension;
      throw;
    }
  }

  std::vector<rag::Id> insert(std::span<const rag::Chunk> chunks, const rag::Matrix& vectors, rag::Id next) {
    if (chunks.size() != vectors.rows())
      throw rag::Error(rag::Errc::invalid_argument, "SqliteStore: one row a chunk wanted");
    if (dimension_ == 0) dimension_ = vectors.columns();
    std::vector<rag::Id> ids;
    Statement row(database_.get(), "INSERT INTO chunks (id, text, source, first, last, metadata, vector)"
                                   " VALUES (?, ?, ?, ?, ?, ?, ?)");
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      const rag::Chunk& chunk = chunks[i];
      if (chunk.id < rag::no_id) throw rag::Error(rag::Errc::invalid_argument, "SqliteStore: a negative id");
      check(vectors.row(i), "row " + std::to_string(i));
      ids.push_back(chunk.id == rag::no_id ? next : chunk.id);
      next = std::max(next, ids.back() + 1);
      row.bind(1, ids.back()).bind(2, chunk.text).bind(3, chunk.source).bind(4, static_cast<std::int64_t>(chunk.begin));
      row.bind(5, static_cast<std::int64_t>(chunk.end)).bind(6, json_of(chunk.metadata)).bind(7, vectors.row(i)).run();
    }
    return ids;
  }

  void check(std::span<const float> vector, const std::string& which) const {
    if (vector.size() != dimension_)
      throw rag::Error(rag::Errc::dimension_mismatch,
                       "SqliteStore: " + which + ": " + std::to_string(dimension_) + " columns wanted");
    for (const float value : vector)
      if (!std::isfinite(value))
        throw rag::Error(rag::Errc::invalid_argument, "SqliteStore: " + which + " holds NaN or infinity");
  }

  rag::Id next_id() const {
    Statement largest(database_.get(), "SELECT COALESCE(MAX(id) + 1, 0) FROM chunks");
    largest.step();
    return largest.number(0);
  }

  rag::Chunk chunk(rag::Id id) const {
    Statement row(database_.get(), "SELECT text, source, first, last, metadata FROM chunks WHERE id = ?");
    row.bind(1, id).step();
    return {row.text(0), row.text(1), static_cast<std::size_t>(row.number(2)), static_cast<std::size_t>(row.number(3)),
            metadata_of(row.text(4)), id};
  }

  static std::string json_of(const rag::Metadata& metadata) {
    auto json = nlohmann::ordered_json::object();
    for (const auto& [name, value] : metadata) {
      if (value.is_string()) json[name] = value.string();
      else if (value.is_boolean()) json[name] = value.boolean();
      else json[name] = value.number();
    }
    return json.dump();
  }
  static rag::Metadata metadata_of(const std::string& text) {
    rag::Metadata metadata;
    const auto json = nlohmann::ordered_json::parse(text);
    for (const auto& [name, value] : json.items()) {
      if (value.is_string()) metadata.set(name, value.get<std::string>());
      else if (value.is_boolean()) metadata.set(name, value.get<bool>());
      else metadata.set(name, value.get<double>());
    }
    return metadata;
  }

  std::unique_ptr<sqlite3, Close> database_;
  std::size_t dimension_ = 0;
};
static_assert(rag::ReplacingStore<SqliteStore>);

int main() {
  const char* path = "notes.db";
  rag::HashingEmbedder embedder;
  {
    rag::Pipeline notes{rag::SeparatorChunker{"\n"}, rag::DenseRetriever{embedder, SqliteStore{path}}, rag::EchoLlm{}};
    notes.add({"2023.txt", "The roof was repaired.\nThe garden got a fence.", {{"year", 2023}}});
    notes.add({"2024.txt", "The roof got solar panels.", {{"year", 2024}}});
    notes.add({"2024.txt", "The roof got solar panels and a gutter.", {{"year", 2024}}});  // replaces the page
  }

  const SqliteStore store{path};
  std::cout << store.size() << " chunks of " << store.dimension() << " dimensions\n";
  for (const auto& [chunk, score] : store.search(rag::embed_query(embedder, "the roof"), 2))
    std::cout << "id " << chunk.id << ", " << chunk.source << ": " << chunk.text << '\n';
  return std::remove(path);
}
