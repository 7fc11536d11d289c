// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_FAULT_SYSTEM_HPP
#define RAG_TESTS_STORE_FAULT_SYSTEM_HPP
#include "fault_disk.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <algorithm>

namespace fault {

/// The calls of the system that a DiskFile makes, on FaultDisk::current(). All names are in one folder.
struct FaultSystem {
  static constexpr int first_file = 1000;

  static int open(const char* path, int flags, unsigned = 0) {
    const Aside aside;
    FaultDisk& on = disk();
    if ((flags & O_DIRECTORY) != 0) {
      if (const int error = on.begin(Call::open)) return fail(error);
      return opened({{}, false, true});
    }
    const auto found = on.names.find(path);
    const bool makes = found == on.names.end() && (flags & O_CREAT) != 0;
    if (const int error = on.begin(makes ? Call::create : Call::open)) return fail(error);
    if (found != on.names.end() && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL)) return fail(EEXIST);
    if (found == on.names.end() && !makes) return fail(ENOENT);
    const InodePtr inode = makes ? on.make_inode() : found->second;
    if (makes) {
      on.names[path] = inode;
      on.note({.what = Change::enter, .inode = inode, .name = path});
    }
    if ((flags & O_TRUNC) != 0 && inode->size > 0) resize(inode, 0);
    return opened({inode, (flags & O_ACCMODE) != O_RDONLY, true});
  }

  static int close(int file) {
    const Aside aside;
    FaultDisk::OpenFile& open = at(file);
    if (open.inode && open.inode->locked_by == file) open.inode->locked_by = -1;
    open = {};
    return 0;
  }

  static ssize_t pread(int file, void* to, std::size_t size, off_t offset) {
    const InodePtr inode = at(file).inode;
    if (const int error = disk().begin(Call::read)) return fail(error);
    const std::size_t begin = std::min(static_cast<std::size_t>(offset), inode->size);
    size = std::min(size, inode->size - begin);
    if (size > 0) std::memcpy(to, inode->area.data() + begin, size);
    return static_cast<ssize_t>(size);
  }

  static ssize_t pwrite(int file, const void* from, std::size_t size, off_t offset) {
    const Aside aside;
    if (!at(file).writes) return fail(EBADF);
    const InodePtr inode = at(file).inode;
    if (const int error = disk().begin(Call::write, &size)) return fail(error);
    const std::size_t begin = static_cast<std::size_t>(offset);
    if (begin > Area::limit || size > Area::limit - begin) return fail(EFBIG);
    const std::span<const std::byte> bytes(static_cast<const std::byte*>(from), size);
    inode->put(begin, bytes);
    disk().note({.what = Change::write,
                 .inode = inode,
                 .offset = begin,
                 .bytes = {bytes.begin(), bytes.end()},
                 .size_after = inode->size});
    return static_cast<ssize_t>(size);
  }

  /// As posix_fallocate: gives the error number and leaves errno alone.
  static int fallocate(int file, off_t offset, off_t size) {
    const Aside aside;
    if (!at(file).writes) return EBADF;
    if (const int error = disk().begin(Call::allocate)) return error;
    const auto end = static_cast<std::uint64_t>(offset) + static_cast<std::uint64_t>(size);
    if (end > Area::limit) return EFBIG;
    if (end > at(file).inode->size) resize(at(file).inode, end);
    return 0;
  }

  static int ftruncate(int file, off_t size) {
    const Aside aside;
    if (!at(file).writes) return fail(EINVAL);
    if (const int error = disk().begin(Call::truncate)) return fail(error);
    if (static_cast<std::uint64_t>(size) > Area::limit) return fail(EFBIG);
    resize(at(file).inode, static_cast<std::size_t>(size));
    return 0;
  }

  static int fdatasync(int file) { return fsync(file); }
  static int fsync(int file) {
    const Aside aside;
    const InodePtr inode = at(file).inode;
    if (const int error = disk().begin(inode ? Call::sync : Call::folder_sync, nullptr, inode.get()))
      return fail(error);
    disk().note({.what = inode ? Change::sync : Change::folder_sync, .inode = inode});
    return 0;
  }

