// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_POWER_LOSS_HPP
#define RAG_TESTS_STORE_POWER_LOSS_HPP
#include "fault_disk.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

// What a disk may hold after the power failed between two operations. What was synced is there. Of what was
// written since, each sector of 512 bytes that a write covers is there, or as it was, or zeros, or garbage,
// in any order; the file has any size that it had since its last sync; each change of the folder since its
// last sync is there or is not. Bytes that a write did not cover are never hurt by it, nor a sector that is
// written with the bytes that are on the disk.

namespace fault {

inline constexpr std::size_t sector = 512;
enum class Fate : unsigned char { kept, dropped, zeroed, garbage };

/// Draws what becomes of each thing that is open, in one of several tempers, since fair dice alone would
/// leave no image with a single sector hurt among many.
class Dice {
 public:
  explicit Dice(std::uint64_t seed)
      : random_(seed),
        temper_(below(6)),
        rare_(below(2) == 0 ? 6 : 50),
        bad_(static_cast<Fate>(1 + below(3))) {}

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  void next_write() { whole_ = below(2) == 0 ? Fate::kept : Fate::dropped; }
  Fate fate() {
    switch (temper_) {
      case 0:
        return static_cast<Fate>(below(4));
      case 1:
        return below(rare_) != 0 ? Fate::kept : static_cast<Fate>(1 + below(3));
      case 2:
        return below(rare_) != 0 ? bad_ : Fate::kept;
      case 3:
        return (fallen_ = fallen_ || below(rare_) == 0) ? bad_ : Fate::kept;
      case 4:
        return below(2) == 0 ? Fate::kept : Fate::dropped;
      default:
        return whole_;
    }
  }
  std::size_t option(std::size_t options) {
    return below(3) == 0 ? options - 1 : static_cast<std::size_t>(below(options));
  }
  void garbage(std::span<std::byte> bytes, std::span<const std::byte> stale) {
    if (below(2) == 0 && stale.size() >= bytes.size()) {  // what lay elsewhere in the file
      const std::size_t from =
          static_cast<std::size_t>(below((stale.size() - bytes.size()) / sector + 1)) * sector;
      std::copy_n(stale.begin() + static_cast<std::ptrdiff_t>(from), bytes.size(), bytes.begin());
      return;
    }
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random_());
  }

 private:
  std::mt19937_64 random_;
  std::uint64_t temper_, rare_;
  Fate bad_, whole_ = Fate::kept;
  bool fallen_ = false;
};

/// Counts through all choices of `fates` fates (2: kept and dropped alone, 4) and of the other options, whose
/// number is found on the way.
class Odometer {
 public:
  explicit Odometer(std::size_t fates) : fates_(fates) {}

  void next_write() {}
  Fate fate() { return static_cast<Fate>(option(fates_)); }
  std::size_t option(std::size_t options) {
    if (at_ == digits_.size()) digits_.push_back({0, options});
    return digits_[at_++].first;
  }
  void garbage(std::span<std::byte> bytes, std::span<const std::byte>) {
    std::fill(bytes.begin(), bytes.end(), std::byte{0xA5});
  }
  /// False after the last choice.
  bool advance() {
    at_ = 0;
    while (!digits_.empty() && ++digits_.back().first == digits_.back().second) digits_.pop_back();
    return !digits_.empty();
  }

 private:
  std::size_t fates_, at_ = 0;
  std::vector<std::pair<std::size_t, std::size_t>> digits_ = {};
};

class PowerLoss {
 public:
  /// What a disk recorded; it has to live longer. Begins before the first change.
  explicit PowerLoss(const FaultDisk& disk) : changes_(disk.changes()) {
    for (const FaultDisk::StartFile& file : disk.start()) {
      names_[file.name] = file.inode->number;
      files_[file.inode->number] = {file.bytes, {}};
    }
  }

