// SPDX-License-Identifier: MIT
// Proves the harness before it judges a store: a log in miniature, written in the order of FileStore's file,
// loses nothing in any image of a power loss, and each of three bugs put into it is found.
#include <rag/detail/crc32c.hpp>

#include "fault_file.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

namespace {

using fault::FaultDisk;
using fault::FaultFile;

enum class Bug { none, no_row_checksum, acknowledge_before_sync, checkpoint_before_sync };

using Row = std::array<std::uint64_t, 150>;  // 1,200 bytes: a row lies in three sectors or four

/// Batch n holds three rows of the number n.
struct Batch {
  std::uint64_t number;
  std::array<Row, 3> rows;
  explicit Batch(std::uint64_t n = 0) : number(n) {
    for (Row& row : rows) row.fill(n * 1'000'003);
  }
};
struct Frame {
  std::uint64_t number, rows_checksum, checksum;
};
struct Head {
  std::uint64_t version, batches, checksum;
};

template <class T>
std::uint64_t checksum_of(const T& value, std::size_t size) {
  return rag::detail::crc32c({reinterpret_cast<const char*>(&value), size}) +
         std::uint64_t{1};  // of zeros: not zero
}
template <class T>
std::uint64_t check(const T& value) {
  return checksum_of(value, offsetof(T, checksum));
}

/// Two heads in turn, then batches of one size: rows, and the frame that covers them.
class MiniatureLog {
 public:
  static constexpr std::size_t head_room = 4096, first = 2 * head_room,
                               stride = sizeof(Batch::rows) + sizeof(Frame);

  explicit MiniatureLog(Bug bug) : bug_(bug), file_(FaultFile::open("log", FaultFile::Mode::write, "log")) {
    recover();
  }

  /// Both heads are there from the beginning, on the disk for good.
  static void create() {
    FaultFile file = FaultFile::open("log", FaultFile::Mode::create, "log");
    for (const std::uint64_t version : {0u, 1u}) write_head(file, version, 0);
    file.sync();
  }

  std::uint64_t batches() const { return batches_; }
  bool damaged() const { return damaged_; }
  const std::vector<Batch>& contents() const { return contents_; }

  void add(const Batch& batch) {
    const std::uint64_t at = first + batches_ * stride;
    Frame frame = {batch.number, checksum_of(batch.rows, sizeof batch.rows), 0};
    frame.checksum = check(frame);
    file_.write(at, std::as_bytes(std::span(batch.rows)));
    file_.write(at + sizeof batch.rows, std::as_bytes(std::span(&frame, 1)));
    if (bug_ != Bug::acknowledge_before_sync) file_.sync();
    ++batches_;
  }
  void checkpoint() {
    if (bug_ == Bug::acknowledge_before_sync) file_.sync();
    write_head(file_, ++version_, batches_);
    file_.sync();
  }
  /// A batch and the checkpoint that counts it.
  void add_with_checkpoint(const Batch& batch) {
    if (bug_ != Bug::checkpoint_before_sync) return add(batch), checkpoint();
    write_head(file_, ++version_, batches_ + 1);
    add(batch);
  }

 private:
  static void write_head(FaultFile& file, std::uint64_t version, std::uint64_t batches) {
    Head head = {version, batches, 0};
    head.checksum = check(head);
    file.write(version % 2 * head_room, std::as_bytes(std::span(&head, 1)));
  }
  template <class T>
  std::optional<T> read(std::uint64_t at) const {
    T value;
    if (file_.size() < at + sizeof value) return {};
    file_.read(at, std::as_writable_bytes(std::span(&value, 1)));
    return value;
  }

  void recover() {
    std::uint64_t promised = 0;
    for (const std::uint64_t slot : {0u, 1u})
      if (const auto head = read<Head>(slot * head_room);
          head && head->checksum == check(*head) && head->version >= version_)
        version_ = head->version, promised = head->batches;
    for (;; ++batches_) {
      const std::uint64_t at = first + batches_ * stride;
      const auto rows = read<std::array<Row, 3>>(at);
      const auto frame = read<Frame>(at + sizeof(Batch::rows));
      if (!rows || !frame || frame->checksum != check(*frame) || frame->number != batches_ + 1) break;
      if (bug_ != Bug::no_row_checksum && frame->rows_checksum != checksum_of(*rows, sizeof *rows)) break;
      Batch batch(frame->number);
      batch.rows = *rows;
      contents_.push_back(batch);
    }
    damaged_ = batches_ < promised;
    if (file_.size() > first + batches_ * stride) file_.truncate(first + batches_ * stride);
    file_.sync();
  }

  Bug bug_;
  FaultFile file_;
  std::uint64_t batches_ = 0, version_ = 0;
  std::vector<Batch> contents_ = {};
  bool damaged_ = false;
};

struct Verdict {
  std::uint64_t images = 0, lost = 0, wrong = 0, damaged = 0, further = 0;
};

/// Forty batches, every eighth with a checkpoint; every image of a power loss is opened and looked at.
Verdict judge(Bug bug) {
  FaultDisk disk;
  disk.use();
  MiniatureLog::create();
  disk.record();
  std::vector<std::size_t> acknowledged;  // the change after which batch i + 1 was promised
  {
    MiniatureLog log(bug);
    for (std::uint64_t n = 1; n <= 40; ++n) {
      if (n % 8 == 0)
        log.add_with_checkpoint(Batch(n));
      else
        log.add(Batch(n));
      acknowledged.push_back(disk.changes().size());
    }
  }
  Verdict verdict;
  verdict.images =
      fault::each_image(disk, {.samples = 64, .all_up_to = 64}, [&](FaultDisk&, std::size_t cut) {
        std::size_t promised = 0;
        while (promised < acknowledged.size() && acknowledged[promised] <= cut) ++promised;
        MiniatureLog log(bug);
        verdict.lost += log.batches() < promised;
        verdict.damaged += log.damaged();
        for (const Batch& batch : log.contents())
          if (batch.rows != Batch(batch.number).rows) {
            ++verdict.wrong;
            break;
          }
        const std::uint64_t next = log.batches() + 1;
        log.add(Batch(next));
        verdict.further += MiniatureLog(bug).batches() == next;
      });
  return verdict;
}

}  // namespace

TEST_CASE("a log in the store's order of writing loses no promised batch, and its seeded bugs are found") {
  const Verdict right = judge(Bug::none);
  CHECK(right.images >= 5'000);
  CHECK(right.lost == 0);
  CHECK(right.wrong == 0);
  CHECK(right.damaged == 0);
  CHECK(right.further == right.images);

  CHECK(judge(Bug::no_row_checksum).wrong > 100);
  CHECK(judge(Bug::acknowledge_before_sync).lost > 100);
  CHECK(judge(Bug::checkpoint_before_sync).damaged > 10);
}
