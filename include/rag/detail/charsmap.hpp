// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_CHARSMAP_HPP
#define RAG_DETAIL_CHARSMAP_HPP
#include <rag/detail/normal_forms.hpp>
#include <rag/detail/utf8.hpp>
#include <rag/error.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

RAG_BEGIN
namespace detail {

/// The rules of a SentencePiece model, "what stands here becomes that": a double array over the bytes of the left sides
/// and the right sides as a row of texts that end with a 0. Nobody vouches for its units: each step is checked.
RAG_LAZY class BasicCharsmap {
 public:
  /// Takes the bytes of a precompiled_charsmap; none: no rules. `who` begins the text of an Error.
  BasicCharsmap(std::string_view bytes, const std::string& who) {
    if (bytes.empty()) return;
    const std::size_t size = bytes.size() < 4 ? 0 : unit(bytes, 0);
    if (size == 0 || size % 4 != 0 || size > bytes.size() - 4)
      throw Error(Errc::invalid_format, who + ": precompiled_charsmap: a trie within its " +
                                            std::to_string(bytes.size()) + " bytes wanted, one of " +
                                            std::to_string(size) + " given");
    for (std::size_t at = 0; at < size; at += 4) units_.push_back(unit(bytes, 4 + at));
    targets_ = bytes.substr(4 + size);
    if (invalid_utf8(targets_) != std::string_view::npos)
      throw Error(Errc::invalid_format, who + ": precompiled_charsmap: text that is not UTF-8");
  }

  /// What no model's rules need: a text that grows without bound.
  static void check_growth(std::size_t before, std::size_t now) {
    if (now > 32 * before + 4096)
      throw Error(Errc::invalid_format,
                  "Tokenizer: the normalizer makes " + std::to_string(now) + " bytes of " + std::to_string(before));
  }

  bool empty() const { return units_.empty(); }

  /// Bytes of a left side: a trie that leads in circles would go on to the end of each text.
  static constexpr std::size_t longest_side = 256;

  struct Match {
    std::size_t length;  ///< of the left side, in bytes
    std::string_view target;
  };

  /// The rule of the shortest left side, or of the longest, that the text begins with.
  std::optional<Match> find(std::string_view text, bool longest) const {
    text = text.substr(0, longest_side);
    std::optional<Match> found;
    if (units_.empty()) return found;
    std::size_t node = offset(units_[0]);
    for (std::size_t i = 0; i < text.size() && text[i] != 0; ++i) {
      const auto byte = static_cast<unsigned char>(text[i]);
      node ^= byte;
      if (node >= units_.size()) break;
      const std::uint32_t here = units_[node];
      if ((here & 0x800000FFu) != byte) break;
      node ^= offset(here);
      if ((here >> 8 & 1) == 0) continue;
      if (node >= units_.size()) break;
      if (const auto text_of = target(units_[node] & 0x7FFFFFFFu)) found = Match{i + 1, *text_of};
      if (found && !longest) break;
    }
    return found;
  }

  /// As the tokenizers library uses it: a cluster of less than 6 bytes goes by the shortest left side it begins with
  /// and is replaced whole; in a longer one, and where there is no rule, each code point goes by itself.
  std::string by_clusters(std::string_view text) const {
    std::string out;
    out.reserve(text.size() + text.size() / 4);
    Clusters clusters(text);
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = clusters.end(at);
      const std::string_view cluster = text.substr(at, end - at);
      at = end;
      check_growth(text.size(), out.size());
      if (const auto match = cluster.size() < 6 ? find(cluster, false) : std::nullopt) {
        out += match->target;
        continue;
      }
      for (std::size_t i = 0; i < cluster.size();) {
        const std::string_view point = cluster.substr(i, decode_utf8(cluster, i).length);
        const auto match = point.size() == cluster.size() ? std::nullopt : find(point, false);
        out += match ? match->target : point;
        i += point.size();
      }
    }
    return out;
  }

 private:
  static std::uint32_t unit(std::string_view bytes, std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = 4; i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[at + i]);
    return value;
  }
  static std::size_t offset(std::uint32_t unit) { return std::size_t{unit >> 10} << ((unit & 0x200u) >> 6); }

  std::optional<std::string_view> target(std::size_t at) const {
    if (at > targets_.size() || !is_boundary(targets_, at)) return std::nullopt;
    return std::string_view(targets_).substr(at, std::string_view(targets_).find('\0', at) - at);
  }

  std::vector<std::uint32_t> units_;
  std::string targets_;
};
using Charsmap = BasicCharsmap<>;

}  // namespace detail
RAG_END
#endif
