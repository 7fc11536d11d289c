// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_STORE_OPTIONS_HPP
#define RAG_DETAIL_STORE_OPTIONS_HPP
#include <rag/detail/parallel.hpp>
#include <rag/error.hpp>

#if defined(__APPLE__)
#include <sys/random.h>
#endif
#include <unistd.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

RAG_BEGIN

/// The time of day. A policy of a FileStore.
struct SystemClock {
  /// Since 1970.
  static std::chrono::milliseconds now() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::system_clock::now().time_since_epoch());
  }
};

/// Numbers that no one guesses twice. A policy of a FileStore.
struct SystemRandom {
  static std::uint64_t number() {
    std::uint64_t number = 0;
    if (::getentropy(&number, sizeof number) != 0)
      throw Error(Errc::io, "SystemRandom: the system gives no random numbers");
    return number;
  }
};

/// What a call has done when it returns.
enum class Durability : unsigned char {
  each_batch,  ///< the batch is on the disk
  batched,     ///< it is there at the next flush(), checkpoint(), or change after sync_after or sync_bytes; a
               ///< power loss takes back whole batches, the last ones first
};

enum class Access : unsigned char {
  write,  ///< alone among writers; a file that is not there is made
  read,   ///< beside a writer and any number of others; the file may be write-protected
};

struct StoreOptions {
  Access access = Access::write;
  Durability durability = Durability::each_batch;
  std::size_t threads = 1;  ///< of a search; 0: all of the machine
  Executor executor = {};   ///< a pool of your own for them
  bool verify =
      false;  ///< read and check the whole file before it is opened, not only what came after its checkpoint
  bool compacts = true;                        ///< by itself when more than half of the file is dead
  bool allows_network = false;                 ///< write on NFS or SMB, whose locks are not to be relied on
  std::chrono::milliseconds sync_after{1000};  ///< batched
  std::size_t sync_bytes = std::size_t{16} << 20;  ///< batched
};

/// What check() met.
struct StoreReport {
  std::vector<std::string> problems = {};  ///< empty: every byte is as it was written
  std::size_t frames = 0;
  std::size_t rows = 0;     ///< living ones, of all collections
  std::uint64_t bytes = 0;  ///< of the file
  std::uint64_t torn_bytes =
      0;  ///< behind the last whole frame: what a crash left of a batch nobody was promised

  bool clean() const { return problems.empty(); }
};

RAG_END
#endif
