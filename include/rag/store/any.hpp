// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_ANY_HPP
#define RAG_STORE_ANY_HPP
#include <rag/concepts.hpp>
#include <rag/net/http.hpp>
#include <rag/store/file.hpp>
#include <rag/store/filter.hpp>
#include <rag/store/milvus.hpp>
#include <rag/store/milvus_collections.hpp>
#include <rag/store/open.hpp>

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

RAG_BEGIN

/// A FileStore or a MilvusStore, chosen while the program runs. Each call is that of the store inside; where they differ
/// (what survives a crash, the order of ties, limits), see there.
RAG_LAZY class BasicAnyStore {
 public:
  BasicAnyStore(FileStore store) : store_(std::move(store)) {}
  BasicAnyStore(MilvusStore store) : store_(std::move(store)) {}

  std::vector<Id> add(std::span<const Chunk> chunks, const Matrix& vectors) {
    return visit([&](auto& store) { return store.add(chunks, vectors); });
  }
  std::vector<Id> upsert(std::span<const Chunk> chunks, const Matrix& vectors) {
    return visit([&](auto& store) { return store.upsert(chunks, vectors); });
  }
  std::vector<Id> replace(std::string_view source, std::span<const Chunk> chunks, const Matrix& vectors) {
    return visit([&](auto& store) { return store.replace(source, chunks, vectors); });
  }
  std::size_t erase(std::span<const Id> ids) {
    return visit([&](auto& store) { return store.erase(ids); });
  }
  std::size_t erase(const Filter& filter) {
    return visit([&](auto& store) { return store.erase(filter); });
  }
  std::vector<Hit> search(std::span<const float> query, std::size_t k, const Filter& filter = {}) const {
    return visit([&](const auto& store) { return store.search(query, k, filter); });
  }
  std::vector<std::vector<Hit>> search(const Matrix& queries, std::size_t k, const Filter& filter = {}) const {
    return visit([&](const auto& store) { return store.search(queries, k, filter); });
  }
  std::optional<Chunk> find(Id id) const {
    return visit([&](const auto& store) { return store.find(id); });
  }
  std::vector<float> vector(Id id) const {
    return visit([&](const auto& store) { return store.vector(id); });
  }
  std::vector<Chunk> chunks(std::string_view source) const {
    return visit([&](const auto& store) { return store.chunks(source); });
  }
  std::vector<Chunk> chunks(const Filter& filter) const {
    return visit([&](const auto& store) { return store.chunks(filter); });
  }
  std::vector<Id> ids(const Filter& filter = {}) const {
    return visit([&](const auto& store) { return store.ids(filter); });
  }
  std::size_t count(const Filter& filter) const {
    return visit([&](const auto& store) { return store.count(filter); });
  }
  std::size_t size() const {
    return visit([](const auto& store) { return store.size(); });
  }
  std::size_t dimension() const {
    return visit([](const auto& store) { return store.dimension(); });
  }
  AnyMetric metric() const {
    return visit([](const auto& store) { return store.metric(); });
  }
  std::string name() const {
    return visit([](const auto& store) { return std::string(store.name()); });
  }

  /// The store inside if it is of that type, else null: store.as<rag::FileStore>().
  template <class S>
  const S* as() const {
    return std::get_if<S>(&store_);
  }

 private:
  template <class F>
  auto visit(F&& call) {
    return std::visit(call, store_);
  }
  template <class F>
  auto visit(F&& call) const {
    return std::visit(call, store_);
  }

  std::variant<FileStore, MilvusStore> store_;
};
using AnyStore = BasicAnyStore<>;

/// FileCollections or MilvusCollections: a place of named collections, wherever it is.
RAG_LAZY class BasicAnyCollections {
 public:
  BasicAnyCollections(FileCollections place) : place_(std::move(place)) {}
  BasicAnyCollections(MilvusCollections place) : place_(std::move(place)) {}

  bool has(std::string_view name) const {
    return std::visit([&](const auto& place) { return place.has(name); }, place_);
  }
  std::vector<std::string> list() const {
    return std::visit([](const auto& place) { return place.list(); }, place_);
  }
  /// Makes a collection; a server's needs its dimension. A name in use is an Error (invalid_argument).
  AnyStore create(std::string_view name, const CollectionOptions& options = {}) {
    return std::visit([&](auto& place) { return AnyStore(place.create(name, options)); }, place_);
  }
  /// Opens one that is there (not_found). What is wanted of it and not so is an Error that names both.
  AnyStore open(std::string_view name) const {
    return std::visit([&](const auto& place) { return AnyStore(place.open(name)); }, place_);
  }
  AnyStore open(std::string_view name, const CollectionOptions& wanted) const {
    return std::visit([&](const auto& place) { return AnyStore(place.open(name, wanted)); }, place_);
  }
  AnyStore open_or_create(std::string_view name, const CollectionOptions& options = {}) {
    return std::visit([&](auto& place) { return AnyStore(place.open_or_create(name, options)); }, place_);
  }
  /// Takes a collection away; false: there was none of that name.
  bool drop(std::string_view name) {
    return std::visit([&](auto& place) { return place.drop(name); }, place_);
  }

 private:
  std::variant<FileCollections, MilvusCollections> place_;
};
using AnyCollections = BasicAnyCollections<>;

/// Opens a place of named collections, of which a string decides while the program runs: a path is a file on this machine,
/// "http://…" and "https://…" are a Milvus server or Zilliz Cloud.
///
///     auto database = rag::open_store(uri, token, rag::HttpsTransport{});
///     //   "./milvus_demo.db"                                  a file; no token
///     //   "http://localhost:19530"                            a server; "root:Milvus", or no token
///     //   "https://in03-….serverless.….zillizcloud.com"       Zilliz Cloud; its API key
///     if (database.has("my_rag_collection")) database.drop("my_rag_collection");
///     auto collection = database.create("my_rag_collection", {.dimension = 384, .metric = rag::InnerProduct{}});
///
/// A file is never sent the token. More of a server's options: MilvusCollections. "tcp:" and "unix:", which clients over
/// gRPC take, are Errors (unsupported).
RAG_LAZY AnyCollections open_store(const std::string& uri, const std::string& token, AnyTransport transport) {
  if (uri.starts_with("http://") || uri.starts_with("https://"))
    return MilvusCollections({.uri = uri, .token = token}, std::move(transport));
  for (const char* other : {"tcp:", "unix:"})
    if (uri.starts_with(other))
      throw Error(Errc::unsupported, "open_store: a path, http:// or https:// wanted, '" + uri + "' given: REST is spoken, no gRPC");
  return FileCollections(uri);
}

RAG_END
#endif
