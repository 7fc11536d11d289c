// SPDX-License-Identifier: MIT
#include <rag/embed/model_folder.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "../paths.hpp"

namespace {

/// The variables that decide where models are looked for, pointed into an empty folder and put back at the end.
class Surroundings {
 public:
  Surroundings() {
    for (const char* name : names) {
      const char* value = std::getenv(name);
      old_.emplace_back(value ? value : ""), had_.push_back(value != nullptr);
      ::unsetenv(name);
    }
    ::setenv("HOME", (folder / "home").c_str(), 1);
  }
  ~Surroundings() {
    for (std::size_t i = 0; i < std::size(names); ++i)
      had_[i] ? ::setenv(names[i], old_[i].c_str(), 1) : ::unsetenv(names[i]);
  }

  /// Makes a model folder there.
  std::string model(const std::string& path) const {
    std::filesystem::create_directories(folder / path);
    std::ofstream(folder / path / "config.json") << "{}";
    std::ofstream(folder / path / "model.safetensors") << "x";
    return (folder / path).string();
  }
  std::string hub_model(const std::string& hub, const std::string& name) const {
    std::filesystem::create_directories(folder / hub / name / "refs");
    std::ofstream(folder / hub / name / "refs/main") << "c0ffee";
    return model(hub + "/" + name + "/snapshots/c0ffee");
  }

  tests::TemporaryFolder folder;

 private:
  static constexpr const char* names[] = {"HOME", "XDG_CACHE_HOME", "RAG_MODEL_DIR", "HF_HUB_CACHE", "HF_HOME"};
  std::vector<std::string> old_;
  std::vector<bool> had_;
};

std::string failure(const std::string& name, rag::Errc code) {
  try {
    return "found " + rag::model_folder(name);
  } catch (const rag::Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("model_folder takes a path, RAG_MODEL_DIR, the library's cache and the Hugging Face cache, in this order") {
  const Surroundings here;
  const std::string hub = here.hub_model("home/.cache/huggingface/hub", "models--sentence-transformers--all-MiniLM-L6-v2");
  CHECK(rag::model_folder("all-MiniLM-L6-v2") == hub);
  CHECK(rag::model_folder("sentence-transformers/all-MiniLM-L6-v2") == hub);

  const std::string own = here.model("home/.cache/rag/all-MiniLM-L6-v2");
  CHECK(rag::model_folder("all-MiniLM-L6-v2") == own);
  CHECK(rag::model_folder("sentence-transformers/all-MiniLM-L6-v2") == own);

  const std::string mine = here.model("models/all-MiniLM-L6-v2");
  ::setenv("RAG_MODEL_DIR", (here.folder / "models").c_str(), 1);
  CHECK(rag::model_folder("all-MiniLM-L6-v2") == mine);
  ::setenv("RAG_MODEL_DIR", (mine + "/").c_str(), 1);
  CHECK(rag::model_folder("all-MiniLM-L6-v2") == mine);

  const std::string path = here.model("elsewhere/x");
  CHECK(rag::model_folder(path) == path);
}

TEST_CASE("A model of another owner is not taken for the one asked for") {
  const Surroundings here;
  here.model("home/.cache/rag/small");
  here.model("models/other");
  ::setenv("RAG_MODEL_DIR", (here.folder / "models/other").c_str(), 1);

  CHECK(contains(failure("owner/small", rag::Errc::not_found), "rag/owner/small: no config.json"));
  CHECK(rag::model_folder("small") == (here.folder / "home/.cache/rag/small").string());
}

TEST_CASE("A name without an owner finds the only model of that name, and several are listed") {
  const Surroundings here;
  ::setenv("HF_HOME", (here.folder / "hf").c_str(), 1);
  const std::string first = here.hub_model("hf/hub", "models--a--small");
  CHECK(rag::model_folder("small") == first);

  const std::string second = here.hub_model("hf/hub", "models--b--small");
  const std::string text = failure("small", rag::Errc::invalid_argument);
  CHECK(contains(text, first));
  CHECK(contains(text, second));
  CHECK(rag::model_folder("b/small") == second);

  ::setenv("HF_HUB_CACHE", (here.folder / "hub").c_str(), 1);
  const std::string third = here.hub_model("hub", "models--c--small");
  CHECK(rag::model_folder("small") == third);
  CHECK(rag::model_folder("small") == third);

  const std::string own = here.model("home/.cache/rag/d/small");
  CHECK(rag::model_folder("small") == own);
}

TEST_CASE("A model that is nowhere is an error that lists each place and says how to get it") {
  const Surroundings here;
  ::setenv("RAG_MODEL_DIR", (here.folder / "models").c_str(), 1);
  const std::string text = failure("all-MiniLM-L6-v2", rag::Errc::not_found);

  for (const char* part : {"/models: no config.json", "/models/all-MiniLM-L6-v2", "/.cache/rag/all-MiniLM-L6-v2",
                           "/hub/models--sentence-transformers--all-MiniLM-L6-v2", "download_model", "tools/get_model.sh"})
    CHECK_MESSAGE(contains(text, part), text);
  std::filesystem::create_directories(here.folder / "models/half");
  std::ofstream(here.folder / "models/half/config.json") << "{}";
  std::ofstream(here.folder / "models/half/model.safetensors");
  CHECK(contains(failure("half", rag::Errc::not_found), "half: no model.safetensors"));
}

TEST_CASE("A name that leads out of the folders is refused") {
  const Surroundings here;
  here.model("home/.cache/secret");
  for (const std::string name : {"", "a/../../secret", "..", "a/..", "a//b", "a/b/c", "a b", "a\nb", "é", "a\\b"}) {
    CAPTURE(name);
    if (name != "..") CHECK(contains(failure(name, rag::Errc::invalid_argument), "wanted"));
  }
  CHECK(contains(failure("../secret", rag::Errc::not_found), "no model folder"));
  CHECK(contains(failure(std::string("a\0b", 3), rag::Errc::invalid_argument), "wanted"));
}
