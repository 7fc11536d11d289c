// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_CHUNK_BITS_HPP
#define RAG_DETAIL_CHUNK_BITS_HPP
#include <rag/detail/planes.hpp>
#include <rag/detail/scan_types.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

// Which rows of a chunk a search may look at.

RAG_BEGIN
namespace detail {

struct BitCounts {
  std::size_t ones, blocks;  ///< blocks: of block_rows bits, those that are not all 0
};

__attribute__((always_inline)) inline BitCounts count_bits_body(const std::uint64_t* words, std::size_t size) {
  BitCounts counts = {0, 0};
  for (std::size_t i = 0; i < size; ++i) {
    std::uint64_t word = words[i];
    counts.ones += static_cast<std::size_t>(std::popcount(word));
    word |= word >> 8, word |= word >> 4, word |= word >> 2, word |= word >> 1;
    counts.blocks += static_cast<std::size_t>(std::popcount(word & 0x0001000100010001));
  }
  return counts;
}
#if RAG_X86
__attribute__((target("popcnt"))) inline BitCounts count_bits_popcnt(const std::uint64_t* words, std::size_t size) {
  return count_bits_body(words, size);
}
#endif
/// Without the instruction, which plain -O2 does not use, it takes ten times as long.
inline BitCounts count_bits(const std::uint64_t* words, std::size_t size, Isa isa) {
#if RAG_X86
  if (isa >= Isa::avx2) return count_bits_popcnt(words, size);
#endif
  (void)isa;
  return count_bits_body(words, size);
}

/// Rows of the largest chunk: where few rows are kept, a chunk of the usual size would hold too few to ask
/// for early.
inline constexpr std::size_t sparse_chunk_rows = 8192;

RAG_LAZY inline std::size_t rows_per_chunk(const Bitmap* keep, Isa isa) {
  if (keep == nullptr) return chunk_rows;
  const std::size_t kept = count_bits(keep->words(), (keep->size() + 63) / 64, isa).ones;
  return 8 * kept < keep->size() ? sparse_chunk_rows : chunk_rows;
}

/// The bits of a chunk's rows, 64 in a word.
RAG_LAZY class BasicChunkBits {
 public:
  void find(const ScanChunk& chunk, const Bitmap* keep, Isa isa) {
    size_ = (chunk.count + 63) / 64;
    if (keep == nullptr) {
      std::fill_n(words_, size_, ~std::uint64_t{0});
    } else {
      const std::uint64_t* words = keep->words() + chunk.slot / 64;
      const std::size_t shift = chunk.slot % 64, there = (keep->size() + 63) / 64 - chunk.slot / 64;
      for (std::size_t i = 0; i < size_; ++i) {
        words_[i] = words[i] >> shift;
        if (shift != 0 && i + 1 < there) words_[i] |= words[i + 1] << (64 - shift);
      }
    }
    if (chunk.count % 64 != 0) words_[size_ - 1] &= (std::uint64_t{1} << chunk.count % 64) - 1;
    counts_ = count_bits(words_, size_, isa);
  }

  std::size_t kept() const { return counts_.ones; }
  /// Blocks with a row to keep.
  std::size_t blocks() const { return counts_.blocks; }
  std::size_t words() const { return size_; }
  std::uint64_t word(std::size_t i) const { return words_[i]; }
  unsigned of_block(std::size_t block) const {
    return static_cast<unsigned>(words_[block / 4] >> (block % 4 * block_rows)) & 0xFFFF;
  }

 private:
  std::uint64_t words_[sparse_chunk_rows / 64];
  std::size_t size_ = 0;
  BitCounts counts_ = {0, 0};
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
