// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_FRAME_LOG_HPP
#define RAG_DETAIL_FRAME_LOG_HPP
#include <rag/detail/batch_frame.hpp>
#include <rag/detail/store_format.hpp>
#include <rag/error.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

struct Frame {
  std::uint64_t offset = 0;
  FrameHeader header = {};
  std::string body = {};
};

/// The superblocks and the chain of frames of a file, read or written at one place: its end. Knows what is on
/// the disk and what is not yet; not what the frames mean.
template <class File>
class FrameLog {
 public:
  /// `where` begins the texts of errors: "FileStore: notes.rag".
  FrameLog(File file, std::string where, std::uint32_t life = 0)
      : file_(std::move(file)), where_(std::move(where)), life_(life) {}

  /// Writes the first superblock of an empty file, and syncs.
  void begin(const Superblock& first) {
    superblock_ = first;
    file_.allocate(0, first_frame);
    write_superblock();
    file_.sync();
    rewind();
  }

  /// Finds the newest superblock. Errors: invalid_format (another kind of file), unsupported (a newer format,
  /// another byte order), corrupt.
  void read_superblocks(bool to_write) {
    bool has_magic = false, found = false;
    for (std::uint64_t i = 0; i < 2; ++i) {
      if (file_.size() < (i + 1) * store_page) break;
      std::string page(store_page, '\0');
      file_.read(i * store_page, writable(page));
      const auto block = value_at<Superblock>(page, 0);
      if (!block.has_magic()) continue;
      has_magic = true;
      if (!Superblock::is_whole(page) && !is_foreign(block)) continue;
      if (!found || block.version > superblock_.version) superblock_ = block;
      found = true;
    }
    if (!found)
      throw Error(has_magic ? Errc::corrupt : Errc::invalid_format,
                  where_ + (has_magic ? ": damaged: both superblocks are" : ": not a file of FileStore"));
    if (superblock_.endian != store_endian)
      throw Error(Errc::unsupported, where_ + ": written in another byte order");
    if (superblock_.major != store_major || (to_write && superblock_.minor > store_minor))
      throw Error(Errc::unsupported, where_ + ": format " + std::to_string(store_major) + '.' +
                                         std::to_string(store_minor) + " wanted, " +
                                         std::to_string(superblock_.major) + '.' +
                                         std::to_string(superblock_.minor) + " met");
    rewind();
  }

  /// To the first frame.
  void rewind() {
    seed_ = superblock_.seed();
    end_ = first_frame;
    sequence_ = 0, synced_ = superblock_.sequence;
    chain_ = seed_;
    has_end_ = false;
  }

  /// To behind the newest checkpoint, whose header is given; its body is not read.
  Frame skip_to_checkpoint() {
    Frame frame;
    frame.offset = superblock_.checkpoint;
    const std::uint64_t size = file_.size();
    if (frame.offset < first_frame || frame.offset % frame_step != 0 || frame.offset > size ||
        size - frame.offset < sizeof frame.header)
      damaged(frame.offset, "the file ends before its checkpoint, at byte " + std::to_string(size));
    file_.read(frame.offset, writable(frame.header));
    if (!frame.header.is_whole(seed_, frame.offset) || frame.header.kind != FrameKind::checkpoint ||
        frame.header.next > size)
      damaged(frame.offset, "no checkpoint where the superblock says");
    accept(frame);
    has_end_ = false;
    return frame;
  }

  /// Reads a frame wherever it lies; false: its header or its body is not whole.
  bool read_at(std::uint64_t offset, Frame& frame) const {
    frame.offset = offset;
    const std::uint64_t size = file_.size();
    if (size < offset || size - offset < sizeof frame.header) return false;
    file_.read(offset, writable(frame.header));
    const FrameHeader& header = frame.header;
    if (!header.is_whole(seed_, offset) || header.next > size) return false;
    frame.body.resize(static_cast<std::size_t>(header.body));
    file_.read(offset + sizeof header, writable(frame.body));
    return crc32c(frame.body) == header.body_check;
  }
  /// Reads the frame at the end; false: none is there, or none that is whole.
  bool read_next(Frame& frame) const {
    return read_at(end_, frame) && frame.header.sequence == sequence_ + 1 && frame.header.chain == chain_;
  }
  void accept(const Frame& frame) {
    end_ = frame.header.next;
    sequence_ = frame.header.sequence;
    chain_ = frame.header.check;
    has_end_ = frame.header.kind == FrameKind::end;
    if (has_end_) last_ = frame;
  }

  /// Was a frame at the end promised to be on the disk? The superblock or a later frame says so.
  bool is_promised() const {
    if (sequence_ < superblock_.sequence) return true;
    bool promised = false;
    each_header(end_, [&](std::uint64_t, const FrameHeader& header) {
      promised = header.synced > sequence_;
      return !promised;
    });
    return promised;
  }

