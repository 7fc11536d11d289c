// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_FILE_HPP
#define RAG_DETAIL_FILE_HPP
#include <rag/error.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

RAG_BEGIN
namespace detail {

/// An open file descriptor and the words of its errors: "FlatStore::save: notes.rag: No space left on device".
class FileHandle {
 public:
  FileHandle(std::string who, std::string path, int flags, unsigned mode = 0600)
      : who_(std::move(who)), path_(std::move(path)) {
    do descriptor_ = ::open(path_.c_str(), flags | O_CLOEXEC, mode);
    while (descriptor_ < 0 && errno == EINTR);
    if (descriptor_ < 0) fail();
  }
  ~FileHandle() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  FileHandle(FileHandle&& other) noexcept
      : who_(std::move(other.who_)),
        path_(std::move(other.path_)),
        descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileHandle& operator=(FileHandle&&) = delete;

  int descriptor() const { return descriptor_; }

  /// Throws for the error that errno holds.
  [[noreturn]] void fail() const {
    throw Error(errno == ENOENT ? Errc::not_found : Errc::io, who_ + ": " + path_ + ": " + std::strerror(errno));
  }

  std::size_t size() const {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) fail();
    return static_cast<std::size_t>(status.st_size);
  }

  void write(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail();
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  /// All of the file from its beginning.
  std::string read() const {
    std::string bytes(size(), '\0');
    std::size_t filled = 0;
    while (filled < bytes.size()) {
      const ssize_t count =
          ::pread(descriptor_, bytes.data() + filled, bytes.size() - filled, static_cast<off_t>(filled));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail();
      if (count == 0) break;
      filled += static_cast<std::size_t>(count);
    }
    bytes.resize(filled);
    return bytes;
  }

  void sync() const {
    if (::fsync(descriptor_) != 0) fail();
  }

 private:
  std::string who_, path_;
  int descriptor_ = -1;
};

/// Makes `path` hold the pieces, joined, or leaves it as it was: written beside it, synced, renamed, and the folder
/// synced. Readable by its owner alone, since a store is as secret as the texts in it.
inline void replace_file(const std::string& who, const std::string& path, std::span<const std::string_view> pieces) {
  const std::string temporary = path + ".tmp-" + std::to_string(::getpid());
  try {
    {
      const FileHandle file(who, temporary, O_WRONLY | O_CREAT | O_TRUNC);
      for (const std::string_view piece : pieces) file.write(piece);
      file.sync();
    }
    if (std::rename(temporary.c_str(), path.c_str()) != 0)
      throw Error(Errc::io, who + ": " + path + ": " + std::strerror(errno));
  } catch (...) {
    std::remove(temporary.c_str());
    throw;
  }
  const std::size_t slash = path.rfind('/');
  FileHandle(who, slash == std::string::npos ? "." : path.substr(0, slash + 1), O_RDONLY | O_DIRECTORY).sync();
}

}  // namespace detail
RAG_END
#endif
