// SPDX-License-Identifier: MIT
// Four threads use one embedder and one cross-encoder from their first call on, and each embeds on two threads more. The
// bits are those of one thread alone. Built with ThreadSanitizer by run.sh.
#include <rag/embed/sentence.hpp>
#include <rag/retrieve/cross_encoder.hpp>

#include "embed/tiny_bert.hpp"
#include "paths.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

constexpr int rounds = 6;
std::atomic<int> faults = 0;

void expect(bool holds, const char* what) {
  if (!holds && faults++ < 10) std::printf("FAILED: %s\n", what);
}

void on_four_threads(const std::function<void()>& work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
}

void embed(const std::string& folder, rag::Precision precision, const std::vector<std::string_view>& texts) {
  const rag::Matrix wanted = rag::SentenceEmbedder(folder, {.threads = 1, .precision = precision}).embed(texts);
  const rag::SentenceEmbedder embedder(folder, {.threads = 2, .precision = precision});
  on_four_threads([&] {
    const rag::SentenceEmbedder copy = embedder;
    for (int round = 0; round < rounds; ++round) {
      expect(embedder.embed(texts) == wanted, "embed() on four threads");
      for (std::size_t i = 0; i < 3; ++i)
        expect(std::ranges::equal(copy.embed_query(texts[i]), wanted.row(i)), "embed_query() on four threads");
      expect(copy.count_tokens(texts[1]) == embedder.count_tokens(texts[1]), "count_tokens() on four threads");
    }
  });
}

void rerank(const std::string& folder, const std::vector<std::string_view>& texts) {
  const std::vector<float> wanted = rag::CrossEncoder(folder, {.threads = 1}).scores("how is data stored ?", texts);
  const rag::CrossEncoder reranker(folder, {.threads = 2});
  on_four_threads([&] {
    for (int round = 0; round < rounds; ++round)
      expect(reranker.scores("how is data stored ?", texts) == wanted, "scores() on four threads");
  });
}

}  // namespace

int main() {
  const tests::TemporaryFolder folder;
  tests::TinyBert bert;
  bert.hidden = 64, bert.heads = 2, bert.intermediate = 96;
  bert.draw();
  bert.write(folder.path());
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < 60; ++i) {
    texts.emplace_back("how is data stored in milvus ?");
    for (std::size_t j = 0; j < i * 7 % 23; ++j) texts.back() += " w" + std::to_string(20 + (i + j) % 20);
  }
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  for (const rag::Precision precision : {rag::Precision::fp32, rag::Precision::bf16, rag::Precision::int16})
    embed(folder.path().string(), precision, views);
  const std::string models = std::string(RAG_SOURCE_DIR) + "/tests/models/";
  for (const char* name : {"albert", "xlm_roberta", "mpnet"}) embed(models + name, rag::Precision::fp32, views);
  for (const char* name : {"cross_bert", "cross_xlm_roberta"}) rerank(models + name, views);
  return faults != 0;
}
