// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_BITMAP_HPP
#define RAG_DETAIL_BITMAP_HPP
#include <rag/version.hpp>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

RAG_BEGIN
namespace detail {

/// A bit for each of size() places, 64 in a word from the lowest bit up. Bits beyond size() are 0. `&=` and `|=` ask for
/// operands of one size.
RAG_LAZY class BasicBitmap {
 public:
  explicit BasicBitmap(std::size_t size = 0, bool value = false) { resize(size, value); }

  bool operator[](std::size_t i) const { return (words_[i / 64] >> (i % 64) & 1) != 0; }
  void set(std::size_t i) { words_[i / 64] |= bit(i); }
  void reset(std::size_t i) { words_[i / 64] &= ~bit(i); }

  std::size_t size() const { return size_; }
  /// How many bits are 1.
  std::size_t count() const {
    std::size_t ones = 0;
    for (const std::uint64_t word : words_) ones += static_cast<std::size_t>(std::popcount(word));
    return ones;
  }
  /// (size() + 63) / 64 of them.
  const std::uint64_t* words() const { return words_.data(); }
  std::uint64_t* words() { return words_.data(); }

  BasicBitmap& operator&=(const BasicBitmap& other) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] &= other.words_[i];
    return *this;
  }
  BasicBitmap& operator|=(const BasicBitmap& other) {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
    return *this;
  }
  BasicBitmap& flip() {
    for (std::uint64_t& word : words_) word = ~word;
    clear_rest();
    return *this;
  }

  /// New bits have the given value.
  void resize(std::size_t size, bool value = false) {
    const std::size_t before = size_;
    words_.resize((size + 63) / 64, value ? ~std::uint64_t{0} : 0);
    size_ = size;
    if (value && before < size && before % 64 != 0) words_[before / 64] |= ~std::uint64_t{0} << (before % 64);
    clear_rest();
  }

  bool operator==(const BasicBitmap&) const = default;

 private:
  static std::uint64_t bit(std::size_t i) { return std::uint64_t{1} << (i % 64); }
  void clear_rest() {
    if (size_ % 64 != 0) words_.back() &= bit(size_) - 1;
  }

  std::vector<std::uint64_t> words_;
  std::size_t size_ = 0;
};
using Bitmap = BasicBitmap<>;

}  // namespace detail
RAG_END
#endif
