// SPDX-License-Identifier: MIT
// Kills sync_folder() with SIGKILL at 50 points, starts it again and compares with a run that nobody killed.
#include <doctest/doctest.h>

#include "pipeline/sync_fixture.hpp"

#include <chrono>
#include <csignal>
#include <map>
#include <random>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using tests::Strings, tests::write_file;

/// Writes each text it embedded to a file, a line each, which outlives a kill. At its n-th document, `die` says so, it
/// kills its process: before the vectors are given.
struct LoggingEmbedder {
  int log;
  int die = -1;

  std::size_t dimension() const { return 64; }
  std::string name() const { return "logging"; }
  rag::Matrix embed(std::span<const std::string_view> texts) {
    std::string lines;
    for (const std::string_view text : texts) lines += std::string(text.substr(0, text.find('\n'))) + '\n';
    if (write(log, lines.data(), lines.size()) != static_cast<ssize_t>(lines.size())) std::abort();
    if (die-- == 0) raise(SIGKILL);
    return rag::HashingEmbedder<64>{}.embed(texts);
  }
};

struct Place {
  tests::TemporaryFolder folder;
  std::string docs = (folder / "docs").string(), store = (folder / "notes.rag").string();
  std::string log = (folder / "log").string();
  int log_descriptor = ::open(log.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

  Place() = default;
  ~Place() { ::close(log_descriptor); }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;

  // Twelve files of which later three change, two go and three come.
  void first_day() const {
    for (int i = 0; i < 12; ++i)
      for (const char* part : {"a", "b", "c"})
        std::ofstream(docs_file(i), std::ios::app) << "file " << i << " part " << part << " of the first day\n\n";
  }
  void second_day() const {
    for (const int i : {0, 5, 9})
      write_file(docs_file(i), "file " + std::to_string(i) + " anew\n\nfile " + std::to_string(i) + " in two parts");
    for (const int i : {2, 7}) std::filesystem::remove(docs_file(i));
    for (const int i : {1, 6, 20})
      write_file(folder / ("docs/new" + std::to_string(i) + ".md"), "new " + std::to_string(i));
  }
  std::filesystem::path docs_file(int i) const {
    std::filesystem::create_directories(docs);
    return folder / ("docs/" + std::to_string(i) + ".md");
  }

  /// `progress_die`: the process kills itself when so many files are done.
  rag::SyncReport sync(int embed_die = -1, std::size_t progress_die = 0) const {
    rag::DenseRetriever retriever{LoggingEmbedder{log_descriptor, embed_die}, rag::FileStore{store}};
    return rag::sync_folder(rag::SeparatorChunker{"\n\n"}, retriever, docs, {}, rag::TextLoader{},
                            [&](std::size_t done, std::size_t) {
                              if (progress_die != 0 && done == progress_die) raise(SIGKILL);
                            });
  }
  /// The same in a process of its own, killed after some time at the latest; true: it was killed.
  bool sync_killed(int embed_die, std::size_t progress_die, std::chrono::microseconds delay) const {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
      sync(embed_die, progress_die);
      _exit(0);
    }
    if (delay.count() > 0) {
      usleep(static_cast<useconds_t>(delay.count()));
      kill(child, SIGKILL);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status);
  }

  Strings logged() const {
    Strings lines;
    std::ifstream in(log);
    for (std::string line; std::getline(in, line);) lines.push_back(line);
    return lines;
  }
  /// Each chunk and its vector, without ids.
  Strings stored() const {
    const rag::FileStore file{store, {}, {.access = rag::Access::read}};
    Strings rows;
    for (const rag::Chunk& chunk : file.chunks(rag::Filter())) {
      std::string row = chunk.source + ' ' + std::to_string(chunk.begin) + ' ' + chunk.text;
      for (const auto& [name, value] : chunk.metadata) row += ' ' + name + '=' + value.string();
      for (const float value : file.vector(chunk.id)) row += ' ' + std::to_string(value);
      rows.push_back(row);
    }
    std::sort(rows.begin(), rows.end());
    return rows;
  }
};

/// How many texts were embedded, and those of them that were embedded twice, as the documents they belong to.
void check_embedded_once(const Place& place, const Strings& wanted) {
  std::map<std::string, int> times;
  for (const std::string& line : place.logged()) ++times[line];
  std::set<std::string> again;  // "file 3", "new 6"
  for (const auto& entry : times) {
    const std::string& line = entry.first;
    CAPTURE(line);
    CHECK(entry.second <= 2);
    if (entry.second == 2) again.insert(line.substr(0, line.find(' ', line.find(' ') + 1)));
  }
  CHECK(again.size() <= 1);  // the document under way
  CHECK(times.size() == std::set<std::string>(wanted.begin(), wanted.end()).size());
}

}  // namespace

TEST_CASE(
    "an ingest that is killed at 50 points and started again ends as one that was not, and embeds nothing twice") {
  Place whole;
  whole.first_day();
  whole.sync();
  whole.second_day();
  const auto begin = std::chrono::steady_clock::now();
  const rag::SyncReport report = whole.sync();
  const auto spent = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  REQUIRE(report.added == 3);
  REQUIRE(report.changed == 3);
  REQUIRE(report.removed == 2);
  const Strings wanted = whole.stored(), texts = whole.logged();
  REQUIRE(std::set<std::string>(texts.begin(), texts.end()).size() == texts.size());

  std::mt19937 random(7);
  int killed = 0;
  for (int point = 0; point < 50; ++point) {
    CAPTURE(point);
    Place place;
    place.first_day();
    const bool first_day = point % 2 == 0;
    if (!first_day) {
      place.sync();
      place.second_day();
    }
    // By turns: within embed(), between two files, at any time.
    const int kind = point / 2 % 3;
    const std::size_t n = random() % (first_day ? 12 : 6);
    const auto delay = std::chrono::microseconds(1 + random() % static_cast<unsigned long>(2 * spent.count()));
    killed += place.sync_killed(kind == 0 ? static_cast<int>(n) : -1, kind == 1 ? n + 1 : 0,
                                kind == 2 ? delay : std::chrono::microseconds(0));
    if (first_day) {
      place.sync();
      place.second_day();
    }

    const rag::SyncReport rest = place.sync();

    CHECK(rest.skipped.empty());
    CHECK(place.stored() == wanted);
    check_embedded_once(place, texts);
    const rag::SyncReport again = place.sync();
    CHECK(again.unchanged == 13);
    CHECK(again.chunks == 0);
  }
  CHECK(killed >= 34);  // all that kill themselves, and of the others those that were not done yet
}
