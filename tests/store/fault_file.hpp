// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_FAULT_FILE_HPP
#define RAG_TESTS_STORE_FAULT_FILE_HPP
#include <rag/store/disk_file.hpp>

#include "fault_system.hpp"
#include "power_loss.hpp"

namespace fault {

/// A file on FaultDisk::current(): DiskFile with all its loops, over a system that fails on demand.
using FaultFile = rag::BasicDiskFile<FaultSystem>;

}  // namespace fault

#endif
