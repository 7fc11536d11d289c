// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_PIECE_TRIE_HPP
#define RAG_DETAIL_PIECE_TRIE_HPP
#include <rag/error.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// Texts and their numbers, walked byte by byte. The steps stand in one table of open addressing.
RAG_LAZY class BasicPieceTrie {
 public:
  using Node = std::uint32_t;
  static constexpr Node root = 0;
  static constexpr Node nowhere = 0;  ///< what step() gives where there is no such text: no step leads to the root
  static constexpr std::int32_t none = -1;

  /// With more than `most_nodes` the trie is refused: that bounds its memory to 40 bytes a node.
  explicit BasicPieceTrie(std::size_t most_nodes = 1 << 16) : most_(most_nodes < most ? most_nodes : most) {}

  /// The nodes that a file of so many bytes may ask for.
  static constexpr std::size_t nodes_of(std::size_t file_size) { return (3 * file_size + (48u << 20)) / 40; }

  /// A text that is there already gets the new number. False if the trie is full.
  bool add(std::string_view text, std::int32_t id) {
    Node node = root;
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      Node next = step(node, byte);
      if (next == nowhere) {
        if (ids_.size() >= most_) return false;
        next = static_cast<Node>(ids_.size());
        ids_.push_back(none);
        if (node == root)
          first_[byte] = next;
        else
          insert(node << 8 | byte, next);
      }
      node = next;
    }
    ids_[node] = id;
    longest_ = text.size() > longest_ ? text.size() : longest_;
    return true;
  }

  Node step(Node node, unsigned char byte) const {
    if (node == root) return first_[byte];
    if (slots_.empty()) return nowhere;
    const std::uint32_t key = node << 8 | byte;
    std::size_t at = place(key);
    while (slots_[at].child != nowhere && slots_[at].key != key) at = (at + 1) & (slots_.size() - 1);
    return slots_[at].child;
  }

  /// The number of the text that ends at a node, or none.
  std::int32_t id(Node node) const { return ids_[node]; }

  std::int32_t find(std::string_view text, Node node = root) const {
    for (const char c : text) {
      node = step(node, static_cast<unsigned char>(c));
      if (node == nowhere) return none;
    }
    return ids_[node];
  }

  /// The node that a text leads to.
  Node walk(std::string_view text) const {
    Node node = root;
    for (const char c : text)
      if ((node = step(node, static_cast<unsigned char>(c))) == nowhere) break;
    return node;
  }

  std::size_t longest() const { return longest_; }  ///< in bytes
  bool empty() const { return ids_.size() == 1; }

 private:
  static constexpr std::size_t most = std::size_t{1} << 24;

  struct Slot {
    std::uint32_t key = 0;
    Node child = nowhere;
  };

  std::size_t place(std::uint32_t key) const {
    return static_cast<std::size_t>(key * std::uint64_t{0x9E3779B97F4A7C15} >> 32) & (slots_.size() - 1);
  }

  void insert(std::uint32_t key, Node child) {
    if (4 * (used_ + 1) > 3 * slots_.size()) {
      std::vector<Slot> old(slots_.empty() ? 64 : 2 * slots_.size());
      std::swap(old, slots_);
      for (const Slot& slot : old)
        if (slot.child != nowhere) put(slot);
    }
    ++used_;
    put({key, child});
  }

  void put(const Slot& slot) {
    std::size_t at = place(slot.key);
    while (slots_[at].child != nowhere) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = slot;
  }

  std::size_t most_, used_ = 0, longest_ = 0;
  Node first_[256] = {};
  std::vector<Slot> slots_;  // a power of two, at most three quarters full
  std::vector<std::int32_t> ids_ = {none};
};
using PieceTrie = BasicPieceTrie<>;

}  // namespace detail
RAG_END
#endif
