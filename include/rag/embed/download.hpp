// SPDX-License-Identifier: MIT
#ifndef RAG_EMBED_DOWNLOAD_HPP
#define RAG_EMBED_DOWNLOAD_HPP
#include <rag/detail/find_model.hpp>
#include <rag/detail/json.hpp>
#include <rag/net/download.hpp>

#include <sys/file.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

struct DownloadOptions {
  std::string base_url = {};  ///< of the hub; "": the environment's HF_ENDPOINT, else https://huggingface.co
  std::string revision = "main";                   ///< a branch, tag or commit
  std::string folder = {};                         ///< "": ${XDG_CACHE_HOME:-~/.cache}/rag/NAME
  std::vector<std::string> files = {};             ///< {}: those that the library reads
  std::map<std::string, std::string> sha256 = {};  ///< file -> the SHA-256 it must have, in hexadecimal
  std::string token = {};  ///< goes to the hub's origin alone, over https or to this machine
  std::function<void(std::size_t, std::size_t)> progress = {};  ///< bytes done and in all: std::ref(bar)
};

namespace detail {

/// A relative path that stays in its folder: steps of is_model_word(), "/" between them.
RAG_LAZY bool is_model_path(std::string_view path) {
  if (path.size() > 512) return false;
  for (;;) {
    const std::size_t slash = path.find('/');
    if (!is_model_word(path.substr(0, slash))) return false;
    if (slash == path.npos) return true;
    path.remove_prefix(slash + 1);
  }
}

/// Is it a file that the library reads, at the top or in a module's folder (1_Pooling, 2_Dense)?
RAG_LAZY bool is_read_file(std::string_view path) {
  const std::size_t slash = path.find('/');
  if (slash == path.npos) {
    for (const char* name :
         {"modules.json", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
          "vocab.txt", "spiece.model", "sentencepiece.bpe.model", "sentence_bert_config.json",
          "config_sentence_transformers.json", "special_tokens_map.json"})
      if (path == name) return true;
    return false;
  }
  const std::string_view file = path.substr(slash + 1);
  return is_digit(path[0]) && path.find('_') < slash &&
         (file == "config.json" || file == "model.safetensors");
}

/// An exclusive lock on a file, held while this lives; waits for another process's or thread's.
RAG_LAZY class BasicFolderLock {
 public:
  BasicFolderLock(const std::string& path, const std::string& who)
      : file_(who, path, O_RDWR | O_CREAT | O_NOFOLLOW, 0644) {
    while (::flock(file_.descriptor(), LOCK_EX) != 0)
      if (errno != EINTR) file_.fail();
  }

 private:
  FileHandle file_;
};
using FolderLock = BasicFolderLock<>;

RAG_LAZY void make_folders(const std::string& path, const std::string& who) {
  for (std::size_t slash = path.find('/', 1);; slash = path.find('/', slash + 1)) {
    const std::string step = path.substr(0, slash);
    if (::mkdir(step.c_str(), 0755) != 0 && errno != EEXIST && errno != EISDIR)
      throw Error(Errc::io, who + ": " + step + ": " + std::strerror(errno));
    if (slash == path.npos) return;
  }
}

/// One call of download_model().
template <class AnyJson = Json>
class BasicModelDownload {
 public:
  BasicModelDownload(const std::string& name, const AnyTransport& transport, DownloadOptions options)
      : who_("download_model: " + name),
        model_(parse_model_name(name, "download_model")),
        transport_(transport),
        options_(std::move(options)) {
    if (model_.owner.empty()) model_.owner = "sentence-transformers";
    id_ = model_.owner + "/" + model_.name;
    if (!is_model_path(options_.revision))
      refuse(Errc::invalid_argument, "a revision of letters, digits, '.', '_', '-', '/' wanted");
    for (const std::string& file : options_.files)
      if (!is_model_path(file)) refuse(Errc::invalid_argument, "relative paths of files wanted");
    for (auto& [file, digest] : options_.sha256)
      if ((digest = lower_ascii(digest)).size() != 64 ||
          digest.find_first_not_of("0123456789abcdef") != digest.npos)
        refuse(Errc::invalid_argument, "a SHA-256 of 64 hexadecimal digits wanted for " + file);
    folder_ = options_.folder.empty() ? own_model_folder(model_) : options_.folder;
    if (folder_.empty())
      refuse(Errc::invalid_argument,
             "a folder wanted: neither DownloadOptions::folder, XDG_CACHE_HOME nor HOME is set");
    while (folder_.size() > 1 && folder_.ends_with('/')) folder_.pop_back();
  }

  std::string bring() {
    if (complete()) return folder_;
    find_hub();
    make_folders(folder_, who_);
    const FolderLock lock(folder_ + "/.rag-lock", who_);
    if (complete()) return folder_;
    const std::vector<RemoteFile> files = choose(list());
    for (const RemoteFile& file : files) total_ += file.size;
    std::vector<std::string> digests;
    for (const RemoteFile& file : files) digests.push_back(bring_one(file));
    put_in_place(files, digests);
    if (!is_model_folder(folder_))
      refuse(Errc::not_found, "config.json and model.safetensors wanted, the hub gave none");
    return folder_;
  }

