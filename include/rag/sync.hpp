// SPDX-License-Identifier: MIT
#ifndef RAG_SYNC_HPP
#define RAG_SYNC_HPP
#include <rag/concepts.hpp>
#include <rag/detail/count_cut.hpp>
#include <rag/detail/hash.hpp>
#include <rag/detail/no_progress.hpp>
#include <rag/document/load.hpp>
#include <rag/document/read_within.hpp>
#include <rag/store/filter.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

RAG_BEGIN

struct SyncOptions {
  std::string prefix = {};  ///< stands before each id; folders that share a store need different ones
  std::vector<std::string> extensions = {};  ///< none: all that the loader reads
  std::string glob = {};                     ///< of the path in the folder, as in ReadOptions
  bool recursive = true;
  std::size_t largest_file = std::size_t{64} << 20;  ///< bytes; a larger one is skipped
  /// Names the settings of loader and chunker, "pages by 250": then a file whose bytes are those of last time is not even
  /// loaded and cut, and another name embeds everything anew. Empty: each file is loaded and cut, and what comes out
  /// otherwise than last time is embedded, whatever the reason.
  std::string settings = {};
};

/// What sync_folder() did, in documents; a table's row is one.
struct SyncReport {
  std::size_t added = 0, changed = 0, removed = 0, unchanged = 0;
  std::size_t chunks = 0;  ///< embedded and stored
  std::size_t cut = 0;     ///< of these, longer than the embedder reads
  std::vector<SkippedFile> skipped = {};
};

namespace detail {

// The metadata that say what a document was made of, on its last chunk: a store that writes a document in several steps
// has not written it before that is there.
inline constexpr const char* sync_prefix = "sync_prefix";
inline constexpr const char* sync_hash = "sync_hash";  // of the chunks
inline constexpr const char* sync_file = "sync_file";  // of the file, and the number of its documents; with `settings`

// No SHA-256, so that no OpenSSL is needed: who could make two contents of one hash gains nothing but that a change of
// his own file goes unseen.
RAG_LAZY void add_value(ContentHash& hash, const MetaValue& value) {
  const double number = value.number();
  if (value.is_string()) hash.add("s").add(value.string());
  else if (value.is_boolean()) hash.add(value.boolean() ? "true" : "false");
  else hash.add("n").add({reinterpret_cast<const char*>(&number), sizeof number});
}

RAG_LAZY std::string hash_of(const std::vector<Chunk>& chunks, const std::string& embedder, const std::string& settings) {
  ContentHash hash;
  hash.add(embedder).add(settings);
  for (const Chunk& chunk : chunks) {
    const std::uint64_t numbers[] = {chunk.begin, chunk.end, chunk.metadata.size()};
    hash.add(chunk.text).add({reinterpret_cast<const char*>(numbers), sizeof numbers});
    for (const auto& [name, value] : chunk.metadata) add_value(hash.add(name), value);
  }
  return hash.text();
}

/// The part of a retriever that lists its chunks: itself, its store, the retriever within, the first of its legs.
template <class R>
const auto& listing_part(const R& part) {
  if constexpr (ListingStore<R, Filter>) return part;
  else if constexpr (requires { part.store(); }) return listing_part(part.store());
  else if constexpr (requires { part.retriever(); }) return listing_part(part.retriever());
  else if constexpr (requires { part.first(); }) return listing_part(part.first());
  else return part;
}
template <class R>
inline constexpr bool lists_chunks =
    ListingStore<std::remove_cvref_t<decltype(listing_part(std::declval<const R&>()))>, Filter>;

/// The name of the embedder in a retriever, or those of both legs; "" where it has none or does not show it.
template <class R>
std::string embedder_name(const R& part) {
  if constexpr (requires { std::string(part.embedder().name()); }) return part.embedder().name();
  else if constexpr (requires { part.retriever(); }) return embedder_name(part.retriever());
  else if constexpr (requires { part.first(), part.second(); })
    return embedder_name(part.first()) + embedder_name(part.second());
  else return {};
}

/// Gives the second leg of a Hybrid what the first one has of a source. A leg that lives in memory is empty in a new
/// process, and a kill can come between the legs.
template <class R>
void even_legs(R& retriever, std::string_view source) {
  if constexpr (requires { requires ReplacingRetriever<std::remove_cvref_t<decltype(retriever.second())>>; }) {
    even_legs(retriever.first(), source);
    const std::vector<Chunk> chunks = retriever.first().chunks(source);
    if (retriever.second().chunks(source) != chunks) retriever.second().replace(source, chunks);
  } else if constexpr (requires { retriever.retriever(); }) {
    even_legs(retriever.retriever(), source);
  }
}

/// One run of sync_folder().
template <class C, class R, class L>
class FolderSync {
 public:
  FolderSync(const C& chunker, R& retriever, const std::string& folder, const SyncOptions& options, const L& loader)
      : chunker_(chunker), retriever_(retriever), options_(options), loader_(loader),
        embedder_(embedder_name(retriever)), root_(real_path(folder)) {
    read_marks();
  }

