// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_STORE_FORMAT_HPP
#define RAG_DETAIL_STORE_FORMAT_HPP
#include <rag/detail/bytes.hpp>
#include <rag/detail/crc32c.hpp>
#include <rag/detail/plane_format.hpp>
#include <rag/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

// The parts of a FileStore's file as they lie in it; docs/store-format.md is the description.

RAG_BEGIN
namespace detail {

inline constexpr char store_magic[8] = {'r', 'a', 'g', 's', 't', 'o', 'r', 'e'};
inline constexpr std::uint32_t store_major = 1, store_minor = 0;
inline constexpr std::uint32_t store_endian = 0x01020304, frame_magic = 0x6D617266;
inline constexpr std::uint64_t store_page = 4096, first_frame = 2 * store_page, frame_step = 64;
inline constexpr std::size_t largest_dimension = 65536;
inline constexpr std::size_t largest_record = std::size_t{16} << 20, largest_source = 65535,
                             largest_name = 255;
inline constexpr std::uint64_t largest_batch = 1ull << 30, largest_file = 1ull << 47;
inline constexpr std::size_t largest_extent = 65536;         // rows
inline constexpr std::uint64_t extent_bytes = 128ull << 20;  // of rows, about
inline constexpr std::size_t record_head = 8;

constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t step) {
  return (value + step - 1) / step * step;
}

template <class T>
requires std::is_trivially_copyable_v<T> std::span<const std::byte> bytes_of(const T& value) {
  return std::as_bytes(std::span<const T, 1>(&value, 1));
}
inline std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}
inline std::string_view text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
template <class T>
T value_at(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

struct Superblock {
  char magic[8] = {};
  std::uint32_t major = store_major, minor = store_minor, endian = store_endian, zero = 0;
  std::uint64_t uuid[2] = {};
  std::uint64_t generation = 1, version = 0, sequence = 0, end = first_frame, checkpoint = 0, time = 0;

  std::uint32_t seed() const {
    std::string text(reinterpret_cast<const char*>(uuid), sizeof uuid);
    text.append(reinterpret_cast<const char*>(&generation), sizeof generation);
    return crc32c(text);
  }
  bool has_magic() const { return std::memcmp(magic, store_magic, sizeof magic) == 0; }
  /// The page that holds it.
  std::string page() const {
    std::string bytes(store_page, '\0');
    std::memcpy(bytes.data(), this, sizeof *this);
    std::memcpy(bytes.data(), store_magic, sizeof store_magic);
    const std::uint32_t check = crc32c(std::string_view(bytes).substr(0, store_page - 4));
    std::memcpy(bytes.data() + store_page - 4, &check, 4);
    return bytes;
  }
  static bool is_whole(std::string_view page) {
    return value_at<std::uint32_t>(page, store_page - 4) == crc32c(page.substr(0, store_page - 4));
  }
};
static_assert(sizeof(Superblock) == 88 && std::is_trivially_copyable_v<Superblock>);

enum class FrameKind : std::uint32_t { batch = 1, checkpoint = 2, create = 3, drop = 4, end = 5 };

struct FrameHeader {
  std::uint32_t magic = frame_magic;
  FrameKind kind = FrameKind::end;
  std::uint64_t sequence = 0, synced = 0, body = 0, next = 0, time = 0;
  std::uint32_t chain = 0, body_check = 0, life = 0, check = 0;

  std::uint32_t right_check(std::uint32_t seed) const {
    return crc32c(text_of(bytes_of(*this)).substr(0, sizeof *this - 4), seed);
  }
  /// Whole, and of a file of this seed; `offset`: where it lies.
  bool is_whole(std::uint32_t seed, std::uint64_t offset) const {
    return magic == frame_magic && check == right_check(seed) && next % frame_step == 0 && next > offset &&
           body <= next - offset - sizeof *this;
  }
};
static_assert(sizeof(FrameHeader) == 64 && std::is_trivially_copyable_v<FrameHeader>);

struct BatchHead {
  std::uint32_t collection = 0, zero = 0;
  std::uint64_t dimension = 0, slots = 0;  // before the batch
  std::int64_t next_id = 0;                // after it
  std::uint64_t next_order = 0;
  std::uint32_t pieces = 0, dead = 0;
};
static_assert(sizeof(BatchHead) == 48 && std::is_trivially_copyable_v<BatchHead>);

/// Rows of an extent that a batch filled.
struct Piece {
  std::uint64_t offset = 0, capacity = 0, first = 0, count = 0;
  std::uint64_t first_block = 0, end_block = 0;  // whose planes it wrote
  std::uint32_t check = 0, zero = 0;
};
static_assert(sizeof(Piece) == 56 && std::is_trivially_copyable_v<Piece>);

/// Where the parts of an extent lie in it.
struct ExtentLayout {
  std::uint64_t planes = 0, order = 0, ids = 0, texts = 0, lengths = 0, size = 0;

  ExtentLayout() = default;
  ExtentLayout(std::size_t dimension, std::size_t capacity, std::uint32_t plane_format, bool has_lengths) {
    planes = round_up(std::uint64_t{capacity} * dimension * sizeof(float), frame_step);
    order = round_up(planes + planes_size(plane_format, dimension, capacity), frame_step);
    ids = round_up(order + capacity * sizeof(std::uint64_t), frame_step);
    texts = round_up(ids + capacity * sizeof(std::int64_t), frame_step);
    lengths = round_up(texts + capacity * sizeof(std::uint64_t), frame_step);
    size = round_up(lengths + (has_lengths ? capacity * sizeof(float) : 0), store_page);
  }
};

inline bool is_capacity(std::uint64_t rows) { return rows > 0 && rows <= largest_extent && rows % 16 == 0; }

/// How many rows the extent behind `slots` others gets, of which `rows` come at once.
inline std::size_t next_capacity(std::size_t slots, std::size_t rows, std::size_t dimension) {
  const std::size_t most =
      std::clamp<std::size_t>(extent_bytes / (dimension * sizeof(float)), 16, largest_extent);
  const std::size_t first = std::clamp<std::size_t>((1u << 20) / (dimension * sizeof(float)), 16, 256);
  return static_cast<std::size_t>(round_up(std::min(std::max({first, slots, rows}), most / 16 * 16), 16));
}

}  // namespace detail
RAG_END
#endif