 private:
  static constexpr std::size_t largest_list = 4 << 20;
  [[noreturn]] void refuse(Errc code, const std::string& text) const {
    throw Error(code, who_ + ": " + text);
  }
  std::string manifest() const { return folder_ + "/.rag-download"; }
  std::string manifest_head() const { return "rag download 1\n" + id_ + "\n" + options_.revision + "\n"; }

  void find_hub() {
    hub_ = !options_.base_url.empty() ? options_.base_url : environment("HF_ENDPOINT").value_or("");
    if (hub_.empty()) hub_ = "https://huggingface.co";
    while (hub_.ends_with('/')) hub_.pop_back();
    const Url url = parse_url(hub_, who_);
    if (url.scheme != "https" && !is_loopback(url.host))
      refuse(Errc::invalid_argument, "a hub over https wanted, " + url.origin() + " given");
  }

  // Is all there, by the note of the last download, or, without one, because another put the model there?
  bool complete() const {
    if (!is_model_folder(folder_)) return false;
    std::string note;
    if (std::FILE* file = std::fopen(manifest().c_str(), "re")) {
      note.resize(std::size_t{1} << 16);
      note.resize(std::fread(note.data(), 1, note.size(), file));
      std::fclose(file);
    } else {
      return options_.sha256.empty() && options_.files.empty() && options_.revision == "main";
    }
    if (!note.starts_with(manifest_head()) || !note.ends_with("\nend\n")) return false;
    std::map<std::string, std::string> known;
    for (std::size_t at = manifest_head().size(); note.compare(at, note.npos, "end\n") != 0;) {
      const std::size_t end = note.find('\n', at), first = note.find(' ', at),
                        second = note.find(' ', first + 1);
      if (second >= end) return false;
      const std::string path = note.substr(second + 1, end - second - 1);
      struct stat status {};
      if (::stat((folder_ + "/" + path).c_str(), &status) != 0 ||
          std::to_string(status.st_size) != note.substr(at, first - at))
        return false;
      known[path] = note.substr(first + 1, second - first - 1);
      at = end + 1;
    }
    for (const auto& [path, digest] : options_.sha256)
      if (known[path] != digest) return false;
    for (const std::string& path : options_.files)
      if (known[path].empty()) return false;
    return true;
  }

  // The hub's list of files: path, size, and a digest: SHA-256 for large ones, git's for the others.
  std::vector<RemoteFile> list() const {
    std::string text;
    const auto take = [&](std::string_view bytes) {
      if (bytes.size() > largest_list - text.size())
        refuse(Errc::transport,
               "a list of at most " + std::to_string(largest_list) + " bytes wanted, more given");
      text += bytes;
    };
    const std::string who = who_ + ": list of files";
    const Response response = get_following(
        transport_, hub_ + "/api/models/" + id_ + "/tree/" + encoded_revision() + "?recursive=true",
        options_.token, {}, HeadSink{}, take, who);
    check_status(response, who);
    if (text.empty()) take(response.body);
    const AnyJson entries = parse_json(text, who, 8);
    const auto wrong = [&](const char* what) {
      refuse(Errc::invalid_format, std::string("list of files: ") + what + " wanted");
    };
    if (!entries.is_array()) wrong("an array");
    std::vector<RemoteFile> files;
    for (const AnyJson& entry : entries) {
      if (!entry.is_object() || entry.value("type", AnyJson()) == "directory") continue;
      const AnyJson path = entry.value("path", AnyJson()), size = entry.value("size", AnyJson()),
                    oid = entry.value("oid", AnyJson());
      if (!path.is_string() || !size.is_number_unsigned() ||
          size.template get<std::uint64_t>() > (std::uint64_t{1} << 40))
        wrong("a path and a size");
      RemoteFile file{path.template get<std::string>(), size.template get<std::int64_t>()};
      const bool meant = is_wanted(file.path);
      if (file.path.starts_with('/') || file.path.find("..") != file.path.npos ||
          file.path.find('\\') != file.path.npos)
        wrong("relative paths without \"..\"");
      if (!meant) continue;
      const AnyJson lfs = entry.value("lfs", AnyJson());
      const auto hex = [&](const AnyJson& digest, std::size_t length) {
        if (!digest.is_string() || digest.template get<std::string>().size() != length) wrong("a digest");
        return lower_ascii(digest.template get<std::string>());
      };
      if (lfs.is_object())
        file.sha256 = hex(lfs.value("oid", AnyJson()), 64);
      else
        file.git_sha1 = hex(oid, 40);
      files.push_back(std::move(file));
      if (files.size() > 1000) wrong("at most 1000 files to bring");
    }
    return files;
  }

  // "refs/pr/1" is one step of the hub's paths.
  std::string encoded_revision() const {
    std::string text;
    for (const char c : options_.revision) text += c == '/' ? "%2F" : std::string(1, c);
    return text;
  }

  bool is_wanted(const std::string& path) const {
    if (options_.files.empty()) return is_model_path(path) && is_read_file(path);
    return std::find(options_.files.begin(), options_.files.end(), path) != options_.files.end();
  }