  static int fstat(int file, struct stat* status) {
    if (const int error = disk().begin(Call::status)) return fail(error);
    return describe(at(file).inode, status);
  }
  static int stat(const char* path, struct stat* status) {
    const Aside aside;
    if (const int error = disk().begin(Call::status)) return fail(error);
    const auto found = disk().names.find(path);
    return found == disk().names.end() ? fail(ENOENT) : describe(found->second, status);
  }

  /// A shared mapping for reading of the first bytes, and of those that come behind them later.
  static void* mmap(std::size_t size, int file) {
    const Aside aside;
    if (const int error = disk().begin(Call::map)) return fail(error), MAP_FAILED;
    if (size > Area::limit) return fail(ENOMEM), MAP_FAILED;
    const InodePtr inode = at(file).inode;
    auto& [kept, count] = disk().maps[inode->area.data()];
    kept = inode, ++count;
    return inode->area.data();
  }
  static int munmap(void* bytes, std::size_t) {
    const Aside aside;
    const auto found = disk().maps.find(bytes);
    if (found == disk().maps.end()) return 0;  // mapped before a restart
    if (--found->second.second == 0) disk().maps.erase(found);
    return 0;
  }

  static int flock(int file, int operation) {
    if (const int error = disk().begin(Call::lock)) return fail(error);
    int& owner = at(file).inode->locked_by;
    if ((operation & LOCK_UN) != 0) return owner = owner == file ? -1 : owner, 0;
    if (owner >= 0 && owner != file) return fail(EWOULDBLOCK);
    return owner = file, 0;
  }

  static bool is_remote(int) { return disk().remote; }
  static char* realpath(const char* path) { return ::strdup(path); }
  static pid_t getpid() { return disk().process; }

  static int rename(const char* from, const char* to) {
    const Aside aside;
    FaultDisk& on = disk();
    if (const int error = on.begin(Call::rename)) return fail(error);
    const auto found = on.names.find(from);
    if (found == on.names.end()) return fail(ENOENT);
    const InodePtr inode = found->second;
    on.names.erase(found);
    on.names[to] = inode;
    on.note({.what = Change::rename, .inode = inode, .name = from, .other = to});
    return 0;
  }
  static int link(const char* from, const char* to) {
    const Aside aside;
    FaultDisk& on = disk();
    if (const int error = on.begin(Call::rename)) return fail(error);
    const auto found = on.names.find(from);
    if (found == on.names.end()) return fail(ENOENT);
    if (on.has(to)) return fail(EEXIST);
    const InodePtr inode = found->second;
    on.names[to] = inode;
    on.note({.what = Change::enter, .inode = inode, .name = to});
    return 0;
  }
  static int unlink(const char* path) {
    const Aside aside;
    if (const int error = disk().begin(Call::remove)) return fail(error);
    if (disk().names.erase(path) == 0) return fail(ENOENT);
    disk().note({.what = Change::leave, .name = path});
    return 0;
  }

 private:
  static FaultDisk& disk() { return *FaultDisk::current(); }
  static int fail(int error) { return errno = error, -1; }
  static FaultDisk::OpenFile& at(int file) {
    static FaultDisk::OpenFile none;
    const auto index = static_cast<std::size_t>(file - first_file);
    // A file that was open when the disk restarted is gone.
    return index < disk().files.size() ? disk().files[index] : none = {};
  }
  static int opened(FaultDisk::OpenFile file) {
    auto& files = disk().files;
    std::size_t i = 0;
    while (i < files.size() && files[i].used) ++i;
    if (i == files.size()) files.emplace_back();
    files[i] = std::move(file);
    return first_file + static_cast<int>(i);
  }
  static void resize(const InodePtr& inode, std::size_t size) {
    inode->resize(size);
    disk().note({.what = Change::resize, .inode = inode, .size_after = size});
  }
  static int describe(const InodePtr& inode, struct stat* status) {
    *status = {};
    status->st_dev = 1;
    status->st_ino = inode ? inode->number : 1;
    status->st_mode = inode ? (S_IFREG | 0600) : (S_IFDIR | 0700);
    status->st_nlink = 1;
    status->st_size = inode ? static_cast<off_t>(inode->size) : 0;
    return 0;
  }
};

}  // namespace fault

#endif
