// SPDX-License-Identifier: MIT
#ifndef EVALUATE_REPORT_HPP
#define EVALUATE_REPORT_HPP
#include "run.hpp"

#include <cstdio>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

/// A figure of a system: its name and the score of each question.
using Figure = std::pair<std::string, const std::vector<double>*>;

inline std::vector<Figure> figures(const Run& run, const System& system, std::size_t k) {
  const std::string at_k = "@" + std::to_string(k);
  std::vector<Figure> list{{"MRR@10", &system.reciprocal_rank},
                           {"nDCG@10", &system.ndcg},
                           {"MAP", &system.average_precision},
                           {"found" + at_k, &system.recall_k},
                           {"found@20", &system.recall_20}};
  if (k == 20) list.pop_back();
  if (run.by_characters) {
    list.push_back({"recall" + at_k, &system.text_recall});
    list.push_back({"precision" + at_k, &system.text_precision});
    list.push_back({"IoU" + at_k, &system.text_iou});
    list.push_back({"recall in " + std::to_string(budget), &system.text_at_budget});
  }
  return list;
}

/// What the last system gains over another, in the figure that the data set is known by.
struct Gain {
  std::string of, over, figure;
  rag::PairedDifference difference;
};

inline std::vector<Gain> gains(const Run& run, std::size_t k) {
  std::vector<Gain> list;
  const auto figure = [&](const System& system) -> Figure {
    if (run.data.questions.front().documents.empty()) return {"recall@" + std::to_string(k), &system.text_recall};
    return run.by_characters ? Figure{"MRR@10", &system.reciprocal_rank} : Figure{"found@" + std::to_string(k), &system.recall_k};
  };
  for (std::size_t i = 0; i + 1 < run.systems.size(); ++i) {
    const auto [name, first] = figure(run.systems[i]);
    list.push_back({run.systems.back().name, run.systems[i].name, name, rag::paired_bootstrap(*first, *figure(run.systems.back()).second)});
  }
  return list;
}

inline std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", 100 * share);
  return text;
}

inline double mean_length(const Run& run) {
  double sum = 0;
  for (const rag::SourceSpan& span : run.spans) sum += static_cast<double>(span.end - span.begin);
  return sum / static_cast<double>(run.spans.size());
}

inline std::string title(const Run& run) {
  char mean[32];
  std::snprintf(mean, sizeof mean, "%.0f", mean_length(run));
  std::string text = run.data.name + ": " + std::to_string(run.data.questions.size()) + " questions, " +
                     std::to_string(run.chunks.size()) + " chunks of " + mean + " characters";
  if (run.by_characters) text += ", Precision Omega " + percent(rag::mean(run.omega)) + " ± " + percent(rag::deviation(run.omega));
  return text;
}

inline std::string settings(const Options& options) {
  std::string steps = options.half.empty() ? "" : " --half " + options.half;
  if (!options.rerank.empty()) steps += " --rerank " + options.rerank;
  if (options.diverse) steps += " --diverse " + percent(*options.diverse / 100);
  if (options.per_source > 0) steps += " --per-source " + std::to_string(options.per_source);
  if (options.merge) steps += " --merge";
  return "--chunker " + options.chunker + " --unit " + options.unit + " --retriever " + options.retriever +
         " --words " + options.words + (options.embedder.empty() ? "" : " --embedder " + options.embedder) + " --k " +
         std::to_string(options.k) + steps;
}

/// The number of a gain and its interval, in points.
inline std::string text_of(const Gain& gain) {
  char text[160];
  std::snprintf(text, sizeof text, "%s - %s, %s: %+.2f (95%%: %+.2f to %+.2f, p %.4f)", gain.of.c_str(),
                gain.over.c_str(), gain.figure.c_str(), 100 * gain.difference.mean, 100 * gain.difference.low, 100 * gain.difference.high,
                gain.difference.p);
  return text;
}

inline void print(std::ostream& out, const std::vector<Run>& runs, const Options& options) {
  out << settings(options) << "\nall in percent; found: of what answers the question; ";
  out << "recall, precision, IoU: of its characters; recall in " << budget << ": characters of context\n";
  for (const Run& run : runs) {
    out << '\n' << title(run) << '\n';
    out << "            ";
    for (const auto& [name, scores] : figures(run, run.systems.front(), options.k)) out << "  " << name;
    out << '\n';
    for (const System& system : run.systems) {
      out << "  " << system.name << std::string(10 - system.name.size(), ' ');
      for (const auto& [name, scores] : figures(run, system, options.k)) {
        const std::string value = percent(rag::mean(*scores));
        out << std::string(name.size() + 2 - std::min(name.size() + 1, value.size()), ' ') << value;
      }
      out << '\n';
    }
    for (const Gain& gain : gains(run, options.k)) out << "  " << text_of(gain) << '\n';
  }
}

inline nlohmann::ordered_json json_of(const std::vector<Run>& runs, const Options& options) {
  nlohmann::ordered_json all{{"chunker", options.chunker}, {"unit", options.unit}, {"words", options.words},
                             {"embedder", options.embedder}, {"k", options.k}};
  for (const Run& run : runs) {
    nlohmann::ordered_json set{{"data", run.data.name}, {"questions", run.data.questions.size()}, {"chunks", run.chunks.size()},
                               {"mean_characters", mean_length(run)}};
    if (run.by_characters) set["precision_omega"] = {{"mean", rag::mean(run.omega)}, {"sd", rag::deviation(run.omega)}};
    for (const System& system : run.systems) {
      nlohmann::ordered_json scores;
      for (const auto& [name, values] : figures(run, system, options.k))
        scores[name] = {{"mean", rag::mean(*values)}, {"sd", rag::deviation(*values)}};
      set["retrievers"][system.name] = scores;
      set["recall_over_k"][system.name] = system.curve;
    }
    for (const Gain& gain : gains(run, options.k))
      set[gain.of + "_gains"].push_back({{"over", gain.over},
                                     {"figure", gain.figure},
                                     {"mean", gain.difference.mean},
                                     {"low", gain.difference.low},
                                     {"high", gain.difference.high},
                                     {"p", gain.difference.p}});
    all["sets"].push_back(set);
  }
  return all;
}

#endif
