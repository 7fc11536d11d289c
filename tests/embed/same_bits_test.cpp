// SPDX-License-Identifier: MIT
#include <rag/embed/sentence.hpp>

#include <doctest/doctest.h>

#include "embed/tiny_bert.hpp"
#include "paths.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <functional>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

using rag::detail::SentenceEncoder;

namespace {

/// The rows of the texts, embedded `batch` at a time in the order given, put back in their places.
rag::Matrix in_batches(const SentenceEncoder& embedder, const std::vector<std::string>& texts,
                       const std::vector<std::size_t>& order, std::size_t batch) {
  rag::Matrix rows(texts.size(), embedder.dimension());
  for (std::size_t begin = 0; begin < texts.size(); begin += batch) {
    std::vector<std::string_view> some;
    for (std::size_t i = begin; i < std::min(begin + batch, texts.size()); ++i) some.push_back(texts[order[i]]);
    const rag::Matrix vectors = embedder.embed(some);
    for (std::size_t i = 0; i < some.size(); ++i) std::ranges::copy(vectors.row(i), rows.row(order[begin + i]).begin());
  }
  return rows;
}

std::vector<std::string> words_of_lengths(std::size_t count, std::size_t most) {
  std::mt19937 random(11);
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) {
    std::string text = "water";
    for (std::size_t j = random() % most; j > 0; --j) text += " w" + std::to_string(20 + random() % 20);
    texts.push_back(text);
  }
  return texts;
}

void check_same_bits(const std::string& folder, const std::vector<std::string>& texts, rag::Precision precision) {
  std::vector<std::size_t> order(texts.size());
  std::iota(order.begin(), order.end(), 0);
  const auto embedder = [&](std::size_t threads) {
    return SentenceEncoder(folder, {.threads = threads, .precision = precision}, rag::detail::machine_isa());
  };
  const SentenceEncoder one = embedder(1), two = embedder(2);
  const rag::Matrix wanted = in_batches(one, texts, order, texts.size());
  for (const std::size_t batch : {1u, 8u, 72u}) {
    CAPTURE(batch);
    CHECK(in_batches(one, texts, order, batch) == wanted);
    std::shuffle(order.begin(), order.end(), std::mt19937(5));
    CHECK(in_batches(two, texts, order, batch) == wanted);
  }
  for (std::size_t i = 0; i < 5; ++i) CHECK(std::ranges::equal(two.embed_query(texts[i]), wanted.row(i)));
}

}  // namespace

TEST_CASE("no bit depends on the batch, the order or the threads, in fp32, bf16 and int16") {
  const tests::TemporaryFolder folder;
  tests::TinyBert bert;
  bert.hidden = 64, bert.heads = 2, bert.intermediate = 96;
  bert.draw();
  bert.write(folder.path());
  const std::vector<std::string> texts = words_of_lengths(90, 40);
  for (const rag::Precision precision : {rag::Precision::fp32, rag::Precision::bf16, rag::Precision::int16})
    check_same_bits(folder.path().string(), texts, precision);
}

TEST_CASE("no bit of all-MiniLM-L6-v2 depends on the batch, the order or the threads") {
  if (tests::skip_without(tests::model_folder() / "model.safetensors")) return;
  std::vector<std::string> texts = words_of_lengths(73, 12);
  for (int i = 0; i < 150; ++i) texts.front() += " water";
  for (const rag::Precision precision : {rag::Precision::fp32, rag::Precision::bf16, rag::Precision::int16})
    check_same_bits(tests::model_folder().string(), texts, precision);
}

TEST_CASE("a caller's executor runs the threads of embed, side by side or one after the other") {
  const tests::TemporaryFolder folder;
  tests::TinyBert bert;
  bert.draw();
  bert.write(folder.path());
  const std::vector<std::string> texts = words_of_lengths(50, 30);
  const std::vector<std::string_view> views(texts.begin(), texts.end());
  const rag::Matrix wanted = rag::SentenceEmbedder(folder.path().string(), {.threads = 1}).embed(views);
  std::atomic<std::size_t> calls = 0;
  const rag::Executor in_turn = [&](std::size_t count, const std::function<void(std::size_t)>& work) {
    for (std::size_t i = 0; i < count; ++i) work(i), ++calls;
  };
  const rag::Executor at_once = [&](std::size_t count, const std::function<void(std::size_t)>& work) {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < count; ++i) threads.emplace_back([&, i] { work(i), ++calls; });
    for (std::thread& thread : threads) thread.join();
  };
  for (const rag::Executor& executor : {in_turn, at_once}) {
    calls = 0;
    const rag::SentenceEmbedder embedder(folder.path().string(), {.threads = 3, .executor = executor});
    CHECK(embedder.embed(views) == wanted);
    CHECK(calls >= 3);
  }
}
