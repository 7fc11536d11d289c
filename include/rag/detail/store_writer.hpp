// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_STORE_WRITER_HPP
#define RAG_DETAIL_STORE_WRITER_HPP
#include <rag/detail/batch_frame.hpp>
#include <rag/detail/checkpoint.hpp>
#include <rag/detail/fair_shared_mutex.hpp>
#include <rag/detail/frame_log.hpp>
#include <rag/detail/recovery.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>

RAG_BEGIN
namespace detail {

/// The log of a file and the snapshot that it stands for. Each change is written, synced if wanted, and then
/// shown, all or nothing. One thread changes at a time; readers hold `readers` meanwhile.
template <class File, class Clock>
class StoreWriter {
 public:
  explicit StoreWriter(FrameLog<File> log, FairSharedMutex* readers = nullptr)
      : log_(std::move(log)), readers_(readers), tail_(log_.end()), synced_at_(Clock::now()) {}

  /// Reads what the file holds: its newest checkpoint and what came after.
  void load(bool check_tables = false) {
    const std::uint64_t size = log_.file().size();
    const std::byte* map = log_.file().map(size);
    if (log_.superblock().checkpoint != 0) {
      const Frame frame = log_.skip_to_checkpoint();
      states_ = CheckpointReader(map, size, frame.offset, frame.header.body, log_.where()).read(check_tables);
    }
    tail_ = log_.end();
    torn_ = 0;
    follow(map, size);
  }
  /// Reads what came since.
  void follow() {
    const std::uint64_t size = log_.file().size();
    const std::byte* map = log_.file().map(size);
    follow(map, size);
  }

  /// After load(), before anything is written: cuts off what is not whole, and writes once more what nobody
  /// heard to be on the disk, the superblock too: the other page is the next to be written.
  /// False: there was nothing to do.
  bool repair() {
    if (log_.has_end() && torn_ == 0) return log_.believe_end(), false;
    log_.write_superblock();
    for (const auto& [begin, end] : touched_)
      log_.each_part(begin, end, [&](std::uint64_t offset, std::span<const std::byte> bytes) {
        log_.file().write(offset, bytes);
      });
    if (torn_ > 0) log_.file().truncate(log_.end());
    log_.sync();
    touched_ = {};
    return true;
  }

  void create(CollectionInfo info, bool sync) {
    auto state = std::make_shared<CollectionState>();
    state->info = std::move(info);
    state->look_at(nullptr, 0, log_.where());
    const std::string body = encode_create(state->info);
    // Room that an Error leaves behind is not seen.
    if (const auto lock = exclusive(); true) states_.list.reserve(states_.list.size() + 1);
    append(FrameKind::create, body, after(body), {}, sync, [&](const std::byte* map) {
      state->look_at(map, log_.end());
      states_.next_number = state->info.number + 1;
      states_.list.push_back(std::move(state));
    });
  }
  void drop(std::uint32_t number, bool sync) {
    std::string body;
    append_value(body, number);
    append_value(body, std::uint32_t{0});
    append(FrameKind::drop, body, after(body), {}, sync, [&](const std::byte*) { states_.drop(number); });
  }

  /// `expected`: how many rows will come, these among them.
  void write_batch(CollectionState& state, BatchChange change, const NewRows& rows, const Records& records,
                   std::size_t expected, bool sync) {
    const BatchFrame batch(state, std::move(change), rows, records, log_.end(), expected);
    if (const auto lock = exclusive(); true) state.prepare(batch.change);
    append(FrameKind::batch, batch.body, batch.next, batch.placed(), sync, [&](const std::byte* map) {
      state.look_at(map, log_.end());
      state.apply(batch.change);
    });
  }

