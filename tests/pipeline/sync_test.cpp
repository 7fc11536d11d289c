// SPDX-License-Identifier: MIT
#include <doctest/doctest.h>
#include <rag/chunk/context.hpp>
#include <rag/embed/cached.hpp>
#include <rag/llm/echo.hpp>
#include <rag/pipeline.hpp>
#include <rag/retrieve/bm25.hpp>
#include <rag/retrieve/hybrid.hpp>
#include <rag/retrieve/parent.hpp>
#include <rag/store/tenant.hpp>

#include "pipeline/sync_fixture.hpp"

#include <sys/stat.h>
#include <unistd.h>

namespace {

using tests::content, tests::NotingEmbedder, tests::Strings, tests::write_file;
using Skipped = std::vector<rag::SkippedFile>;

/// A folder, a store and what was embedded; lines are chunks.
template <class Store = rag::FlatStore<>>
struct Desk {
  tests::TemporaryFolder folder;
  std::vector<std::string> embedded;
  rag::SeparatorChunker chunker{"\n"};
  rag::DenseRetriever<NotingEmbedder, Store> retriever;

  explicit Desk(Store store = {}) : retriever(NotingEmbedder{&embedded}, std::move(store)) {}

  template <class L = rag::TextLoader>
  rag::SyncReport sync(const rag::SyncOptions& options = {}, const L& loader = {}) {
    embedded.clear();
    return rag::sync_folder(chunker, retriever, folder.path().string(), options, loader);
  }
  Strings stored() const { return content(retriever.store()); }
};

/// "added changed removed unchanged"
std::string counts(const rag::SyncReport& report) {
  return std::to_string(report.added) + ' ' + std::to_string(report.changed) + ' ' + std::to_string(report.removed) +
         ' ' + std::to_string(report.unchanged);
}

/// Each line is a document of its own, as a table's row.
struct LineLoader {
  bool reads(std::string_view id) const { return id.ends_with(".rows"); }
  std::vector<rag::Document> load(rag::Document file) const {
    std::vector<rag::Document> documents;
    for (std::size_t begin = 0; begin < file.text.size();) {
      const std::size_t end = std::min(file.text.find('\n', begin), file.text.size());
      documents.push_back({file.id + '#' + std::to_string(documents.size()), file.text.substr(begin, end - begin)});
      begin = end + 1;
    }
    ++loaded;
    return documents;
  }
  static inline int loaded = 0;
};
static_assert(rag::Loader<rag::TextLoader> && rag::Loader<LineLoader> && rag::Loader<rag::Loaders<rag::TextLoader, LineLoader>>);
static_assert(!rag::Loader<rag::SeparatorChunker> && !rag::Loader<rag::EchoLlm>);
static_assert(rag::ListingStore<rag::FlatStore<>, rag::Filter> && rag::ListingStore<rag::FileStore, rag::Filter>);
static_assert(rag::ListingStore<rag::Bm25, rag::Filter> && !rag::ListingStore<rag::EchoLlm, rag::Filter>);

template <class Store>
void sync_several_times(Store store) {
  Desk<Store> desk(std::move(store));
  write_file(desk.folder / "a.md", "one\ntwo");
  write_file(desk.folder / "b/c.txt", "three");
  write_file(desk.folder / "d.md", "four");

  CHECK(counts(desk.sync()) == "3 0 0 0");
  CHECK(desk.embedded == Strings{"one", "two", "three", "four"});
  CHECK(desk.stored() == Strings{"a.md: one | two", "b/c.txt: three", "d.md: four"});

  CHECK(counts(desk.sync()) == "0 0 0 3");
  CHECK(desk.embedded.empty());

  write_file(desk.folder / "a.md", "one\nTWO");
  write_file(desk.folder / "e.md", "five");
  std::filesystem::remove(desk.folder / "d.md");
  const rag::SyncReport report = desk.sync();

  CHECK(counts(report) == "1 1 1 1");
  CHECK(report.chunks == 3);
  CHECK(report.skipped.empty());
  CHECK(desk.embedded == Strings{"one", "TWO", "five"});
  CHECK(desk.stored() == Strings{"a.md: one | TWO", "b/c.txt: three", "e.md: five"});
}

}  // namespace

