// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TERM_TABLE_HPP
#define RAG_DETAIL_TERM_TABLE_HPP
#include <rag/detail/hash.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN
namespace detail {

using Term = std::uint32_t;
inline constexpr Term no_term = std::numeric_limits<Term>::max();

/// Numbers words 0, 1, 2, … in the order in which they first come.
RAG_LAZY class BasicTermTable {
 public:
  std::size_t size() const { return ends_.size(); }
  std::string_view word(Term term) const {
    const std::size_t begin = term == 0 ? 0 : ends_[term - 1];
    return std::string_view(letters_).substr(begin, ends_[term] - begin);
  }

  Term find(std::string_view word) const {
    if (places_.empty()) return no_term;
    return places_[place_of(word, hash_of(word))].term;
  }
  /// The number of a word, which gets the next one if it is new.
  Term number(std::string_view word) {
    if (places_.size() < 2 * (size() + 1)) grow();
    const std::uint32_t hash = hash_of(word);
    Place& place = places_[place_of(word, hash)];
    if (place.term != no_term) return place.term;
    ends_.reserve(ends_.size() + (ends_.size() == ends_.capacity() ? ends_.size() + 1 : 0));
    letters_ += word;
    ends_.push_back(letters_.size());
    return (place = {hash, static_cast<Term>(size() - 1)}).term;
  }

 private:
  struct Place {
    std::uint32_t hash = 0;
    Term term = no_term;
  };

  static std::uint32_t hash_of(std::string_view word) { return static_cast<std::uint32_t>(hash64(word, 0)); }

  /// Where the word is, or else the empty place where it belongs.
  std::size_t place_of(std::string_view wanted, std::uint32_t hash) const {
    std::size_t at = hash & (places_.size() - 1);
    while (places_[at].term != no_term && (places_[at].hash != hash || word(places_[at].term) != wanted))
      at = (at + 1) & (places_.size() - 1);
    return at;
  }

  void grow() {
    std::vector<Place> places(places_.empty() ? 64 : 2 * places_.size());
    for (const Place& place : places_) {
      if (place.term == no_term) continue;
      std::size_t at = place.hash & (places.size() - 1);
      while (places[at].term != no_term) at = (at + 1) & (places.size() - 1);
      places[at] = place;
    }
    places_.swap(places);
  }

  std::string letters_;            // of all words, one behind the other
  std::vector<std::size_t> ends_;  // of each word
  std::vector<Place> places_;      // a power of two
};
using TermTable = BasicTermTable<>;

}  // namespace detail
RAG_END
#endif
