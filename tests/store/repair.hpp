// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_REPAIR_HPP
#define RAG_TESTS_STORE_REPAIR_HPP
#include <rag/detail/checkpoint.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>

// Makes the checksums of a damaged FileStore's file right again, as docs/store-format.md has them, so that
// what is wrong with it reaches the code behind them.

namespace fault {

enum class Repairs : unsigned char {
  all,        ///< every checksum is put right
  rows_alone  ///< those of rows, in frames that are whole: as if nobody looked at them
};

class Repair {
 public:
  explicit Repair(std::span<std::byte> file, Repairs what) : file_(file), all_(what == Repairs::all) {
    if (size() < rag::detail::first_frame) return;
    if (all_) {
      put_check(4092, 0, 4092);
      put_check(4096 + 4092, 4096, 4092);
    }
    std::uint64_t newest = 0;
    for (const std::uint64_t page : {0u, 4096u})
      if (at<std::uint64_t>(page + 48) >= at<std::uint64_t>(newest + 48)) newest = page;
    seed_ = crc(newest + 24, 24);
    walk();
  }

 private:
  std::uint64_t size() const { return file_.size(); }
  bool has(std::uint64_t begin, std::uint64_t bytes) const {
    return begin <= size() && bytes <= size() - begin;
  }
  template <class T>
  T at(std::uint64_t offset) const {
    T value;
    std::memcpy(&value, file_.data() + offset, sizeof value);
    return value;
  }
  std::string_view text(std::uint64_t begin, std::uint64_t bytes) const {
    return {reinterpret_cast<const char*>(file_.data()) + begin, static_cast<std::size_t>(bytes)};
  }
  std::uint32_t crc(std::uint64_t begin, std::uint64_t bytes, std::uint32_t before = 0) const {
    return rag::detail::crc32c(text(begin, bytes), before);
  }
  void put(std::uint64_t offset, std::uint32_t value) {
    std::memcpy(file_.data() + offset, &value, sizeof value);
  }
  void put_check(std::uint64_t where, std::uint64_t begin, std::uint64_t bytes) {
    put(where, crc(begin, bytes));
  }

  void walk() {
    std::uint32_t chain = seed_, chain_before = seed_;
    for (std::uint64_t offset = rag::detail::first_frame; has(offset, 64);) {
      const auto body = at<std::uint64_t>(offset + 24), next = at<std::uint64_t>(offset + 32);
      if (at<std::uint32_t>(offset) != rag::detail::frame_magic || !has(offset + 64, body)) return;
      const auto check = at<std::uint32_t>(offset + 60);
      if (!all_ && (at<std::uint32_t>(offset + 48) != chain_before || check != crc(offset, 60, seed_) ||
                    at<std::uint32_t>(offset + 52) != crc(offset + 64, body)))
        return;
      chain_before = check;
      switch (at<std::uint32_t>(offset + 4)) {
        case 1:
          batch(offset + 64, offset + 64 + body);
          break;
        case 2:
          checkpoint(offset + 64, offset + 64 + body);
          break;
        case 3:
          create(offset + 64, body);
          break;
      }
      put(offset + 48, chain);
      put_check(offset + 52, offset + 64, body);
      put(offset + 60, crc(offset, 60, seed_));
      chain = at<std::uint32_t>(offset + 60);
      if (next <= offset || next % 64 != 0) return;
      offset = next;
    }
  }

  void create(std::uint64_t begin, std::uint64_t bytes) {
    try {
      rag::detail::ByteReader in(text(begin, bytes), "repair");
      const rag::detail::CollectionInfo info = rag::detail::take_info(in);
      collections_[info.number] = info;
    } catch (const rag::Error&) {
    }
  }

  void batch(std::uint64_t begin, std::uint64_t end) {
    using rag::detail::BatchHead, rag::detail::Piece;
    if (end - begin < sizeof(BatchHead)) return;
    const auto head = at<BatchHead>(begin);
    const std::uint64_t pieces = begin + sizeof head;
    if (head.pieces > (end - pieces) / sizeof(Piece)) return;
    std::uint64_t record = pieces + head.pieces * sizeof(Piece);
    if (head.dead > (end - record) / 4) return;
    record += rag::detail::round_up(std::uint64_t{head.dead} * 4, 8);
    if (all_)
      while (record < end && end - record >= 8 && at<std::uint32_t>(record) <= end - record - 8) {
        const auto bytes = at<std::uint32_t>(record);
        put_check(record + 4, record + 8, bytes);
        record += 8 + std::uint64_t{bytes};
      }
    const auto found = collections_.find(head.collection);
    if (found == collections_.end() || head.dimension > rag::detail::largest_dimension) return;
    found->second.dimension = head.dimension;
    for (std::uint32_t i = 0; i < head.pieces; ++i) piece(pieces + i * sizeof(Piece), found->second);
  }

  void piece(std::uint64_t where, const rag::detail::CollectionInfo& info) {
    const auto piece = at<rag::detail::Piece>(where);
    if (!rag::detail::is_capacity(piece.capacity) || piece.first > piece.capacity ||
        piece.count > piece.capacity - piece.first ||
        piece.end_block > piece.capacity / rag::detail::plane_block || piece.offset > size())
      return;
    std::uint32_t check = 0;
    for (const auto& [begin, end] : rag::detail::ranges_of(info, piece)) {
      if (!has(begin, end - begin)) return;
      check = crc(begin, end - begin, check);
    }
    put(where + offsetof(rag::detail::Piece, check), check);
  }

  void checkpoint(std::uint64_t begin, std::uint64_t end) {
    if (!all_ || end - begin < 8) return;
    const auto bytes = at<std::uint32_t>(begin);
    if (bytes > end - begin - 8) return;
    tables(begin, end, bytes);
    put_check(begin + 4, begin + 8, bytes);
  }

  /// The three tables of each collection.
  void tables(std::uint64_t begin, std::uint64_t end, std::uint64_t head) {
    try {
      rag::detail::ByteReader in(text(begin + 8, head), "repair");
      in.take<std::uint32_t>();
      const auto count = in.take<std::uint32_t>();
      for (std::uint32_t i = 0; i < count; ++i) {
        rag::detail::take_info(in);
        in.take(5 * 8);
        const auto extents = in.take<std::uint64_t>();
        for (std::uint64_t e = 0; e < extents; ++e) in.take(16);
        for (const std::uint64_t width : {12u, 12u, 8u}) {
          const std::uint64_t entry = begin + 8 + head - in.left();
          in.take(24);
          const auto offset = at<std::uint64_t>(entry), entries = at<std::uint64_t>(entry + 8);
          if (offset <= end - begin && entries <= (end - begin - offset) / width)
            put_check(entry + 16, begin + offset, entries * width);
        }
      }
    } catch (const rag::Error&) {
    }
  }

  std::span<std::byte> file_;
  bool all_;
  std::uint32_t seed_ = 0;
  std::map<std::uint32_t, rag::detail::CollectionInfo> collections_ = {};
};

inline void repair(std::span<std::byte> file, Repairs what = Repairs::all) { Repair(file, what); }

}  // namespace fault

#endif