TEST_CASE("sync_folder adds what is new, replaces what changed, takes out what is gone and embeds nothing else") {
  sync_several_times(rag::FlatStore{});

  const tests::TemporaryFolder place;
  sync_several_times(rag::FileStore{(place / "notes.rag").string()});
  sync_several_times(rag::TenantStore{rag::FlatStore{}}.of("alice"));
}

TEST_CASE("sync_folder knows in a new process what is in a file") {
  const tests::TemporaryFolder place;
  Strings embedded;
  for (const char* wanted : {"2 0 0 0", "0 0 0 2"}) {
    write_file(place / "docs/a.md", "one");
    write_file(place / "docs/b.md", "two");
    rag::DenseRetriever retriever{NotingEmbedder{&embedded}, rag::FileStore{(place / "notes.rag").string()}};

    const auto report = rag::sync_folder(rag::SeparatorChunker{"\n"}, retriever, (place / "docs").string());

    CHECK(counts(report) == wanted);
  }
  CHECK(embedded == Strings{"one", "two"});
}

TEST_CASE("sync_folder takes a Pipeline, and tells its progress in files") {
  const tests::TemporaryFolder folder;
  write_file(folder / "a.md", "How long?\nFour weeks.");
  write_file(folder / "b.md", "Who?\nAll.");
  rag::Pipeline pipeline{rag::SeparatorChunker{"\n"}, rag::Bm25{}, rag::EchoLlm{}};
  Strings heard;
  const auto progress = [&](std::size_t done, std::size_t total) {
    heard.push_back(std::to_string(done) + '/' + std::to_string(total));
  };

  const auto first = rag::sync_folder(pipeline, folder.path().string(), {}, rag::TextLoader{}, progress);
  const auto second = rag::sync_folder(pipeline, folder.path().string());

  CHECK(counts(first) == "2 0 0 0");
  CHECK(counts(second) == "0 0 0 2");
  CHECK(heard == Strings{"0/2", "1/2", "2/2"});
  CHECK(pipeline.search("four weeks", 1).at(0).chunk.source == "a.md");
}

TEST_CASE("sync_folder gives the second leg of a Hybrid what it lacks") {
  const tests::TemporaryFolder place;
  Strings embedded;
  write_file(place / "docs/a.md", "one\ntwo");
  write_file(place / "docs/b.md", "three");
  for (int process = 0; process < 2; ++process) {
    CAPTURE(process);
    rag::Hybrid hybrid{rag::DenseRetriever{NotingEmbedder{&embedded}, rag::FileStore{(place / "notes.rag").string()}},
                       rag::Bm25{}};

    rag::sync_folder(rag::SeparatorChunker{"\n"}, hybrid, (place / "docs").string());

    CHECK(hybrid.second().chunks("a.md") == hybrid.first().chunks("a.md"));
    CHECK(hybrid.second().search("three", 1).size() == 1);
    CHECK(embedded.size() == 3);
  }
}

TEST_CASE("sync_folder embeds anew what another chunker cuts otherwise, and all with another embedder") {
  Desk desk;
  write_file(desk.folder / "a.md", "one,two");
  write_file(desk.folder / "b.md", "three");
  desk.sync();

  desk.chunker = rag::SeparatorChunker{","};
  CHECK(counts(desk.sync()) == "0 1 0 1");
  CHECK(desk.stored() == Strings{"a.md: one | two", "b.md: three"});

  desk.retriever.embedder().model = "another";
  CHECK(counts(desk.sync()) == "0 2 0 0");
}

/// Counts bytes as tokens.
struct ShortEmbedder : rag::HashingEmbedder<64> {
  std::size_t count_tokens(std::string_view text) const { return text.size(); }
  std::size_t max_tokens() const { return 10; }
};

