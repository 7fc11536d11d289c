// SPDX-License-Identifier: MIT
// Our side of bench/bm25.py, on one thread.
//   bm25 words FILE [question]    the words of each line, parted by spaces; of a question without its stop words
//   bm25 search CHUNKS QUESTIONS ROUNDS FOUND
// search indexes the lines of CHUNKS and asks for the 10 best of each line of QUESTIONS, in rounds. It prints "index SECONDS"
// and "round SECONDS" for each, and writes "number:score …" for each question to FOUND.
#include <rag/retrieve/bm25.hpp>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

std::vector<std::string> lines_of(const char* path) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  if (lines.empty()) throw rag::Error(rag::Errc::io, std::string(path) + ": no lines");
  return lines;
}

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void print_words(const char* path, bool is_question) {
  for (const std::string& line : lines_of(path)) {
    std::string all, telling;
    rag::EnglishWords{}(line, [&](std::string_view word, bool stop) {
      all.append(word) += ' ';
      if (!stop) telling.append(word) += ' ';
    });
    std::cout << (is_question && !telling.empty() ? telling : all) << '\n';
  }
}

void search(char** argument) {
  std::vector<rag::Chunk> chunks;
  for (std::string& line : lines_of(argument[0])) chunks.push_back({std::move(line), "corpus"});
  const std::vector<std::string> questions = lines_of(argument[1]);
  double begin = seconds();
  rag::Bm25 index;
  index.add(chunks);
  std::printf("index %.6f\n", seconds() - begin);
  std::vector<std::vector<std::pair<rag::Id, float>>> found(questions.size());  // what the peer gives, too
  for (int round = std::atoi(argument[2]); round > 0; --round) {
    for (auto& ranking : found) ranking.clear();
    begin = seconds();
    for (std::size_t i = 0; i < questions.size(); ++i)
      for (const rag::Hit& hit : index.search(questions[i], 10)) found[i].emplace_back(hit.chunk.id, hit.score);
    std::printf("round %.6f\n", seconds() - begin);
  }
  std::ofstream out(argument[3]);
  out.precision(9);
  for (const auto& ranking : found) {
    for (const auto& [id, score] : ranking) out << id << ':' << score << ' ';
    out << '\n';
  }
}

}  // namespace

int main(int count, char** argument) try {
  const std::string_view what = count > 1 ? argument[1] : "";
  if (what == "words" && count >= 3) print_words(argument[2], count > 3);
  else if (what == "search" && count == 6) search(argument + 2);
  else throw rag::Error(rag::Errc::invalid_argument, "usage: bm25 words FILE [question] | search CHUNKS QUESTIONS ROUNDS FOUND");
} catch (const rag::Error& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
