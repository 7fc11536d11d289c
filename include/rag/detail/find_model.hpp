// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_FIND_MODEL_HPP
#define RAG_DETAIL_FIND_MODEL_HPP
#include <rag/detail/environment.hpp>
#include <rag/error.hpp>

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

// Where model folders stand on this machine.

RAG_BEGIN
namespace detail {

/// ${XDG_CACHE_HOME:-~/.cache}; "" where neither it nor HOME is set.
RAG_LAZY std::string cache_home() {
  const std::string cache = environment("XDG_CACHE_HOME").value_or(""), home = environment("HOME").value_or("");
  return !cache.empty() ? cache : home.empty() ? "" : home + "/.cache";
}

/// A model's name, NAME or OWNER/NAME.
struct ModelName {
  std::string owner;  ///< "" where none was given
  std::string name;
};

/// Letters, digits, '.', '_' and '-'; no "." and no "..", so that it is one step down from a folder.
RAG_LAZY bool is_model_word(std::string_view word) {
  return !word.empty() && word.size() <= 128 && word.find("..") == word.npos && word != "." &&
         std::all_of(word.begin(), word.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '_' ||
               c == '-';
         });
}

RAG_LAZY ModelName parse_model_name(const std::string& text, const std::string& who) {
  const std::size_t slash = text.find('/');
  ModelName model{slash == text.npos ? "" : text.substr(0, slash), slash == text.npos ? text : text.substr(slash + 1)};
  if (!is_model_word(model.name) || (slash != text.npos && !is_model_word(model.owner)))
    throw Error(Errc::invalid_argument, who +
        ": a model's name NAME or OWNER/NAME (letters, digits, '.', '_', '-') wanted");
  return model;
}

RAG_LAZY bool has_bytes(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
}

/// Are the two files there without which there is no model?
RAG_LAZY bool is_model_folder(const std::string& folder) {
  return !folder.empty() && has_bytes(folder + "/config.json") && has_bytes(folder + "/model.safetensors");
}

/// The names in a folder that begin and end so, in order.
RAG_LAZY std::vector<std::string> names_in(const std::string& folder, std::string_view begin, const std::string& end) {
  std::vector<std::string> names;
  DIR* opened = ::opendir(folder.c_str());
  if (opened == nullptr) return names;
  while (const dirent* entry = ::readdir(opened)) {
    const std::string name = entry->d_name;
    if (name.size() > begin.size() + end.size() && name.starts_with(begin) && name.ends_with(end) && name[0] != '.')
      names.push_back(name);
  }
  ::closedir(opened);
  std::sort(names.begin(), names.end());
  return names;
}

/// The library's own place for a model: CACHE/rag/NAME where tools/get_model.sh puts it, CACHE/rag/OWNER/NAME for
/// owners other than sentence-transformers. "" where there is no cache.
RAG_LAZY std::string own_model_folder(const ModelName& model) {
  const std::string cache = cache_home();
  if (cache.empty()) return "";
  const bool usual = model.owner.empty() || model.owner == "sentence-transformers";
  return cache + "/rag/" + (usual ? "" : model.owner + "/") + model.name;
}

