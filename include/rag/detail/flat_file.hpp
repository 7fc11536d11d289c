// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_FLAT_FILE_HPP
#define RAG_DETAIL_FLAT_FILE_HPP
#include <rag/detail/bytes.hpp>
#include <rag/detail/crc32c.hpp>
#include <rag/detail/file.hpp>
#include <rag/detail/mapped_file.hpp>
#include <rag/types.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN
namespace detail {

// The file of a FlatStore, little-endian:
//   header  magic "rag flat", u32 version, u32 0x01020304, u64 dimension, u32 metric, u32 0, u64 rows, i64 next id,
//           u64 bytes of the chunks, u32 CRC-32C of all of this
//   chunks  each: i64 id, u64 begin, u64 end, text, source, u32 entries, each entry: name, u8 kind, value;
//           a string is its u64 length and its bytes; then u32 CRC-32C
//   rows    rows x dimension fp32; then u32 CRC-32C

inline constexpr std::string_view flat_magic = "rag flat";
inline constexpr std::uint32_t flat_version = 1;
inline constexpr std::size_t flat_header_size = 60;

/// What a FlatStore's file holds.
struct FlatImage {
  std::size_t dimension = 0;
  std::uint32_t metric = 0;
  Id next_id = 0;
  std::vector<Chunk> chunks = {};
  Matrix vectors = {};
};

RAG_LAZY void put_chunk(ByteWriter& out, const Chunk& chunk) {
  out.put(chunk.id);
  out.put(std::uint64_t{chunk.begin});
  out.put(std::uint64_t{chunk.end});
  out.put(std::string_view(chunk.text));
  out.put(std::string_view(chunk.source));
  out.put(static_cast<std::uint32_t>(chunk.metadata.size()));
  for (const auto& [name, value] : chunk.metadata) {
    out.put(std::string_view(name));
    out.put(static_cast<unsigned char>(value.is_string() ? 0 : value.is_number() ? 1 : 2));
    if (value.is_string()) out.put(std::string_view(value.string()));
    else if (value.is_number()) out.put(value.number());
    else out.put(static_cast<unsigned char>(value.boolean()));
  }
}

RAG_LAZY Chunk take_chunk(ByteReader& in) {
  Chunk chunk;
  chunk.id = in.take<Id>();
  chunk.begin = in.take<std::uint64_t>();
  chunk.end = in.take<std::uint64_t>();
  chunk.text = in.take_text();
  chunk.source = in.take_text();
  const auto entries = in.take<std::uint32_t>();
  for (std::uint32_t i = 0; i < entries; ++i) {
    const std::string_view name = in.take_text();
    switch (in.take<unsigned char>()) {
      case 0: chunk.metadata.set(name, in.take_text()); break;
      case 1: chunk.metadata.set(name, in.take<double>()); break;
      case 2: chunk.metadata.set(name, in.take<unsigned char>() != 0); break;
      default: in.fail("a metadata value of an unknown kind");
    }
  }
  return chunk;
}

RAG_LAZY void write_flat_file(const std::string& path, std::size_t dimension, std::uint32_t metric, Id next_id,
                            const std::vector<const Chunk*>& chunks, const std::vector<std::string_view>& rows) {
  ByteWriter body, header, body_check, rows_check;
  for (const Chunk* chunk : chunks) put_chunk(body, *chunk);
  body_check.put(crc32c(body.bytes()));
  std::uint32_t check = 0;
  for (const std::string_view piece : rows) check = crc32c(piece, check);
  rows_check.put(check);
  for (const char c : flat_magic) header.put(c);
  header.put(flat_version);
  header.put(std::uint32_t{0x01020304});
  header.put(std::uint64_t{dimension});
  header.put(metric);
  header.put(std::uint32_t{0});
  header.put(static_cast<std::uint64_t>(chunks.size()));
  header.put(next_id);
  header.put(static_cast<std::uint64_t>(body.bytes().size()));
  header.put(crc32c(header.bytes()));
  std::vector<std::string_view> pieces = {header.bytes(), body.bytes(), body_check.bytes()};
  pieces.insert(pieces.end(), rows.begin(), rows.end());
  pieces.push_back(rows_check.bytes());
  replace_file("FlatStore::save", path, pieces);
}

/// A part of the file and the checksum behind it.
RAG_LAZY std::string_view take_checked(ByteReader& in, std::uint64_t size, const char* part) {
  const std::string_view bytes = in.take(size);
  if (in.take<std::uint32_t>() != crc32c(bytes)) in.fail(std::string("the checksum of the ") + part + " is wrong");
  return bytes;
}

RAG_LAZY FlatImage read_flat_file(const std::string& path) {
  const std::string what = "FlatStore::load: " + path;
  const MappedFile file(path, "FlatStore::load");
  const std::string_view bytes = file.bytes();
  if (!bytes.starts_with(flat_magic)) throw Error(Errc::invalid_format, what + ": not a file of FlatStore");
  ByteReader in(bytes, what);
  ByteReader header(take_checked(in, flat_header_size - 4, "header"), what);
  header.take(flat_magic.size());
  const auto version = header.take<std::uint32_t>();
  if (version != flat_version)
    throw Error(Errc::unsupported, what + ": format " + std::to_string(flat_version) + " wanted, " +
                                       std::to_string(version) + " met");
  if (header.take<std::uint32_t>() != 0x01020304) header.fail("another byte order");
  FlatImage image;
  image.dimension = header.take<std::uint64_t>();
  image.metric = header.take<std::uint32_t>();
  header.take<std::uint32_t>();
  const auto rows = header.take<std::uint64_t>();
  image.next_id = header.take<Id>();

  ByteReader body(take_checked(in, header.take<std::uint64_t>(), "chunks"), what, flat_header_size);
  for (std::uint64_t i = 0; i < rows; ++i) image.chunks.push_back(take_chunk(body));
  if (body.left() != 0) body.fail("bytes behind the last chunk");

  const std::size_t columns_bytes = image.dimension * sizeof(float);
  if (in.left() < 4 || (rows == 0 ? in.left() != 4
                                  : columns_bytes / sizeof(float) != image.dimension || columns_bytes == 0 ||
                                        (in.left() - 4) % columns_bytes != 0 || (in.left() - 4) / columns_bytes != rows))
    in.fail(std::to_string(rows) + " rows of " + std::to_string(image.dimension) + " columns wanted, " +
            std::to_string(in.left()) + " bytes are left");
  const std::string_view values = take_checked(in, in.left() - 4, "rows");
  image.vectors = Matrix(values.empty() ? 0 : static_cast<std::size_t>(rows), image.dimension);
  if (!values.empty()) std::memcpy(image.vectors.data(), values.data(), values.size());
  return image;
}

}  // namespace detail
RAG_END
#endif