TEST_CASE("sync_folder counts the chunks that are longer than the embedder reads, with what is read beside their text") {
  const tests::TemporaryFolder folder;
  write_file(folder / "a.md", "ten bytes.\neleven here\ntwo");
  const auto cut_by = [&](const auto& chunker) {
    rag::DenseRetriever retriever{ShortEmbedder{}, rag::FlatStore<64>{}};
    return rag::sync_folder(chunker, retriever, folder.path().string()).cut;
  };
  CHECK(cut_by(rag::SeparatorChunker{"\n"}) == 1);
  CHECK(cut_by(rag::ContextChunker{rag::SeparatorChunker{"\n"}}) == 2);  // "a.md", a blank line and the text
}

TEST_CASE("sync_folder finds the store and both embedders of legs within a ParentRetriever") {
  const tests::TemporaryFolder folder;
  write_file(folder / "a.md", "one");
  Strings first, second;
  rag::DenseRetriever dense{NotingEmbedder{&first}, rag::FlatStore{}}, other{NotingEmbedder{&second, "other"}, rag::FlatStore{}};
  rag::ParentRetriever retriever{rag::Hybrid{std::move(dense), std::move(other)}};
  const auto sync = [&] { return counts(rag::sync_folder(rag::SeparatorChunker{"\n"}, retriever, folder.path().string())); };
  CHECK(sync() == "1 0 0 0");
  CHECK(sync() == "0 0 0 1");
  retriever.retriever().second().replace("a.md", {});
  CHECK(sync() == "0 0 0 1");
  CHECK(retriever.retriever().second().chunks("a.md").size() == 1);
  retriever.retriever().second().embedder().model = "another";
  CHECK(sync() == "0 1 0 0");
}

TEST_CASE("sync_folder with named settings loads no file again whose bytes and settings are those of last time") {
  Desk desk;
  write_file(desk.folder / "a.rows", "one\n\ntwo");
  const rag::SyncOptions options{.settings = "lines"};
  LineLoader::loaded = 0;
  CHECK(counts(desk.sync(options, LineLoader{})) == "2 0 0 0");
  CHECK(counts(desk.sync(options, LineLoader{})) == "0 0 0 2");
  CHECK(LineLoader::loaded == 1);

  write_file(desk.folder / "a.rows", "one\n\ntwo\nthree");
  CHECK(counts(desk.sync(options, LineLoader{})) == "1 0 0 2");
  CHECK(desk.embedded == Strings{"three"});

  CHECK(counts(desk.sync({.settings = "other lines"}, LineLoader{})) == "0 3 0 0");
}

TEST_CASE("sync_folder takes a table's row for a document") {
  Desk desk;
  write_file(desk.folder / "a.rows", "one\ntwo\nthree");
  write_file(desk.folder / "a.rows#1.md", "a file");
  const rag::Loaders loaders{rag::TextLoader{}, LineLoader{}};
  CHECK(counts(desk.sync({}, loaders)) == "4 0 0 0");

  write_file(desk.folder / "a.rows", "one\nTWO");
  CHECK(counts(desk.sync({}, loaders)) == "0 1 1 2");
  CHECK(desk.stored() == Strings{"a.rows#0: one", "a.rows#1: TWO", "a.rows#1.md: a file"});
}

TEST_CASE("sync_folder reports two documents of one id") {
  Desk desk;
  write_file(desk.folder / "a.rows", "row 0\nrow 1");
  write_file(desk.folder / "a.rows#1", "file");
  const rag::Loaders loaders{rag::TextLoader{{"#1"}}, LineLoader{}};

  const rag::SyncReport report = desk.sync({}, loaders);

  CHECK(desk.stored() == Strings{"a.rows#0: row 0", "a.rows#1: row 1"});
  CHECK(report.skipped == Skipped{{"a.rows#1", "the id 'a.rows#1' is that of another document"}});
}

