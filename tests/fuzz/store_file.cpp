// SPDX-License-Identifier: MIT
// The bytes of a FileStore's file. Most changes are made to the numbers in it, and then its checksums are put
// right, so that they are not all that is ever tested. Each input is opened, checked and searched; then, as its
// checksum has it, salvaged or changed.
#include <rag/store/salvage.hpp>

#include "fuzz.hpp"
#include "store/repair.hpp"
#include "store/rig.hpp"

#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                               unsigned seed) {
  if (seed % 16 == 0 || size < 8192) {
    size = LLVMFuzzerMutate(data, size, most);
  } else {
    // A few bytes in their place: of a superblock, or of what comes behind them.
    const std::size_t part = seed / 16 % 8 == 0 ? seed / 128 % 2 * 4096 : 8192;
    const std::size_t room = part == 8192 ? size - part : 96;
    const std::size_t begin = part + (seed / 256) % (room / 4 + 1) * 4;
    const std::size_t count = std::min<std::size_t>(size - begin, std::size_t{4} << seed / 16 % 5);
    std::uint8_t window[64];
    std::memcpy(window, data + begin, count);
    const std::size_t changed = count == 0 ? 0 : LLVMFuzzerMutate(window, count, count);
    std::memcpy(data + begin, window, changed);
  }
  if (seed % 8 != 1) fault::repair({reinterpret_cast<std::byte*>(data), size});
  return size;
}

namespace {

void look(rig::Database& database, bool searches = true) {
  database.check();
  for (const std::string& name : database.list()) {
    const rig::Store store = database.open(name);
    std::size_t living = 0;
    for (const rag::Id id : store.ids()) {
      const auto vector = store.vector(id);
      float sum = 0;
      for (const float value : vector) sum += value;
      const auto chunk = store.find(id);
      living += chunk && chunk->id == id && vector.size() == store.dimension() && sum == sum;
    }
    if (living > store.size()) std::abort();
    if (store.dimension() == 0 || !searches) continue;
    const std::vector<float> query(store.dimension(), 0.5f);
    if (store.search(query, 3).size() > 3) std::abort();
    store.search(query, 3, rag::field("year") >= 2001);
  }
}

void change(rig::Database& database) {
  for (const std::string& name : database.list()) {
    rig::Store store = database.open(name);
    if (store.dimension() > 64) continue;
    const std::vector<rag::Chunk> chunks = {{"new", "s1", 0, 3}};
    store.replace("s1", chunks, rag::Matrix(1, store.dimension() == 0 ? 2 : store.dimension()));
    if (!store.ids().empty()) store.erase(std::vector<rag::Id>{store.ids().front()});
  }
  database.checkpoint();
  database.compact();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fault::FaultDisk disk;
  disk.use();
  rig::start_over();
  disk.put("db", {reinterpret_cast<const std::byte*>(data), size});
  fuzz::read_or_refuse([] {
    rig::Database database("db", {.access = rag::Access::read});
    look(database);
  });
  if (rag::detail::crc32c({reinterpret_cast<const char*>(data), size}) % 3 == 0)
    return fuzz::read_or_refuse([] {
      rag::salvage<fault::FaultFile, rig::Clock, rig::Random>("db", "copy");
      rig::Database copy("copy", {.access = rag::Access::read});
      look(copy, false);
      if (!copy.check().clean()) std::abort();
    });
  return fuzz::read_or_refuse([] {
    rig::Database database("db", {.compacts = false});
    change(database);
    look(database);
  });
}
