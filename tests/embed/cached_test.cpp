// SPDX-License-Identifier: MIT
#include <rag/embed/cached.hpp>
#include <rag/embed/hashing.hpp>

#include "laws/embedder.hpp"
#include "paths.hpp"

#include <doctest/doctest.h>

#include <sys/resource.h>
#include <sys/wait.h>

#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

/// Gives (length, calls so far, first byte), and notes what it was asked.
struct CountingEmbedder {
  std::vector<std::vector<std::string>>* calls;
  std::string model = "counting";
  std::size_t columns = 3;

  std::size_t dimension() const { return columns; }
  std::string name() const { return model; }
  rag::Matrix embed(std::span<const std::string_view> texts) {
    calls->emplace_back(texts.begin(), texts.end());
    rag::Matrix vectors(texts.size(), columns);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      vectors.row(i)[0] = 0.1f + static_cast<float>(texts[i].size());
      vectors.row(i)[1] = static_cast<float>(calls->size());
    }
    return vectors;
  }
};

/// Knows queries, counts tokens, and has no name.
struct Nameless {
  std::size_t dimension() const { return 1; }
  rag::Matrix embed(std::span<const std::string_view> texts) { return {texts.size(), 1}; }
};

struct QueryAndTokens {
  std::size_t dimension() const { return 1; }
  std::string name() const { return "both"; }
  rag::Matrix embed(std::span<const std::string_view> texts) { return {texts.size(), 1}; }
  std::vector<float> embed_query(std::string_view) { return {1.0f}; }
  std::size_t count_tokens(std::string_view text) const { return text.size(); }
  std::size_t max_tokens() const { return 7; }
};

static_assert(rag::NamedEmbedder<rag::CachedEmbedder<CountingEmbedder>>);
static_assert(!rag::QueryEmbedder<rag::CachedEmbedder<CountingEmbedder>>);
static_assert(!rag::TokenCounter<rag::CachedEmbedder<CountingEmbedder>>);
static_assert(!rag::NamedEmbedder<Nameless> && rag::Embedder<Nameless>);
static_assert(rag::QueryEmbedder<rag::CachedEmbedder<QueryAndTokens>>);
static_assert(rag::TokenCounter<rag::CachedEmbedder<QueryAndTokens>>);
static_assert(rag::static_dimension<rag::CachedEmbedder<rag::HashingEmbedder<>>> == 1024);
static_assert(rag::static_dimension<rag::CachedEmbedder<CountingEmbedder>> == 0);

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write(const std::filesystem::path& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

struct Fixture {
  tests::TemporaryFolder folder;
  std::filesystem::path path = folder / "vectors.cache";
  std::vector<std::vector<std::string>> calls;

  rag::CachedEmbedder<CountingEmbedder> open(std::string model = "counting", std::size_t columns = 3) {
    return {CountingEmbedder{&calls, std::move(model), columns}, path};
  }
  rag::Matrix embed(std::vector<std::string_view> texts, std::string model = "counting", std::size_t columns = 3) {
    return open(std::move(model), columns).embed(texts);
  }
};

using Calls = std::vector<std::vector<std::string>>;

template <class Work>
rag::Errc code_of(Work&& work) {
  try {
    work();
  } catch (const rag::Error& error) {
    return error.code();
  }
  return rag::Errc::cancelled;
}

}  // namespace

TEST_CASE("A cache's key is of both chains of hashes, as files have it") {
  using rag::detail::hash64;
  const rag::detail::VectorKey key("model", "passage", "a text");
  CHECK(key.low == hash64("a text", hash64("passage", hash64("model", 1))));
  CHECK(key.high == hash64("a text", hash64("passage", hash64("model", 2))));
  CHECK(key.length == 6);
}

TEST_CASE("CachedEmbedder obeys the laws of an Embedder, at the first and at the second time") {
  const tests::TemporaryFolder folder;
  for (int time = 0; time < 2; ++time) {
    rag::CachedEmbedder embedder{rag::HashingEmbedder<64>{}, folder / "c"};
    laws::check_embedder(embedder);
  }
}

TEST_CASE_FIXTURE(Fixture, "a text is embedded once, in a batch, in a program and in the next one") {
  const rag::Matrix first = embed({"one", "three", "one"});
  const rag::Matrix second = embed({"three", "seven", "one", "seven", "eight"});

  CHECK(calls == Calls{{"one", "three"}, {"seven", "eight"}});
  CHECK(std::ranges::equal(first.row(0), first.row(2)));
  CHECK(std::ranges::equal(second.row(0), first.row(1)));
  CHECK(std::ranges::equal(second.row(2), first.row(0)));
  CHECK(second.row(1)[1] == 2.0f);
  CHECK(embed({}).rows() == 0);
}

TEST_CASE_FIXTURE(Fixture, "the vectors of another model are never given") {
  embed({"text"});
  embed({"text"}, "another");
  embed({"text"}, "counting", 4);  // the same name with another dimension: embedded anew
  const rag::Matrix again = embed({"text"}, "another");

  CHECK(calls.size() == 3);
  CHECK(again.row(0)[1] == 2.0f);
}

