// SPDX-License-Identifier: MIT
#ifndef RAG_CHUNK_HEADING_PATH_HPP
#define RAG_CHUNK_HEADING_PATH_HPP
#include <rag/types.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// The headings that a place of a document stands under.
RAG_LAZY class BasicHeadingPath {
 public:
  /// A heading ends those of its level and below. Runs of white space in a title count as one.
  void enter(std::size_t level, std::string_view title) {
    while (!entries_.empty() && entries_.back().level >= level) entries_.pop_back();
    std::string clean;
    for (const char c : title) {
      const bool space = c == ' ' || c == '\t' || c == '\r' || c == '\n';
      if (!space) clean += c;
      else if (!clean.ends_with(' ')) clean += ' ';
    }
    entries_.push_back({level, std::move(clean)});
  }

  /// Sets "heading" and "heading_level" where there is no entry of that name.
  void name(Metadata& metadata) const {
    if (entries_.empty()) return;
    std::string path;
    for (const Entry& entry : entries_) {
      if (!path.empty() && !entry.title.empty()) path += " > ";
      path += entry.title;
    }
    if (metadata.find("heading") == nullptr) metadata.set("heading", path);
    if (metadata.find("heading_level") == nullptr) metadata.set("heading_level", entries_.back().level);
  }

 private:
  struct Entry {
    std::size_t level;
    std::string title;
  };
  std::vector<Entry> entries_;
};
using HeadingPath = BasicHeadingPath<>;

}  // namespace detail
RAG_END
#endif
