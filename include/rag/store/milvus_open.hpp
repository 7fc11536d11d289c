// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_MILVUS_OPEN_HPP
#define RAG_STORE_MILVUS_OPEN_HPP
#include <rag/net/milvus_api.hpp>
#include <rag/store/metric.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

RAG_BEGIN

/// Which ids MilvusStore gives to chunks that have none.
enum class MilvusIds : unsigned char {
  unique,   ///< several programs may write at once: the Unix time in seconds times 2^31, and a number that each store draws.
            ///< Beyond 2^53, so JavaScript rounds them
  counted,  ///< 0, 1, 2, … behind the largest one there, for a collection with one writer: two would take the same
};

struct MilvusOptions {
  std::string uri = "http://localhost:19530";
  std::string token = {};  ///< "root:Milvus" (user and password), or the API key of Zilliz Cloud
  std::string collection = "rag";
  std::size_t dimension = 0;  ///< 2 to 32,768; 0: that of the collection, which must be there
  AnyMetric metric = InnerProduct{};
  std::string consistency = "Strong";  ///< or "Session", "Bounded", "Eventually": reads may then miss the latest writes
  bool drop_existing = false;          ///< begins with an empty collection
  std::string database = {};           ///< "": the server's default
  MilvusIds ids = MilvusIds::unique;
  std::size_t batch_rows = 1'000;                   ///< at most, of one request that writes
  std::size_t batch_bytes = std::size_t{8} << 20;   ///< of JSON; a server takes 64 MB
  std::chrono::seconds timeout{30};                 ///< that the server may take for one request
  std::chrono::seconds load_deadline{60};           ///< for a collection to become ready to search
  RetryOptions retry = {.retries = 7};              ///< of each request, about 10 s in all
  std::string embedder = {};  ///< which model made the vectors: its name(), kept as the description; another one is refused
};

namespace detail {

RAG_LAZY std::string milvus_metric(AnyMetric metric) {
  return metric == AnyMetric(L2{}) ? "L2" : metric == AnyMetric(Cosine{}) ? "COSINE" : "IP";
}

/// Finds, makes and checks the collection of the options, and waits until it can be searched. A server overlooks in silence
/// what it does not know, so what it made is read back and compared.
RAG_LAZY class BasicMilvusCollection {
 public:
  BasicMilvusCollection(const MilvusApi& api, const MilvusOptions& options) : api_(api), options_(options) {}

  /// Gives the dimension, and whether the collection was made here.
  std::pair<std::size_t, bool> open() const {
    if (options_.drop_existing) call("drop");
    const bool made = options_.drop_existing || !api_.has(options_.collection);
    if (made) create();
    const std::size_t dimension = check(call("describe"));
    await_load();
    return {dimension, made};
  }

 private:
  static constexpr std::string_view embedder_mark = "embedder: ";

  Json call(const char* action, const std::string& more = "") const { return api_.collection(action, options_.collection, more); }

  void create() const {
    if (options_.dimension == 0)
      throw Error(Errc::invalid_argument, "MilvusStore: a dimension wanted to make the collection '" + options_.collection + "', 0 given");
    const std::string description = options_.embedder.empty() ? "" : dump_json(Json(std::string(embedder_mark) + options_.embedder), "MilvusStore: embedder");
    try {
      call("create", ",\"dimension\":" + std::to_string(options_.dimension) + ",\"metricType\":\"" + milvus_metric(options_.metric) +
                         "\",\"params\":{\"consistencyLevel\":" + dump_json(Json(options_.consistency), "MilvusStore: consistency") + '}' +
                         (description.empty() ? "" : ",\"description\":" + description));
    } catch (const Error& error) {
      // Not dropped: another program may have made it meanwhile, and filled it.
      error.rethrow(std::string(error.what()) + " (if it is left half made, drop_existing makes it anew)");
    }
  }

  [[noreturn]] void mismatch(Errc code, const std::string& what, const std::string& wanted, const std::string& met) const {
    throw Error(code, "MilvusStore: " + api_.host() + ": collection '" + options_.collection + "': " + what + ' ' + wanted +
                          " wanted, " + met + " met");
  }

  static std::string text_of(const Json& object, const char* name) {
    const std::string* text = string_member(object, name);
    return text != nullptr ? one_line(*text, 60) : std::string("none");
  }

  std::size_t check(const Json& description) const {
    std::optional<std::int64_t> dimension;
    bool key = false;
    for (const Json& field : member(description, "fields")) {
      if (text_of(field, "name") == "id") key = member(field, "primaryKey") == Json(true) && text_of(field, "type") == "Int64";
      if (text_of(field, "name") != "vector" || text_of(field, "type") != "FloatVector") continue;
      for (const Json& one : member(field, "params"))
        if (text_of(one, "key") == "dim") dimension = milvus_integer(member(one, "value"));
    }
    if (!key || member(description, "autoId") == Json(true))
      mismatch(Errc::unsupported, "a primary key", "'id' of type Int64, without autoID,", "another");
    if (!dimension || *dimension < 1) mismatch(Errc::unsupported, "a field", "'vector' of type FloatVector", "none");
    const auto columns = static_cast<std::size_t>(*dimension);
    if (options_.dimension != 0 && columns != options_.dimension)
      mismatch(Errc::dimension_mismatch, "a dimension of", std::to_string(options_.dimension), std::to_string(columns));
    if (member(description, "enableDynamicField") == Json(false))
      mismatch(Errc::unsupported, "a collection with", "the dynamic field", "one without");
    std::string metric = "none";
    for (const Json& index : member(description, "indexes"))
      if (text_of(index, "fieldName") == "vector") metric = text_of(index, "metricType");
    if (metric != milvus_metric(options_.metric)) mismatch(Errc::unsupported, "the metric", milvus_metric(options_.metric), metric);
    if (const std::string level = text_of(description, "consistencyLevel"); level != options_.consistency)
      mismatch(Errc::unsupported, "the consistency level", options_.consistency, level);
    if (const std::string* mark = string_member(description, "description"); mark != nullptr && mark->starts_with(embedder_mark))
      if (const std::string met = mark->substr(embedder_mark.size()); !options_.embedder.empty() && met != options_.embedder)
        mismatch(Errc::unsupported, "vectors of the embedder", options_.embedder, one_line(met, 100));
    return columns;
  }

  /// Other than the clients over gRPC, a call that makes or loads a collection does not wait for it.
  void await_load() const {
    const auto begin = options_.retry.now();
    bool asked = false;
    for (;;) {
      const std::string state = text_of(call("get_load_state"), "loadState");
      if (state == "LoadStateLoaded") return;
      if (state == "LoadStateNotLoad" && !std::exchange(asked, true)) {
        call("load");
        continue;
      }
      if (options_.retry.now() - begin >= options_.load_deadline)
        throw Error(Errc::timeout, "MilvusStore: " + api_.host() + ": collection '" + options_.collection +
                                       "': to be loaded within " + std::to_string(options_.load_deadline.count()) +
                                       " s wanted, " + state + " met");
      options_.retry.sleep(std::chrono::milliseconds(100));
    }
  }

  const MilvusApi& api_;
  const MilvusOptions& options_;
};
using MilvusCollection = BasicMilvusCollection<>;

}  // namespace detail
RAG_END
#endif
