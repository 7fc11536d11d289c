// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_FILE_HPP
#define RAG_DETAIL_FILE_HPP
#include <rag/error.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

RAG_BEGIN
namespace detail {

/// An open file descriptor and the words of its errors: "FlatStore::save: notes.rag: No space left on device".
RAG_LAZY class BasicFileHandle {
 public:
  BasicFileHandle(std::string who, std::string path, int flags, unsigned mode = 0600)
      : who_(std::move(who)), path_(std::move(path)) {
    do descriptor_ = ::open(path_.c_str(), flags | O_CLOEXEC, mode);
    while (descriptor_ < 0 && errno == EINTR);
    if (descriptor_ < 0) fail();
  }
  /// Makes a file that no one else has: `path` and six letters.
  static BasicFileHandle unique(std::string who, std::string path) {
    BasicFileHandle file(std::move(who), std::move(path));
    file.path_ += "XXXXXX";
    file.descriptor_ = ::mkostemp(file.path_.data(), O_CLOEXEC);
    if (file.descriptor_ < 0) file.fail();
    return file;
  }
  ~BasicFileHandle() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  BasicFileHandle(BasicFileHandle&& other) noexcept
      : who_(std::move(other.who_)),
        path_(std::move(other.path_)),
        descriptor_(std::exchange(other.descriptor_, -1)) {}
  BasicFileHandle& operator=(BasicFileHandle&&) = delete;

  int descriptor() const { return descriptor_; }
  const std::string& path() const { return path_; }

  /// Throws for the error that errno holds.
  [[noreturn]] void fail() const {
    throw Error(errno == ENOENT ? Errc::not_found : Errc::io, who_ + ": " + path_ + ": " + std::strerror(errno));
  }

  void write(std::string_view bytes) const {
    while (!bytes.empty()) {
      const ssize_t count = ::write(descriptor_, bytes.data(), bytes.size());
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) fail();
      bytes.remove_prefix(static_cast<std::size_t>(count));
    }
  }

  void sync() const {
    if (::fsync(descriptor_) != 0) fail();
  }

 private:
  BasicFileHandle(std::string who, std::string path) : who_(std::move(who)), path_(std::move(path)) {}

  std::string who_, path_;
  int descriptor_ = -1;
};
using FileHandle = BasicFileHandle<>;

/// Makes `path` hold the pieces, joined, or leaves it as it was: written beside it, synced, renamed, and the folder
/// synced. Readable by its owner alone, since a store is as secret as the texts in it.
RAG_LAZY void replace_file(const std::string& who, const std::string& path, std::span<const std::string_view> pieces) {
  const FileHandle file = FileHandle::unique(who, path + ".tmp-");
  try {
    for (const std::string_view piece : pieces) file.write(piece);
    file.sync();
    if (std::rename(file.path().c_str(), path.c_str()) != 0)
      throw Error(Errc::io, who + ": " + path + ": " + std::strerror(errno));
  } catch (...) {
    std::remove(file.path().c_str());
    throw;
  }
  const std::size_t slash = path.rfind('/');
  FileHandle(who, slash == std::string::npos ? "." : path.substr(0, slash + 1), O_RDONLY | O_DIRECTORY).sync();
}

}  // namespace detail
RAG_END
#endif
