// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_BITMAP_HPP
#define RAG_DETAIL_BITMAP_HPP
#include <rag/version.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

RAG_BEGIN
namespace detail {

/// One bit a slot, in words of 64, the lowest first. Bits beyond size() are 0.
RAG_LAZY class BasicBitmap {
 public:
  explicit BasicBitmap(std::size_t size = 0, bool value = false)
      : size_(size), words_((size + 63) / 64, value ? ~std::uint64_t{0} : 0) {
    trim();
  }

  bool operator[](std::size_t i) const { return (words_[i / 64] >> (i % 64) & 1) != 0; }
  void set(std::size_t i) { words_[i / 64] |= std::uint64_t{1} << (i % 64); }
  void reset(std::size_t i) { words_[i / 64] &= ~(std::uint64_t{1} << (i % 64)); }
  std::size_t size() const { return size_; }
  std::size_t count() const {
    std::size_t sum = 0;
    for (const std::uint64_t word : words_) sum += static_cast<std::size_t>(std::popcount(word));
    return sum;
  }
  bool none() const {
    return std::all_of(words_.begin(), words_.end(), [](std::uint64_t word) { return word == 0; });
  }
  /// (size() + 63) / 64 of them.
  const std::uint64_t* words() const { return words_.data(); }
  std::uint64_t* words() { return words_.data(); }

  /// Both sides have one size.
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
    trim();
    return *this;
  }
  /// New bits have the given value.
  void resize(std::size_t size, bool value = false) {
    if (value && size > size_ && size_ % 64 != 0) words_.back() |= ~std::uint64_t{0} << (size_ % 64);
    words_.resize((size + 63) / 64, value ? ~std::uint64_t{0} : 0);
    size_ = size;
    trim();
  }
  /// Calls work(i) for each bit that is 1, in order.
  template <class Work>
  void for_each(Work&& work) const {
    for (std::size_t i = 0; i < words_.size(); ++i)
      for (std::uint64_t word = words_[i]; word != 0; word &= word - 1)
        work(64 * i + static_cast<std::size_t>(std::countr_zero(word)));
  }
  bool operator==(const BasicBitmap&) const = default;

 private:
  void trim() {
    if (size_ % 64 != 0) words_.back() &= (std::uint64_t{1} << (size_ % 64)) - 1;
  }

  std::size_t size_;
  std::vector<std::uint64_t> words_;
};
using Bitmap = BasicBitmap<>;

}  // namespace detail
RAG_END
#endif
