// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_CHUNK_BITS_HPP
#define RAG_DETAIL_CHUNK_BITS_HPP
#include <rag/detail/scan_types.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

// Which rows of a chunk a search may look at.

RAG_BEGIN
namespace detail {

__attribute__((always_inline)) inline std::size_t count_ones_body(const std::uint64_t* words,
                                                                  std::size_t size) {
  std::size_t ones = 0;
  for (std::size_t i = 0; i < size; ++i) ones += static_cast<std::size_t>(std::popcount(words[i]));
  return ones;
}
#if RAG_X86
__attribute__((target("popcnt"))) inline std::size_t count_ones_popcnt(const std::uint64_t* words,
                                                                       std::size_t size) {
  return count_ones_body(words, size);
}
#endif
/// Without the instruction, which plain -O2 does not use, it takes ten times as long.
inline std::size_t count_ones(const std::uint64_t* words, std::size_t size, Isa isa) {
#if RAG_X86
  if (isa >= Isa::avx2) return count_ones_popcnt(words, size);
#endif
  (void)isa;
  return count_ones_body(words, size);
}

/// Rows of the largest chunk: where few rows are kept, a chunk of the usual size would hold too few to ask
/// for early.
inline constexpr std::size_t sparse_chunk_rows = 8192;

RAG_LAZY inline std::size_t rows_per_chunk(const Bitmap* keep, Isa isa) {
  if (keep == nullptr) return chunk_rows;
  const std::size_t kept = count_ones(keep->words(), (keep->size() + 63) / 64, isa);
  return 8 * kept < keep->size() ? sparse_chunk_rows : chunk_rows;
}

/// The bits of a chunk's rows, 64 in a word.
RAG_LAZY class BasicChunkBits {
 public:
  void find(const ScanChunk& chunk, const Bitmap* keep, Isa isa) {
    size_ = (chunk.count + 63) / 64;
    for (std::size_t i = 0; i < size_; ++i) {
      const std::size_t slot = chunk.slot + 64 * i, shift = slot % 64;
      const std::size_t rows = std::min<std::size_t>(64, chunk.count - 64 * i);
      std::uint64_t word = ~std::uint64_t{0};
      if (keep != nullptr) {
        const std::uint64_t* words = keep->words() + slot / 64;
        word = words[0] >> shift;
        if (shift + rows > 64) word |= words[1] << (64 - shift);
      }
      if (rows < 64) word &= (std::uint64_t{1} << rows) - 1;
      words_[i] = word;
      word |= word >> 8, word |= word >> 4, word |= word >> 2, word |= word >> 1;
      used_[i] = word & 0x0001000100010001;  // a bit for each block with a row to keep
    }
    kept_ = count_ones(words_, size_, isa);
    blocks_ = count_ones(used_, size_, isa);
  }

  std::size_t kept() const { return kept_; }
  /// Blocks with a row to keep.
  std::size_t blocks() const { return blocks_; }
  std::size_t words() const { return size_; }
  std::uint64_t word(std::size_t i) const { return words_[i]; }
  unsigned of_block(std::size_t block) const {
    return static_cast<unsigned>(words_[block / 4] >> (block % 4 * block_size)) & 0xFFFF;
  }

 private:
  static constexpr std::size_t block_size = 16;
  std::uint64_t words_[sparse_chunk_rows / 64], used_[sparse_chunk_rows / 64];
  std::size_t size_ = 0, kept_ = 0, blocks_ = 0;
};
using ChunkBits = BasicChunkBits<>;

/// Calls visit(row) for each row of the chunk whose bit is 1.
template <class Visit>
void for_each_bit(const ChunkBits& bits, const Visit& visit) {
  for (std::size_t i = 0; i < bits.words(); ++i)
    for (std::uint64_t word = bits.word(i); word != 0; word &= word - 1)
      visit(64 * i + static_cast<std::size_t>(std::countr_zero(word)));
}

}  // namespace detail
RAG_END
#endif
