// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_MILVUS_HPP
#define RAG_STORE_MILVUS_HPP
#include <rag/concepts.hpp>
#include <rag/detail/row_checks.hpp>
#include <rag/net/milvus_api.hpp>
#include <rag/store/filter.hpp>
#include <rag/store/metric.hpp>
#include <rag/store/milvus_open.hpp>
#include <rag/store/milvus_filter.hpp>
#include <rag/store/milvus_reads.hpp>
#include <rag/store/milvus_rows.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

RAG_BEGIN

/// One of the searches of MilvusStore::hybrid_search.
struct MilvusSearch {
  std::span<const float> query;
  Filter filter = {};
};

/// A collection on a Milvus server (2.4.3 or later) or on Zilliz Cloud, over REST v2. Fulfils ReplacingStore and
/// FilteringStore; Pipeline takes it as any other store.
///
///     rag::HttpsTransport https;
///     rag::MilvusStore local{{.collection = "faq", .dimension = 384, .drop_existing = true}, https};
///     rag::MilvusStore cloud{{.uri = "https://in03-….zillizcloud.com", .token = key, .collection = "faq"}, https};
///
/// A chunk is a row {id, vector, text, source, begin, end, metadata} and comes back equal. Of a row that another program
/// wrote, what is there is read. With consistency Strong every read sees every write before it. Scores are the server's,
/// L2 with its sign turned; ties come in the order of the ids, which is that of insertion where the store gives them. An
/// index of the server may be approximate.
///
/// Requests that meet a busy or unreachable server are sent again, and no row is doubled by that: all writes are upserts
/// under ids that are known before. But a server has no transactions. A write of more than batch_rows rows is several
/// requests. add() takes its rows out again where one fails; after upsert() or replace() failed, or after the program
/// ended in between, a part may be there, and the same call again puts it right. replace() writes the new rows first and
/// takes the stale ones out then: an end in between leaves both, never none.
///
/// Limits of the server: 64 KiB of text and metadata a row, 16,384 hits a search. A token goes over http to this machine
/// only, see HttpsTransport. Copies are the same store; any thread may call anything, where the transport may be called so.
RAG_LAZY class BasicMilvusStore {
 public:
  /// Opens the collection; makes it where it is not there, and empties it where asked to. Errors: dimension_mismatch,
  /// unsupported (another metric, level or schema), unauthorized, timeout, transport, service.
  BasicMilvusStore(MilvusOptions options, AnyTransport transport)
      : core_(std::make_shared<Core>(std::move(options), std::move(transport))) {}

  /// Appends chunks[i] with row i, all or none (see above). A chunk without an id gets one (MilvusOptions::ids), one with an
  /// id keeps it; an id in use, another number of columns, NaN and infinity are Errors.
  std::vector<Id> add(std::span<const Chunk> chunks, const Matrix& vectors) {
    const std::string who = "MilvusStore::add";
    detail::check_rows(chunks.size(), vectors, dimension(), who);
    const std::vector<Id> ids = free_ids(chunks, who);
    try {
      write(chunks, ids, vectors, who);
    } catch (...) {
      remove_quietly(ids);
      throw;
    }
    return ids;
  }

  /// Puts each chunk, which must have an id, in the place of the one of that id, or appends it.
  std::vector<Id> upsert(std::span<const Chunk> chunks, const Matrix& vectors) {
    const std::string who = "MilvusStore::upsert";
    detail::check_rows(chunks.size(), vectors, dimension(), who);
    std::vector<Id> ids;
    for (const Chunk& chunk : chunks) ids.push_back(chunk.id);
    if (std::find(ids.begin(), ids.end(), no_id) != ids.end())
      throw Error(Errc::invalid_argument, who + ": chunks with ids wanted, one has none");
    check_ids(ids, who);
    write(chunks, ids, vectors, who);
    const std::lock_guard lock(core_->mutex);
    core_->pass(ids);
    return ids;
  }

  /// Puts the chunks, all of `source`, in the place of those that came from it; no chunks: erases the source.
  std::vector<Id> replace(std::string_view source, std::span<const Chunk> chunks, const Matrix& vectors) {
    const std::string who = "MilvusStore::replace";
    detail::check_rows(chunks.size(), vectors, dimension(), who);
    for (const Chunk& chunk : chunks)
      if (chunk.source != source)
        throw Error(Errc::invalid_argument, who + ": a chunk comes from another source than the one named");
    // Those there now, not all but the new ones: what another program adds meanwhile stays.
    std::vector<Id> stale = ids(rag::source() == source);
    std::sort(stale.begin(), stale.end());
    const std::vector<Id> fresh = free_ids(chunks, who, stale);
    write(chunks, fresh, vectors, who);
    const std::set<Id> kept(fresh.begin(), fresh.end());
    std::erase_if(stale, [&](Id id) { return kept.contains(id); });
    remove(stale);
    return fresh;
  }

  /// Takes out the chunks of these ids and gives their number; an id that is not there is no error.
  std::size_t erase(std::span<const Id> ids) {
    const std::vector<Id> there = core_->reads.present(ids);
    remove(there);
    return there.size();
  }
  /// The same of all that the filter keeps: a default one keeps everything. The number is of those that were there when the
  /// call began.
  std::size_t erase(const Filter& filter) {
    if (filter.keeps_nothing()) return 0;
    const std::size_t number = count(filter);
    if (number == 0) return 0;
    const std::string text = expression(filter, "erase");
    remove_where(text.empty() ? detail::MilvusFilter::everything() : text);
    return number;
  }

  /// The k nearest chunks, best first, of those that the filter keeps; at most 16,384:
  ///     store.search(query, 5, rag::field("language") == "en" && rag::field("year") >= 2020);
  std::vector<Hit> search(std::span<const float> query, std::size_t k, const Filter& filter = {}) const {
    Matrix one(1, query.size());
    std::copy(query.begin(), query.end(), one.data());
    return std::move(search(one, k, filter)[0]);
  }
  /// The same for each row of `queries`, as many in one request as the server's limits allow.
  std::vector<std::vector<Hit>> search(const Matrix& queries, std::size_t k, const Filter& filter = {}) const {
    for (std::size_t i = 0; i < queries.rows(); ++i) {
      if (queries.columns() != dimension()) detail::wrong_columns("MilvusStore::search", dimension(), queries.columns());
      detail::check_length(queries.row(i), "MilvusStore::search", "query", i);
    }
    if (k == 0 || filter.keeps_nothing()) return std::vector<std::vector<Hit>>(queries.rows());
    return core_->reads.search(queries, k, expression(filter, "search"));
  }

  /// The k best of several searches in one request: the question in several wordings, or under several filters. The server
  /// merges their rankings by reciprocal rank fusion: a score is the sum of 1 / (rank_constant + rank) over the searches that
  /// found the chunk among their max(k, 50) best, rank from 1. To merge vectors with words: Hybrid.
  ///     const rag::MilvusSearch both[] = {{wording}, {other_wording, rag::field("language") == "en"}};
  ///     store.hybrid_search(both, 5);
  std::vector<Hit> hybrid_search(std::span<const MilvusSearch> searches, std::size_t k, std::size_t rank_constant = 60) const {
    const std::string who = "MilvusStore::hybrid_search";
    if (rank_constant < 1 || rank_constant > 16'383)
      throw Error(Errc::invalid_argument, who + ": a rank constant of 1 to 16383 wanted, " + std::to_string(rank_constant) + " given");
    std::vector<std::pair<std::span<const float>, std::string>> asked;
    for (std::size_t i = 0; i < searches.size(); ++i) {
      const auto& [query, filter] = searches[i];
      if (query.size() != dimension()) detail::wrong_columns(who, dimension(), query.size());
      detail::check_length(query, who, "query", i);
      if (!filter.keeps_nothing()) asked.emplace_back(query, expression(filter, "hybrid_search"));
    }
    if (k == 0 || asked.empty()) return {};
    return core_->reads.hybrid(asked, k, rank_constant);
  }

  /// Those of the ids that are there, in order: a load that goes on need not embed them again.
  std::vector<Id> present(std::span<const Id> ids) const { return core_->reads.present(ids); }
  /// The chunk of an id, if it is there.
  std::optional<Chunk> find(Id id) const { return core_->reads.find(id); }
  /// The vector of an id, empty if it is not there.
  std::vector<float> vector(Id id) const { return core_->reads.vector(id); }
  /// The chunks of one source, in the order of their ids.
  std::vector<Chunk> chunks(std::string_view source) const { return chunks(rag::source() == source); }
  /// The chunks that the filter keeps, in the order of their ids.
  std::vector<Chunk> chunks(const Filter& filter) const {
    if (filter.keeps_nothing()) return {};
    return core_->reads.chunks(expression(filter, "chunks"));
  }
  /// Their ids.
  std::vector<Id> ids(const Filter& filter = {}) const {
    if (filter.keeps_nothing()) return {};
    return core_->reads.ids(expression(filter, "ids"));
  }
  /// Their number.
  std::size_t count(const Filter& filter) const {
    return filter.keeps_nothing() ? 0 : core_->reads.count(expression(filter, "count"));
  }
  std::size_t size() const { return core_->reads.count(""); }
  std::size_t dimension() const { return core_->dimension; }
  AnyMetric metric() const { return core_->options.metric; }
  /// Of the collection.
  const std::string& name() const { return core_->options.collection; }

 private:
  struct Core {
    Core(MilvusOptions given, AnyTransport transport)
        : options(std::move(given)),
          api(options.uri, options.token, options.database, options.timeout, options.retry, std::move(transport)),
          reads(api, options) {
      if (options.batch_rows == 0 || options.batch_bytes == 0)
        throw Error(Errc::invalid_argument, "MilvusStore: batches of 1 row and 1 byte or more wanted, 0 given");
      bool made = false;
      std::tie(dimension, made) = detail::MilvusCollection(api, options).open();
      if (options.ids == MilvusIds::unique) lane = static_cast<Id>(options.retry.random() * 0x1p30);
      else if (made) next = 0;
    }

    /// n ids that follow each other, larger than all before. The caller holds the mutex.
    Id take(std::size_t n) {
      if (options.ids == MilvusIds::unique) {
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options.retry.now().time_since_epoch()).count();
        next = std::max<Id>(next, (static_cast<Id>(seconds) << 31) | lane);
      } else if (next < 0) {
        next = reads.largest_id() + 1;
      }
      return std::exchange(next, next + static_cast<Id>(n));
    }
    /// The next id counted is behind these. The caller holds the mutex.
    void pass(std::span<const Id> ids) {
      if (options.ids == MilvusIds::counted && next >= 0)
        for (const Id id : ids) next = std::max(next, id + 1);
    }

    const MilvusOptions options;
    const detail::MilvusApi api;
    detail::MilvusReads reads;
    std::size_t dimension = 0;
    std::mutex mutex;
    Id next = -1;  // -1: not known
    Id lane = 0;   // two stores that write in the same second would have to draw nearly the same of 2^30
  };

  std::string expression(const Filter& filter, const char* call) const {
    return detail::MilvusFilter(std::string("MilvusStore::") + call).text(filter);
  }

  static void check_ids(std::vector<Id> ids, const std::string& who) {
    std::sort(ids.begin(), ids.end());
    if (!ids.empty() && (ids.front() < 0 || ids.back() == std::numeric_limits<Id>::max()))
      throw Error(Errc::invalid_argument, who + ": ids from 0 to 2^63 - 2 wanted, " +
                                              std::to_string(ids.front() < 0 ? ids.front() : ids.back()) + " given");
    if (const auto twice = std::adjacent_find(ids.begin(), ids.end()); twice != ids.end())
      throw Error(Errc::invalid_argument, who + ": the id " + std::to_string(*twice) + " is given twice");
  }

  /// The ids that the chunks will have; none is in use but by the `replaceable`, which are sorted.
  std::vector<Id> free_ids(std::span<const Chunk> chunks, const std::string& who, std::span<const Id> replaceable = {}) {
    std::vector<Id> ids;
    if (chunks.empty()) return ids;
    const std::lock_guard lock(core_->mutex);
    const Id before = core_->next;
    const auto unnumbered = std::count_if(chunks.begin(), chunks.end(), [](const Chunk& chunk) { return chunk.id == no_id; });
    Id next = core_->take(static_cast<std::size_t>(unnumbered));
    try {
      for (const Chunk& chunk : chunks) {
        ids.push_back(chunk.id == no_id ? next++ : chunk.id);
        // Counted ids go on behind one that is given, as those of the other stores do.
        if (core_->options.ids == MilvusIds::counted && ids.back() < std::numeric_limits<Id>::max()) next = std::max(next, ids.back() + 1);
      }
      check_ids(ids, who);
      for (const Id id : core_->reads.present(ids))
        if (!std::binary_search(replaceable.begin(), replaceable.end(), id))
          throw Error(Errc::invalid_argument, who + ": a free id wanted, " + std::to_string(id) + " is in use");
    } catch (...) {
      core_->next = before;
      throw;
    }
    core_->pass(ids);
    return ids;
  }

  /// Upserts rows, batch by batch. All chunks are looked at before the first batch is sent, so a bad one stops the call
  /// before that.
  void write(std::span<const Chunk> chunks, std::span<const Id> ids, const Matrix& vectors, const std::string& who) {
    const auto which = [&](std::size_t i) { return who + ": chunk " + std::to_string(i); };
    for (std::size_t i = 0; i < chunks.size(); ++i) detail::milvus_row_fields(chunks[i], which(i));
    const std::string head = '{' + core_->api.named(core_->options.collection) + ",\"data\":[";
    std::string body = head;
    std::size_t rows = 0;
    const auto send = [&] {
      body += "]}";
      core_->api.call("entities/upsert", std::move(body));
      body = head, rows = 0;
    };
    for (std::size_t i = 0; i < chunks.size(); ++i) {
      if (rows == core_->options.batch_rows) send();
      const std::size_t end = body.size();
      if (rows > 0) body += ',';
      detail::append_milvus_row(body, chunks[i], ids[i], vectors.row(i), which(i));
      if (rows > 0 && body.size() + 2 > core_->options.batch_bytes) {
        const std::string row = body.substr(end + 1);
        body.resize(end);
        send();
        body += row;
      }
      if (rows++ == 0) {  // the other rows are about as long
        const std::size_t left = std::min(core_->options.batch_rows, chunks.size() - i);
        body.reserve(std::min(core_->options.batch_bytes, body.size() * left / 8 * 9) + body.size());
      }
    }
    if (rows > 0) send();
  }

  void remove(std::span<const Id> ids) {
    for (const std::string& some : detail::milvus_id_filters(ids)) remove_where(some);
  }
  void remove_where(const std::string& filter) {
    core_->api.call("entities/delete", '{' + core_->api.named(core_->options.collection) + ",\"filter\":" +
                                           detail::dump_json(detail::Json(filter), "MilvusStore::erase") + '}');
  }
  void remove_quietly(std::span<const Id> ids) {
    try {
      remove(ids);
    } catch (const Error&) {  // the first failure is the one to tell of
    }
  }

  std::shared_ptr<Core> core_;
};
using MilvusStore = BasicMilvusStore<>;

RAG_END
#endif
