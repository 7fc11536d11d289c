// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_DISK_FILE_HPP
#define RAG_STORE_DISK_FILE_HPP
#include <rag/detail/file_identity.hpp>
#include <rag/detail/posix_system.hpp>
#include <rag/error.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

RAG_BEGIN

/// The file that a FileStore lies in, by POSIX calls. A policy: tests put one in its place that fails on
/// demand.
///
/// Every failure is an Error of code io, unless said otherwise, whose text begins with `who` and the path. A
/// call that is interrupted by a signal, or that the system does in part, goes on until it is done. After a
/// failed sync nobody knows what is on the disk: do not call it again and believe it.
template <class System = detail::PosixSystem>
class BasicDiskFile {
 public:
  using Mode = FileMode;

  /// `who` begins the texts of errors: "FileStore::add". Errors: not_found (no such file or folder), busy (Mode::create:
  /// exists already), io (not a file, no right to it).
  static BasicDiskFile open(const std::string& path, Mode mode, const std::string& who) {
    const int access = mode == Mode::read    ? O_RDONLY
                       : mode == Mode::write ? O_RDWR
                                             : O_RDWR | O_CREAT | O_EXCL;
    BasicDiskFile file(path, who);
    // Not blocking: a pipe of that name would wait for its other end.
    file.descriptor_ =
        again([&] { return System::open(path.c_str(), access | O_CLOEXEC | O_NONBLOCK, 0600); });
    if (file.descriptor_ < 0 && errno == EEXIST) throw Error(Errc::busy, who + ": " + path + ": " + std::strerror(EEXIST));
    if (file.descriptor_ < 0) file.fail();
    if (!S_ISREG(file.status().st_mode)) throw Error(Errc::io, who + ": " + path + " is not a file");
    return file;
  }
  BasicDiskFile(BasicDiskFile&& other) noexcept
      : who_(std::move(other.who_)),
        path_(std::move(other.path_)),
        descriptor_(std::exchange(other.descriptor_, -1)),
        maps_(std::exchange(other.maps_, {})) {}
  BasicDiskFile& operator=(BasicDiskFile&& other) noexcept {
    std::swap(who_, other.who_);
    std::swap(path_, other.path_);
    std::swap(descriptor_, other.descriptor_);
    std::swap(maps_, other.maps_);
    return *this;
  }
  /// Gives back the lock and all maps.
  ~BasicDiskFile() {
    for (const auto& [bytes, size] : maps_) System::munmap(bytes, size);
    if (descriptor_ >= 0) System::close(descriptor_);
  }

  /// Bytes in the file now.
  std::uint64_t size() const { return static_cast<std::uint64_t>(status().st_size); }

  /// Fills `bytes` from `offset` on. Fewer bytes in the file: an Error of code corrupt.
  void read(std::uint64_t offset, std::span<std::byte> bytes) const {
    while (!bytes.empty()) {
      const auto count = again(
          [&] { return System::pread(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset)); });
      if (count < 0) fail();
      if (count == 0)
        throw Error(Errc::corrupt, who_ + ": " + path_ + " ends at byte " + std::to_string(offset));
      offset += static_cast<std::uint64_t>(count);
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
  }

  /// Writes `bytes` at `offset`, beyond the end too. After an Error any part of them may be written.
  void write(std::uint64_t offset, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto count = again([&] {
        return System::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      });
      if (count < 0) fail();
      if (count == 0) throw Error(Errc::io, who_ + ": " + path_ + ": no byte could be written");
      offset += static_cast<std::uint64_t>(count);
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
  }

  /// Makes room on the disk for these bytes, zero where there were none before; the file is at least as long
  /// then. A full disk, a quota or a limit is an Error here, before a byte is written. After an Error the
  /// size may have grown.
  void allocate(std::uint64_t offset, std::uint64_t size) {
    if (size == 0) return;
    int problem = 0;
    do problem = System::fallocate(descriptor_, static_cast<off_t>(offset), static_cast<off_t>(size));
    while (problem == EINTR);
    if (problem == EOPNOTSUPP || problem == ENOSYS) {  // the file system can't: the size at least
      if (this->size() < offset + size) truncate(offset + size);
    } else if (problem != 0) {
      errno = problem;
      fail();
    }
  }

  /// Makes the file `size` bytes long.
  void truncate(std::uint64_t size) {
    if (again([&] { return System::ftruncate(descriptor_, static_cast<off_t>(size)); }) != 0) fail();
  }

  /// Returns when all that was written, and the size, is on the disk.
  void sync() {
    if (again([&] { return System::fdatasync(descriptor_); }) != 0) fail();
  }