TEST_CASE("a query and a passage of the same text are two entries, and tokens are counted by the embedder") {
  const tests::TemporaryFolder folder;
  rag::CachedEmbedder embedder{QueryAndTokens{}, folder / "c"};
  const std::string_view text = "text";

  CHECK(embedder.embed(std::span(&text, 1)).row(0)[0] == 0.0f);
  CHECK(embedder.embed_query(text) == std::vector<float>{1.0f});
  CHECK(embedder.embed_query(text) == std::vector<float>{1.0f});
  CHECK(embedder.count_tokens(text) == 4);
  CHECK(embedder.max_tokens() == 7);
}

TEST_CASE_FIXTURE(Fixture, "a file cut at any byte keeps its whole records and goes on") {
  embed({"one", "three", "seven"});
  const std::string whole = read(path);
  const std::size_t record = (whole.size() - 16) / 3;

  for (std::size_t size = 0; size <= whole.size(); ++size) {
    CAPTURE(size);
    write(path, whole.substr(0, size));
    calls.clear();
    const std::size_t kept = size < 16 ? 0 : (size - 16) / record;

    embed({"one", "three", "seven"});

    CHECK((calls.empty() ? 0 : calls[0].size()) == 3 - kept);
    CHECK(read(path).size() == whole.size());
    calls.clear();
    embed({"seven", "one", "three"});
    CHECK(calls.empty());
  }
}

TEST_CASE_FIXTURE(Fixture, "a changed byte is an error or an entry that is made anew, never a wrong vector") {
  const rag::Matrix wanted = embed({"one", "three"});
  const std::string whole = read(path);

  for (std::size_t at = 0; at < whole.size(); ++at)
    for (const int change : {1, 0x80, 0xFF}) {
      CAPTURE(at);
      CAPTURE(change);
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ change);
      write(path, damaged);
      calls.clear();
      try {
        const rag::Matrix vectors = embed({"one", "three"});
        CHECK(at >= whole.size() - (whole.size() - 16) / 2);  // only the last record can be taken for a torn end
        CHECK(calls == Calls{{"three"}});
        CHECK(std::ranges::equal(vectors.row(0), wanted.row(0)));
      } catch (const rag::Error& error) {
        CHECK(std::string(error.what()).find("vectors.cache") != std::string::npos);
      }
    }
}

TEST_CASE_FIXTURE(Fixture, "zeros at the end, as a crash may leave them, are cut off") {
  embed({"one"});
  const std::string whole = read(path);
  write(path, whole + std::string(5000, '\0'));
  calls.clear();

  open();
  CHECK(read(path) == whole);

  embed({"one", "three"});

  CHECK(calls == Calls{{"three"}});
}

TEST_CASE_FIXTURE(Fixture, "foreign and newer files are refused and left alone") {
  for (const std::string& bytes : {std::string("a poem, not a cache"), std::string("ragcache\2\0\0\0\4\3\2\1", 16)}) {
    write(path, bytes);

    CHECK(code_of([&] { open(); }) == (bytes[0] == 'a' ? rag::Errc::invalid_format : rag::Errc::unsupported));
    CHECK(read(path) == bytes);
  }
  CHECK(code_of([&] { rag::CachedEmbedder(CountingEmbedder{&calls}, folder / "no/such/folder"); }) ==
        rag::Errc::not_found);
}

TEST_CASE_FIXTURE(Fixture, "a second user of the file is refused while the first one lives") {
  {
    auto first = open();
    CHECK(code_of([&] { open(); }) == rag::Errc::io);
    auto moved = std::move(first);
    CHECK(code_of([&] { open(); }) == rag::Errc::io);
  }
  open();
}

TEST_CASE_FIXTURE(Fixture, "a full disk is an error, and the file stays as it was") {
  embed({"one"});
  const std::string before = read(path);
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  {
    auto embedder = open();
    const std::vector<std::string_view> texts = {"one", "three", "seven"};
    const rlimit small{before.size() + 60, old.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    const rag::Errc code = code_of([&] { embedder.embed(texts); });
    setrlimit(RLIMIT_FSIZE, &old);

    CHECK(code == rag::Errc::io);
    CHECK(read(path) == before);
    CHECK(embedder.embed(texts).rows() == 3);
  }
  CHECK(read(path).size() > before.size());
}

TEST_CASE_FIXTURE(Fixture, "a process that is killed while it appends leaves a file that opens") {
  for (int round = 0; round < 5; ++round) {
    CAPTURE(round);
    int ready[2];
    REQUIRE(pipe(ready) == 0);
    const pid_t child = fork();
    if (child == 0) {
      auto embedder = open();
      for (int i = 0;; ++i) {
        const std::string text = "text " + std::to_string(i);
        const std::string_view view = text;
        embedder.embed(std::span(&view, 1));
        if (i == 20 * round && ::write(ready[1], "x", 1) != 1) _exit(1);
      }
    }
    char byte;
    REQUIRE(::read(ready[0], &byte, 1) == 1);
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    close(ready[0]), close(ready[1]);
    calls.clear();

    embed({"text 0"});

    CHECK(calls.empty());
  }
}
