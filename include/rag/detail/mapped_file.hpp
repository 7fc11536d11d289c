// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_MAPPED_FILE_HPP
#define RAG_DETAIL_MAPPED_FILE_HPP
#include <rag/error.hpp>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

RAG_BEGIN
namespace detail {

/// The bytes of a file, mapped for reading. The file must not be cut short while it is mapped.
RAG_LAZY class BasicMappedFile {
 public:
  BasicMappedFile() = default;
  /// Throws not_found where there is no such file, io where it can't be read; the text begins with `who`.
  BasicMappedFile(const std::string& path, const std::string& who) {
    // Not blocking: a pipe of that name would wait for its writer.
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) {
      const bool absent = errno == ENOENT || errno == ENOTDIR;
      throw Error(absent ? Errc::not_found : Errc::io,
                  who + ": " + path + (absent ? " is not there" : std::string(": ") + std::strerror(errno)));
    }
    struct stat status = {};
    const bool regular = ::fstat(file, &status) == 0 && S_ISREG(status.st_mode);
    size_ = regular ? static_cast<std::size_t>(status.st_size) : 0;
    int problem = 0;
    if (size_ > 0) {
      void* bytes = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0);
      if (bytes == MAP_FAILED) problem = errno;
      else bytes_ = static_cast<char*>(bytes);
    }
    ::close(file);
    if (!regular) throw Error(Errc::io, who + ": " + path + " is not a file");
    if (problem != 0) throw Error(Errc::io, who + ": " + path + ": " + std::strerror(problem));
  }
  BasicMappedFile(BasicMappedFile&& other) noexcept
      : bytes_(std::exchange(other.bytes_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  BasicMappedFile& operator=(BasicMappedFile&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~BasicMappedFile() {
    if (bytes_ != nullptr) ::munmap(bytes_, size_);
  }

  std::string_view bytes() const { return {bytes_, size_}; }

  /// Gives back the memory of the whole pages in a part of bytes(); they are read anew when touched.
  void release(std::string_view part) const {
    const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
    const auto begin = (reinterpret_cast<std::uintptr_t>(part.data()) + page - 1) / page * page;
    const auto end = (reinterpret_cast<std::uintptr_t>(part.data()) + part.size()) / page * page;
    if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
  }

 private:
  char* bytes_ = nullptr;
  std::size_t size_ = 0;
};
using MappedFile = BasicMappedFile<>;

}  // namespace detail
RAG_END
#endif
