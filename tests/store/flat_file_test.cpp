// SPDX-License-Identifier: MIT
#include <rag/store/flat.hpp>

#include "laws/store.hpp"
#include "paths.hpp"

#include <doctest/doctest.h>

#include <sys/resource.h>

#include <csignal>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

namespace {

using laws::axes;

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

rag::FlatStore<> small_store() {
  rag::FlatStore store;
  const rag::Metadata metadata{{"text", std::string("a\0\xFF", 3)}, {"number", -1.5e300}, {"tiny", 5e-324},
                               {"yes", true},  {"no", false},        {"empty", ""}};
  store.add(std::vector<rag::Chunk>{{"one", "a.txt", 3, 6, metadata}, {"", "", 0, 0, {}, 77}, {"gone", "b", 0, 4}},
            axes({0, 1, 2}, 3));
  store.erase(std::vector<rag::Id>{78});
  return store;
}

template <class A, class B>
bool same_content(const A& a, const B& b) {
  const std::vector<float> query = {1.0f, 0.5f, 0.25f};
  return a.size() == b.size() && a.dimension() == b.dimension() && a.search(query, 10) == b.search(query, 10);
}

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
  std::filesystem::path path = folder / "notes.rag";

  std::string saved() {
    small_store().save(path);
    return read(path);
  }
  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator(folder.path()), std::filesystem::directory_iterator()));
  }
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a saved store comes back with every bit, and goes on numbering where it was") {
  saved();
  auto store = rag::FlatStore<>::load(path);

  CHECK(same_content(store, small_store()));
  CHECK(store.find(0)->metadata == small_store().find(0)->metadata);
  CHECK(store.chunks("a.txt").size() == 1);
  CHECK(store.add(std::vector<rag::Chunk>{{"new", "s", 0, 3}}, axes({0}, 3)) == std::vector<rag::Id>{79});
  store.save(path);
  CHECK(same_content(rag::FlatStore<3>::load(path), store));
  CHECK(files() == 1);
}

TEST_CASE_FIXTURE(Fixture, "an empty store is saved and loaded, with the dimension where it is known") {
  rag::FlatStore{}.save(path);
  CHECK(rag::FlatStore<>::load(path).dimension() == 0);
  CHECK(rag::FlatStore<5>::load(path).size() == 0);
  rag::FlatStore<5>{}.save(path);
  CHECK(rag::FlatStore<>::load(path).dimension() == 5);
}

TEST_CASE_FIXTURE(Fixture, "cosine and distance survive the file with equal scores") {
  const auto check = [&](auto store) {
    rag::Matrix vectors(3, 4);
    for (std::size_t i = 0; i < 12; ++i) vectors.data()[i] = 0.3f * static_cast<float>(i) - 1.7f;
    store.add(std::vector<rag::Chunk>(3, {"t", "s", 0, 1}), vectors);
    store.save(path);
    const std::vector<float> query = {1.0f, -2.0f, 0.1f, 3.0f};
    CHECK(decltype(store)::load(path).search(query, 3) == store.search(query, 3));
  };
  check(rag::FlatStore<4, rag::Cosine>{});
  check(rag::FlatStore<0, rag::L2>{});
}

TEST_CASE_FIXTURE(Fixture, "another dimension or metric is refused") {
  saved();
  const auto [code, text] = error_of([&] { rag::FlatStore<384>::load(path); });

  CHECK(code == rag::Errc::dimension_mismatch);
  CHECK(text.find("384 columns wanted, 3 met") != std::string::npos);
  CHECK(error_of([&] { rag::FlatStore<3, rag::L2>::load(path); }).first == rag::Errc::unsupported);
}

TEST_CASE_FIXTURE(Fixture, "any changed byte and any cut is an error that names the file") {
  const std::string whole = saved();
  const auto check = [&](const std::string& bytes) {
    write(path, bytes);
    const auto [code, text] = error_of([&] { rag::FlatStore<>::load(path); });
    CHECK((code == rag::Errc::corrupt || code == rag::Errc::invalid_format || code == rag::Errc::unsupported));
    CHECK(text.find("notes.rag") != std::string::npos);
  };
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (const int change : {1, 0x80, 0xFF}) {
      CAPTURE(at);
      CAPTURE(change);
      std::string bytes = whole;
      bytes[at] = static_cast<char>(bytes[at] ^ change);
      check(bytes);
    }
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    check(whole.substr(0, size));
  }
  check(whole + "x");
  write(path, "a poem");
  CHECK(error_of([&] { rag::FlatStore<>::load(path); }).first == rag::Errc::invalid_format);
  CHECK(error_of([&] { rag::FlatStore<>::load(folder / "none"); }).first == rag::Errc::not_found);
  CHECK(error_of([&] { rag::FlatStore<>::load(folder.path()); }).first == rag::Errc::io);
}

TEST_CASE_FIXTURE(Fixture, "a lying number under a right checksum is an error, and allocates nothing") {
  const std::string whole = saved();
  const std::size_t body = rag::detail::flat_header_size;
  for (const std::size_t at : {16u, 32u, 40u, 48u})  // dimension, rows, next id, bytes of the chunks
    for (const std::uint64_t lie : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 62, ~std::uint64_t{0}}) {
      if (at == 40 && lie == std::uint64_t{1} << 62) continue;  // an id that may be next
      CAPTURE(at);
      CAPTURE(lie);
      std::string bytes = whole;
      std::memcpy(bytes.data() + at, &lie, 8);
      const std::uint32_t check = rag::detail::crc32c(std::string_view(bytes).substr(0, body - 4));
      std::memcpy(bytes.data() + body - 4, &check, 4);
      write(path, bytes);
      CHECK(error_of([&] { rag::FlatStore<>::load(path); }).first == rag::Errc::corrupt);
    }
}

TEST_CASE_FIXTURE(Fixture, "what save() can't write leaves the old file and nothing beside it") {
  const std::string before = saved();
  CHECK(error_of([&] { small_store().save(folder / "no/such/folder"); }).first == rag::Errc::not_found);
  CHECK(error_of([&] { small_store().save(folder.path()); }).first == rag::Errc::io);

  auto store = small_store();
  store.add(std::vector<rag::Chunk>{{std::string(5000, 'x'), "s", 0, 5000}}, axes({0}, 3));
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit small{1000, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const auto [code, text] = error_of([&] { store.save(path); });
  setrlimit(RLIMIT_FSIZE, &old);

  CHECK(code == rag::Errc::io);
  CHECK(read(path) == before);
  CHECK(files() == 1);
}
