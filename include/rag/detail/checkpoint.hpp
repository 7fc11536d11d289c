// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_CHECKPOINT_HPP
#define RAG_DETAIL_CHECKPOINT_HPP
#include <rag/detail/collection_state.hpp>
#include <rag/detail/recovery.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

// The body of a checkpoint: a head with its own checksum, and tables that are searched where they lie.
// Opening reads the head alone; the tables' checksums are for check().

struct TableEntry {
  std::uint64_t offset = 0, entries = 0;
  std::uint32_t check = 0, zero = 0;
};
static_assert(sizeof(TableEntry) == 24);

using Keyed = std::pair<std::uint64_t, Slot>;

/// The living slots by key, ascending, those of the checkpoint and the newer ones.
RAG_LAZY std::vector<Keyed> merged_table(const CollectionState& state, const SlotTable& old,
                                         const SlotChains& fresh) {
  std::vector<Keyed> newer, all;
  for (std::size_t i = 0; i < fresh.keys().size(); ++i)
    if (state.lives(fresh.first() + i))
      newer.push_back({fresh.keys()[i], static_cast<Slot>(fresh.first() + i)});
  std::sort(newer.begin(), newer.end());
  all.reserve(old.size + newer.size());
  auto next = newer.begin();
  for (std::size_t i = 0; i < old.size; ++i) {
    const Keyed entry{old.keys[i], old.slots[i]};
    if (entry.second >= fresh.first())
      state.damaged(0, "a table of the checkpoint names a row that is not there");
    if (!state.lives(entry.second)) continue;
    while (next != newer.end() && *next < entry) all.push_back(*next++);
    all.push_back(entry);
  }
  all.insert(all.end(), next, newer.end());
  return all;
}

RAG_LAZY class BasicCheckpointWriter {
 public:
  explicit BasicCheckpointWriter(const CollectionStates& states) : states_(states) {
    body_.resize(round_up(2 * sizeof(std::uint32_t) + head().size(), frame_step));
    for (const auto& state : states_.list) {
      put_keyed(merged_table(*state, state->id_table, state->new_ids));
      put_keyed(merged_table(*state, state->source_table, state->new_sources));
      put_dead(*state);
    }
    const std::string bytes = head();
    const auto size = static_cast<std::uint32_t>(bytes.size());
    const std::uint32_t check = crc32c(bytes);
    std::memcpy(body_.data(), &size, 4);
    std::memcpy(body_.data() + 4, &check, 4);
    std::memcpy(body_.data() + 8, bytes.data(), bytes.size());
  }
  const std::string& body() const { return body_; }

 private:
  /// Of the same size whether the tables are known yet or not.
  std::string head() const {
    std::string out;
    append_value(out, states_.next_number);
    append_value(out, static_cast<std::uint32_t>(states_.list.size()));
    std::size_t table = 0;
    for (const auto& state : states_.list) {
      out += encode_create(state->info);
      append_value(out, state->next_id);
      for (const std::uint64_t value :
           {state->next_order, std::uint64_t{state->slots}, std::uint64_t{state->dead_count},
            state->record_bytes, std::uint64_t{state->extents.size()}})
        append_value(out, value);
      for (const Extent& extent : state->extents) {
        append_value(out, extent.offset);
        append_value(out, std::uint64_t{extent.capacity});
      }
      for (int i = 0; i < 3; ++i) append_value(out, table < tables_.size() ? tables_[table++] : TableEntry{});
    }
    return out;
  }

  void put_keyed(const std::vector<Keyed>& entries) {
    std::string bytes;
    bytes.reserve(entries.size() * 12);
    for (const Keyed& entry : entries) append_value(bytes, entry.first);
    for (const Keyed& entry : entries) append_value(bytes, entry.second);
    put(bytes, entries.size());
  }
  void put_dead(const CollectionState& state) {
    const std::size_t words = state.dead_count == 0 ? 0 : (state.slots + 63) / 64;
    put({reinterpret_cast<const char*>(state.dead.words()), words * 8}, words);
  }
  void put(std::string_view bytes, std::size_t entries) {
    tables_.push_back({body_.size(), entries, crc32c(bytes), 0});
    body_ += bytes;
    body_.resize(round_up(body_.size(), frame_step));
  }

  const CollectionStates& states_;
  std::string body_ = {};
  std::vector<TableEntry> tables_ = {};
};
using CheckpointWriter = BasicCheckpointWriter<>;

