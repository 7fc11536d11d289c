// SPDX-License-Identifier: MIT
#ifndef RAG_DOCUMENT_READ_HPP
#define RAG_DOCUMENT_READ_HPP
#include <rag/detail/utf8.hpp>
#include <rag/document/glob.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// POSIX, and not <filesystem>, which doubles the time to compile of a file with <string> and <vector>.
#include <dirent.h>
#include <sys/stat.h>

RAG_BEGIN

namespace detail {

struct OpenFile {
  std::FILE* stream;
  ~OpenFile() {
    if (stream != nullptr) std::fclose(stream);
  }
};

struct OpenFolder {
  DIR* stream;
  ~OpenFolder() {
    if (stream != nullptr) ::closedir(stream);
  }
};

/// Why a file could not be read.
struct ReadFailure {
  Errc code;
  std::string reason;  ///< empty: it could
};

/// Fills `text` with the bytes of a file and checks that they are UTF-8.
RAG_LAZY ReadFailure read_text(const std::string& path, std::string& text) {
  const auto failure = [](int error) {
    return ReadFailure{error == ENOENT ? Errc::not_found : Errc::io, std::strerror(error)};
  };
  const OpenFile file{std::fopen(path.c_str(), "rb")};
  if (file.stream == nullptr) return failure(errno);
  char block[1 << 14];
  while (const std::size_t count = std::fread(block, 1, sizeof block, file.stream)) text.append(block, count);
  if (std::ferror(file.stream)) return failure(errno);
  const std::size_t at = invalid_utf8(text);
  if (at != std::string::npos) return {Errc::invalid_format, "not UTF-8 at byte " + std::to_string(at)};
  return {};
}

}  // namespace detail

/// Reads a file, its bytes untouched: a byte order mark and CRLF stay, so that a chunk's span is a span of the
/// file. The document's id is the path as given. Throws Errc::not_found, Errc::io (the path and the system's
/// reason), Errc::invalid_format for what is not UTF-8 (the path and the offset of the byte).
RAG_LAZY Document read_file(const std::string& path) {
  Document document{path, {}};
  const detail::ReadFailure failure = detail::read_text(path, document.text);
  if (!failure.reason.empty()) throw Error(failure.code, "read_file: " + path + ": " + failure.reason);
  return document;
}

/// Which files of a folder to read. With both extensions and a glob a file must fit both; with neither, files that
/// end in .md, .markdown, .rst or .txt are read. The glob "**" alone is every file.
struct ReadOptions {
  std::vector<std::string> extensions = {};  ///< ".md", ".txt", …; ASCII letters in either case
  std::string glob = {};  ///< of the id: * and ? stop at a slash, ** does not, **/ may be nothing: "guide/**/*.md"
  bool recursive = true;
};

/// A file or folder that was to be read and could not be.
struct SkippedFile {
  std::string path;  ///< relative to the folder
  std::string reason;

  bool operator==(const SkippedFile&) const = default;
};

/// What read_directory() found.
struct Folder {
  std::vector<Document> documents = {};
  std::vector<SkippedFile> skipped = {};
};

namespace detail {

RAG_LAZY bool has_extension(std::string_view name, std::string_view extension) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  const auto same = [&](char a, char b) { return lower(a) == lower(b); };
  if (name.size() <= extension.size()) return false;
  const std::string_view end = name.substr(name.size() - extension.size());
  return std::equal(end.begin(), end.end(), extension.begin(), extension.end(), same);
}

RAG_LAZY bool is_wanted(std::string_view id, const ReadOptions& options) {
  const auto ends = [&](const std::vector<std::string>& extensions) {
    return std::any_of(extensions.begin(), extensions.end(), [&](const auto& e) { return has_extension(id, e); });
  };
  if (!options.glob.empty() && !matches_glob(id, options.glob)) return false;
  if (!options.extensions.empty()) return ends(options.extensions);
  return !options.glob.empty() || ends({".md", ".markdown", ".rst", ".txt"});
}

