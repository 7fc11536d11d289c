// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_MILVUS_COLLECTIONS_HPP
#define RAG_STORE_MILVUS_COLLECTIONS_HPP
#include <rag/net/milvus_api.hpp>
#include <rag/store/file.hpp>
#include <rag/store/metric.hpp>
#include <rag/store/milvus.hpp>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

/// The collections of a Milvus server, by name: the calls of FileCollections.
///
///     rag::MilvusCollections server{{.uri = "http://localhost:19530", .token = "root:Milvus"}, rag::HttpsTransport{}};
///     auto faq = server.open_or_create("faq", {.dimension = 384});
///
/// The options are those of every store that it opens; name, dimension, metric, embedder and drop_existing are told by
/// each call. Nothing is sent before the first call.
RAG_LAZY class BasicMilvusCollections {
 public:
  BasicMilvusCollections(MilvusOptions options, AnyTransport transport)
      : options_(std::move(options)),
        transport_(std::move(transport)),
        api_(options_.uri, options_.token, options_.database, options_.timeout, options_.retry, transport_) {}

  bool has(std::string_view name) const { return api_.has(std::string(name)); }
  /// The names, in the server's order.
  std::vector<std::string> list() const {
    const detail::Json answer = api_.call("collections/list", '{' + api_.in_database() + '}');
    std::vector<std::string> names;
    for (const detail::Json& name : detail::member(answer, "data"))
      if (name.is_string()) names.push_back(name.get<std::string>());
    return names;
  }
  /// Makes a collection. A name in use is an Error (invalid_argument).
  MilvusStore create(std::string_view name, const CollectionOptions& options = {}) {
    if (has(name))
      throw Error(Errc::invalid_argument, "MilvusStore: " + api_.host() + ": there is a collection '" + std::string(name) + "' already");
    return store(name, options);
  }
  /// Opens one that is there (not_found). What is wanted of it and not so is an Error that names both.
  MilvusStore open(std::string_view name) const {
    want(name);
    const detail::Json description = api_.collection("describe", std::string(name));
    std::string metric;
    for (const detail::Json& index : detail::member(description, "indexes"))
      if (const std::string* one = detail::string_member(index, "metricType")) metric = *one;
    AnyMetric met = InnerProduct{};
    for (const AnyMetric& known : {AnyMetric(Cosine{}), AnyMetric(L2{})})
      if (metric == detail::milvus_metric(known)) met = known;
    return store(name, {.metric = met});
  }
  MilvusStore open(std::string_view name, const CollectionOptions& wanted) const {
    want(name);
    return store(name, wanted);
  }
  MilvusStore open_or_create(std::string_view name, const CollectionOptions& options = {}) { return store(name, options); }
  /// Takes a collection away; false: there was none of that name.
  bool drop(std::string_view name) {
    if (!has(name)) return false;
    api_.collection("drop", std::string(name));
    return true;
  }

 private:
  void want(std::string_view name) const {
    if (!has(name))
      throw Error(Errc::not_found, "MilvusStore: " + api_.host() + ": no collection '" + std::string(name) + "' there");
  }
  MilvusStore store(std::string_view name, const CollectionOptions& wanted) const {
    MilvusOptions options = options_;
    options.collection = name;
    options.dimension = wanted.dimension;
    options.metric = wanted.metric;
    options.embedder = wanted.embedder;
    options.drop_existing = false;
    return MilvusStore(std::move(options), transport_);
  }

  MilvusOptions options_;
  AnyTransport transport_;
  detail::MilvusApi api_;
};
using MilvusCollections = BasicMilvusCollections<>;

RAG_END
#endif