  /// use(offset, header) for each whole header from `begin` on, wherever it lies, until it gives false.
  template <class Use>
  void each_header(std::uint64_t begin, Use&& use) const {
    each_candidate(begin, [&](std::uint64_t offset, const FrameHeader& header) {
      return !header.is_whole(seed_, offset) || use(offset, header);
    });
  }
  /// The same for all that begins as a header does.
  template <class Use>
  void each_candidate(std::uint64_t begin, Use&& use) const {
    const std::uint64_t size = file_.size();
    std::string buffer(buffer_for(begin, size), '\0');
    while (begin < size && size - begin >= sizeof(FrameHeader)) {
      const auto count =
          static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), size - begin)) / 64 * 64;
      file_.read(begin, writable(buffer).first(count));
      for (std::size_t at = 0; at < count; at += frame_step)
        if (value_at<std::uint32_t>(buffer, at) == frame_magic &&
            !use(begin + at, value_at<FrameHeader>(buffer, at)))
          return;
      begin += count;
    }
  }
  /// For a file that has lost both superblocks.
  void set_seed(std::uint32_t seed) { seed_ = seed; }

  /// Reads a range, a piece at a time: use(offset, bytes).
  template <class Use>
  void each_part(std::uint64_t begin, std::uint64_t end, Use&& use) const {
    std::string buffer(buffer_for(begin, end), '\0');
    while (begin < end) {
      const auto bytes = writable(buffer).first(
          static_cast<std::size_t>(std::min<std::uint64_t>(buffer.size(), end - begin)));
      file_.read(begin, bytes);
      use(begin, std::span<const std::byte>(bytes));
      begin += bytes.size();
    }
  }
  /// Are the bytes of a piece as its batch wrote them?
  bool is_right(const CollectionInfo& info, const Piece& piece) const {
    std::uint32_t check = 0;
    for (const auto& [begin, end] : ranges_of(info, piece)) {
      if (end > file_.size()) return false;
      each_part(begin, end, [&](std::uint64_t, std::span<const std::byte> bytes) {
        check = crc32c(text_of(bytes), check);
      });
    }
    return check == piece.check;
  }

  /// Room on the disk up to `next`: what a full disk refuses is refused here.
  void reserve(std::uint64_t next) { file_.allocate(end_, next - end_); }

  /// Writes a frame, and what belongs to it, behind the end; nothing is changed until accept().
  Frame write(FrameKind kind, std::string_view body, std::uint64_t next, std::span<const PlacedBytes> placed,
              std::uint64_t time) {
    Frame frame;
    frame.offset = end_;
    frame.header = {frame_magic, kind,         sequence_ + 1, synced_, body.size(), next, time,
                    chain_,      crc32c(body), life_,         0};
    frame.header.check = frame.header.right_check(seed_);
    // Nobody heard whether the end frame of the session before is on the disk: it goes there with this one.
    if (has_end_) file_.write(last_.offset, bytes_of(last_.header));
    for (const PlacedBytes& part : placed) file_.write(part.offset, part.bytes);
    if (!body.empty()) file_.write(end_ + sizeof frame.header, bytes_of(body));
    file_.write(end_, bytes_of(frame.header));
    return frame;
  }
  /// All written is on the disk; the frame at the end, if it is given, with it.
  void sync(const Frame* frame = nullptr) {
    file_.sync();
    synced_ = frame != nullptr ? frame->header.sequence : sequence_;
  }

  /// What is before the end frame, which is the last, is on the disk; whether it is itself, nobody heard.
  void believe_end() { synced_ = sequence_ - 1; }
  /// Is the last frame one of kind end?
  bool has_end() const { return has_end_; }

  /// Writes the superblock in use to its page.
  void write_superblock() {
    const std::string page = superblock_.page();
    file_.write((superblock_.version + 1) % 2 * store_page, bytes_of(page));
  }

  /// Names a checkpoint that is on the disk; sync() has to follow. After an Error the superblock before stays
  /// in use.
  void name_checkpoint(std::uint64_t checkpoint, std::uint64_t time) {
    const Superblock before = superblock_;
    superblock_.sequence = synced_;
    superblock_.end = end_;
    superblock_.checkpoint = checkpoint;
    superblock_.time = time;
    ++superblock_.version;
    superblock_.minor = store_minor;
    try {
      write_superblock();
    } catch (...) {
      superblock_ = before;
      throw;
    }
  }

  File& file() { return file_; }
  const File& file() const { return file_; }
  const std::string& where() const { return where_; }
  const Superblock& superblock() const { return superblock_; }
  std::uint64_t end() const { return end_; }
  std::uint64_t sequence() const { return sequence_; }
  bool is_synced() const { return synced_ >= sequence_; }

  [[noreturn]] void damaged(std::uint64_t offset, const std::string& what) const {
    throw Error(Errc::corrupt, where_ + ": damaged at byte " + std::to_string(offset) + ": " + what +
                                   "; rag::salvage() copies what is whole");
  }

 private:
  static std::span<std::byte> writable(std::string& text) {
    return std::as_writable_bytes(std::span<char>(text.data(), text.size()));
  }
  static std::span<std::byte> writable(FrameHeader& header) {
    return std::as_writable_bytes(std::span<FrameHeader, 1>(&header, 1));
  }

  static std::size_t buffer_for(std::uint64_t begin, std::uint64_t end) {
    return begin < end ? static_cast<std::size_t>(std::min<std::uint64_t>(end - begin, 1 << 20)) : 0;
  }

  // Another format may have its checksum elsewhere.
  static bool is_foreign(const Superblock& block) {
    return block.endian == 0x04030201 || (block.endian == store_endian && block.major > store_major);
  }

  File file_;
  std::string where_;
  std::uint32_t life_;
  Superblock superblock_ = {};
  std::uint32_t seed_ = 0, chain_ = 0;
  std::uint64_t end_ = first_frame, sequence_ = 0, synced_ = 0;
  bool has_end_ = false;
  Frame last_ = {};  // where has_end_
};

}  // namespace detail
RAG_END
#endif
