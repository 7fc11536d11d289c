// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_SALVAGE_HPP
#define RAG_STORE_SALVAGE_HPP
#include <rag/detail/salvage_scan.hpp>
#include <rag/store/file.hpp>

#include <algorithm>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

RAG_BEGIN

/// What salvage() met.
struct SalvageReport {
  std::size_t frames = 0;       ///< that are whole
  std::size_t lost_frames = 0;  ///< that are not; what they added is gone, and what they took out may be back
  std::size_t rows = 0;         ///< written to the new file
  std::size_t lost_rows = 0;    ///< of frames that are whole, but with damaged rows
};

namespace detail {

/// The rows that go into the new file: of two with one id the newer, in order of insertion.
RAG_LAZY std::vector<WholeRow> rows_in_order(const SalvagedCollection& collection) {
  std::map<Id, WholeRow> newest;
  for (const auto& [slot, row] : collection.rows)
    if (row.id >= 0) newest[row.id] = row;
  std::vector<WholeRow> rows;
  for (const auto& [id, row] : newest) rows.push_back(row);
  std::sort(rows.begin(), rows.end(), [](const WholeRow& a, const WholeRow& b) {
    return a.order != b.order ? a.order < b.order : a.id < b.id;
  });
  return rows;
}

template <class File, class Store>
std::size_t copy_rows(const FrameLog<File>& log, const SalvagedCollection& collection, Store target) {
  const std::vector<WholeRow> rows = rows_in_order(collection);
  const auto dimension = static_cast<std::size_t>(collection.info.dimension);
  for (std::size_t begin = 0; begin < rows.size();) {
    std::vector<Chunk> chunks;
    std::vector<float> values;
    for (std::size_t bytes = 0; begin < rows.size() && bytes < (std::size_t{8} << 20); ++begin) {
      std::uint32_t head[2] = {};
      log.file().read(rows[begin].record, std::as_writable_bytes(std::span(head)));
      std::string text(head[0], '\0');
      log.file().read(rows[begin].record + record_head,
                      std::as_writable_bytes(std::span(text.data(), text.size())));
      ByteReader in(text, log.where(), static_cast<std::size_t>(rows[begin].record));
      chunks.push_back(take_chunk(in));
      values.resize(values.size() + dimension);
      log.file().read(rows[begin].values, std::as_writable_bytes(std::span(values).last(dimension)));
      bytes += text.size() + dimension * sizeof(float);
    }
    Matrix vectors(chunks.size(), dimension);
    std::copy(values.begin(), values.end(), vectors.data());
    target.add(chunks, vectors);
  }
  return rows.size();
}

}  // namespace detail

/// Copies what is whole in a damaged file to a new one, `to`, which must not be there, and is not after an Error. The
/// damaged file is only read.
///
///     rag::SalvageReport report = rag::salvage("notes.rag", "notes-salvaged.rag");
template <class File = DiskFile, class Clock = SystemClock, class Random = SystemRandom>
SalvageReport salvage(const std::string& from, const std::string& to) {
  if (File::identity_of(to, "salvage") != FileIdentity{})
    throw Error(Errc::io, "salvage: " + to + " is there already");
  detail::FrameLog<File> log(File::open(from, File::Mode::read, "salvage"), "salvage: " + from);
  detail::SalvageScan<File> scan(log);
  scan.run();
  SalvageReport report{scan.frames, scan.lost_frames, 0, scan.lost_rows};
  try {
    BasicFileCollections<File, Clock, Random> target(to, {.durability = Durability::batched});
    for (const auto& [number, collection] : scan.collections) {
      const std::string name =
          collection.is_known ? collection.info.name : "salvaged-" + std::to_string(number);
      auto store = target.create(name, {.dimension = static_cast<std::size_t>(collection.info.dimension),
                                        .metric = AnyMetric::of(collection.info.metric),
                                        .embedder = collection.info.embedder});
      report.rows += detail::copy_rows(log, collection, store);
    }
    target.checkpoint();
  } catch (...) {
    File::remove(to);
    throw;
  }
  return report;
}

RAG_END
#endif