  // Each once, model.safetensors last; what must be there is.
  std::vector<RemoteFile> choose(std::vector<RemoteFile> files) const {
    const auto order = [](const RemoteFile& a) {
      return std::pair(a.path == "model.safetensors", std::string_view(a.path));
    };
    std::sort(files.begin(), files.end(), [&](const auto& a, const auto& b) { return order(a) < order(b); });
    for (std::size_t i = 1; i < files.size(); ++i)
      if (files[i].path == files[i - 1].path)
        refuse(Errc::invalid_format, "list of files: each file once wanted");
    std::vector<std::string> needed = options_.files;
    if (needed.empty()) needed = {"config.json", "model.safetensors"};
    for (const auto& [path, digest] : options_.sha256) needed.push_back(path);
    for (const std::string& path : needed)
      if (std::none_of(files.begin(), files.end(), [&](const auto& file) { return file.path == path; }))
        refuse(Errc::not_found, "the hub's list has no " + path);
    for (RemoteFile& file : files) {
      const auto pin = options_.sha256.find(file.path);
      if (pin == options_.sha256.end()) continue;
      if (!file.sha256.empty() && file.sha256 != pin->second)
        refuse(Errc::transport,
               file.path + ": SHA-256 " + pin->second + " wanted, the hub's list has " + file.sha256);
      file.sha256 = pin->second;
    }
    return files;
  }

  void report(std::int64_t done) const {
    if (options_.progress)
      options_.progress(static_cast<std::size_t>(done_ + done), static_cast<std::size_t>(total_));
  }

  // The SHA-256 of a file that is right: the one in the folder, else its part.
  std::string bring_one(const RemoteFile& file) {
    const std::string target = folder_ + "/" + file.path, who = who_ + ": " + file.path;
    if (const std::size_t slash = file.path.rfind('/'); slash != file.path.npos)
      make_folders(target.substr(0, target.rfind('/')), who_);
    std::string digest = digest_of(target, file, who);
    if (digest.empty()) {
      const std::string url = hub_ + "/" + id_ + "/resolve/" + encoded_revision() + "/" + file.path;
      digest =
          FileDownload(
              transport_, file, url, options_.token, target, [&](std::int64_t done) { report(done); }, who)
              .bring();
    } else {
      FileDownload::remove_part(target + ".part");
    }
    done_ += file.size;
    report(0);
    return digest;
  }

  static std::string digest_of(const std::string& path, const RemoteFile& file, const std::string& who) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_size != file.size)
      return "";
    try {
      FileDigests digests(file.size);
      digests.update_from(FileHandle(who, path, O_RDONLY), 0, file.size);
      return digests.check(file, who);
    } catch (const Error&) {
      return "";
    }
  }

  // Every part is right by now. The note says that the folder changes until it has.
  void put_in_place(const std::vector<RemoteFile>& files, const std::vector<std::string>& digests) const {
    const auto note = [&](const std::string& text) {
      const std::string_view pieces[] = {text};
      replace_file(who_, manifest(), pieces);
    };
    note(manifest_head());
    std::string text = manifest_head();
    for (std::size_t i = 0; i < files.size(); ++i) {
      const std::string target = folder_ + "/" + files[i].path, part = target + ".part";
      struct stat status {};
      if (::stat(part.c_str(), &status) == 0) {
        if (std::rename(part.c_str(), target.c_str()) != 0)
          refuse(Errc::io, target + ": " + std::strerror(errno));
        FileDownload::remove_part(part);
        FileHandle(who_, target.substr(0, target.rfind('/') + 1), O_RDONLY | O_DIRECTORY).sync();
      }
      text += std::to_string(files[i].size) + " " + digests[i] + " " + files[i].path + "\n";
    }
    note(text + "end\n");
  }

  std::string who_;
  ModelName model_;
  const AnyTransport& transport_;
  DownloadOptions options_;
  std::string id_, folder_, hub_;
  std::int64_t total_ = 0, done_ = 0;
};
using ModelDownload = BasicModelDownload<>;

}  // namespace detail

/// Brings a model from a hub with Hugging Face's paths, once, and gives its folder; where it is complete
/// already no request is made. Each file is checked against the size and digest of the hub's list, and your
/// pins, before any is moved into place: until then what was in the folder stays. An interrupted download
/// goes on when called again. Two programs may call this at once: the second waits. Memory does not grow with
/// the model.
///
/// The transport may be any; one that honours Request::head (HttpsTransport does) lets a broken download keep
/// every byte that came, and the real hub redirects, which HttpsTransport gives only then.
///
/// Errors: not_found (no such model or file), unauthorized, transport, timeout, service (the network, a wrong
/// size or digest: both are in the text), invalid_format (the hub's list), io (no space, no permission).
///
///     rag::HttpsTransport transport;
///     rag::MiniLmEmbedder embedder(rag::download_model("sentence-transformers/all-MiniLM-L6-v2",
///     transport));
RAG_LAZY std::string download_model(const std::string& name, const AnyTransport& transport,
                                    DownloadOptions options = {}) {
  return detail::ModelDownload(name, transport, std::move(options)).bring();
}

RAG_END
#endif