TEST_CASE("sync_folder says what it skipped and why") {
  Desk desk;
  write_file(desk.folder / "a.md", "good");
  write_file(desk.folder / "binary.txt", std::string("a\0b", 3));
  write_file(desk.folder / "empty.md", "");
  write_file(desk.folder / "latin1.txt", "caf\xE9");
  write_file(desk.folder / "large.md", std::string(101, 'x'));
  write_file(desk.folder / "picture.png", "PNG");
  write_file(desk.folder / ".git/config.txt", "hidden");
  std::filesystem::create_symlink("nowhere.md", desk.folder / "dangling.md");
  REQUIRE(mkfifo((desk.folder / "pipe.md").c_str(), 0600) == 0);

  const rag::SyncReport report = desk.sync({.largest_file = 100});

  CHECK(desk.stored() == Strings{"a.md: good"});
  CHECK(report.skipped == Skipped{{"binary.txt", "binary: a zero byte at byte 1"},
                                  {"dangling.md", "No such file or directory"},
                                  {"empty.md", "no text in it"},
                                  {"large.md", "of 101 bytes, at most 100 wanted"},
                                  {"latin1.txt", "not UTF-8 at byte 3"},
                                  {"picture.png", "no loader reads such a file"},
                                  {"pipe.md", "not a regular file"}});
}

TEST_CASE("sync_folder keeps what it has of a file that can't be read, and drops what is empty or not wanted now") {
  Desk desk;
  for (const char* id : {"broken.md", "emptied.md", "grown.md", "ok.md", "unwanted.txt"})
    write_file(desk.folder / id, id);
  desk.sync();
  write_file(desk.folder / "broken.md", "\xFF");
  write_file(desk.folder / "emptied.md", "\n");
  write_file(desk.folder / "grown.md", std::string(200, 'x'));

  const rag::SyncReport report = desk.sync({.extensions = {".md"}, .largest_file = 100});

  CHECK(counts(report) == "0 0 2 1");
  CHECK(report.skipped.size() == 3);
  CHECK(desk.stored() == Strings{"broken.md: broken.md", "grown.md: grown.md", "ok.md: ok.md"});
}

TEST_CASE("sync_folder keeps what is below a folder that can't be entered") {
  Desk desk;
  write_file(desk.folder / "a.md", "one");
  write_file(desk.folder / "sub/b.md", "two");
  write_file(desk.folder / "sub/deep/c.md", "three");
  desk.sync();
  using std::filesystem::perms;
  std::filesystem::permissions(desk.folder.path(), perms::owner_all | perms::group_all | perms::others_all);
  std::filesystem::permissions(desk.folder / "sub", perms::none);
  const uid_t user = geteuid();
  if (user == 0) REQUIRE(seteuid(65534) == 0);  // root may read everything
  const rag::SyncReport report = desk.sync();
  if (user == 0) REQUIRE(seteuid(0) == 0);

  CHECK(counts(report) == "0 0 0 1");
  CHECK(report.skipped == Skipped{{"sub/", "Permission denied"}});
  CHECK(desk.stored().size() == 3);

  std::filesystem::permissions(desk.folder / "sub", perms::owner_all);
  std::filesystem::remove_all(desk.folder / "sub");
  CHECK(counts(desk.sync()) == "0 0 2 1");
}

TEST_CASE("sync_folder reads a link within the folder and none that leads out of it") {
  const tests::TemporaryFolder outside;
  write_file(outside / "secret.md", "secret");
  Desk desk;
  write_file(desk.folder / "a.md", "one");
  write_file(desk.folder / "b.md", "two");
  std::filesystem::create_symlink("a.md", desk.folder / "c.md");
  desk.sync();
  std::filesystem::remove(desk.folder / "b.md");
  std::filesystem::create_symlink(outside / "secret.md", desk.folder / "b.md");

  const rag::SyncReport report = desk.sync();

  CHECK(counts(report) == "0 0 1 2");
  CHECK(report.skipped == Skipped{{"b.md", "a link out of the folder"}});
  CHECK(desk.stored() == Strings{"a.md: one", "c.md: one"});
}

