// SPDX-License-Identifier: MIT
#ifndef RAG_DOCUMENT_LOAD_HPP
#define RAG_DOCUMENT_LOAD_HPP
#include <rag/concepts.hpp>
#include <rag/document/read.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

RAG_LAZY bool has_one_of(std::string_view id, const std::vector<std::string>& extensions) {
  return std::any_of(extensions.begin(), extensions.end(), [&](const auto& end) { return has_extension(id, end); });
}

/// Throws where a text is not UTF-8, and where it holds a zero byte, as files of another kind and UTF-16 do.
RAG_LAZY void require_text(std::string_view text) {
  if (const std::size_t at = text.find('\0'); at != std::string_view::npos)
    throw Error(Errc::invalid_format, "binary: a zero byte at byte " + std::to_string(at));
  if (const std::size_t at = invalid_utf8(text); at != std::string_view::npos)
    throw Error(Errc::invalid_format, "not UTF-8 at byte " + std::to_string(at));
}

/// Throws where the documents of one file come to take too much memory: a small file can name a large one.
RAG_LAZY class BasicDocumentRoom {
 public:
  static constexpr std::size_t limit = std::size_t{1} << 30;

  void take(const Document& document) {
    used_ += 256 + document.id.size() + document.text.size();
    for (const auto& [name, value] : document.metadata) used_ += 128 + name.size() + value.string().size();
    if (used_ > limit) throw Error(Errc::unsupported, "its documents take more than 1 GiB; split the file");
  }

 private:
  std::size_t used_ = 0;
};
using DocumentRoom = BasicDocumentRoom<>;

}  // namespace detail

/// A text file is one document, its bytes untouched: a chunk's span is a span of the file. A file that is not UTF-8 or
/// has a zero byte is an Error (invalid_format).
RAG_LAZY class BasicTextLoader {
 public:
  BasicTextLoader() = default;
  /// For files with other endings: rag::TextLoader{{".md", ".cpp", ".hpp"}}.
  explicit BasicTextLoader(std::vector<std::string> extensions) : extensions_(std::move(extensions)) {}

  bool reads(std::string_view id) const { return detail::has_one_of(id, extensions_); }
  std::vector<Document> load(Document file) const {
    detail::require_text(file.text);
    std::vector<Document> documents;
    documents.push_back(std::move(file));
    return documents;
  }

 private:
  std::vector<std::string> extensions_ = {".md", ".markdown", ".rst", ".txt"};
};
using TextLoader = BasicTextLoader<>;

/// Several loaders as one: a file goes to the first that reads its kind.
///
///     rag::Loaders loaders{rag::TextLoader{}, rag::HtmlLoader{}, rag::CsvLoader{}};
template <class... L>
class Loaders {
  static_assert((Loader<L> && ...), "rag::Loaders: an argument is not a Loader, see rag/concepts.hpp");

 public:
  explicit Loaders(L... loaders) : loaders_(std::move(loaders)...) {}

  bool reads(std::string_view id) const {
    return std::apply([&](const L&... loader) { return (static_cast<bool>(loader.reads(id)) || ...); }, loaders_);
  }
  std::vector<Document> load(Document file) const {
    std::vector<Document> documents;
    const auto load_by = [&](const auto& loader) {
      if (!loader.reads(file.id)) return false;
      documents = loader.load(std::move(file));
      return true;
    };
    if (!std::apply([&](const L&... loader) { return (load_by(loader) || ...); }, loaders_))
      throw Error(Errc::unsupported, "no loader reads such a file");
    return documents;
  }

 private:
  std::tuple<L...> loaders_;
};

RAG_END
#endif
