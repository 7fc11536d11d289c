// SPDX-License-Identifier: MIT
// 8. Every day: a folder and a store in a file, which follows what changed in the folder and embeds nothing twice.
#include <rag/core.hpp>

#include <filesystem>
#include <fstream>
#include <iostream>

// One day's run, as a process of its own would do it.
void run(const char* day, const std::string& folder) {
  rag::Pipeline notes{rag::MarkdownChunker{}, rag::HashingEmbedder{}, rag::FileStore{"library.rag"},
                      rag::ExtractiveLlm{}};
  const rag::Loaders loaders{rag::TextLoader{}, rag::CsvLoader{}};

  const rag::SyncReport report = rag::sync_folder(notes, folder, {}, loaders, rag::ProgressBar(day));

  std::cout << day << ": " << report.added << " added, " << report.changed << " changed, " << report.removed
            << " removed, " << report.unchanged << " as they were; " << report.chunks << " chunks embedded\n";
  for (const auto& [path, reason] : report.skipped) std::cout << "  skipped " << path << ": " << reason << '\n';
  std::cout << "  " << notes.ask("How long may I keep a book?", 1).text << "\n";
}

int main() {
  namespace fs = std::filesystem;
  fs::create_directory("library");
  for (const std::string page : {"borrowing.md", "membership.md", "rooms.md"})
    fs::copy_file("examples/data/" + page, "library/" + page);
  std::ofstream("library/hours.csv") << "day,opens,closes\nMonday,10:00,19:00\nSaturday,10:00,14:00\n";
  std::ofstream("library/logo.png") << "\x89PNG";
  run("Monday", "library");

  std::ofstream("library/borrowing.md") << "# How long may I keep a book?\nBooks are lent for six weeks.\n";
  std::ofstream("library/hours.csv", std::ios::app) << "Sunday,closed,closed\n";
  fs::remove("library/rooms.md");
  run("Tuesday", "library");

  fs::remove_all("library");
  fs::remove("library.rag");
}
