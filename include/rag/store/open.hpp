// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_OPEN_HPP
#define RAG_STORE_OPEN_HPP
#include <rag/store/file.hpp>

#include <string>
#include <utility>

RAG_BEGIN

/// Opens a place of named collections by its uri: a path is a file on this machine, which is made if it is
/// not there. A server, "http://…", needs a transport: see the other open_store, of rag/store/any.hpp.
///
///     auto database = rag::open_store("./milvus_demo.db");
///     if (database.has("my_rag_collection")) database.drop("my_rag_collection");
///     auto collection = database.create("my_rag_collection", {.dimension = 384, .metric =
///     rag::InnerProduct{}});
///
/// Write auto: the type may come to depend on more than files.
RAG_LAZY FileCollections open_store(const std::string& uri, StoreOptions options = {}) {
  if (uri.starts_with("http://") || uri.starts_with("https://"))
    throw Error(Errc::unsupported,
                "open_store: a path wanted, '" + uri + "' given: for a server, open_store(uri, token, transport)");
  return FileCollections(uri, std::move(options));
}

RAG_END
#endif
