// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_STORE_CORE_HPP
#define RAG_DETAIL_STORE_CORE_HPP
#include <rag/detail/compaction.hpp>
#include <rag/detail/fair_shared_mutex.hpp>
#include <rag/detail/file_identity.hpp>
#include <rag/detail/store_check.hpp>
#include <rag/detail/store_options.hpp>
#include <rag/detail/store_writer.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <string>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// An open file of collections, shared by all that look into it. Any number of threads read while one
/// changes; changes wait for one another.
template <class File, class Clock, class Random>
class StoreCore {
 public:
  using Writer = StoreWriter<File, Clock>;

  StoreCore(std::string path, StoreOptions options)
      : path_(std::move(path)),
        where_("FileStore: " + path_),
        options_(std::move(options)),
        place_(writes() ? File::resolved(path_) : path_),
        process_(File::process()) {
    writer_ = writes() ? open_to_write() : open_to_read();
  }
  StoreCore(const StoreCore&) = delete;
  StoreCore& operator=(const StoreCore&) = delete;
  ~StoreCore() {
    try {
      close();
    } catch (...) {  // what each call promised is on the disk
    }
  }

  bool writes() const { return options_.access == Access::write; }
  const StoreOptions& options() const { return options_; }
  const std::string& path() const { return path_; }
  const std::string& where() const { return where_; }

  /// work(states) on a snapshot that stays while it runs.
  template <class Work>
  auto read(Work&& work) const {
    const std::shared_lock lock(readers_);
    // Another program may have cut the file short: a touch behind its end would kill the process.
    if (writer_->log().file().size() < writer_->log().end())
      writer_->log().damaged(writer_->log().file().size(), "another program has cut the file short");
    return work(static_cast<const CollectionStates&>(writer_->states()));
  }

  /// Within read(): how often this file was exchanged for one written anew, in which all lies elsewhere.
  std::uint64_t epoch() const { return epoch_; }

  /// work(writer, sync) alone among changes; `sync`: whether its frames have to be on the disk when it
  /// returns.
  template <class Work>
  auto change(Work&& work) {
    const std::lock_guard lock(changing_);
    check_writable();
    keep_name();
    auto result = work(*writer_, is_sync_due());
    changed_ = true;
    tend();
    return result;
  }

  void flush() {
    const std::lock_guard lock(changing_);
    check_writable();
    if (!writer_->log().is_synced()) writer_->sync();
  }
  void checkpoint() {
    const std::lock_guard lock(changing_);
    check_writable();
    keep_name();
    changed_ = true;
    if (writer_->tail_bytes() > 0) writer_->checkpoint();
  }
  void compact() {
    const std::lock_guard lock(changing_);
    check_writable();
    compact_file();
  }

  /// A reader sees what was written since; false: nothing.
  bool refresh() {
    const std::lock_guard lock(changing_);
    if (writes()) return false;
    const FileIdentity now = File::identity_of(place_, who);
    if (now == FileIdentity{}) throw Error(Errc::not_found, where_ + " is not there any more");
    if (now != writer_->log().file().identity()) {
      auto fresh = open_to_read();
      const std::unique_lock lock_readers(readers_);
      writer_.swap(fresh), ++epoch_;
      return true;
    }
    const std::unique_lock lock_readers(readers_);
    const std::uint64_t before = writer_->log().end();
    writer_->follow();
    return writer_->log().end() != before;
  }

  StoreReport check() const {
    const std::lock_guard lock(changing_);
    return check_file(File::open(place_, File::Mode::read, who), where_);
  }
  std::uint64_t recovered_bytes() const { return recovered_; }
  std::uint64_t file_bytes() const {
    const std::shared_lock lock(readers_);
    return writer_->log().end();
  }

 private:
  static constexpr const char *who = "FileStore", *creating = ".rag-new", *compacting = ".rag-compacted";
  static constexpr std::uint64_t checkpoint_after = 64u << 20, compact_after = 1u << 20,
                                 end_checkpoint_after = 64u << 10;

  std::unique_ptr<Writer> open_to_read() {
    FrameLog<File> log(File::open(place_, File::Mode::read, who), where_);
    log.read_superblocks(false);
    verify();
    auto writer = std::make_unique<Writer>(std::move(log), &readers_);
    writer->load();
    recovered_ = writer->torn_bytes();
    return writer;
  }

  std::unique_ptr<Writer> open_to_write() {
    const auto life = static_cast<std::uint32_t>(Random::number());
    for (int tries = 0; tries < 100; ++tries) {
      if (!is_there() && !make_file(life)) continue;
      File file = File::open(place_, File::Mode::write, who);
      if (file.is_remote() && !options_.allows_network)
        throw Error(Errc::unsupported,
                    where_ +
                        ": a file of this machine wanted, or allows_network: the locks of a "
                        "network's file system are not to be relied on");
      if (!file.try_lock()) throw Error(Errc::busy, where_ + " is open for writing elsewhere");
      if (file.identity() != File::identity_of(place_, who)) continue;  // compacted just now
      FrameLog<File> log(std::move(file), where_, life);
      log.read_superblocks(true);
      verify();
      File::remove(place_ + compacting);  // what a crash left
      File::remove(place_ + creating);
      auto writer = std::make_unique<Writer>(std::move(log), &readers_);
      writer->load();
      recovered_ = writer->torn_bytes();
      // A session that closed well had made sure of the name.
      name_is_kept_ = writer->log().has_end();
      changed_ = writer->repair();
      return writer;
    }
    throw Error(Errc::busy, where_ + " is replaced again and again");
  }

