// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_FAULT_DISK_HPP
#define RAG_TESTS_STORE_FAULT_DISK_HPP
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define RAG_TESTS_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RAG_TESTS_POISON 1
#endif
#endif
#if defined(RAG_TESTS_POISON)
#include <sanitizer/asan_interface.h>
#endif

// A disk in memory that fails on demand and writes down what was done to it, so that power_loss.hpp can say
// what may be left of it. Its calls, in the shape of the system's, stand in fault_system.hpp.

namespace fault {

/// In which way an operation fails.
enum class Kind : unsigned char {
  eio,               ///< any operation: EIO
  enospc,            ///< what needs room (write, allocate, grow, create, rename): ENOSPC
  short_one,         ///< a write takes 1 byte
  short_but_one,     ///< a write takes all bytes but the last
  interrupted,       ///< EINTR, sixteen times in a row; for ever: three times before each operation
  sync_eio,          ///< fdatasync or fsync of the file: EIO
  sync_eio_then_ok,  ///< the same, and the next one says that all is well, though what was not written never
                     ///< will be
  allocate_enospc,   ///< fallocate: ENOSPC
  rename_eio,        ///< rename or link: EIO
  folder_sync_eio,   ///< fsync of the folder: EIO
  read_eio,          ///< pread: EIO
};
inline constexpr std::size_t kinds = 11;
inline constexpr const char* kind_names[kinds] = {
    "EIO",        "ENOSPC",          "short write of 1", "short write of n-1",
    "EINTR",      "sync EIO",        "sync EIO then OK", "allocate ENOSPC",
    "rename EIO", "folder sync EIO", "read EIO"};

enum class Call : unsigned char {
  open,
  create,
  read,
  write,
  allocate,
  truncate,
  sync,
  folder_sync,
  status,
  map,
  lock,
  rename,
  remove
};

inline bool can_hit(Kind kind, Call call) {
  switch (kind) {
    case Kind::eio:
      return call != Call::lock;
    case Kind::enospc:
      return call == Call::write || call == Call::allocate || call == Call::truncate ||
             call == Call::create || call == Call::rename;
    case Kind::short_one:
    case Kind::short_but_one:
      return call == Call::write;
    case Kind::interrupted:
      return call != Call::status && call != Call::map && call != Call::rename && call != Call::remove;
    case Kind::sync_eio:
    case Kind::sync_eio_then_ok:
      return call == Call::sync;
    case Kind::allocate_enospc:
      return call == Call::allocate;
    case Kind::rename_eio:
      return call == Call::rename;
    case Kind::folder_sync_eio:
      return call == Call::folder_sync;
    case Kind::read_eio:
      return call == Call::read;
  }
  return false;
}

/// While one lives, memory that is taken belongs to the harness: programs that let operator new fail leave it
/// alone.
struct Aside {
  inline static thread_local int depth = 0;
  Aside() { ++depth; }
  ~Aside() { --depth; }
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;
};

/// Address space for one file, zero where nothing was written, that never moves: what was mapped stays valid.
class Area {
 public:
  static constexpr std::size_t limit = std::size_t{1} << 26, guard = 65536;

  Area() {
    if (!spare().list.empty()) {
      bytes_ = spare().list.back();
      spare().list.pop_back();
      return;
    }
    void* bytes =
        ::mmap(nullptr, limit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bytes == MAP_FAILED) throw std::bad_alloc();
    bytes_ = static_cast<std::byte*>(bytes);
  }
  ~Area() {
    allow(used_);
    if (used_ > limit / 16)
      ::madvise(bytes_, used_, MADV_DONTNEED);
    else
      std::memset(bytes_, 0, used_);
    spare().list.push_back(bytes_);
  }
  Area(const Area&) = delete;
  Area& operator=(const Area&) = delete;

  std::byte* data() { return bytes_; }
  void use(std::size_t end) { used_ = end > used_ ? end : used_; }
  /// Under AddressSanitizer, whoever touches the bytes behind the end is stopped, as a map of a file may stop
  /// him.
  void allow(std::size_t end) {
#if defined(RAG_TESTS_POISON)
    const std::size_t most = std::min<std::size_t>(limit, end + guard);
    ASAN_UNPOISON_MEMORY_REGION(bytes_, std::max(guarded_, end));
    if (end < most) ASAN_POISON_MEMORY_REGION(bytes_ + end, most - end);
    guarded_ = most;
#else
    (void)end;
#endif
  }

 private:
  struct Spare {
    std::vector<std::byte*> list;
    ~Spare() {
      for (std::byte* bytes : list) {
#if defined(RAG_TESTS_POISON)
        ASAN_UNPOISON_MEMORY_REGION(bytes, limit);
#endif
        ::munmap(bytes, limit);
      }
    }
  };
  static Spare& spare() {
    static Spare areas;
    return areas;
  }

  std::byte* bytes_ = nullptr;
  std::size_t used_ = 0;
  [[maybe_unused]] std::size_t guarded_ = 0;
};

struct Inode {
  std::uint64_t number = 0;
  std::size_t size = 0;
  int locked_by = -1;
  Area area = {};

