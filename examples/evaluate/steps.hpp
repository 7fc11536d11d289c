// SPDX-License-Identifier: MIT
#ifndef EVALUATE_STEPS_HPP
#define EVALUATE_STEPS_HPP
#include "embedders.hpp"
#include "options.hpp"

#include <rag/embed/hashing.hpp>
#include <rag/retrieve/cross_encoder.hpp>
#include <rag/retrieve/diverse.hpp>
#include <rag/retrieve/merge_neighbours.hpp>
#include <rag/retrieve/most_per_source.hpp>
#include <rag/retrieve/parent.hpp>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// The steps of the options, behind one type: whatever of them is wanted, in their order.
struct Steps {
  using Step = std::function<std::vector<rag::Hit>(std::string_view, std::vector<rag::Hit>, std::size_t)>;
  std::vector<Step> steps = {};

  template <class S>
  void add(S step) {
    const auto kept = std::make_shared<S>(std::move(step));
    steps.push_back([kept](std::string_view question, std::vector<rag::Hit> hits, std::size_t k) {
      return rag::refine(*kept, question, std::move(hits), k);
    });
  }
  std::vector<rag::Hit> refine(std::string_view question, std::vector<rag::Hit> hits, std::size_t k) const {
    for (const Step& step : steps) hits = step(question, std::move(hits), k);
    return hits;
  }
};

/// `documents` must outlive them.
inline Steps make_steps(const Options& options, const AnyEmbedder& embedder, const std::vector<rag::Document>& documents) {
  Steps steps;
  if (!options.rerank.empty()) steps.add(rag::CrossEncoder(options.rerank));
  if (options.diverse)
    steps.add(rag::Diverse{options.embedder.empty() ? any(rag::HashingEmbedder{}) : embedder, {.relevance = *options.diverse}});
  if (options.per_source > 0) steps.add(rag::MostPerSource{options.per_source});
  if (!options.merge) return steps;
  steps.add(rag::IntoParents{});
  steps.add(rag::MergeNeighbours{[&documents](std::string_view source, std::size_t begin, std::size_t end) {
    for (const rag::Document& document : documents)
      if (document.id == source) return document.text.substr(begin, end - begin);
    return std::string();
  }});
  return steps;
}

#endif
