// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_VECTOR_CACHE_HPP
#define RAG_DETAIL_VECTOR_CACHE_HPP
#include <rag/detail/bytes.hpp>
#include <rag/detail/crc32c.hpp>
#include <rag/detail/file.hpp>
#include <rag/detail/hash.hpp>
#include <rag/detail/mapped_file.hpp>
#include <rag/types.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

RAG_BEGIN
namespace detail {

/// Stands for a model and a text: 128 bits of both, and the bytes of the text.
struct VectorKey {
  std::uint64_t low = 0, high = 0, length = 0;

  VectorKey(std::string_view model, std::string_view kind, std::string_view text) : length(text.size()) {
    const ContentHash hash = ContentHash().add(model).add(kind).add(text);
    low = hash.low;
    high = hash.high;
  }
  bool operator==(const VectorKey&) const = default;

  struct Hash {
    std::size_t operator()(const VectorKey& key) const { return static_cast<std::size_t>(key.low); }
  };
};

/// A file that vectors are appended to, each found by its key. One user at a time.
///
///   header  magic "ragcache", u32 version, u32 0x01020304
///   record  u32 mark, u32 CRC-32C of what follows, key (3 x u64), u64 columns, columns x fp32; all little-endian
RAG_LAZY class BasicVectorCache {
 public:
  using Key = VectorKey;
  struct Place {
    std::size_t offset = 0;  ///< of the record
    std::size_t columns = 0;
  };

  /// Makes the file where there is none. A record that a kill left unfinished at the end is cut off.
  explicit BasicVectorCache(const std::string& path)
      : what_("CachedEmbedder: " + path),
        file_("CachedEmbedder", path, O_RDWR | O_CREAT) {
    if (::flock(file_.descriptor(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) file_.fail();
      throw Error(Errc::io, what_ + ": in use by another process or another CachedEmbedder");
    }
    const MappedFile file(path, "CachedEmbedder");
    const std::string_view bytes = file.bytes();
    read_header(bytes);
    if (end_ == 0) {
      write_at_end(header());
    } else {
      read_records(bytes);
      if (end_ < bytes.size()) cut(end_);
    }
  }

  const Place* find(const VectorKey& key) const {
    const auto found = places_.find(key);
    return found == places_.end() ? nullptr : &found->second;
  }

  /// Reads the vector at a place; row.size() is its columns.
  void read(const VectorKey& key, const Place& place, std::span<float> row) const {
    std::string record(head_size + row.size_bytes(), '\0');
    std::size_t filled = 0;
    while (filled < record.size()) {
      const ssize_t count = ::pread(file_.descriptor(), record.data() + filled, record.size() - filled,
                                    static_cast<off_t>(place.offset + filled));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) file_.fail();
      if (count == 0) break;
      filled += static_cast<std::size_t>(count);
    }
    const Record found = parse(std::string_view(record).substr(0, filled));
    if (found.size != record.size() || !(found.key == key))
      throw Error(Errc::corrupt, what_ + ": the record at byte " + std::to_string(place.offset) +
                                     " was changed while the file was in use");
    std::memcpy(row.data(), record.data() + head_size, row.size_bytes());
  }

  /// Appends row i for keys[i]: all or, on an Error, none.
  void append(std::span<const VectorKey> keys, const Matrix& vectors) {
    std::string records;
    places_.reserve(places_.size() + keys.size());
    std::vector<Place> places;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      places.push_back({end_ + records.size(), vectors.columns()});
      put_record(records, keys[i], vectors.row(i));
    }
    write_at_end(records);
    for (std::size_t i = 0; i < keys.size(); ++i) places_.insert_or_assign(keys[i], places[i]);
  }

  const std::string& what() const { return what_; }

 private:
  static constexpr std::uint32_t mark = 0x43455652;
  static constexpr std::uint32_t version = 1;
  static constexpr std::size_t head_size = 40, checked_from = 8;

  struct Record {
    std::size_t size = 0;  // 0: not a record
    std::size_t columns = 0;
    VectorKey key{"", "", ""};
  };

  static std::string header() {
    ByteWriter out;
    for (const char c : std::string_view("ragcache")) out.put(c);
    out.put(version);
    out.put(std::uint32_t{0x01020304});
    return out.bytes();
  }

  static void put_record(std::string& records, const VectorKey& key, std::span<const float> row) {
    ByteWriter checked, head;
    for (const std::uint64_t part : {key.low, key.high, key.length, std::uint64_t{row.size()}}) checked.put(part);
    head.put(mark);
    head.put(crc32c(as_bytes(row), crc32c(checked.bytes())));
    records.append(head.bytes()).append(checked.bytes()).append(as_bytes(row));
  }

  // The record that `bytes` begin with.
  static Record parse(std::string_view bytes) {
    if (bytes.size() < head_size) return {};
    std::uint32_t head[2];
    std::uint64_t parts[4];
    std::memcpy(head, bytes.data(), sizeof head);
    std::memcpy(parts, bytes.data() + checked_from, sizeof parts);
    if (head[0] != mark || parts[3] > (bytes.size() - head_size) / sizeof(float)) return {};
    Record record;
    record.columns = static_cast<std::size_t>(parts[3]);
    record.size = head_size + record.columns * sizeof(float);
    if (head[1] != crc32c(bytes.substr(checked_from, record.size - checked_from))) return {};
    record.key.low = parts[0], record.key.high = parts[1], record.key.length = parts[2];
    return record;
  }

  void read_header(std::string_view bytes) {
    const std::string wanted = header();
    if (wanted.starts_with(bytes.substr(0, wanted.size()))) {
      end_ = bytes.size() < wanted.size() ? 0 : wanted.size();  // a kill may have cut even the header short
      return;
    }
    if (!bytes.starts_with("ragcache")) throw Error(Errc::invalid_format, what_ + ": not a file of CachedEmbedder");
    throw Error(Errc::unsupported, what_ + ": format " + std::to_string(version) +
                                       " wanted, another one (or another byte order) met at byte 8");
  }

  // An unfinished end has no record behind it; damage has.
  void read_records(std::string_view bytes) {
    while (end_ < bytes.size()) {
      const Record record = parse(bytes.substr(end_));
      if (record.size == 0) break;
      places_.insert_or_assign(record.key, Place{end_, record.columns});
      end_ += record.size;
    }
    const std::string_view sign(reinterpret_cast<const char*>(&mark), sizeof mark);
    for (std::size_t at = bytes.find(sign, end_); at != std::string_view::npos; at = bytes.find(sign, at + 1))
      if (parse(bytes.substr(at)).size != 0)
        throw Error(Errc::corrupt, what_ + ": the record at byte " + std::to_string(end_) +
                                       " is damaged, later ones are not; delete the file to begin a new one");
  }

  void write_at_end(const std::string& bytes) {
    try {
      if (::lseek(file_.descriptor(), static_cast<off_t>(end_), SEEK_SET) < 0) file_.fail();
      file_.write(bytes);
    } catch (...) {
      static_cast<void>(::ftruncate(file_.descriptor(), static_cast<off_t>(end_)));
      throw;
    }
    end_ += bytes.size();
  }

  void cut(std::size_t size) {
    if (::ftruncate(file_.descriptor(), static_cast<off_t>(size)) != 0) file_.fail();
  }

  std::string what_;
  FileHandle file_;
  std::size_t end_ = 0;  // of the last whole record
  std::unordered_map<VectorKey, Place, VectorKey::Hash> places_;
};

}  // namespace detail
RAG_END
#endif