/// Looks in one place after another and remembers them all for the error.
RAG_LAZY class BasicModelSearch {
 public:
  BasicModelSearch(const std::string& name, const std::string& who) : asked_(name), who_(who) {}

  std::string find() {
    if (asked_.empty() || asked_.find_first_of(std::string("\0\n\r", 3)) != asked_.npos)
      throw Error(Errc::invalid_argument, who_ + ": a model's name or folder wanted");
    if (look(asked_)) return found_;
    if (asked_[0] == '/' || asked_[0] == '.' || asked_[0] == '~') fail();  // a path, not a name
    model_ = parse_model_name(asked_, who_);
    if (look_in_model_dir() || look_in_own_cache() || look_in_hub_cache()) return found_;
    fail();
  }

 private:
  bool look(const std::string& folder) {
    if (folder.empty()) return false;
    found_ = folder;
    if (is_model_folder(folder)) return true;
    places_ += "\n  " + folder + (has_bytes(folder + "/config.json") ? ": no model.safetensors" : ": no config.json");
    return false;
  }

  // RAG_MODEL_DIR is a model folder (of that name, or the one of tools/get_model.sh) or a folder of model folders.
  bool look_in_model_dir() {
    std::string folder = environment("RAG_MODEL_DIR").value_or("");
    while (folder.size() > 1 && folder.ends_with('/')) folder.pop_back();
    if (folder.empty()) return false;
    const bool meant = folder.substr(folder.rfind('/') + 1) == model_.name || model_.name == "all-MiniLM-L6-v2";
    if (meant && look(folder)) return true;
    if (!model_.owner.empty() && look(folder + "/" + model_.owner + "/" + model_.name)) return true;
    return look(folder + "/" + model_.name);
  }

  bool look_in_own_cache() {
    const std::string cache = cache_home();
    if (cache.empty()) return false;
    if (look(own_model_folder(model_))) return true;
    std::vector<std::string> folders;
    if (model_.owner.empty())
      for (const std::string& owner : names_in(cache + "/rag", "", ""))
        if (is_model_folder(cache + "/rag/" + owner + "/" + model_.name))
          folders.push_back(cache + "/rag/" + owner + "/" + model_.name);
    return take_one(folders);
  }

  // models--OWNER--NAME/refs/main holds COMMIT, the files are in models--OWNER--NAME/snapshots/COMMIT.
  bool look_in_hub_cache() {
    std::string hub = environment("HF_HUB_CACHE").value_or("");
    if (hub.empty()) hub = environment("HF_HOME").value_or("").empty() ? "" : environment("HF_HOME").value_or("") + "/hub";
    if (hub.empty() && !cache_home().empty()) hub = cache_home() + "/huggingface/hub";
    if (hub.empty()) return false;
    const std::string owner = model_.owner.empty() ? "sentence-transformers" : model_.owner;
    if (look(snapshot(hub + "/models--" + owner + "--" + model_.name))) return true;
    std::vector<std::string> folders;
    if (model_.owner.empty())
      for (const std::string& name : names_in(hub, "models--", "--" + model_.name))
        if (const std::string folder = snapshot(hub + "/" + name); is_model_folder(folder)) folders.push_back(folder);
    return take_one(folders);
  }

  static std::string snapshot(const std::string& repository) {
    std::string commit;
    if (std::FILE* file = std::fopen((repository + "/refs/main").c_str(), "re")) {
      char text[129];
      commit.assign(text, std::fread(text, 1, sizeof text, file));
      std::fclose(file);
    }
    while (commit.ends_with('\n') || commit.ends_with('\r')) commit.pop_back();
    return is_model_word(commit) ? repository + "/snapshots/" + commit : repository;
  }

  bool take_one(const std::vector<std::string>& folders) {
    if (folders.empty()) return false;
    found_ = folders.front();
    if (folders.size() == 1) return true;
    std::string text = who_ + ": " + asked_ +
        ": one model of that name wanted, several are there; say OWNER/NAME or the folder:";
    for (const std::string& folder : folders) text += "\n  " + folder;
    throw Error(Errc::invalid_argument, text);
  }

  [[noreturn]] void fail() const {
    throw Error(Errc::not_found,
                who_ + ": " + asked_ + ": no model folder with config.json and model.safetensors. Looked at:" +
                    places_ +
                    "\nrag::download_model(\"OWNER/NAME\", transport) brings one, tools/get_model.sh brings "
                    "all-MiniLM-L6-v2; or set RAG_MODEL_DIR");
  }

  std::string asked_, who_, found_, places_;
  ModelName model_;
};
using ModelSearch = BasicModelSearch<>;

}  // namespace detail
RAG_END
#endif
