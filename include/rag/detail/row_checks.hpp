// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_ROW_CHECKS_HPP
#define RAG_DETAIL_ROW_CHECKS_HPP
#include <rag/detail/vector_length.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

// What every store asks of the vectors and the ids that it is given. `who`: "FileStore::add".

RAG_BEGIN
namespace detail {

RAG_LAZY [[noreturn]] void wrong_columns(const std::string& who, std::size_t wanted, std::size_t given) {
  throw Error(Errc::dimension_mismatch,
              who + ": " + std::to_string(wanted) + " columns wanted, " + std::to_string(given) + " given");
}

/// One good row a chunk, of `dimension` columns (0: any). Gives the length of each row.
RAG_LAZY std::vector<float> check_rows(std::size_t chunks, const Matrix& vectors, std::size_t dimension,
                                       const std::string& who) {
  if (vectors.rows() != chunks)
    throw Error(Errc::invalid_argument, who + ": " + std::to_string(chunks) + " rows wanted, one a chunk, " +
                                            std::to_string(vectors.rows()) + " given");
  std::vector<float> lengths;
  if (chunks == 0) return lengths;
  if (vectors.columns() == 0)
    throw Error(Errc::dimension_mismatch, who + ": 1 column or more wanted, 0 given");
  if (dimension != 0 && vectors.columns() != dimension) wrong_columns(who, dimension, vectors.columns());
  lengths.reserve(chunks);
  for (std::size_t i = 0; i < chunks; ++i) {
    check_length(vectors.row(i), who, "row", i);
    lengths.push_back(static_cast<float>(vector_length(vectors.row(i))));
  }
  return lengths;
}

/// The ids that chunks will have: their own, or the next from `next` on, which then is the one behind the
/// greatest. An id of the store's is free if is_free(id).
template <class IsFree>
std::vector<Id> number_chunks(std::span<const Chunk> chunks, Id& next, const std::string& who,
                              IsFree is_free) {
  std::vector<Id> ids;
  ids.reserve(chunks.size());
  for (const Chunk& chunk : chunks) {
    const Id id = chunk.id == no_id ? next : chunk.id;
    if (id < 0 || id == std::numeric_limits<Id>::max() || !is_free(id))
      throw Error(Errc::invalid_argument,
                  who + ": a free id of 0 or more wanted, " + std::to_string(id) + " given");
    ids.push_back(id);
    next = std::max(next, id + 1);
  }
  std::vector<Id> sorted = ids;
  std::sort(sorted.begin(), sorted.end());
  if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end())
    throw Error(Errc::invalid_argument, who + ": the id " + std::to_string(*twice) + " is given twice");
  return ids;
}

/// The query, checked; for cosine (`unit`) made of length 1 in `scratch`.
RAG_LAZY std::span<const float> check_query(std::span<const float> query, std::size_t dimension, bool unit,
                                            std::vector<float>& scratch, const std::string& who,
                                            std::size_t number = 0) {
  if (query.size() != dimension) wrong_columns(who, dimension, query.size());
  check_length(query, who, "query", number);
  if (!unit) return query;
  scratch.assign(query.begin(), query.end());
  scale_to_unit(scratch);
  return scratch;
}

}  // namespace detail
RAG_END
#endif
