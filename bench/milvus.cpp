// SPDX-License-Identifier: MIT
// Our side of bench/milvus.py, and the bare loop beside it.
//   milvus load URI ROWS BATCH      writes rows through MilvusStore
//   milvus beside URI ROWS BATCH    the same, and each batch once more as a body that is ready, posted by cpp-httplib alone
// Rows have 384 columns and 200 bytes of text; they are made as they are needed, outside of the time. Prints lines of a name
// and numbers: seconds, rows that are there at the end, the process's highest memory in kB.
#include <rag/store/content_id.hpp>
#include <rag/store/milvus.hpp>

#include <rag/net/https.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <span>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t columns = 384;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

struct Batch {
  std::vector<rag::Chunk> chunks;
  rag::Matrix vectors;
};

/// Numbers in [-0.1, 0.1) of all the digits that a float has, as an embedder gives them.
Batch make(std::size_t begin, std::size_t rows) {
  Batch batch{{}, rag::Matrix(rows, columns)};
  std::uint64_t state = begin + 1;
  for (std::size_t i = 0; i < rows * columns; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    batch.vectors.data()[i] = (static_cast<float>(state >> 40) / static_cast<float>(1 << 24) - 0.5f) / 5;
  }
  for (std::size_t i = begin; i < begin + rows; ++i) {
    batch.chunks.push_back({"row " + std::to_string(i) + ' ' + std::string(190, 'x'), "rows", 200 * i, 200 * i + 200, {{"percent", i % 100}}});
    batch.chunks.back().id = rag::content_id(batch.chunks.back());
  }
  return batch;
}

rag::MilvusStore create(const std::string& uri, const std::string& collection, const rag::HttpsTransport& https) {
  return {{.uri = uri, .collection = collection, .dimension = columns}, https};
}

/// VmHWM of /proc, in kB.
long highest_memory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmHWM:")) return std::atol(line.c_str() + 6);
  return 0;
}

void load(const std::string& uri, std::size_t rows, std::size_t batch) {
  rag::MilvusStore store = create(uri, "load", rag::HttpsTransport{});
  double seconds = 0;
  for (std::size_t begin = 0; begin < rows; begin += batch) {
    const Batch some = make(begin, batch);
    const auto before = Clock::now();
    store.upsert(some.chunks, some.vectors);
    seconds += seconds_since(before);
    if (begin == 4 * batch) std::printf("early %ld\n", highest_memory());
  }
  std::printf("memory %ld\n", highest_memory());
  std::printf("load %.6f\nrows %zu\n", seconds, store.size());
}

/// Posts the body and looks at the status alone.
void post(httplib::Client& client, const std::string& body) {
  const auto result = client.Post("/v2/vectordb/entities/upsert", {{"Accept-Type-Allow-Int64", "true"}}, body, "application/json");
  if (!result || result->status != 200 || result->body.find("\"code\":0") == std::string::npos) {
    std::puts("failed");
    std::exit(1);
  }
}

void beside(const std::string& uri, std::size_t rows, std::size_t batch) {
  const rag::HttpsTransport https;
  rag::MilvusStore ours = create(uri, "ours", https);
  const rag::MilvusStore theirs = create(uri, "bare", https);
  httplib::Client client(uri);
  client.set_keep_alive(true);
  client.set_tcp_nodelay(true);
  client.set_read_timeout(60);
  for (std::size_t begin = 0; begin < rows; begin += batch) {
    const Batch some = make(begin, batch);
    std::string body = R"({"collectionName":"bare","data":[)";
    for (std::size_t i = 0; i < batch; ++i) {
      if (i > 0) body += ',';
      rag::detail::append_milvus_row(body, some.chunks[i], some.chunks[i].id, some.vectors.row(i), "bench");
    }
    body += "]}";
    double bare = 0, store = 0;
    const auto post_bare = [&] {
      const auto before = Clock::now();
      post(client, body);
      bare = seconds_since(before);
    };
    const auto write_ours = [&] {
      const auto before = Clock::now();
      ours.upsert(some.chunks, some.vectors);
      store = seconds_since(before);
    };
    if (begin / batch % 2 == 0) post_bare(), write_ours();
    else write_ours(), post_bare();
    std::printf("pair %.6f %.6f\n", bare, store);
  }
  std::printf("rows %zu %zu\n", theirs.size(), ours.size());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return std::puts("usage: milvus load|beside URI ROWS BATCH"), 2;
  const std::size_t rows = std::strtoul(argv[3], nullptr, 10), batch = std::strtoul(argv[4], nullptr, 10);
  if (std::string(argv[1]) == "load") load(argv[2], rows, batch);
  else beside(argv[2], rows, batch);
}