  std::size_t cut() const { return cut_; }
  /// Goes on to the cut after one more change; false at the end.
  bool advance() {
    if (cut_ == changes_.size()) return false;
    const Change& change = changes_[cut_++];
    switch (change.what) {
      case Change::write:
      case Change::resize:
        files_[change.inode->number].open.push_back({&change, false});
        break;
      case Change::sync:
        settle(files_[change.inode->number]);
        break;
      case Change::folder_sync:
        for (const Change* entry : entries_) apply(*entry, names_);
        entries_.clear();
        break;
      default:
        if (change.inode) files_[change.inode->number];
        entries_.push_back(&change);
    }
    return true;
  }

  std::size_t open_sectors() const {
    std::size_t count = 0;
    for (const auto& [number, file] : files_)
      for (const Open& open : file.open)
        if (!open.settled && open.change->what == Change::write) count += sectors(*open.change);
    return count;
  }
  /// How many images there are when each sector has so many fates; at most 2^40.
  std::uint64_t images(std::size_t fates) const {
    double count = 1;
    for (std::size_t i = open_sectors(); i > 0 && count < 1e12; --i) count *= static_cast<double>(fates);
    for (std::size_t i = 0; i < entries_.size() && count < 1e12; ++i) count *= 2;
    for (const auto& [number, file] : files_) count *= static_cast<double>(sizes(file).size());
    return count < 1e12 ? static_cast<std::uint64_t>(count) : std::uint64_t{1} << 40;
  }

  /// Makes the disk that the choices say.
  template <class Choices>
  void make(Choices& choose, FaultDisk& disk) const {
    const Aside aside;
    disk.names.clear();
    disk.restart();
    std::map<std::string, std::uint64_t> names = names_;
    for (const Change* entry : entries_)
      if (choose.option(2) == 1) apply(*entry, names);
    std::map<std::uint64_t, InodePtr> made;
    for (const auto& [name, number] : names) {
      InodePtr& inode = made[number];
      if (!inode) inode = make_file(files_.at(number), choose, disk);
      disk.names[name] = inode;
    }
  }

 private:
  struct Open {
    const Change* change;
    bool settled;  // synced, but above a write that is lost
  };
  struct File {
    std::vector<std::byte> base = {};
    std::vector<Open> open = {};
  };

  static std::size_t sectors(const Change& change) {
    return change.bytes.empty()
               ? 0
               : (change.offset + change.bytes.size() - 1) / sector - change.offset / sector + 1;
  }

  /// The sizes that a file had since its last sync, and at which change it got each.
  static std::vector<std::pair<std::size_t, const Change*>> sizes(const File& file) {
    std::vector<std::pair<std::size_t, const Change*>> all = {{file.base.size(), nullptr}};
    for (const Open& open : file.open)
      if (open.settled)
        all = {{open.change->size_after, open.change}};
      else if (open.change->size_after != all.back().first)
        all.push_back({open.change->size_after, open.change});
    return all;
  }

  static void settle(File& file) {
    std::size_t done = 0;
    for (; done < file.open.size() && !file.open[done].change->lost; ++done) {
      const Change& change = *file.open[done].change;
      file.base.resize(change.size_after);
      if (change.what == Change::write)
        std::copy(change.bytes.begin(), change.bytes.end(),
                  file.base.begin() + static_cast<std::ptrdiff_t>(change.offset));
    }
    file.open.erase(file.open.begin(), file.open.begin() + static_cast<std::ptrdiff_t>(done));
    for (Open& open : file.open) open.settled = open.settled || !open.change->lost;
  }

  static void apply(const Change& change, std::map<std::string, std::uint64_t>& names) {
    if (change.what == Change::leave) names.erase(change.name);
    if (change.what == Change::enter) names[change.name] = change.inode->number;
    if (change.what == Change::rename) {
      names.erase(change.name);
      names[change.other] = change.inode->number;
    }
  }