  /// The bytes [0, size), which the file must have, for reading; null for 0. Later writes show in them. They
  /// stay where they are as long as this object (or one it was moved to) lives, whatever is mapped after;
  /// bytes that another program cuts off the file kill the process that touches them.
  const std::byte* map(std::uint64_t size) {
    if (size == 0) return nullptr;
    if (!maps_.empty() && maps_.back().second >= size)
      return static_cast<const std::byte*>(maps_.back().first);
    maps_.reserve(maps_.size() + 1);
    // Room to grow, so that a file of many small batches isn't mapped for each; pages behind the end are not
    // touched.
    std::size_t room = std::max<std::size_t>(2 * static_cast<std::size_t>(size), 1 << 20);
    void* bytes = System::mmap(room, descriptor_);
    if (bytes == MAP_FAILED) bytes = System::mmap(room = static_cast<std::size_t>(size), descriptor_);
    if (bytes == MAP_FAILED) fail();
    maps_.push_back({bytes, room});
    return static_cast<const std::byte*>(bytes);
  }

  /// Locks the file against other lockers, in this process too, until it is closed; never waits. False:
  /// another has it.
  bool try_lock() {
    if (again([&] { return System::flock(descriptor_, LOCK_EX | LOCK_NB); }) == 0) return true;
    if (errno != EWOULDBLOCK) fail();
    return false;
  }

  FileIdentity identity() const { return identity_in(status()); }
  /// Is it on a file system of the network, where locks and maps are not to be relied on?
  bool is_remote() const { return System::is_remote(descriptor_); }

  /// The file that has this name now; none if there is none.
  static FileIdentity identity_of(const std::string& path, const std::string& who) {
    struct stat status = {};
    if (System::stat(path.c_str(), &status) == 0) return identity_in(status);
    if (errno != ENOENT && errno != ENOTDIR) BasicDiskFile(path, who).fail();
    return {};
  }

  /// Gives the file `from` the name `to`, in place of what had it, at once: each name always means a whole
  /// file.
  static void rename(const std::string& from, const std::string& to, const std::string& who) {
    if (System::rename(from.c_str(), to.c_str()) != 0) BasicDiskFile(to, who).fail();
  }
  /// The same where no file has the name `to`; false: one has.
  static bool rename_new(const std::string& from, const std::string& to, const std::string& who) {
    if (System::link(from.c_str(), to.c_str()) != 0) {
      if (errno == EEXIST) return false;
      BasicDiskFile(to, who).fail();
    }
    remove(from);
    return true;
  }
  /// Takes a name away; no such file is no error.
  static void remove(const std::string& path) noexcept { System::unlink(path.c_str()); }

  /// Returns when the names in the folder of `path` are on the disk.
  static void sync_folder(const std::string& path, const std::string& who) {
    const std::size_t slash = path.rfind('/');
    BasicDiskFile folder(slash == std::string::npos ? "." : path.substr(0, slash + 1), who);
    folder.descriptor_ =
        again([&] { return System::open(folder.path_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0); });
    if (folder.descriptor_ < 0) folder.fail();
    // Some file systems keep names without being asked and refuse to be.
    if (again([&] { return System::fsync(folder.descriptor_); }) != 0 && errno != EINVAL) folder.fail();
  }

  /// The path from the root on and without links, so that it means the same file wherever the process goes and
  /// a rename replaces the file, not a link to it. What is not there yet lies in a folder that is.
  static std::string resolved(const std::string& path) {
    if (const std::string whole = without_links(path); !whole.empty()) return whole;
    const std::size_t slash = path.rfind('/');
    const std::string folder = without_links(slash == std::string::npos ? "." : path.substr(0, slash + 1));
    return folder.empty() ? path : folder + '/' + path.substr(slash + 1);
  }

  /// The file has another name now, for the texts of errors.
  void call(std::string path) noexcept { path_.swap(path); }

  /// The process that runs this: a child of fork() is another.
  static std::uint64_t process() { return static_cast<std::uint64_t>(System::getpid()); }

 private:
  BasicDiskFile(std::string path, std::string who) : who_(std::move(who)), path_(std::move(path)) {}

  static std::string without_links(const std::string& path) {
    const std::unique_ptr<char, void (*)(void*)> found(System::realpath(path.c_str()), std::free);
    return found ? found.get() : "";
  }

  template <class Call>
  static auto again(Call&& call) {
    auto result = call();
    while (result < 0 && errno == EINTR) result = call();
    return result;
  }

  [[noreturn]] void fail() const {
    const int problem = errno;
    const bool absent = problem == ENOENT || problem == ENOTDIR;
    throw Error(absent ? Errc::not_found : Errc::io, who_ + ": " + path_ + ": " + std::strerror(problem));
  }

  struct stat status() const {
    struct stat result = {};
    if (System::fstat(descriptor_, &result) != 0) fail();
    return result;
  }
  static FileIdentity identity_in(const struct stat& status) {
    return {static_cast<std::uint64_t>(status.st_dev), static_cast<std::uint64_t>(status.st_ino)};
  }

  std::string who_, path_;
  int descriptor_ = -1;
  std::vector<std::pair<void*, std::size_t>> maps_;  // the last is the longest
};
using DiskFile = BasicDiskFile<>;

RAG_END
#endif