  /// Writes what is there to be searched in place, so that the next opening reads nothing else.
  void checkpoint() {
    const CheckpointWriter writer(states_);
    const std::uint64_t offset = log_.end();
    append(FrameKind::checkpoint, writer.body(), after(writer.body()), {}, true, [](const std::byte*) {});
    const auto in_map =
        CheckpointReader(map_, log_.end(), offset, writer.body().size(), log_.where()).read(false);
    if (const auto lock = exclusive(); true)
      for (std::size_t i = 0; i < states_.list.size(); ++i) states_.list[i]->adopt(*in_map.list[i]);
    log_.name_checkpoint(offset, time());
    sync();
    tail_ = log_.end();
  }

  /// The last frame of a session.
  void end() {
    if (!log_.is_synced()) sync();
    append(FrameKind::end, {}, after({}), {}, true, [](const std::byte*) {});
  }

  void sync() {
    poisoning([&] { log_.sync(); });
    synced_at_ = Clock::now(), unsynced_ = 0;
  }
  /// Throws where a sync has failed: what is on the disk is known to nobody.
  void check_usable() const {
    if (poisoned_)
      throw Error(Errc::io,
                  log_.where() + ": the system failed to put earlier changes on the disk; open it anew");
  }
  bool is_poisoned() const { return poisoned_; }
  void poison() { poisoned_ = true; }

  void set_readers(FairSharedMutex* readers) { readers_ = readers; }

  FrameLog<File>& log() { return log_; }
  const FrameLog<File>& log() const { return log_; }
  CollectionStates& states() { return states_; }
  const CollectionStates& states() const { return states_; }
  std::uint64_t tail_bytes() const { return log_.end() - tail_; }
  std::uint64_t torn_bytes() const { return torn_; }
  std::size_t unsynced_bytes() const { return unsynced_; }
  std::chrono::milliseconds synced_at() const { return synced_at_; }
  /// Where the file's bytes are mapped.
  const std::byte* map() const { return map_; }

 private:
  std::unique_lock<FairSharedMutex> exclusive() const {
    return readers_ != nullptr ? std::unique_lock(*readers_) : std::unique_lock<FairSharedMutex>();
  }
  std::uint64_t time() const { return static_cast<std::uint64_t>(Clock::now().count()); }
  std::uint64_t after(std::string_view body) const {
    return round_up(log_.end() + sizeof(FrameHeader) + body.size(), frame_step);
  }

  void follow(const std::byte* map, std::uint64_t size) {
    Replay<File> replay(log_, states_, map, size);
    const auto show = [&] {
      for (const auto& state : states_.list) state->look_at(map, log_.end());
      map_ = map;
    };
    try {
      replay.run();
    } catch (...) {
      show();
      throw;
    }
    show();
    torn_ = size - std::min(size, log_.end());
    touched_ = replay.touched();
  }

  /// show(map) is called when the frame counts, and may not throw.
  template <class Show>
  void append(FrameKind kind, std::string_view body, std::uint64_t next, std::span<const PlacedBytes> placed,
              bool sync, Show&& show) {
    check_usable();
    if (next > largest_file)
      throw Error(Errc::io,
                  log_.where() + ": at most 2^47 bytes wanted, " + std::to_string(next) + " needed");
    log_.reserve(next);
    const std::byte* map = log_.file().map(next);
    const Frame frame = log_.write(kind, body, next, placed, time());
    if (sync) {
      poisoning([&] { log_.sync(&frame); });
      synced_at_ = Clock::now(), unsynced_ = 0;
    } else {
      unsynced_ += static_cast<std::size_t>(next - frame.offset);
    }
    const auto lock = exclusive();
    log_.accept(frame);
    map_ = map;
    show(map);
  }

  template <class Work>
  void poisoning(Work&& work) {
    try {
      work();
    } catch (...) {
      poisoned_ = true;
      throw;
    }
  }

  FrameLog<File> log_;
  CollectionStates states_ = {};
  FairSharedMutex* readers_;
  const std::byte* map_ = nullptr;
  std::uint64_t tail_, torn_ = 0;
  FileRanges touched_ = {};
  std::atomic<bool> poisoned_ = false;
  std::size_t unsynced_ = 0;
  std::chrono::milliseconds synced_at_;
};

}  // namespace detail
RAG_END
#endif
