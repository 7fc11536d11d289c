// SPDX-License-Identifier: MIT
#ifndef RAG_DOCUMENT_READ_WITHIN_HPP
#define RAG_DOCUMENT_READ_WITHIN_HPP
#include <rag/document/read.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

RAG_BEGIN
namespace detail {

struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

/// Where a path leads, without links; empty, with errno set, where it leads nowhere.
RAG_LAZY std::string real_path(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> found(::realpath(path.c_str(), nullptr), std::free);
  return found ? std::string(found.get()) : std::string();
}

/// Did a file change between two looks at it?
RAG_LAZY bool same_state(const struct stat& a, const struct stat& b) {
#ifdef __APPLE__
  const auto &before = a.st_mtimespec, &after = b.st_mtimespec;
#else
  const auto &before = a.st_mtim, &after = b.st_mtim;
#endif
  return a.st_size == b.st_size && before.tv_sec == after.tv_sec && before.tv_nsec == after.tv_nsec;
}

/// How a file that could not be read is to be treated: `gone` where it is not there any more, or not in the folder.
struct WithinFailure {
  std::string reason;  ///< empty: it could
  bool gone = false;
};

/// Reads all of a file of the folder `root`, which is a real path, as it was at one moment: a file that changes while it
/// is read is read again, three times at most. A link that leads out of the folder is not followed, and nothing but a
/// regular file is opened for long. `between` is called with each reading done, before the last look at the file.
template <class Between>
WithinFailure read_within(const std::string& root, const std::string& id, std::size_t largest, std::string& bytes,
                          Between&& between) {
  const auto failure = [](int error) { return WithinFailure{std::strerror(error), error == ENOENT}; };
  const std::string path = real_path(root + '/' + id);
  if (path.empty()) return failure(errno);
  if (!path.starts_with(root.ends_with('/') ? root : root + '/')) return {"a link out of the folder", true};
  for (int turn = 0; turn < 3; ++turn) {
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)};
    struct stat before {}, after {};
    if (file.number < 0 || fstat(file.number, &before) != 0) return failure(errno);
    if (!S_ISREG(before.st_mode)) return {"not a regular file", true};
    const auto size = static_cast<std::size_t>(before.st_size);
    if (size > largest)
      return {"of " + std::to_string(size) + " bytes, at most " + std::to_string(largest) + " wanted", false};
    bytes.resize(size);
    std::size_t filled = 0;
    while (filled < size) {
      const ssize_t count = ::read(file.number, bytes.data() + filled, size - filled);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return failure(errno);
      if (count == 0) break;
      filled += static_cast<std::size_t>(count);
    }
    between();
    if (fstat(file.number, &after) != 0) return failure(errno);
    if (filled == size && same_state(before, after)) return {};
  }
  return {"changed while it was read", false};
}

}  // namespace detail
RAG_END
#endif