TEST_CASE("sync_folder takes a renamed file for a new one, which a CachedEmbedder does not embed again") {
  const tests::TemporaryFolder place;
  Strings embedded;
  rag::DenseRetriever retriever{rag::CachedEmbedder{NotingEmbedder{&embedded}, (place / "vectors.cache").string()},
                                rag::FlatStore{}};
  const auto sync = [&] { return rag::sync_folder(rag::SeparatorChunker{"\n"}, retriever, (place / "docs").string()); };
  write_file(place / "docs/a.md", "one");
  write_file(place / "docs/b.md", "one");
  CHECK(counts(sync()) == "2 0 0 0");
  std::filesystem::rename(place / "docs/a.md", place / "docs/c.md");

  CHECK(counts(sync()) == "1 0 1 1");
  CHECK(content(retriever.store()) == Strings{"b.md: one", "c.md: one"});
  CHECK(embedded == Strings{"one"});
}

TEST_CASE("sync_folder leaves alone what came to the store in another way, and the folders of other prefixes") {
  Desk desk;
  rag::Pipeline pipeline{desk.chunker, desk.retriever, rag::EchoLlm{}};
  const tests::TemporaryFolder other;
  write_file(desk.folder / "a.md", "one");
  write_file(other / "a.md", "other");
  pipeline.add({"by hand", "a note"});
  rag::sync_folder(pipeline, desk.folder.path().string(), {.prefix = "x/"});
  rag::sync_folder(pipeline, other.path().string());
  std::filesystem::remove(desk.folder / "a.md");
  CHECK(content(pipeline.retriever().store()) == Strings{"a.md: other", "by hand: a note", "x/a.md: one"});

  CHECK(counts(rag::sync_folder(pipeline, other.path().string())) == "0 0 0 1");
  CHECK(counts(rag::sync_folder(pipeline, desk.folder.path().string(), {.prefix = "x/"})) == "0 0 1 0");
  CHECK(content(pipeline.retriever().store()) == Strings{"a.md: other", "by hand: a note"});
}

TEST_CASE("sync_folder of what is no folder is an Error and takes nothing out") {
  Desk desk;
  write_file(desk.folder / "docs/a.md", "one");
  const auto sync = [&] { rag::sync_folder(desk.chunker, desk.retriever, (desk.folder / "docs").string()); };
  sync();
  std::filesystem::remove_all(desk.folder / "docs");

  CHECK_THROWS_WITH_AS(
      sync(), ("sync_folder: " + (desk.folder / "docs").string() + ": No such file or directory").c_str(), rag::Error);
  CHECK(desk.stored().size() == 1);
}

TEST_CASE("an Error of a part names the document, and the next run goes on") {
  struct Failing {
    int* calls;
    std::size_t dimension() const { return 1; }
    rag::Matrix embed(std::span<const std::string_view> texts) {
      if (++*calls == 2) throw rag::Error(rag::Errc::transport, "no network");
      return {texts.size(), 1};
    }
  };
  const tests::TemporaryFolder folder;
  for (const char* id : {"a.md", "b.md", "c.md"}) write_file(folder / id, id);
  int calls = 0;
  rag::DenseRetriever retriever{Failing{&calls}, rag::FlatStore{}};
  const auto sync = [&] { return rag::sync_folder(rag::SeparatorChunker{"\n"}, retriever, folder.path().string()); };

  CHECK_THROWS_WITH_AS(sync(), "sync_folder: document 'b.md': no network", rag::Error);
  CHECK(counts(sync()) == "2 0 0 1");
  CHECK(calls == 4);
}

TEST_CASE("a replacement that was cut short, with the marks of both, is made again") {
  Desk desk;
  write_file(desk.folder / "a.md", "one");
  desk.sync();
  const std::vector<rag::Chunk> old = desk.retriever.chunks("a.md");
  write_file(desk.folder / "a.md", "two");
  desk.sync();
  rag::Chunk stale = old.at(0);
  stale.id = rag::no_id;
  desk.retriever.add(std::span<const rag::Chunk>(&stale, 1));

  CHECK(counts(desk.sync()) == "0 1 0 0");
  CHECK(desk.stored() == Strings{"a.md: two"});
}