/// Reads the head of a checkpoint; the states' tables point into the map.
RAG_LAZY class BasicCheckpointReader {
 public:
  /// `frame`: the checkpoint's offset, `body` its bytes in the map of the file.
  BasicCheckpointReader(const std::byte* file, std::uint64_t file_size, std::uint64_t frame,
                        std::uint64_t body, std::string where)
      : file_(file),
        file_size_(file_size),
        frame_(frame),
        where_(std::move(where)),
        body_(reinterpret_cast<const char*>(file) + frame + sizeof(FrameHeader),
              static_cast<std::size_t>(body)) {}

  CollectionStates read(bool check_tables) {
    ByteReader outer(body_, where_, static_cast<std::size_t>(frame_ + sizeof(FrameHeader)));
    const auto size = outer.take<std::uint32_t>(), check = outer.take<std::uint32_t>();
    const std::string_view head = outer.take(size);
    if (crc32c(head) != check) outer.fail("the checksum of the checkpoint's head is wrong");
    ByteReader in(head, where_, static_cast<std::size_t>(frame_ + sizeof(FrameHeader) + 8));
    CollectionStates states;
    states.next_number = in.take<std::uint32_t>();
    const auto count = in.take<std::uint32_t>();
    for (std::uint32_t i = 0; i < count; ++i) {
      states.list.push_back(read_collection(in, check_tables));
      const std::uint32_t number = states.list.back()->info.number;
      if (number >= states.next_number || (i > 0 && number <= states.list[i - 1]->info.number))
        in.fail("collections out of order");
    }
    return states;
  }

 private:
  std::shared_ptr<CollectionState> read_collection(ByteReader& in, bool check_tables) {
    auto state = std::make_shared<CollectionState>();
    state->info = take_info(in);
    state->look_at(file_, file_size_, where_);
    state->next_id = in.take<Id>();
    state->next_order = in.take<std::uint64_t>();
    state->slots = in.take<std::uint64_t>();
    state->dead_count = in.take<std::uint64_t>();
    state->record_bytes = in.take<std::uint64_t>();
    if (state->slots > no_slot || state->dead_count > state->slots ||
        (state->slots > 0 && state->info.dimension == 0))
      in.fail("a collection of impossible size");
    read_extents(in, *state);
    const std::string_view ids = take_table(in, 12, state->size(), check_tables);
    state->id_table = keyed(ids, state->size());
    const std::string_view sources = take_table(in, 12, state->size(), check_tables);
    state->source_table = keyed(sources, state->size());
    const std::size_t words = state->dead_count == 0 ? 0 : (state->slots + 63) / 64;
    const std::string_view dead = take_table(in, 8, words, check_tables);
    state->dead = Bitmap(state->slots);
    if (words > 0) std::memcpy(state->dead.words(), dead.data(), dead.size());
    state->dead.resize(state->slots);
    if (state->dead.count() != state->dead_count) in.fail("another number of dead rows than it says");
    state->new_ids = SlotChains(state->slots);
    state->new_sources = SlotChains(state->slots);
    return state;
  }

  void read_extents(ByteReader& in, CollectionState& state) const {
    const auto count = in.take<std::uint64_t>();
    std::size_t slots = 0;
    std::uint64_t free = first_frame;  // extents don't overlap, so the file bounds the rows
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto offset = in.take<std::uint64_t>(), capacity = in.take<std::uint64_t>();
      if (!is_capacity(capacity) || slots >= state.slots || offset < free || offset % store_page != 0)
        in.fail("an impossible extent");
      Extent extent{file_ + offset, offset, static_cast<std::size_t>(capacity), slots};
      extent.used = std::min(extent.capacity, state.slots - slots);
      extent.layout = state.info.layout(extent.capacity);
      if (offset > frame_ || extent.layout.size > frame_ - offset) in.fail("an extent behind its checkpoint");
      slots += extent.used;
      free = offset + extent.layout.size;
      state.extents.push_back(extent);
    }
    if (slots != state.slots) in.fail("fewer extents than rows");
  }

  std::string_view take_table(ByteReader& in, std::size_t width, std::size_t wanted, bool check) const {
    const auto offset = in.take<std::uint64_t>(), entries = in.take<std::uint64_t>();
    const auto sum = in.take<std::uint32_t>();
    in.take<std::uint32_t>();
    if (entries != wanted || offset % frame_step != 0 || offset > body_.size() ||
        entries > (body_.size() - offset) / width)
      in.fail("a table that does not fit");
    const std::string_view bytes =
        body_.substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(entries) * width);
    if (check && crc32c(bytes) != sum) in.fail("the checksum of a table is wrong");
    return bytes;
  }
  static SlotTable keyed(std::string_view bytes, std::size_t size) {
    return {reinterpret_cast<const std::uint64_t*>(bytes.data()),
            reinterpret_cast<const Slot*>(bytes.data() + 8 * size), size};
  }

  const std::byte* file_;
  std::uint64_t file_size_, frame_;
  std::string where_;
  std::string_view body_;
};
using CheckpointReader = BasicCheckpointReader<>;

}  // namespace detail
RAG_END
#endif
