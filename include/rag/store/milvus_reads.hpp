// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_MILVUS_READS_HPP
#define RAG_STORE_MILVUS_READS_HPP
#include <rag/net/milvus_api.hpp>
#include <rag/store/metric.hpp>
#include <rag/store/milvus_open.hpp>
#include <rag/store/milvus_rows.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

inline constexpr std::size_t milvus_window = 16'384;  ///< most rows of a query, hits of a search, queries of a request

/// "id in [1,2]" for at most 1,000 ids each.
RAG_LAZY std::vector<std::string> milvus_id_filters(std::span<const Id> ids) {
  constexpr std::size_t most = 1'000;
  std::vector<std::string> filters;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (i % most == 0) filters.push_back("id in [");
    filters.back() += std::to_string(ids[i]) + (i + 1 == ids.size() || i % most == most - 1 ? "]" : ",");
  }
  return filters;
}

/// What is asked of a collection. Filters are expressions already; "" keeps everything.
RAG_LAZY class BasicMilvusReads {
 public:
  BasicMilvusReads(const MilvusApi& api, const MilvusOptions& options) : api_(api), options_(options) {}

  std::size_t count(const std::string& filter) const {
    const Json rows = query(filter, "[\"count(*)\"]", 0);
    const auto number = rows.size() == 1 ? milvus_integer(member(rows[0], "count(*)")) : std::nullopt;
    if (!number || *number < 0) api_.fail(Errc::invalid_format, "entities/query", "sent no count(*)");
    return static_cast<std::size_t>(*number);
  }

  std::vector<Id> ids(const std::string& filter) const {
    std::vector<Id> all;
    page(filter, R"(["id"])", milvus_window, [&](const Json& row) { all.push_back(id_of(row)); });
    std::sort(all.begin(), all.end());
    return all;
  }
  std::vector<Chunk> chunks(const std::string& filter) const {
    std::vector<Chunk> all;
    // So few that an answer stays within the 16 MiB that HttpsTransport takes, however long the texts are.
    page(filter, milvus_fields, 200, [&](const Json& row) { all.push_back(chunk_of(row, "entities/query")); });
    std::sort(all.begin(), all.end(), [](const Chunk& a, const Chunk& b) { return a.id < b.id; });
    return all;
  }
  /// Those of the ids that are there, each once.
  std::vector<Id> present(std::span<const Id> ids) const {
    std::vector<Id> there;
    for (const std::string& filter : milvus_id_filters(ids))
      for (const Json& row : query(filter, R"(["id"])", milvus_window)) there.push_back(id_of(row));
    std::sort(there.begin(), there.end());
    there.erase(std::unique(there.begin(), there.end()), there.end());
    return there;
  }
  /// -1: there is none of 0 or more. A request for every 16,384 rows at worst, fewer where rows come in any other order.
  Id largest_id() const {
    Id largest = -1;
    for (;;) {
      const Json rows = query("id > " + std::to_string(largest), R"(["id"])", milvus_window);
      for (const Json& row : rows) largest = std::max(largest, id_of(row));
      if (rows.size() < milvus_window) return largest;
    }
  }

  std::optional<Chunk> find(Id id) const {
    const Json rows = query("id == " + std::to_string(id), milvus_fields, 1);
    return rows.empty() ? std::nullopt : std::optional<Chunk>(chunk_of(rows[0], "entities/query"));
  }
  std::vector<float> vector(Id id) const {
    std::vector<float> values;
    for (const Json& row : query("id == " + std::to_string(id), R"(["vector"])", 1))
      for (const Json& value : member(row, "vector"))
        values.push_back(value.is_number() ? value.template get<float>() : std::numeric_limits<float>::quiet_NaN());
    return values;
  }

  /// Searches of the same rows, each with its filter, as MilvusStore::hybrid_search promises them.
  std::vector<Hit> hybrid(std::span<const std::pair<std::span<const float>, std::string>> searches, std::size_t k,
                          std::size_t rank_constant) const {
    k = std::min(k, milvus_window);
    const std::string depth = std::to_string(std::max<std::size_t>(k, 50));
    std::string body = '{' + api_.named(options_.collection) + ",\"search\":[";
    for (const auto& [query, filter] : searches) {
      body += body.ends_with('[') ? "{\"data\":[" : ",{\"data\":[";
      append_milvus_vector(body, query);
      body += "],\"annsField\":\"vector\",\"limit\":" + depth;
      if (!filter.empty()) body += ",\"filter\":" + dump_json(Json(filter), "MilvusStore");
      body += '}';
    }
    body += "],\"rerank\":{\"strategy\":\"rrf\",\"params\":{\"k\":" + std::to_string(rank_constant) + "}},\"limit\":" +
            std::to_string(std::min(k + 8, milvus_window)) + ",\"outputFields\":" + milvus_fields;  // some more: ties
    const char* action = "entities/hybrid_search";
    const Json answer = api_.call(action, body + tail(""));
    const Json& rows = member(answer, "data");
    if (!rows.is_array()) api_.fail(Errc::invalid_format, action, "sent no list of hits");
    std::vector<Hit> hits;
    for (const Json& row : rows) hits.push_back(hit_of(row, action));
    std::sort(hits.begin(), hits.end(), better);
    if (hits.size() > k) hits.resize(k);
    return hits;
  }

  /// One list of hits a query, as MilvusStore promises them.
  std::vector<std::vector<Hit>> search(const Matrix& queries, std::size_t k, const std::string& filter) const {
    k = std::min(k, milvus_window);
    std::vector<std::vector<Hit>> all;
    all.reserve(queries.rows());
    // Some more than k, to see the end of a tie.
    const std::size_t limit = std::min(k + 8, milvus_window);
    for (std::size_t begin = 0; begin < queries.rows();) {
      const std::size_t end = single_ ? begin + 1 : std::min(queries.rows(), begin + queries_at_once(queries, limit));
      auto some = ask(queries, begin, end, limit, filter);
      if (!some) {  // an answer that does not say whose the hits are
        single_ = true;
        continue;
      }
      for (std::size_t i = begin; i < end; ++i) all.push_back(settle(std::move((*some)[i - begin]), queries, i, k, limit, filter));
      begin = end;
    }
    return all;
  }

 private:
  Id id_of(const Json& row) const {
    const auto id = milvus_integer(member(row, "id"));
    if (!id) api_.fail(Errc::invalid_format, "entities/query", "sent a row without a 64-bit integer as its id");
    return *id;
  }
  Chunk chunk_of(const Json& row, const char* action) const {
    return milvus_chunk(row, "MilvusStore: " + api_.host() + ": " + action);
  }

  /// The ends that all reads share.
  std::string tail(const std::string& filter) const {
    return (filter.empty() ? "" : ",\"filter\":" + dump_json(Json(filter), "MilvusStore")) + ",\"consistencyLevel\":" +
           dump_json(Json(options_.consistency), "MilvusStore") + '}';
  }

  /// limit 0: none is sent.
  Json query(const std::string& filter, const std::string& fields, std::size_t limit) const {
    std::string body = '{' + api_.named(options_.collection) + ",\"outputFields\":" + fields;
    if (limit > 0) body += ",\"limit\":" + std::to_string(limit);
    if (filter.empty()) body += ",\"filter\":\"\"";
    Json answer = api_.call("entities/query", body + tail(filter));
    if (!member(answer, "data").is_array()) api_.fail(Errc::invalid_format, "entities/query", "sent no list of rows");
    return std::move(answer["data"]);
  }

  /// All rows, page by page. A server promises no order of the rows that it gives of more, so pages are ranges of ids: one
  /// that holds too many is cut at the middle of those seen.
  template <class Take>
  void page(const std::string& filter, const std::string& fields, std::size_t limit, Take&& take) const {
    std::vector<std::pair<Id, Id>> ranges = {{std::numeric_limits<Id>::min(), std::numeric_limits<Id>::max()}};
    while (!ranges.empty()) {
      const auto [low, high] = ranges.back();
      ranges.pop_back();
      std::string wanted = filter;
      if (low != std::numeric_limits<Id>::min()) wanted += (wanted.empty() ? "" : " and ") + ("id >= " + std::to_string(low));
      if (high != std::numeric_limits<Id>::max()) wanted += (wanted.empty() ? "" : " and ") + ("id <= " + std::to_string(high));
      if (wanted.empty()) wanted = MilvusFilter::everything();
      const Json rows = query(wanted, fields, limit);
      if (rows.size() < limit) {
        for (const Json& row : rows) take(row);
        continue;
      }
      std::vector<Id> seen;
      for (const Json& row : rows) seen.push_back(id_of(row));
      std::sort(seen.begin(), seen.end());
      const Id middle = seen[(seen.size() - 1) / 2];
      if (middle >= high) api_.fail(Errc::invalid_format, "entities/query", "sent one id several times");
      ranges.emplace_back(middle + 1, high);
      ranges.emplace_back(low, middle);
    }
  }

  /// Bounded by the bytes of the request, and by the hits of the answer: 2,000 with their texts.
  std::size_t queries_at_once(const Matrix& queries, std::size_t limit) const {
    const std::size_t by_bytes = options_.batch_bytes / (16 * queries.columns() + 1);
    return std::max<std::size_t>(1, std::min(2'000 / limit, by_bytes));
  }

  /// Hits of the queries [begin, end), or nothing where the server did not tell them apart.
  std::optional<std::vector<std::vector<Hit>>> ask(const Matrix& queries, std::size_t begin, std::size_t end, std::size_t limit,
                                                   const std::string& filter) const {
    std::string body = '{' + api_.named(options_.collection) + ",\"annsField\":\"vector\",\"data\":[";
    for (std::size_t i = begin; i < end; ++i) {
      if (i > begin) body += ',';
      append_milvus_vector(body, queries.row(i));
    }
    body += "],\"limit\":" + std::to_string(limit) + ",\"outputFields\":" + milvus_fields;
    const Json answer = api_.call("entities/search", body + tail(filter));
    const Json& rows = member(answer, "data");
    const auto malformed = [&](const char* what) { api_.fail(Errc::invalid_format, "entities/search", what); };
    if (!rows.is_array()) malformed("sent no list of hits");
    std::vector<std::vector<Hit>> all(end - begin);
    const Json& counts = member(answer, "topks");
    std::vector<std::size_t> numbers = {rows.size()};
    if (all.size() > 1 && !rows.empty()) {
      if (!counts.is_array()) return {};
      numbers.clear();
      for (const Json& count : counts) numbers.push_back(static_cast<std::size_t>(std::max<std::int64_t>(0, milvus_integer(count).value_or(0))));
    }
    std::size_t at = 0;
    for (std::size_t i = 0; i < numbers.size() && i < all.size(); ++i)
      for (std::size_t left = numbers[i]; left > 0 && at < rows.size(); --left) all[i].push_back(hit_of(rows[at++], "entities/search"));
    if (at != rows.size() || (!rows.empty() && numbers.size() != all.size())) malformed("sent topks that do not divide the hits");
    // Servers send the squared distance, the smallest first; 0 keeps its sign.
    if (options_.metric == AnyMetric(L2{}))
      for (std::vector<Hit>& hits : all)
        for (Hit& hit : hits) hit.score = 0 - hit.score;
    return all;
  }

  /// With the number that the server sent as its score.
  Hit hit_of(const Json& row, const char* action) const {
    const Json& distance = member(row, "distance");
    if (!distance.is_number()) api_.fail(Errc::invalid_format, action, "sent a hit without a number as its distance");
    return {chunk_of(row, action), distance.template get<float>()};
  }
  static bool better(const Hit& a, const Hit& b) { return a.score != b.score ? a.score > b.score : a.chunk.id < b.chunk.id; }

  /// The best k in order, where ties go to the lower id; asks again where those that the server gave end within a tie.
  std::vector<Hit> settle(std::vector<Hit> hits, const Matrix& queries, std::size_t number, std::size_t k, std::size_t limit,
                          const std::string& filter) const {
    std::sort(hits.begin(), hits.end(), better);
    while (hits.size() >= limit && limit < milvus_window && limit > k && hits[k - 1].score == hits.back().score) {
      limit = std::min(limit * 4, milvus_window);
      hits = std::move((*ask(queries, number, number + 1, limit, filter))[0]);
      std::sort(hits.begin(), hits.end(), better);
    }
    if (hits.size() > k) hits.resize(k);
    return hits;
  }

  const MilvusApi& api_;
  const MilvusOptions& options_;
  mutable std::atomic<bool> single_ = false;  // one query a request
};
using MilvusReads = BasicMilvusReads<>;

}  // namespace detail
RAG_END
#endif