  std::span<std::byte> bytes() { return {area.data(), size}; }
  void put(std::size_t offset, std::span<const std::byte> from) {
    if (from.empty()) return;
    if (offset + from.size() > size) area.allow(offset + from.size());
    std::memcpy(area.data() + offset, from.data(), from.size());
    area.use(offset + from.size());
    if (offset + from.size() > size) size = offset + from.size();
  }
  void resize(std::size_t to) {
    if (to < size) std::memset(area.data() + to, 0, size - to);
    size = to;
    area.allow(size);
  }
};
using InodePtr = std::shared_ptr<Inode>;

/// One thing that was done to the disk.
struct Change {
  enum What : unsigned char { write, resize, sync, enter, rename, leave, folder_sync } what;
  InodePtr inode = {};
  std::size_t offset = 0;
  std::vector<std::byte> bytes = {};
  std::size_t size_after = 0;  ///< of the file, after write and resize
  std::string name = {}, other = {};
  bool lost = false;  ///< a sync of it failed, and no later one will write it
};

class FaultDisk {
 public:
  using Names = std::map<std::string, InodePtr>;
  struct OpenFile {
    InodePtr inode = {};  // none: the folder
    bool writes = false, used = false;
  };

  FaultDisk() = default;
  FaultDisk(const FaultDisk&) = delete;
  FaultDisk& operator=(const FaultDisk&) = delete;
  ~FaultDisk() {
    if (current() == this) current() = nullptr;
  }

  /// The disk that FaultSystem's calls go to.
  static FaultDisk*& current() {
    static FaultDisk* disk = nullptr;
    return disk;
  }
  void use() { current() = this; }

  /// Lets the n-th operation that the kind can hit, counted from now, fail, and for_ever all after it too.
  void fail_at(std::size_t n, Kind kind, bool for_ever) {
    armed_ = true, kind_ = kind, for_ever_ = for_ever, countdown_ = n, hit_ = false, storm_ = 0, lie_ = false;
  }
  void heal() { armed_ = false; }
  /// While one lives, nothing fails and nothing counts.
  struct Pause {
    explicit Pause(FaultDisk& disk) : disk_(disk), armed_(std::exchange(disk.armed_, false)) {}
    ~Pause() { disk_.armed_ = armed_; }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    FaultDisk& disk_;
    bool armed_;
  };
  /// Whether the operation that was to fail has come.
  bool hit() const { return hit_; }

  /// From now on what is done is kept in changes(); what is there now counts as on the disk for good.
  void record() {
    const Aside aside;
    start_.clear();
    for (const auto& [name, inode] : names) {
      const auto bytes = inode->bytes();
      start_.push_back({name, inode, {bytes.begin(), bytes.end()}});
    }
    changes_.clear();
    recording_ = true;
  }
  const std::vector<Change>& changes() const { return changes_; }
  struct StartFile {
    std::string name;
    InodePtr inode;
    std::vector<std::byte> bytes;
  };
  const std::vector<StartFile>& start() const { return start_; }

  /// Puts a file on the disk, as if it had always been there.
  void put(const std::string& name, std::span<const std::byte> bytes) {
    const Aside aside;
    const InodePtr inode = make_inode();
    inode->put(0, bytes);
    names[name] = inode;
  }
  std::vector<std::byte> get(const std::string& name) const {
    const auto found = names.find(name);
    if (found == names.end()) return {};
    const auto bytes = found->second->bytes();
    return {bytes.begin(), bytes.end()};
  }
  bool has(const std::string& name) const { return names.count(name) != 0; }
  /// As a reboot leaves it: nothing is open, locked or mapped.
  void restart() {
    files.clear(), maps.clear();
    for (const auto& [name, inode] : names) inode->locked_by = -1;
  }

  // For fault_system.hpp.

  Names names = {};
  std::vector<OpenFile> files = {};
  int process = 1;
  bool remote = false;
  std::map<void*, std::pair<InodePtr, std::size_t>> maps = {};  // and how many mappings begin there

  InodePtr make_inode() {
    auto inode = std::make_shared<Inode>();
    inode->number = ++last_number_;
    return inode;
  }

  /// The error number of this call; 0: it goes well. A write that is to be short gets `take` cut.
  int begin(Call call, std::size_t* take = nullptr, const Inode* inode = nullptr) {
    ++calls_;
    if (!armed_ || !can_hit(kind_, call)) return 0;
    if (kind_ == Kind::interrupted && storm_ > 0) return --storm_ > 0 ? EINTR : 0;
    if (lie_ && call == Call::sync) return lie_ = false, 0;
    if (countdown_ > 0) return --countdown_, 0;
    if (hit_ && !for_ever_) return 0;
    hit_ = true;
    switch (kind_) {
      case Kind::enospc:
      case Kind::allocate_enospc:
        return ENOSPC;
      case Kind::interrupted:
        storm_ = for_ever_ ? 3 : 16;
        return EINTR;
      case Kind::short_one:
        *take = 1;
        return 0;
      case Kind::short_but_one:
        *take -= *take > 1;
        return 0;
      case Kind::sync_eio_then_ok:
        lie_ = true;
        lose(inode);
        return EIO;
      default:
        return EIO;
    }
  }
  void note(Change change) {
    if (recording_) changes_.push_back(std::move(change));
  }
  std::size_t calls() const { return calls_; }

 private:
  /// What was written since the last good sync is marked clean and never written.
  void lose(const Inode* inode) {
    for (auto change = changes_.rbegin(); change != changes_.rend(); ++change) {
      if (change->inode.get() != inode) continue;
      if (change->what == Change::sync) return;
      if (change->what == Change::write) change->lost = true;
    }
  }

  std::vector<Change> changes_;
  std::vector<StartFile> start_;
  std::size_t calls_ = 0, countdown_ = 0;
  std::uint64_t last_number_ = 0;
  int storm_ = 0;
  Kind kind_ = Kind::eio;
  bool recording_ = false, armed_ = false, for_ever_ = false, hit_ = false, lie_ = false;
};

}  // namespace fault

#endif
