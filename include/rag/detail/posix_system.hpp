// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_POSIX_SYSTEM_HPP
#define RAG_DETAIL_POSIX_SYSTEM_HPP
#include <rag/version.hpp>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#if defined(__linux__)
#include <sys/vfs.h>
#endif
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

RAG_BEGIN
namespace detail {

/// The calls that DiskFile makes, each as the system has it: tests script them.
struct PosixSystem {
  static int open(const char* path, int flags, unsigned mode) { return ::open(path, flags, mode); }
  static int close(int file) { return ::close(file); }
  static ssize_t pread(int file, void* bytes, std::size_t size, off_t offset) {
    return ::pread(file, bytes, size, offset);
  }
  static ssize_t pwrite(int file, const void* bytes, std::size_t size, off_t offset) {
    return ::pwrite(file, bytes, size, offset);
  }
  static int ftruncate(int file, off_t size) { return ::ftruncate(file, size); }
  static int fsync(int file) { return ::fsync(file); }
  static int fstat(int file, struct stat* status) { return ::fstat(file, status); }
  static int stat(const char* path, struct stat* status) { return ::stat(path, status); }
  static int flock(int file, int operation) { return ::flock(file, operation); }
  static int rename(const char* from, const char* to) { return std::rename(from, to); }
  static int link(const char* from, const char* to) { return ::link(from, to); }
  static int unlink(const char* path) { return ::unlink(path); }
  /// From malloc(), or null.
  static char* realpath(const char* path) { return ::realpath(path, nullptr); }
  static pid_t getpid() { return ::getpid(); }
  static void* mmap(std::size_t size, int file) { return ::mmap(nullptr, size, PROT_READ, MAP_SHARED, file, 0); }
  static int munmap(void* bytes, std::size_t size) { return ::munmap(bytes, size); }

#if defined(__APPLE__)
  static int fdatasync(int file) { return ::fcntl(file, F_FULLFSYNC); }  // fsync stops at the drive's memory there
  static int fallocate(int, off_t, off_t) { return ENOSYS; }
#else
  static int fdatasync(int file) { return ::fdatasync(file); }
  /// Gives the error's number, errno is left alone.
  static int fallocate(int file, off_t offset, off_t size) { return ::posix_fallocate(file, offset, size); }
#endif

  static bool is_remote(int file) {
#if defined(__linux__)
    struct statfs status = {};
    if (::fstatfs(file, &status) != 0) return false;
    switch (static_cast<unsigned long>(status.f_type) & 0xFFFFFFFFul) {
      case 0x6969:      // NFS
      case 0x517B:      // SMB
      case 0xFF534D42:  // CIFS
      case 0xFE534D42:  // SMB2
        return true;
    }
#endif
    (void)file;
    return false;
  }
};

}  // namespace detail
RAG_END
#endif
