// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_FUZZ_FUZZ_HPP
#define RAG_TESTS_FUZZ_FUZZ_HPP
#include <rag/error.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

// What the fuzz targets share. libFuzzer calls a target's LLVMFuzzerTestOneInput with the bytes it made up; whatever
// leaves that function but by its end is a finding.

namespace fuzz {

/// The parts of an input, divided by bytes 0x1E.
class Parts {
 public:
  Parts(const std::uint8_t* data, std::size_t size) : left_(reinterpret_cast<const char*>(data), size) {}

  /// The next part; empty after the last.
  std::string_view next() {
    const std::string_view part = left_.substr(0, left_.find('\x1E'));
    left_.remove_prefix(std::min(left_.size(), part.size() + 1));
    return part;
  }
  /// All that is left, whatever its bytes.
  std::string_view rest() const { return left_; }

 private:
  std::string_view left_;
};

/// A folder in memory where the system has one, for readers that want files. Removed at the end.
class Folder {
 public:
  explicit Folder(std::initializer_list<const char*> inside = {}) {
    path_ = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm/rag-fuzz-XXXXXX" : "/tmp/rag-fuzz-XXXXXX";
    if (::mkdtemp(path_.data()) == nullptr) stop("mkdtemp");
    for (const char* name : inside) std::filesystem::create_directories(path_ + "/" + name);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }

  /// An empty text removes the file.
  void write(const std::string& name, std::string_view text) const {
    const std::string path = path_ + "/" + name;
    if (text.empty()) {
      ::unlink(path.c_str());
      return;
    }
    const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ::write(file, text.data(), text.size()) != static_cast<ssize_t>(text.size())) stop("write");
    ::close(file);
  }

 private:
  [[noreturn]] static void stop(const char* what) {
    std::perror(what);
    std::exit(1);
  }

  std::string path_;
};

/// Calls `read`, out of which only a rag::Error may come. What it gives libFuzzer is that the input was used.
template <class Read>
int read_or_refuse(const Read& read) {
  try {
    read();
  } catch (const rag::Error&) {
  }
  return 0;
}

}  // namespace fuzz

#endif
