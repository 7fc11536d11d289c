// SPDX-License-Identifier: MIT
#include <rag/store/flat.hpp>
#include <rag/store/jsonl.hpp>
#include <rag/store/open.hpp>

#include "laws/store.hpp"
#include "paths.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace {

using laws::axes;
using laws::chunk_of;

template <class Work>
std::pair<rag::Errc, std::string> error_of(Work&& work) {
  try {
    work();
  } catch (const rag::Error& error) {
    return {error.code(), error.what()};
  }
  return {rag::Errc::cancelled, "nothing thrown"};
}

struct Fixture {
  tests::TemporaryFolder folder;
  std::string path = (folder / "lines.jsonl").string();

  std::string read() const {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void write(const std::string& text) const { std::ofstream(path, std::ios::binary) << text; }
  std::string db(const char* name) const { return (folder / name).string(); }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "export and import keep every bit of chunks and vectors") {
  rag::FileStore store(db("a"));
  const rag::Metadata metadata{
      {"text", "a\n\"b\" ä"}, {"number", -1.5e300}, {"tiny", 5e-324}, {"yes", true}, {"third", 1.0 / 3}};
  rag::Matrix vectors(3, 3);
  const float values[] = {0.1f, -0.0f, 1e-45f, 3.4e18f, 1.0f / 3, 16777217.0f, -1e-38f, 0.3f, 123456.79f};
  std::copy(std::begin(values), std::end(values), vectors.data());
  store.add(
      std::vector<rag::Chunk>{
          {"one\ttwo", "a.txt", 3, 6, metadata}, {"", "", 0, 0, {}, 77}, {"gone", "b", 0, 4}},
      vectors);
  rag::export_jsonl(store, path);

  CHECK(read().starts_with(
      "{\"id\":0,\"source\":\"a.txt\",\"begin\":3,\"end\":6,\"text\":\"one\\ttwo\",\"metadata\":{\"text\":"));
  rag::FileStore back(db("b"));
  CHECK(rag::import_jsonl(back, path, 2) == 3);
  CHECK(back.ids() == store.ids());
  for (const rag::Id id : store.ids()) {
    CAPTURE(id);
    CHECK(back.find(id)->text == store.find(id)->text);
    CHECK(back.find(id)->source == store.find(id)->source);
    const auto a = store.vector(id), b = back.vector(id);
    CHECK(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
  }
  CHECK(back.find(0)->metadata == metadata);
  rag::FlatStore flat;
  CHECK(rag::import_jsonl(flat, path) == 3);
  CHECK(flat.size() == 3);
  const std::string before = read();
  rag::export_jsonl(flat, path);
  CHECK(rag::import_jsonl(*std::make_unique<rag::FlatStore<>>(), path) == 3);
  CHECK(before.size() == read().size());
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()),
                      std::filesystem::directory_iterator()) == 3);
}

TEST_CASE_FIXTURE(Fixture,
                  "a line that is none is an Error that names it, and what JSON can't say is one too") {
  rag::FlatStore store;
  const std::string good =
      R"({"id":0,"source":"s","begin":0,"end":1,"text":"t","metadata":{},"vector":[1,2]})";
  for (const std::string bad :
       {"{", "[]", "null", "{\"id\":1}", "\xFF",
        R"({"id":"x","source":"s","begin":0,"end":1,"text":"t","metadata":{},"vector":[1,2]})",
        R"({"id":1,"source":"s","begin":0,"end":1,"text":"t","metadata":{"a":[]},"vector":[1,2]})",
        R"({"id":1,"source":"s","begin":0,"end":1,"text":"t","metadata":{},"vector":[1],"vector":[2]})"}) {
    CAPTURE(bad);
    write(good + "\n\n" + bad + "\n");
    const auto [code, text] = error_of([&] { rag::import_jsonl(store, path); });
    CHECK(code == rag::Errc::invalid_format);
    CHECK(text.find("line 3") != std::string::npos);
  }
  write(good + "\n" + R"({"id":1,"source":"s","begin":0,"end":1,"text":"t","metadata":{},"vector":[1]})");
  CHECK(error_of([&] { rag::import_jsonl(store, path); }).first == rag::Errc::dimension_mismatch);
  CHECK(store.size() == 0);

  store.add(std::vector{chunk_of("s", "\xFF")}, axes({0}, 2));
  CHECK(error_of([&] { rag::export_jsonl(store, path); }).first == rag::Errc::invalid_format);
  rag::FlatStore other;
  other.add(std::vector<rag::Chunk>{{"t", "s", 0, 1, {{"x", std::numeric_limits<double>::infinity()}}}},
            axes({0}, 2));
  CHECK(error_of([&] { rag::export_jsonl(other, path); }).second.find("id 0") != std::string::npos);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()),
                      std::filesystem::directory_iterator()) == 1);
}