  template <class Progress>
  SyncReport run(const std::string& folder, Progress&& progress) {
    Listing listing = list_folder("sync_folder", folder, options_.recursive, [&](const std::string& id) {
      if (!options_.glob.empty() && !matches_glob(id, options_.glob)) return false;
      if (!options_.extensions.empty() && !has_one_of(id, options_.extensions)) return false;
      if (!loader_.reads(id)) report_.skipped.push_back({id, "no loader reads such a file"});
      return static_cast<bool>(loader_.reads(id));
    });
    for (SkippedFile& skipped : listing.skipped) report_.skipped.push_back(std::move(skipped));
    for (const std::string& id : listing.unreadable) kept_.insert(options_.prefix + id);
    if (!listing.ids.empty()) progress(std::size_t{0}, listing.ids.size());
    for (std::size_t i = 0; i < listing.ids.size(); ++i) {
      take_file(listing.ids[i]);
      progress(i + 1, listing.ids.size());
    }
    clean_up();
    sort_by_path(report_.skipped);
    return std::move(report_);
  }

 private:
  struct File {
    std::size_t documents = 0;  // that it has
    std::vector<std::string> there = {};
  };

  // What the store has of this folder. Two marks on one source are what a kill left of a replacement.
  void read_marks() {
    for (const Chunk& chunk : listing_part(retriever_).chunks(field(sync_prefix) == options_.prefix)) {
      const MetaValue* hash = chunk.metadata.find(sync_hash);
      const auto [place, fresh] = known_.emplace(chunk.source, hash ? hash->string() : "");
      if (!fresh) place->second.clear();
      const MetaValue* file = fresh ? chunk.metadata.find(sync_file) : nullptr;
      if (file == nullptr) continue;
      const std::string& mark = file->string();
      const std::size_t space = std::min(mark.find(' '), mark.size());
      File& of = files_[mark.substr(0, space)];
      of.documents = static_cast<std::size_t>(std::strtoull(mark.c_str() + space, nullptr, 10));
      of.there.push_back(chunk.source);
    }
  }

  void skip(const std::string& id, const std::string& reason, bool gone) {
    report_.skipped.push_back({id, reason});
    if (!gone) kept_.insert(options_.prefix + id);
  }

  void take_file(const std::string& id) {
    Document file{options_.prefix + id, {}};
    const WithinFailure failure = read_within(root_, id, options_.largest_file, file.text, [] {});
    if (!failure.reason.empty()) return skip(id, failure.reason, failure.gone);
    std::string file_hash;
    if (!options_.settings.empty()) {
      ContentHash hash;
      file_hash = hash.add(embedder_).add(options_.settings).add(file.id).add(file.text).text();
      if (is_whole(file_hash)) return;
    }
    std::vector<Document> documents;
    try {
      documents = loader_.load(std::move(file));
    } catch (const Error& error) {
      return skip(id, error.what(), false);
    }
    take_documents(id, documents, file_hash);
  }

  // Are all documents of a file with these bytes in the store? Then they stay.
  bool is_whole(const std::string& file_hash) {
    const auto found = files_.find(file_hash);
    if (found == files_.end() || found->second.there.size() != found->second.documents) return false;
    for (const std::string& source : found->second.there) stay(source);
    return true;
  }
  void stay(const std::string& source) {
    seen_.insert(source);
    even_legs(retriever_, source);
    ++report_.unchanged;
  }

  void take_documents(const std::string& id, const std::vector<Document>& documents, const std::string& file_hash) {
    const std::string name = options_.prefix + id;
    std::vector<std::vector<Chunk>> chunks;
    std::size_t with_text = 0;
    for (const Document& document : documents) {
      if (document.id != name && !document.id.starts_with(name + '#'))
        return skip(id, "its loader made '" + document.id + "' of it; the id of the file, or that and '#…', wanted", false);
      chunks.push_back(naming(document.id, [&] { return chunker_.chunk(document); }));
      with_text += !chunks.back().empty();
    }
    if (with_text == 0) return skip(id, "no text in it", true);
    const std::string file_mark = file_hash.empty() ? "" : file_hash + ' ' + std::to_string(with_text);
    for (std::size_t i = 0; i < documents.size(); ++i)
      if (!chunks[i].empty()) {
        if (seen_.contains(documents[i].id))
          skip(id, "the id '" + documents[i].id + "' is that of another document", false);
        else
          take_document(documents[i].id, chunks[i], file_mark);
        chunks[i] = {};
      }
  }

  void take_document(const std::string& source, std::vector<Chunk>& chunks, const std::string& file_mark) {
    const std::string hash = hash_of(chunks, embedder_, options_.settings);
    const auto before = known_.find(source);
    if (before != known_.end() && before->second == hash) return stay(source);
    Metadata& last = chunks.back().metadata;
    last.set(sync_prefix, options_.prefix);
    last.set(sync_hash, hash);
    if (!file_mark.empty()) last.set(sync_file, file_mark);
    naming(source, [&] { return retriever_.replace(source, std::span<const Chunk>(chunks)); });
    seen_.insert(source);
    ++(before == known_.end() ? report_.added : report_.changed);
    report_.chunks += chunks.size();
    report_.cut += count_cut(retriever_, chunks);
  }

