// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_FILE_IDENTITY_HPP
#define RAG_DETAIL_FILE_IDENTITY_HPP
#include <rag/version.hpp>

#include <cstdint>

// The words of the policy that a FileStore's file is, see store/disk_file.hpp.

RAG_BEGIN

/// Which file it is, whatever its name: a name may come to mean another file. Both 0: none.
struct FileIdentity {
  std::uint64_t device = 0, inode = 0;
  bool operator==(const FileIdentity&) const = default;
};

enum class FileMode {
  read,    ///< what is there, for reading
  write,   ///< what is there, for reading and writing
  create,  ///< a new file, readable by its owner alone; one of that name must not be there
};

RAG_END
#endif
