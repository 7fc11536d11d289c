// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_LAWS_CHUNKER_HPP
#define RAG_TESTS_LAWS_CHUNKER_HPP
#include <doctest/doctest.h>
#include <rag/concepts.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace laws {

/// Does byte offset `at` lie inside a UTF-8 character? Bytes that are not valid UTF-8 have no inside.
inline bool inside_character(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  std::size_t lead = at;
  while (lead > 0 && at - lead < 3 && (byte(lead) & 0xC0) == 0x80) --lead;
  const unsigned first = byte(lead), second = byte(lead + 1);
  const std::size_t length = first < 0xC2 || first > 0xF4 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(lead + i) & 0xC0) != 0x80) return false;
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool beyond = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
  return lead + length > at && lead < at && !overlong && !beyond;
}

/// Does the chunk keep to the sentences of rag::Chunker that are about one chunk?
inline void check_chunk(const rag::Chunk& chunk, const rag::Document& document) {
  if (chunk.begin >= chunk.end || chunk.end > document.text.size()) FAIL("no span of the document");
  const bool same_bytes = std::string_view(document.text).substr(chunk.begin, chunk.end - chunk.begin) == chunk.text;
  const bool cuts = inside_character(document.text, chunk.begin) || inside_character(document.text, chunk.end);
  const bool keeps_metadata = std::all_of(document.metadata.begin(), document.metadata.end(), [&](const auto& entry) {
    const rag::MetaValue* value = chunk.metadata.find(entry.first);
    return value != nullptr && *value == entry.second;
  });
  if (same_bytes && !cuts && keeps_metadata && chunk.source == document.id) return;  // an assertion takes its time
  CHECK(same_bytes);
  CHECK_FALSE(cuts);
  CHECK(keeps_metadata);
  CHECK(chunk.source == document.id);
}

/// The laws of rag::Chunker on one document.
template <class C>
  requires rag::Chunker<C>
void check_chunker(const C& chunker, const rag::Document& document) {
  CAPTURE(document.id);
  const rag::Document before = document;

  const std::vector<rag::Chunk> chunks = chunker.chunk(document);

  for (std::size_t i = 0; i < chunks.size(); ++i) {
    CAPTURE(i);
    check_chunk(chunks[i], document);
  }
  const bool in_order = std::is_sorted(chunks.begin(), chunks.end(),
                                       [](const rag::Chunk& a, const rag::Chunk& b) { return a.begin < b.begin; });
  CHECK(in_order);
  CHECK(document.text == before.text);
  const bool same_again = chunker.chunk(document) == chunks;
  CHECK(same_again);
  CHECK(chunker.chunk({document.id, "", document.metadata}).empty());
}

/// No chunk is over the size by its length, but for a single character.
template <class Length>
void check_size(const std::vector<rag::Chunk>& chunks, const Length& length, std::size_t size) {
  for (const rag::Chunk& chunk : chunks) {
    std::size_t next = 1;  // where the second character begins
    while (inside_character(chunk.text, next)) ++next;
    if (next < chunk.text.size() && static_cast<std::size_t>(length(chunk.text)) > size)
      FAIL_CHECK("over the size: " << chunk.text);
  }
}

}  // namespace laws

#endif