/// The names in a folder, without those that begin with a dot. Sets `error` where it cannot be read.
RAG_LAZY std::vector<std::string> names_in(const std::string& path, int& error) {
  std::vector<std::string> names;
  const OpenFolder folder{::opendir(path.c_str())};
  if (folder.stream == nullptr) return error = errno, names;
  errno = 0;
  while (const dirent* entry = readdir(folder.stream)) {
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
    errno = 0;
  }
  error = errno;
  return names;
}

RAG_LAZY void sort_by_path(std::vector<SkippedFile>& skipped) {
  std::sort(skipped.begin(), skipped.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
}

/// The files of a folder: what list_folder() found.
struct Listing {
  std::vector<std::string> ids = {};         ///< relative to the folder, with '/', in byte order
  std::vector<SkippedFile> skipped = {};     ///< in byte order
  std::vector<std::string> unreadable = {};  ///< those of `skipped` that the system refused; a folder ends in '/'
};

/// Lists the files whose id `wanted` takes. See read_directory().
template <class Wanted>
Listing list_folder(const std::string& who, const std::string& path, bool recursive, Wanted&& wanted) {
  Listing listing;
  std::vector<std::string> open{""};  // folders to enter, as a prefix of ids
  const auto refused = [&](const std::string& id, int error) {
    listing.skipped.push_back({id, std::strerror(error)});
    listing.unreadable.push_back(id);
  };
  const auto visit = [&](const std::string& id) {
    const std::string full = path + '/' + id;
    struct stat link {}, target {};
    const bool is_link = lstat(full.c_str(), &link) == 0 && S_ISLNK(link.st_mode);
    const bool found = stat(full.c_str(), &target) == 0;
    if (!found && errno != ENOENT) return refused(id, errno);
    if (found && S_ISDIR(target.st_mode)) {
      if (!recursive) return;
      if (is_link) listing.skipped.push_back({id, "a link to a folder is not followed"});
      else open.push_back(id + '/');
      return;
    }
    if (!wanted(id)) return;
    if (found && !S_ISREG(target.st_mode)) return void(listing.skipped.push_back({id, "not a regular file"}));
    if (invalid_utf8(id) != std::string::npos) return void(listing.skipped.push_back({id, "its name is not UTF-8"}));
    listing.ids.push_back(id);
  };
  while (!open.empty()) {
    const std::string prefix = std::move(open.back());
    open.pop_back();
    int error = 0;
    const std::vector<std::string> names = names_in(prefix.empty() ? path : path + '/' + prefix, error);
    if (error != 0 && prefix.empty())
      throw Error(error == ENOENT ? Errc::not_found : Errc::io, who + ": " + path + ": " + std::strerror(error));
    if (error != 0) refused(prefix, error);
    for (const std::string& name : names) visit(prefix + name);
  }
  std::sort(listing.ids.begin(), listing.ids.end());
  sort_by_path(listing.skipped);
  return listing;
}

}  // namespace detail

/// Reads the files of a folder. Ids are paths relative to it, with '/', and the documents stand in the byte order
/// of their ids. Names that begin with a dot are left out, with all below them. Any other wanted file that cannot
/// be read, is not UTF-8 or has a name that is not, and any folder that cannot be entered, is in `skipped` with the
/// reason. A symbolic link to a file is read; one to a folder is skipped, so no file is read twice and no loop
/// entered. Throws Errc::not_found or Errc::io where the folder itself cannot be read.
///
///     for (const rag::Document& page : rag::read_directory("docs", {.extensions = {".md"}}).documents) …
RAG_LAZY Folder read_directory(const std::string& path, const ReadOptions& options = {}) {
  detail::Listing listing = detail::list_folder("read_directory", path, options.recursive,
                                                [&](const std::string& id) { return detail::is_wanted(id, options); });
  Folder folder{{}, std::move(listing.skipped)};
  for (const std::string& id : listing.ids) {
    Document document{id, {}};
    const detail::ReadFailure failure = detail::read_text(path + '/' + id, document.text);
    if (failure.reason.empty()) folder.documents.push_back(std::move(document));
    else folder.skipped.push_back({id, failure.reason});
  }
  detail::sort_by_path(folder.skipped);
  return folder;
}

RAG_END
#endif
