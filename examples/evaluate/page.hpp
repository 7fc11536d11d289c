// SPDX-License-Identifier: MIT
#ifndef EVALUATE_PAGE_HPP
#define EVALUATE_PAGE_HPP
#include "plots.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

namespace page {

inline constexpr const char* style = R"(<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Retrieval evaluated</title>
<style>
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --quiet: #5c6670; --line: #d5dae0; --soft: #f3f5f7;
  --one: #9a4d00; --two: #2f6f3e; --three: #1f5fbf; --four: #7a3fb0; --mark: #b3261e; --good: #2f6f3e; }
@media (prefers-color-scheme: dark) { :root { --back: #15181c; --text: #e4e7ea; --quiet: #9aa4ae; --line: #363c44;
  --soft: #1e2329; --one: #f0a04b; --two: #7cc98a; --three: #7fb0f5; --four: #c79af0; --mark: #f2857c; --good: #7cc98a; } }
body { background: var(--back); color: var(--text); font: 15px/1.5 system-ui, sans-serif; max-width: 1060px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.2em; margin-top: 2.2em; } h3 { font-size: 1em; margin: 1.8em 0 .4em; }
p, .quiet { color: var(--quiet); } code { font-size: .92em; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
th, td { padding: .25em .8em; text-align: right; border-bottom: 1px solid var(--line); font-variant-numeric: tabular-nums; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } th { color: var(--quiet); font-weight: 500; }
svg { display: block; width: 100%; height: auto; } svg text { fill: var(--quiet); font-size: 12px; }
.grid { stroke: var(--line); } .curve { fill: none; stroke-width: 2; } .s0 { stroke: var(--one); } .s1 { stroke: var(--two); } .s2 { stroke: var(--three); } .s3 { stroke: var(--four); }
svg .t0 { fill: var(--one); } svg .t1 { fill: var(--two); } svg .t2 { fill: var(--three); } svg .t3 { fill: var(--four); }
.chunk { fill: var(--three); stroke: var(--back); stroke-width: .6; } .reference { stroke: var(--mark); stroke-width: 2.5; }
details { border-bottom: 1px solid var(--line); padding: .3em 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
details ol { margin: .4em 0 .6em; } details li { overflow-wrap: anywhere; margin: .3em 0; } .hit { color: var(--good); font-weight: 600; }
</style></head><body>
<h1>Retrieval evaluated</h1>
)";

inline std::string table(const Run& run, std::size_t k) {
  std::string html = "<div class=\"wide\"><table><tr><th>retriever</th>";
  for (const auto& [name, scores] : figures(run, run.systems.front(), k)) html += "<th>" + name + "</th>";
  for (const System& system : run.systems) {
    html += "</tr>\n<tr><td>" + system.name + "</td>";
    for (const auto& [name, scores] : figures(run, system, k)) html += "<td>" + percent(rag::mean(*scores)) + "</td>";
  }
  html += "</tr></table></div>\n";
  for (const Gain& gain : gains(run, k)) html += "<p>" + rag::escape_html(text_of(gain)) + "</p>\n";
  return html;
}

/// The start of a text on one line.
inline std::string excerpt(const std::string& text) {
  constexpr std::size_t most = 220;
  const rag::CodePointOffsets offsets(text);
  const std::size_t length = offsets.code_points(text.size());
  return rag::escape_html(text.substr(0, offsets.bytes(std::min(length, most)))) + (length > most ? " …" : "");
}

inline bool answers(const Run& run, const Question& question, const Found& found) {
  if (!question.references.empty()) return rag::span_scores(question.references, std::span(&found.span, 1)).recall > 0;
  return std::find(question.documents.begin(), question.documents.end(), run.chunks[found.chunk].source) != question.documents.end();
}

inline std::string question_of(const Run& run, const System& system, std::size_t i, double recall, std::size_t k) {
  const Question& question = run.data.questions[i];
  std::string html = "<details><summary><span class=\"quiet\">" + percent(recall) + "</span> " +
                     rag::escape_html(question.text) + "</summary><ol>\n";
  for (std::size_t at = 0; at < std::min(k, system.found[i].size()); ++at) {
    const Found& found = system.found[i][at];
    const rag::SourceSpan& span = found.span;
    char score[32];
    std::snprintf(score, sizeof score, "%.4f", static_cast<double>(found.score));
    html += "<li>" + std::string(answers(run, question, found) ? "<span class=\"hit\">answers</span> " : "") +
            "<span class=\"quiet\">" + score + ", " + rag::escape_html(span.source) + " " + std::to_string(span.begin) + " to " +
            std::to_string(span.end) + "</span> " + excerpt(run.chunks[found.chunk].text) + "</li>\n";
  }
  return html + "</ol></details>\n";
}

inline std::string questions(const Run& run, std::size_t k) {
  const System& system = run.systems.back();
  const std::vector<double>& recall = run.by_characters ? system.text_recall : system.recall_k;
  std::vector<std::size_t> order(run.data.questions.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return recall[a] < recall[b]; });
  std::string html = "<h3>Hits of each question, " + system.name + ", the worst recall first</h3>\n";
  for (const std::size_t i : order) html += question_of(run, system, i, recall[i], k);
  return html;
}

}  // namespace page

/// All runs as one file that needs no other.
inline std::string page_of(const std::vector<Run>& runs, const Options& options) {
  std::string html = page::style;
  html += "<p><code>" + rag::escape_html(settings(options)) + "</code></p>\n";
  for (const Run& run : runs) {
    html += "<h2>" + rag::escape_html(title(run)) + "</h2>\n" + page::table(run, options.k);
    html += "<h3>Recall over k, percent</h3>\n" + plots::curves(run);
    html += "<h3>Map of the chunks</h3>\n<p>The texts, one after the other; each box is a chunk, its colour the stronger the more questions "
            "found it among their first " + std::to_string(options.k) + ". ";
    html += run.by_characters ? "Lines below are the passages that answer a question.</p>\n" : "</p>\n";
    html += plots::map(run, options.k) + page::questions(run, options.k);
  }
  return html + "</body></html>\n";
}

#endif
