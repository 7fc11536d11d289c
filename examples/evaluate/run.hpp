// SPDX-License-Identifier: MIT
#ifndef EVALUATE_RUN_HPP
#define EVALUATE_RUN_HPP
#include "chunkers.hpp"
#include "data.hpp"
#include "embedders.hpp"
#include "options.hpp"
#include "steps.hpp"

#include <rag/evaluate.hpp>
#include <rag/progress.hpp>
#include <rag/retrieve/bm25.hpp>
#include <rag/retrieve/dense.hpp>
#include <rag/retrieve/hybrid.hpp>
#include <rag/retrieve/parent.hpp>
#include <rag/retrieve/refined.hpp>
#include <rag/store/flat.hpp>

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

inline constexpr std::size_t search_depth = 50;         // hits asked for each question
inline constexpr std::size_t longest_curve = 20;  // of the plot of recall over k
inline constexpr std::size_t budget = 4000;      // characters of context, for the view at equal room

/// The words of --words, behind one type.
struct AnyWords {
  bool plain = false;
  template <class Visit>
  void operator()(std::string_view text, Visit&& visit) const {
    if (plain) rag::PlainWords{}(text, visit);
    else rag::EnglishWords{}(text, visit);
  }
};

struct Found {
  std::size_t chunk = 0;  // its place in Run::chunks
  float score = 0;
  rag::SourceSpan span = {};  // of what was given: the chunk, its parent, neighbours made one
};

/// What one retriever found, and what that is worth, question by question.
struct System {
  std::string name;
  std::vector<std::vector<Found>> found = {};
  std::vector<double> reciprocal_rank = {}, ndcg = {}, average_precision = {}, recall_20 = {}, recall_k = {};
  std::vector<double> text_recall = {}, text_precision = {}, text_iou = {}, text_at_budget = {};  // by characters
  std::vector<double> curve = {};  // mean recall over k, from k = 1
};

struct Run {
  DataSet data;
  std::vector<rag::Chunk> chunks = {};
  std::vector<rag::SourceSpan> spans = {};  // of the chunks, in code points
  std::map<std::string, rag::CodePointOffsets, std::less<>> offsets = {};  // of each document
  std::vector<System> systems = {};
  std::vector<double> omega = {};  // Precision Omega of the chunks, question by question
  bool by_characters = false;      // the questions have references
};

inline void cut(Run& run, const Cut& chunk) {
  for (const rag::Document& document : run.data.documents) {
    const rag::CodePointOffsets& offsets = run.offsets.emplace(document.id, document.text).first->second;
    for (rag::Chunk& piece : chunk(document)) {
      run.spans.push_back({document.id, offsets.code_points(piece.begin), offsets.code_points(piece.end)});
      piece.id = static_cast<rag::Id>(run.chunks.size());
      run.chunks.push_back(std::move(piece));
    }
  }
  if (run.chunks.empty()) throw rag::Error(rag::Errc::invalid_argument, "--chunker: it gives no chunk of " + run.data.name);
}

/// Adds in batches, for the progress to be seen.
template <class Retriever>
void add(Retriever& retriever, const std::vector<rag::Chunk>& chunks, const std::string& label) {
  rag::ProgressBar progress(label);
  for (std::size_t begin = 0; begin < chunks.size(); begin += 64) {
    const std::size_t size = std::min<std::size_t>(64, chunks.size() - begin);
    retriever.add(std::span(chunks).subspan(begin, size));
    progress(begin + size, chunks.size());
  }
}

template <class Search>
void ask(Run& run, const std::string& name, Search search) {
  System system{name};
  rag::ProgressBar progress(run.data.name + ": " + name);
  for (const Question& question : run.data.questions) {
    auto& found = system.found.emplace_back();
    for (const rag::Hit& hit : rag::into_parents(search(question.text), search_depth)) {
      const rag::CodePointOffsets& offsets = run.offsets.find(hit.chunk.source)->second;
      const rag::SourceSpan span{hit.chunk.source, offsets.code_points(hit.chunk.begin), offsets.code_points(hit.chunk.end)};
      found.push_back({static_cast<std::size_t>(hit.chunk.id), hit.score, span});
    }
    progress(system.found.size(), run.data.questions.size());
  }
  run.systems.push_back(std::move(system));
}

/// Asks the same retriever again, with the steps of the options where there are any.
template <class Retriever>
void ask_refined(Run& run, const Options& options, const AnyEmbedder& embedder, Retriever retriever) {
  Steps steps = make_steps(options, embedder, run.data.documents);
  if (steps.steps.empty()) return;
  const std::size_t k = options.merge ? options.k : search_depth;  // of the first k, neighbours are made one
  rag::Refined refined{std::move(retriever), {.depth = search_depth}, std::move(steps)};
  ask(run, "refined", [&](std::string_view question) { return refined.search(question, k); });
}