  template <class Choices>
  static InodePtr make_file(const File& file, Choices& choose, FaultDisk& disk) {
    InodePtr inode = disk.make_inode();
    inode->put(0, file.base);
    const auto possible = sizes(file);
    const auto [size, last] = possible[choose.option(possible.size())];
    bool counts = last != nullptr;  // whether what is walked over came before the size chosen
    for (const Open& open : file.open) {
      const Change& change = *open.change;
      if (change.what == Change::resize) {
        if ((counts || open.settled) && change.size_after < inode->size) inode->resize(change.size_after);
      } else if (open.settled) {
        inode->put(change.offset, change.bytes);
      } else {
        put_sectors(change, choose, *inode, file.base);
      }
      counts = counts && open.change != last;
    }
    inode->resize(size);
    return inode;
  }

  /// On the disk, and not changed since.
  static bool is_there(std::size_t offset, std::span<const std::byte> bytes, Inode& inode,
                       const std::vector<std::byte>& base) {
    return offset + bytes.size() <= std::min(base.size(), inode.size) &&
           std::memcmp(base.data() + offset, bytes.data(), bytes.size()) == 0 &&
           std::memcmp(inode.area.data() + offset, bytes.data(), bytes.size()) == 0;
  }

  template <class Choices>
  static void put_sectors(const Change& change, Choices& choose, Inode& inode,
                          const std::vector<std::byte>& base) {
    choose.next_write();
    std::vector<std::byte> hurt;
    for (std::size_t begin = 0; begin < change.bytes.size();) {
      const std::size_t left = change.bytes.size() - begin;
      const std::size_t size = std::min(left, sector - (change.offset + begin) % sector);
      const std::span<const std::byte> bytes(change.bytes.data() + begin, size);
      const Fate fate = is_there(change.offset + begin, bytes, inode, base) ? Fate::kept : choose.fate();
      if (fate == Fate::kept) inode.put(change.offset + begin, bytes);
      if (fate == Fate::zeroed || fate == Fate::garbage) {
        hurt.assign(size, std::byte{0});
        if (fate == Fate::garbage) choose.garbage(hurt, base);
        inode.put(change.offset + begin, hurt);
      }
      begin += size;
    }
  }

  const std::vector<Change>& changes_;
  std::map<std::uint64_t, File> files_ = {};
  std::map<std::string, std::uint64_t> names_ = {};
  std::vector<const Change*> entries_ = {};
  std::size_t cut_ = 0;
};

struct Images {
  std::uint64_t samples = 64;  ///< drawn at a cut that has too many images
  std::uint64_t all_up_to =
      1 << 12;  ///< so many are all made: with 4 fates a sector, else kept and dropped, and samples
  std::uint64_t seed = 1;
};

/// Calls visit(image, cut) for what may be there after a power loss at each cut; the image is the current
/// disk. Gives the number of images.
template <class Visit>
std::uint64_t each_image(const FaultDisk& recorded, const Images& want, const Visit& visit) {
  FaultDisk* const before = FaultDisk::current();
  FaultDisk image;
  std::uint64_t count = 0;
  const auto show = [&](const PowerLoss& loss, auto& choices) {
    loss.make(choices, image);
    image.use();
    image.heal();
    ++count;
    visit(image, loss.cut());
  };
  PowerLoss loss(recorded);
  do {
    const std::size_t fates = loss.images(4) <= want.all_up_to ? 4 : 2;
    if (loss.images(fates) <= want.all_up_to) {
      Odometer choices(fates);
      do show(loss, choices);
      while (choices.advance());
      if (fates == 4) continue;
    }
    for (std::uint64_t i = 0; i < want.samples; ++i) {
      Dice choices(want.seed * 1'000'003 + loss.cut() * 4099 + i);
      show(loss, choices);
    }
  } while (loss.advance());
  FaultDisk::current() = before;
  return count;
}

}  // namespace fault

#endif
