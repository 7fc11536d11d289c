// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_CONTENT_ID_HPP
#define RAG_STORE_CONTENT_ID_HPP
#include <rag/detail/hash.hpp>
#include <rag/types.hpp>

#include <cstdint>
#include <limits>
#include <string>

RAG_BEGIN

/// An id made of what a chunk is: the same source, place and text give the same one, in every run, on every machine and in
/// every version. So a load that was ended and is started again, or is done by several programs at once, writes each chunk once:
///
///     for (rag::Chunk& chunk : chunks) chunk.id = rag::content_id(chunk);
///     store.upsert(chunks, vectors);
///
/// Metadata plays no part: upsert() then changes that of the chunk. A text that was changed gets another id, and its old chunk
/// stays; replace() is for sources that change. Of n chunks two have the same id with a chance of n² / 2^64 (1 in 1,800 for 100
/// million), and who wants to can write a text that has a given id: keep tenants apart by TenantStore.
RAG_LAZY Id content_id(const Chunk& chunk) {
  const std::string place = std::to_string(chunk.begin) + ' ' + std::to_string(chunk.end) + ' ' + chunk.source;
  const std::uint64_t hash = detail::hash64(chunk.text, detail::hash64(place, 0));
  return static_cast<Id>(hash % static_cast<std::uint64_t>(std::numeric_limits<Id>::max()));  // 0 to 2^63 - 2
}

RAG_END
#endif
