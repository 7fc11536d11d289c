// SPDX-License-Identifier: MIT
// Our side of bench/embed.py.
//   embed work MODEL THREADS fp32|bf16|int16 TEXTS…   for each number on stdin, embeds that file's texts and prints the seconds
//   embed query MODEL fp32|bf16|int16 TEXT            prints the seconds of one embed_query(), the middle of 400, one thread
//   embed first MODEL fp32|bf16|int16                 prints the first vector of the process: its own time is what counts
// A file of texts holds, for each, four bytes of length, lowest first, and the bytes.
#include <rag/cpu.hpp>
#include <rag/embed/sentence.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

rag::Precision precision(std::string_view name) {
  return name == "bf16" ? rag::Precision::bf16 : name == "int16" ? rag::Precision::int16 : rag::Precision::fp32;
}

std::vector<std::string> read_texts(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes(std::istreambuf_iterator<char>(file), {});
  std::vector<std::string> texts;
  for (std::size_t at = 0; at + 4 <= bytes.size();) {
    std::size_t size = 0;
    for (std::size_t i = 4; i-- > 0;) size = size << 8 | static_cast<unsigned char>(bytes[at + i]);
    texts.push_back(bytes.substr(at + 4, size));
    at += 4 + size;
  }
  return texts;
}

int work(int count, char** argument) {
  const rag::SentenceEmbedder embedder(argument[2], {.threads = std::stoul(argument[3]), .precision = precision(argument[4])});
  std::vector<std::vector<std::string>> sets;
  for (int i = 5; i < count; ++i) sets.push_back(read_texts(argument[i]));
  std::printf("# %s\n", rag::cpu_report().c_str());
  std::fflush(stdout);
  for (std::size_t set; std::scanf("%zu", &set) == 1;) {
    const std::vector<std::string_view> texts(sets.at(set).begin(), sets.at(set).end());
    const auto begin = Clock::now();
    const rag::Matrix vectors = embedder.embed(texts);
    std::printf("%.9f\n", seconds_since(begin));
    std::fflush(stdout);
  }
  return 0;
}

void query(char** argument) {
  const rag::SentenceEmbedder embedder(argument[2], {.threads = 1, .precision = precision(argument[3])});
  std::vector<double> spent;
  for (int i = 0; i < 400; ++i) {
    const auto begin = Clock::now();
    const std::vector<float> vector = embedder.embed_query(argument[4]);
    spent.push_back(seconds_since(begin));
  }
  std::nth_element(spent.begin(), spent.begin() + 200, spent.end());
  std::printf("%.9f\n", spent[200]);
}

}  // namespace

int main(int count, char** argument) {
  if (count >= 6 && std::strcmp(argument[1], "work") == 0) return work(count, argument);
  if (count == 5 && std::strcmp(argument[1], "query") == 0) return query(argument), 0;
  if (count == 4 && std::strcmp(argument[1], "first") == 0) {
    const rag::SentenceEmbedder embedder(argument[2], {.precision = precision(argument[3])});
    std::printf("%f\n", static_cast<double>(embedder.embed_query("This is a test")[0]));
    return 0;
  }
  std::fputs("usage: see the head of bench/embed.cpp\n", stderr);
  return 2;
}