  void clean_up() {
    for (const auto& entry : known_) {
      const std::string& source = entry.first;
      if (seen_.contains(source)) continue;
      if (is_kept(source)) even_legs(retriever_, source);
      else naming(source, [&] { return retriever_.replace(source, std::span<const Chunk>()); }), ++report_.removed;
    }
  }

  // Is it of a file, or below a folder, that could not be read this time?
  bool is_kept(const std::string& source) const {
    if (kept_.contains(source)) return true;
    for (std::size_t at = source.find_first_of("/#"); at != std::string::npos; at = source.find_first_of("/#", at + 1))
      if (kept_.contains(source.substr(0, at)) || kept_.contains(source.substr(0, at + 1))) return true;
    return false;
  }

  // An Error on the way says which document it was.
  template <class Work>
  static auto naming(const std::string& source, Work&& work) -> decltype(work()) {
    try {
      return work();
    } catch (const Error& error) {
      error.rethrow("sync_folder: document '" + source + "': " + error.what());
      throw;  // not reached; g++ does not see that a virtual function never returns
    }
  }

  const C& chunker_;
  R& retriever_;
  const SyncOptions& options_;
  const L& loader_;
  std::string embedder_, root_;
  std::map<std::string, std::string> known_;  // source to hash, in order, so that the clean-up has one
  std::unordered_map<std::string, File> files_;
  std::set<std::string> seen_, kept_;
  SyncReport report_;
};

}  // namespace detail

/// Makes a retriever hold what a folder holds: new files are added, changed ones replaced, and at the end what came from
/// files that are no longer there is taken out, once. What has not changed is not embedded again, which is told by a hash
/// that each document's last chunk carries in its metadata: no second file can disagree with the store.
///
///     rag::Pipeline notes{chunker, embedder, rag::FileStore{"notes.rag"}, llm};
///     const rag::SyncReport report = rag::sync_folder(notes, "docs", {}, rag::TextLoader{}, rag::ProgressBar("Reading"));
///     for (const auto& [path, reason] : report.skipped) std::cerr << path << ": " << reason << '\n';
///
/// Each document is stored on its own, whole. After a kill, an Error or a full disk the same call goes on where it was, and
/// at most the document under way is embedded twice. progress(done, total) hears of files.
///
/// Another embedder (by its name()), other chunks and other metadata of a document are a change of it, so a chunker with
/// other settings embeds what it cuts otherwise; see SyncOptions::settings. Ids are paths relative to the folder. A
/// renamed file is a new one and one that is gone; two files of one content are two documents. With a CachedEmbedder
/// neither is embedded again.
///
/// What could not be read is in `skipped` with the reason; names that begin with a dot are left out. A file or folder that
/// is there but can't be read this time (the system refuses it, it is too large, its loader throws, it changes while it
/// is read) keeps what the store has of it; one that is gone, has become empty, is a link out of the folder or is no
/// longer among the wanted loses it. Chunks that came to the store in another way stay.
///
/// The retriever must be a ReplacingRetriever with a part that lists its chunks (Bm25; DenseRetriever over a store of this
/// library; Hybrid, whose first leg is then the one that counts, and whose second is given what it lacks; ParentRetriever
/// over these). One sync_folder() at a time may change a store. Memory: one file and its chunks, and for each document in the store its id and last chunk.
/// Throws not_found or io where the folder itself can't be read, and what chunker, embedder and store throw.
template <class C, class R, class L = TextLoader, class Progress = detail::NoProgress>
  requires Chunker<C>
SyncReport sync_folder(const C& chunker, R& retriever, const std::string& folder, const SyncOptions& options = {},
                       const L& loader = {}, Progress&& progress = {}) {
  static_assert(ReplacingRetriever<R>,
                "rag::sync_folder: the retriever is not a ReplacingRetriever, see rag/concepts.hpp");
  static_assert(detail::lists_chunks<R>,
                "rag::sync_folder: no part of the retriever is a ListingStore, see rag/concepts.hpp");
  static_assert(Loader<L>, "rag::sync_folder: the loader is not a Loader, see rag/concepts.hpp");
  // After a failed assertion nothing else fails.
  if constexpr (ReplacingRetriever<R> && detail::lists_chunks<R> && Loader<L>)
    return detail::FolderSync<C, R, L>(chunker, retriever, folder, options, loader).run(folder, progress);
  else return {};
}

/// The same with the chunker and the retriever of a Pipeline.
template <class P, class L = TextLoader, class Progress = detail::NoProgress>
  requires requires(P& pipeline) { pipeline.chunker(), pipeline.retriever(); }
SyncReport sync_folder(P& pipeline, const std::string& folder, const SyncOptions& options = {}, const L& loader = {},
                       Progress&& progress = {}) {
  return sync_folder(pipeline.chunker(), pipeline.retriever(), folder, options, loader, progress);
}

RAG_END
#endif
