// SPDX-License-Identifier: MIT
// The steps of tests/live.sh, which tells the variables. What goes wrong is told by the library's own words, which hold
// no key; they are looked through for it all the same.
#include <rag/store/any.hpp>  // Eigen stands before the network: <resolv.h> has a macro named _res

#include <rag/embed/openai.hpp>
#include <rag/llm/openai.hpp>
#include <rag/net/https.hpp>
#include <rag/net/retry.hpp>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../llm/outcome.hpp"

namespace {

using rag::detail::environment;
using tests::Outcome;
using tests::outcome_of;

int passed = 0, failed = 0;

/// Tells how one step went; its text is never shown with a key in it.
void check(bool holds, const std::string& what, const Outcome& outcome, const std::string& key) {
  const bool told = key.size() >= 8 && outcome.text.find(key) != std::string::npos;
  ++(holds && !told ? passed : failed);
  if (told) std::printf("FAILED: %s: its error holds the key\n", what.c_str());
  else if (!holds) std::printf("FAILED: %s: %s\n", what.c_str(), outcome.failed ? outcome.text.c_str() : "another answer than the one wanted");
  else std::printf("%s\n", what.c_str());
  std::fflush(stdout);
}

const rag::AnyTransport& network() {
  static const rag::AnyTransport transport = rag::Retry{rag::HttpsTransport{{.deadline = std::chrono::seconds(120)}}};
  return transport;
}

/// A question as the tutorial asks it, whose answer stands in the passage alone.
const std::vector<rag::Message> question = {
    {"system", "You answer with what the passages say."},
    {"user", "<context>Inserted data is stored in object storage as incremental log. The code word is marmalade.</context> "
             "<question>What is the code word? Answer with that word.</question>"}};

bool has_word(const Outcome& outcome) { return !outcome.failed && rag::detail::lower_ascii(outcome.completion.text).find("marmalade") != std::string::npos; }

void try_chat(const std::string& name, rag::OpenAiOptions options, bool looks_at_keys = true) {
  options.max_tokens = 1000;  // a model that thinks needs them
  const rag::OpenAiLlm llm(options, network());
  const Outcome whole = outcome_of([&](Outcome& outcome) { outcome.completion = llm.complete(question); });
  check(has_word(whole) && whole.completion.usage.completion_tokens > 0, name + ": chat, " + options.model, whole, options.api_key);
  const Outcome streamed = outcome_of([&](Outcome& outcome) {
    outcome.completion = llm.stream(question, [&](std::string_view piece) { outcome.handed_out += piece; });
  });
  check(has_word(streamed) && streamed.handed_out == streamed.completion.text && !streamed.completion.finish_reason.empty(), name + ": stream", streamed, options.api_key);
  if (options.api_key.empty()) return std::puts("skipped: a wrong key: there is no right one"), void();
  const std::string key = options.api_key;
  options.api_key = "sk-wrong-0123456789";
  const Outcome wrong = outcome_of([&](Outcome& outcome) { outcome.completion = rag::OpenAiLlm(options, network()).complete(question); });
  if (!wrong.failed && !looks_at_keys) return std::puts("skipped: a wrong key: the service looks at none"), void();
  check(wrong.failed && (looks_at_keys ? wrong.code == rag::Errc::unauthorized : wrong.status / 100 == 4) && wrong.text.find(options.api_key) == std::string::npos, name + ": a wrong key is refused", wrong, key);
}

void try_embeddings(const rag::OpenAiOptions& service) {
  const auto model = environment("OPENAI_EMBEDDING_MODEL");
  if (!model) return std::puts("skipped: OPENAI_EMBEDDING_MODEL is not set"), void();
  const rag::OpenAiEmbedder embedder{rag::embeddings_of(service, *model), network()};
  const Outcome outcome = outcome_of([&](Outcome& told) {
    const std::vector<std::string_view> texts = {"This is a test", "How is data stored in milvus?", "This is a test"};
    const rag::Matrix vectors = embedder.embed(texts);
    double same = 0, length = 0;
    for (std::size_t i = 0; i < vectors.columns(); ++i)
      same += vectors.row(0)[i] * vectors.row(2)[i], length += vectors.row(0)[i] * vectors.row(0)[i];
    const bool sound = vectors.rows() == 3 && vectors.columns() == embedder.dimension() && length > 0 && std::abs(same / length - 1) < 0.01;
    told.completion.text = sound ? "sound" : "";
  });
  check(outcome.completion.text == "sound", "OPENAI_BASE_URL: embeddings, " + *model, outcome, service.api_key);
}

/// As the tutorial does: a collection is made, filled, searched; then rows are erased, and the collection is dropped.
void try_milvus(const std::string& uri) {
  const std::string token = environment("MILVUS_TOKEN").value_or("");
  const std::string name = "rag_live_" + std::to_string(std::chrono::system_clock::now().time_since_epoch().count());
  const auto step = [&](const std::string& what, auto&& work) {
    const Outcome outcome = outcome_of([&](Outcome& told) { told.completion.text = work() ? "done" : ""; });
    check(outcome.completion.text == "done", "MILVUS_URI: " + what, outcome, token);
  };
  const std::vector<rag::Chunk> chunks = {{"where Milvus stores data", "a.md", 0, 24, {{"year", 2024}}}, {"how it flushes data", "a.md", 24, 43}, {"vector types", "b.md", 0, 12}};
  rag::Matrix vectors(3, 4);
  for (std::size_t i = 0; i < 3; ++i) vectors.row(i)[i] = 1.0f, vectors.row(i)[3] = 0.5f;
  std::vector<rag::Id> ids;
  const Outcome opened = outcome_of([&](Outcome&) {
    auto database = rag::open_store(uri, token, rag::HttpsTransport{});
    step("no such collection yet", [&] { return !database.has(name); });
    try {
      auto store = database.create(name, {.dimension = 4, .metric = rag::InnerProduct{}});
      step("a collection " + name, [&] { return database.has(name) && store.size() == 0; });
      step("add", [&] { return (ids = store.add(chunks, vectors)).size() == 3 && store.size() == 3; });
      step("search", [&] {
        const std::vector<rag::Hit> hits = store.search(vectors.row(1), 2);
        return hits.size() == 2 && hits[0].chunk.text == chunks[1].text && std::abs(hits[0].score - 1.25f) < 1e-4f;
      });
      step("search with a filter", [&] {
        const std::vector<rag::Hit> hits = store.search(vectors.row(1), 3, rag::field("year") == 2024);
        return hits.size() == 1 && hits[0].chunk.text == chunks[0].text;
      });
      step("erase", [&] { return store.erase(rag::source() == "a.md") == 2 && store.size() == 1; });
    } catch (...) {
      database.drop(name);
      throw;
    }
    step("drop", [&] { return database.drop(name), !database.has(name); });
  });
  if (opened.failed) check(false, "MILVUS_URI", opened, token);
}

template <class Work>
void where_set(const char* variable, Work&& work) {
  if (const auto value = environment(variable)) work(*value);
  else std::printf("skipped: %s is not set\n", variable);
}

}  // namespace

int main() {
  const auto model = [](const char* variable, rag::OpenAiOptions options) {
    options.model = environment(variable).value_or(options.model);
    return options;
  };
  where_set("OPENROUTER_API_KEY", [&](const std::string&) { try_chat("OPENROUTER_API_KEY", model("OPENROUTER_MODEL", rag::openrouter())); });
  where_set("DEEPSEEK_API_KEY", [&](const std::string&) { try_chat("DEEPSEEK_API_KEY", model("DEEPSEEK_MODEL", rag::deepseek())); });
  where_set("OPENAI_BASE_URL", [&](const std::string&) {
    const rag::OpenAiOptions options = model("OPENAI_MODEL", rag::openai());
    try_chat("OPENAI_BASE_URL", options, false);
    try_embeddings(options);
  });
  where_set("MILVUS_URI", try_milvus);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed != 0;
}