/// Ranks by what --retriever names; hybrid comes with both of its legs.
inline void retrieve(Run& run, const Options& options, const AnyEmbedder& embedder) {
  const std::string label = run.data.name + ": chunks";
  rag::BasicBm25<AnyWords> bm25{{}, {.plain = options.words == "plain"}};
  if (options.retriever == "bm25") {
    add(bm25, run.chunks, label);
    ask(run, "bm25", [&](std::string_view question) { return bm25.search(question, search_depth); });
    return ask_refined(run, options, embedder, std::move(bm25));
  }
  rag::DenseRetriever dense{embedder, rag::FlatStore{}};
  if (options.retriever == "dense") {
    add(dense, run.chunks, label);
    ask(run, "dense", [&](std::string_view question) { return dense.search(question, search_depth); });
    return ask_refined(run, options, embedder, std::move(dense));
  }
  rag::Hybrid hybrid{std::move(dense), std::move(bm25)};
  add(hybrid, run.chunks, label);
  ask(run, "dense", [&](std::string_view question) { return hybrid.first().search(question, search_depth); });
  ask(run, "bm25", [&](std::string_view question) { return hybrid.second().search(question, search_depth); });
  ask(run, "hybrid", [&](std::string_view question) { return hybrid.search(question, search_depth); });
  ask_refined(run, options, embedder, std::move(hybrid));
}

/// The ranking of what a question is judged by: its documents, else the chunks with a part of a reference.
inline rag::Judgement judge(const Run& run, const Question& question, const std::vector<Found>& found) {
  if (question.documents.empty()) {
    std::vector<std::size_t> ranked, relevant;
    for (const Found& hit : found) ranked.push_back(hit.chunk);
    for (std::size_t i = 0; i < run.spans.size(); ++i)
      if (rag::span_scores(question.references, std::span(&run.spans[i], 1)).recall > 0) relevant.push_back(i);
    return rag::judge(ranked, relevant);
  }
  std::vector<std::string_view> ranked;  // a document stands where its first chunk does
  for (const Found& hit : found) {
    const std::string_view source = run.chunks[hit.chunk].source;
    if (std::find(ranked.begin(), ranked.end(), source) == ranked.end()) ranked.push_back(source);
  }
  return rag::judge(ranked, question.documents);
}

inline void score_text(const Run& run, const Question& question, std::size_t k, const std::vector<rag::SourceSpan>& ranked,
                       System& system) {
  const auto first = [&](std::size_t n) {
    return rag::span_scores(question.references, std::span(ranked).first(std::min(n, ranked.size())));
  };
  const rag::SpanScores scores = first(k);
  system.text_recall.push_back(scores.recall);
  system.text_precision.push_back(scores.precision);
  system.text_iou.push_back(scores.iou);
  system.text_at_budget.push_back(rag::span_scores(question.references, rag::within_length(ranked, budget)).recall);
  for (std::size_t i = 0; i < longest_curve; ++i)
    system.curve[i] += first(i + 1).recall / static_cast<double>(run.data.questions.size());
}

inline void score(Run& run, std::size_t k) {
  run.by_characters = !run.data.questions.front().references.empty();
  for (System& system : run.systems) {
    system.curve.assign(longest_curve, 0.0);
    for (std::size_t i = 0; i < run.data.questions.size(); ++i) {
      const Question& question = run.data.questions[i];
      const rag::Judgement judgement = judge(run, question, system.found[i]);
      system.reciprocal_rank.push_back(rag::reciprocal_rank(judgement, 10));
      system.ndcg.push_back(rag::ndcg_at(judgement, 10));
      system.average_precision.push_back(rag::average_precision(judgement));
      system.recall_k.push_back(rag::recall_at(judgement, k));
      system.recall_20.push_back(rag::recall_at(judgement, 20));
      std::vector<rag::SourceSpan> ranked;
      for (const Found& hit : system.found[i]) ranked.push_back(hit.span);
      if (run.by_characters) score_text(run, question, k, ranked, system);
      else for (std::size_t n = 0; n < longest_curve; ++n)
        system.curve[n] += rag::recall_at(judgement, n + 1) / static_cast<double>(run.data.questions.size());
    }
  }
  if (run.by_characters)
    for (const Question& question : run.data.questions)
      run.omega.push_back(rag::precision_omega(question.references, run.spans));
}

inline Run evaluate(DataSet data, const Options& options, const AnyEmbedder& embedder, const Cut& chunk) {
  Run run{std::move(data)};
  cut(run, chunk);
  retrieve(run, options, embedder);
  score(run, options.k);
  return run;
}

#endif
