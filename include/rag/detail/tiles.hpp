// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TILES_HPP
#define RAG_DETAIL_TILES_HPP
#include <rag/detail/cpu.hpp>

#include <cstdint>

RAG_BEGIN
namespace detail {

#if RAG_X86
/// What LDTILECFG reads: eight tiles of 16 rows of 64 bytes.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes_of_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
__attribute__((target("amx-tile"))) inline void configure_tiles(const TileConfig& config) {
  __asm__ volatile("" ::: "memory");
  _tile_loadconfig(&config);
}
__attribute__((target("amx-tile"))) inline void release_tiles() { _tile_release(); }
#endif

/// Holds the tiles of this thread ready while products on AMX run; nothing where they do not. Other code of
/// the process may have left them in any state.
RAG_LAZY class BasicTileUse {
 public:
  explicit BasicTileUse(bool tiles) : tiles_(tiles) {
#if RAG_X86
    if (tiles_) configure_tiles(TileConfig());
#endif
  }
  explicit BasicTileUse(Isa isa) : BasicTileUse(isa == Isa::amx) {}
  ~BasicTileUse() {
#if RAG_X86
    if (tiles_) release_tiles();
#endif
  }
  BasicTileUse(const BasicTileUse&) = delete;
  BasicTileUse& operator=(const BasicTileUse&) = delete;

 private:
  bool tiles_;
};
using TileUse = BasicTileUse<>;

}  // namespace detail
RAG_END
#endif
