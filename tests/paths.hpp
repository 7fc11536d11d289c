// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_PATHS_HPP
#define RAG_TESTS_PATHS_HPP

// Where tests find what is not part of the project. RAG_TEST_DATA and RAG_TEST_MODEL are environment variables;
// a test that needs them skips with one clear line when they are absent.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>

namespace tests {

/// The folder of corpora (milvus-faq, milvus-docs, xquad, …): RAG_TEST_DATA, or shared/data beside the project.
inline std::filesystem::path data_folder() {
  if (const char* folder = std::getenv("RAG_TEST_DATA")) return folder;
  return std::filesystem::path(RAG_SOURCE_DIR) / ".." / "shared" / "data";
}

/// The folder of the all-MiniLM-L6-v2 model: RAG_TEST_MODEL, or the place where tools/get_model.sh puts it.
inline std::filesystem::path model_folder() {
  if (const char* folder = std::getenv("RAG_TEST_MODEL")) return folder;
  const char* cache = std::getenv("XDG_CACHE_HOME");
  const char* home = std::getenv("HOME");
  const std::filesystem::path base = cache ? cache : std::filesystem::path(home ? home : ".") / ".cache";
  return base / "rag" / "all-MiniLM-L6-v2";
}

/// True, and one line said, when `path` is absent: `if (skip_without(path)) return;`
inline bool skip_without(const std::filesystem::path& path) {
  if (std::filesystem::exists(path)) return false;
  std::printf("skipped: %s is not there\n", path.string().c_str());
  return true;
}

/// A new empty folder, removed with everything in it at the end of its scope.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "rag-test-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::filesystem::filesystem_error("mkdtemp", pattern, {});
    path_ = pattern;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

}  // namespace tests

#endif
