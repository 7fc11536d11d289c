// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_ALIGNED_BYTES_HPP
#define RAG_DETAIL_ALIGNED_BYTES_HPP
#include <rag/version.hpp>

#include <cstddef>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

RAG_BEGIN
namespace detail {

/// Raw memory that begins at a multiple of 64 bytes; on huge pages where the system has them: the processor's own
/// prefetching ends with a page, and rows that are read one here and one there would each ask for a page of their own.
RAG_LAZY class BasicAlignedBytes {
 public:
  BasicAlignedBytes() = default;
  explicit BasicAlignedBytes(std::size_t size)
      : bytes_(static_cast<std::byte*>(::operator new(size, alignment_of(size))), Delete{alignment_of(size)}) {
#if defined(MADV_HUGEPAGE)
    if (size >= huge) ::madvise(bytes_.get(), size / huge * huge, MADV_HUGEPAGE);
#endif
  }
  std::byte* get() const { return bytes_.get(); }
  explicit operator bool() const { return bytes_ != nullptr; }

 private:
  static constexpr std::size_t huge = std::size_t{2} << 20;
  static constexpr std::align_val_t alignment_of(std::size_t size) {
    return static_cast<std::align_val_t>(size < huge ? 64 : huge);
  }
  struct Delete {
    std::align_val_t alignment = std::align_val_t{64};
    void operator()(std::byte* bytes) const { ::operator delete(bytes, alignment); }
  };
  std::unique_ptr<std::byte, Delete> bytes_;
};
using AlignedBytes = BasicAlignedBytes<>;

}  // namespace detail
RAG_END
#endif
