// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_DAYS_HPP
#define RAG_TESTS_STORE_DAYS_HPP
#include <rag/store/open.hpp>
#include <rag/store/salvage.hpp>

#include "fault_file.hpp"
#include "laws/store.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

// A store on a disk in memory whose bytes a test may change.

namespace days {

using laws::axes;
using laws::chunk_of;

struct Clock {
  inline static std::chrono::milliseconds time{1'700'000'000'000};
  static std::chrono::milliseconds now() { return time; }
};
struct Random {
  inline static std::uint64_t next = 1;
  static std::uint64_t number() { return next++ * 0x9E3779B97F4A7C15u; }
};
using Store = rag::BasicFileStore<fault::FaultFile, Clock, Random>;
using Collections = Store::Collections;
using Bytes = std::vector<std::byte>;

template <class Work>
std::pair<rag::Errc, std::string> error_of(Work&& work) {
  try {
    work();
  } catch (const rag::Error& error) {
    return {error.code(), error.what()};
  }
  return {rag::Errc::cancelled, "nothing thrown"};
}
inline rag::StoreOptions reading() {
  rag::StoreOptions options;
  options.access = rag::Access::read;
  return options;
}

struct OnDisk {
  fault::FaultDisk disk;
  OnDisk() { disk.use(); }

  static std::vector<rag::Id> add(Store& store, std::size_t count, const std::string& source = "s") {
    std::vector<rag::Chunk> chunks;
    std::vector<std::size_t> numbers;
    for (std::size_t i = 0; i < count; ++i)
      chunks.push_back(chunk_of(source, "text " + std::to_string(store.size() + i))), numbers.push_back(i);
    return store.add(chunks, axes(numbers, 3));
  }
  void change(std::size_t at, int bits = 1) {
    Bytes bytes = disk.get("db");
    bytes[at] ^= static_cast<std::byte>(bits);
    disk.put("db", bytes);
  }
  template <class T>
  T get(std::size_t at) const {
    T value;
    std::memcpy(&value, disk.get("db").data() + at, sizeof value);
    return value;
  }
  /// Sets a number in both superblocks and makes their checksums right.
  template <class T>
  void set_in_superblocks(std::size_t at, T value) {
    Bytes bytes = disk.get("db");
    for (const std::size_t page : {0u, 4096u}) {
      std::memcpy(bytes.data() + page + at, &value, sizeof value);
      const std::uint32_t check =
          rag::detail::crc32c({reinterpret_cast<const char*>(bytes.data()) + page, 4092});
      std::memcpy(bytes.data() + page + 4092, &check, 4);
    }
    disk.put("db", bytes);
  }
  std::vector<std::uint64_t> frame_offsets() const {
    const Bytes bytes = disk.get("db");
    std::vector<std::uint64_t> offsets;
    for (std::uint64_t at = 8192; at + 64 <= bytes.size();) {
      rag::detail::FrameHeader header;
      std::memcpy(&header, bytes.data() + at, sizeof header);
      if (header.magic != rag::detail::frame_magic) break;
      offsets.push_back(at);
      at = header.next;
    }
    return offsets;
  }
};

}  // namespace days

#endif
