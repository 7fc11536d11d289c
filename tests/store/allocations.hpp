// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_ALLOCATIONS_HPP
#define RAG_TESTS_STORE_ALLOCATIONS_HPP
#include "fault_disk.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

// Counts what operator new is asked for, and lets it fail. For programs of one source file: it replaces the
// operators.

namespace memory {

inline std::uint64_t countdown = 0;  ///< the allocation that fails, counted from 1; 0: none
inline bool for_ever = false;        ///< all after it fail too
inline bool hit = false;             ///< it has come
inline std::size_t largest = 0;      ///< the most bytes asked for at once
inline std::size_t refused_above = SIZE_MAX;

/// From the n-th allocation of this thread on, once or for ever.
inline void fail_at(std::uint64_t n, bool ever) { countdown = n, for_ever = ever, hit = false; }
inline void heal() { countdown = 0; }

inline void* take(std::size_t size, std::size_t alignment) {
  if (fault::Aside::depth == 0) {
    largest = size > largest ? size : largest;
    if (countdown > 0 && --countdown == 0) {
      hit = true;
      if (for_ever) countdown = 1;
      throw std::bad_alloc();
    }
    if (size > refused_above) throw std::bad_alloc();
  }
  void* bytes = alignment <= alignof(std::max_align_t)
                    ? std::malloc(size == 0 ? 1 : size)
                    : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (bytes == nullptr) throw std::bad_alloc();
  return bytes;
}

}  // namespace memory

[[gnu::noinline]] void* operator new(std::size_t size) { return memory::take(size, 1); }
[[gnu::noinline]] void* operator new[](std::size_t size) { return memory::take(size, 1); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return memory::take(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void* operator new[](std::size_t size, std::align_val_t alignment) {
  return memory::take(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* bytes) noexcept { std::free(bytes); }
[[gnu::noinline]] void operator delete[](void* bytes) noexcept { std::free(bytes); }
[[gnu::noinline]] void operator delete(void* bytes, std::size_t) noexcept { std::free(bytes); }
[[gnu::noinline]] void operator delete[](void* bytes, std::size_t) noexcept { std::free(bytes); }
[[gnu::noinline]] void operator delete(void* bytes, std::align_val_t) noexcept { std::free(bytes); }
[[gnu::noinline]] void operator delete[](void* bytes, std::align_val_t) noexcept { std::free(bytes); }
[[gnu::noinline]] void operator delete(void* bytes, std::size_t, std::align_val_t) noexcept {
  std::free(bytes);
}
[[gnu::noinline]] void operator delete[](void* bytes, std::size_t, std::align_val_t) noexcept {
  std::free(bytes);
}

#endif
