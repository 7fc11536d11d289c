// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_BYTES_HPP
#define RAG_DETAIL_BYTES_HPP
#include <rag/error.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

RAG_BEGIN
namespace detail {

static_assert(std::endian::native == std::endian::little, "rag's files are little-endian");

/// Appends numbers and strings to a file's image.
RAG_LAZY class BasicByteWriter {
 public:
  template <class T>
    requires std::is_arithmetic_v<T>
  void put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  void put(std::string_view text) {
    put(static_cast<std::uint64_t>(text.size()));
    bytes_.append(text);
  }
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};
using ByteWriter = BasicByteWriter<>;

/// Reads what a ByteWriter wrote from bytes that nobody vouches for: no size is believed before it is compared with
/// what is there. Every error says where.
RAG_LAZY class BasicByteReader {
 public:
  /// `origin`: the offset of the first byte in its file, `what`: "FlatStore::load: notes.rag".
  BasicByteReader(std::string_view bytes, std::string what, std::size_t origin = 0)
      : bytes_(bytes), what_(std::move(what)), origin_(origin) {}

  template <class T>
    requires std::is_arithmetic_v<T>
  T take() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string_view take_text() { return take(take<std::uint64_t>()); }
  std::string_view take(std::uint64_t size) {
    if (size > bytes_.size() - at_)
      fail(std::to_string(size) + " bytes wanted, " + std::to_string(bytes_.size() - at_) + " are left");
    const std::string_view part = bytes_.substr(at_, static_cast<std::size_t>(size));
    at_ += part.size();
    return part;
  }
  std::size_t left() const { return bytes_.size() - at_; }

  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(Errc::corrupt, what_ + ": damaged at byte " + std::to_string(origin_ + at_) + ": " + problem);
  }

 private:
  std::string_view bytes_;
  std::string what_;
  std::size_t origin_, at_ = 0;
};
using ByteReader = BasicByteReader<>;

inline std::string_view as_bytes(std::span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

}  // namespace detail
RAG_END
#endif