  /// Makes a new file, whole or not at all; false: another was faster.
  bool make_file(std::uint32_t life) {
    const std::string name = place_ + creating;
    if (File::identity_of(name, who) != FileIdentity{}) {  // another makes it, or a crash left it
      const std::optional<File> left = open_alone(name, File::Mode::write);
      if (!left) return false;
      File::remove(name);
    }
    std::optional<File> file = open_alone(name, File::Mode::create);
    if (!file) return false;
    try {
      FrameLog<File> log(std::move(*file), where_, life);
      log.begin(first_superblock());
      const bool made = take_name(name);
      if (!made) File::remove(name);
      return made;
    } catch (...) {
      File::remove(name);
      throw;
    }
  }
  /// Opens what is to become the file, or is left of it, and locks it, so that no one else takes its name away; nothing:
  /// another has made or removed it just now.
  std::optional<File> open_alone(const std::string& name, typename File::Mode mode) const {
    std::optional<File> file;
    try {
      file.emplace(File::open(name, mode, who));
    } catch (const Error& error) {
      if (error.code() == (mode == File::Mode::create ? Errc::busy : Errc::not_found)) return {};
      throw;
    }
    if (!file->try_lock()) throw Error(Errc::busy, where_ + " is made elsewhere");
    if (file->identity() != File::identity_of(name, who)) return {};
    return file;
  }
  bool take_name(const std::string& name) const {
    try {
      const bool taken = File::rename_new(name, place_, who);
      if (!taken && !is_there()) throw Error(Errc::not_found, where_ + ": a link to a file that is not there");
      return taken;
    } catch (const Error& error) {
      if (error.code() == Errc::not_found && is_there()) return false;  // who was faster has cleaned up
      throw;
    }
  }
  bool is_there() const { return File::identity_of(place_, who) != FileIdentity{}; }
  static Superblock first_superblock() {
    Superblock block;
    block.uuid[0] = Random::number(), block.uuid[1] = Random::number();
    block.version = 1;
    block.time = static_cast<std::uint64_t>(Clock::now().count());
    return block;
  }

  void verify() const {
    if (!options_.verify) return;
    const StoreReport report = check_file(File::open(place_, File::Mode::read, who), where_);
    if (!report.clean()) throw Error(Errc::corrupt, report.problems.front());
  }

  void check_writable() const {
    if (!writes()) throw Error(Errc::unsupported, where_ + " is open for reading alone");
    if (process_ != File::process())
      throw Error(Errc::unsupported,
                  where_ + " was opened by the process that this one was forked from, and is its own");
    writer_->check_usable();
  }

  /// Nothing is promised before the file's name is on the disk: whoever gave it may have failed to see to
  /// that.
  void keep_name() {
    if (name_is_kept_) return;
    File::sync_folder(place_, who);
    name_is_kept_ = true;
  }

  bool is_sync_due() const {
    if (options_.durability == Durability::each_batch) return true;
    const auto waited = Clock::now() - writer_->synced_at();
    return writer_->unsynced_bytes() >= options_.sync_bytes || waited >= options_.sync_after ||
           waited.count() < 0;
  }

  /// What keeps the file in order after a change. That change is made, so what fails here is not its Error:
  /// it is tried again later.
  void tend() noexcept {
    if (writer_->log().end() < not_before_) return;
    try {
      const std::uint64_t tables = table_bytes(writer_->states());
      if (options_.compacts && writer_->log().end() > compact_after &&
          living_bytes(writer_->states()) + tables < writer_->log().end() / 2)
        compact_file();
      else if (writer_->tail_bytes() > std::max(checkpoint_after, 8 * tables))
        writer_->checkpoint();
    } catch (...) {
      not_before_ = writer_->log().end() + writer_->log().end() / 4;
    }
  }

  void compact_file() {
    const std::string name = place_ + compacting;
    std::unique_ptr<Writer> fresh = compacted<File, Clock>(
        *writer_, name, where_, static_cast<std::uint32_t>(Random::number()), &readers_);
    std::string name_then = place_;
    try {
      File::rename(name, place_, who);
    } catch (...) {
      // Whoever opens the path now must find the file that is written to.
      if (!is_at_path(*writer_)) writer_->poison();
      File::remove(name);
      throw;
    }
    fresh->log().file().call(std::move(name_then));
    changed_ = true;
    bool kept = false;
    std::exception_ptr problem;
    try {
      File::sync_folder(place_, who);
      kept = true;
    } catch (...) {
      problem = std::current_exception();
    }
    const std::unique_lock lock(readers_);
    writer_.swap(fresh), ++epoch_;
    name_is_kept_ = kept;
    if (!kept) {  // after a power loss the path may mean either file
      writer_->poison();
      std::rethrow_exception(problem);
    }
  }

  bool is_at_path(const Writer& writer) const {
    try {
      return File::identity_of(place_, who) == writer.log().file().identity();
    } catch (const Error&) {
      return false;
    }
  }

  void close() {
    if (!writer_ || !writes() || !changed_ || process_ != File::process() || writer_->is_poisoned()) return;
    keep_name();
    if (writer_->tail_bytes() > std::max(end_checkpoint_after, table_bytes(writer_->states()) / 16))
      writer_->checkpoint();
    if (!writer_->log().has_end()) writer_->end();
  }

  std::string path_, where_;
  StoreOptions options_;
  std::string place_;  // of the file, whatever becomes of links and of the folder that the process is in
  std::uint64_t process_, not_before_ = 0;
  std::atomic<std::uint64_t> recovered_ = 0;
  bool changed_ = false, name_is_kept_ = false;
  mutable std::mutex changing_;
  mutable FairSharedMutex readers_;
  std::uint64_t epoch_ = 0;
  std::unique_ptr<Writer> writer_;
};

}  // namespace detail
RAG_END
#endif
