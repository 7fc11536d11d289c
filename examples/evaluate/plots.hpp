// SPDX-License-Identifier: MIT
#ifndef EVALUATE_PLOTS_HPP
#define EVALUATE_PLOTS_HPP
#include "report.hpp"

#include <rag/render.hpp>

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace plots {

/// One decimal: enough for a place in a drawing.
inline std::string place(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

/// The labels at the ends of the curves, moved apart where they would overlap.
inline std::vector<double> label_heights(const Run& run, double (*height)(double)) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < run.systems.size(); ++i) order.push_back(i);
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return run.systems[a].curve.back() > run.systems[b].curve.back(); });
  std::vector<double> heights(run.systems.size());
  double lowest = 0;
  for (const std::size_t i : order) {
    heights[i] = std::max(height(run.systems[i].curve.back()), lowest);
    lowest = heights[i] + 14;
  }
  return heights;
}

inline std::string curves(const Run& run) {
  constexpr double left = 40, width = 780;
  const auto across = [](std::size_t k) { return left + width * static_cast<double>(k - 1) / (longest_curve - 1); };
  constexpr auto height = [](double share) { return 12 + 240 * (1 - share); };
  std::string svg = "<svg viewBox=\"0 0 1000 290\" role=\"img\" aria-label=\"recall over k\">\n";
  for (int percent = 0; percent <= 100; percent += 25) {
    const std::string y = place(height(percent / 100.0));
    svg += "<line class=\"grid\" x1=\"40\" x2=\"820\" y1=\"" + y + "\" y2=\"" + y + "\"/><text x=\"32\" y=\"" +
           place(height(percent / 100.0) + 4) + "\" text-anchor=\"end\">" + std::to_string(percent) + "</text>\n";
  }
  for (const std::size_t k : {1u, 5u, 10u, 15u, 20u})
    svg += "<text x=\"" + place(across(k)) + "\" y=\"272\" text-anchor=\"middle\">" + (k == 1 ? "k = 1" : std::to_string(k)) + "</text>\n";
  const std::vector<double> labels = label_heights(run, height);
  for (std::size_t i = 0; i < run.systems.size(); ++i) {
    const System& system = run.systems[i];
    const std::string number = std::to_string(run.systems.size() == 1 ? 2 : i);
    svg += "<polyline class=\"curve s" + number + "\" points=\"";
    for (std::size_t k = 1; k <= longest_curve; ++k) svg += place(across(k)) + "," + place(height(system.curve[k - 1])) + " ";
    svg += "\"/>\n";
    for (std::size_t k = 1; k <= longest_curve; ++k)
      svg += "<circle class=\"t" + number + "\" cx=\"" + place(across(k)) + "\" cy=\"" + place(height(system.curve[k - 1])) +
             "\" r=\"3\"><title>" + system.name + ", k = " + std::to_string(k) + ": " + percent(system.curve[k - 1]) +
             "</title></circle>\n";
    svg += "<text class=\"t" + number + "\" x=\"830\" y=\"" + place(labels[i] + 4) + "\">" + system.name + " " +
           percent(system.curve.back()) + "</text>\n";
  }
  return svg + "</svg>\n";
}

/// The texts as lines of one length, and where a stretch of them lies.
class Sheet {
 public:
  explicit Sheet(const Run& run) {
    std::size_t total = 0;
    for (const rag::Document& document : run.data.documents) {
      starts_[document.id] = total;
      total += rag::CodePointOffsets(document.text).code_points(document.text.size());
    }
    row_ = std::max<std::size_t>(2000, total / 40 + 1);
    rows_ = total / row_ + 1;
  }

  double height() const { return 24 * static_cast<double>(rows_); }

  /// Calls draw(x, width, y) for the part of the span on each line.
  template <class Draw>
  void lay(const rag::SourceSpan& span, Draw draw) const {
    const std::size_t start = starts_.at(span.source);
    for (std::size_t at = start + span.begin, end = start + span.end; at < end;) {
      const std::size_t line = at / row_, stop = std::min(end, (line + 1) * row_);
      const double unit = 1000 / static_cast<double>(row_);
      draw(unit * static_cast<double>(at - line * row_), unit * static_cast<double>(stop - at), 24 * static_cast<double>(line));
      at = stop;
    }
  }

 private:
  std::map<std::string, std::size_t, std::less<>> starts_;
  std::size_t row_ = 1, rows_ = 1;
};

inline std::string map(const Run& run, std::size_t k) {
  const Sheet sheet(run);
  std::vector<std::size_t> finds(run.chunks.size());
  for (const auto& found : run.systems.back().found)
    for (std::size_t i = 0; i < std::min(k, found.size()); ++i) ++finds[found[i].chunk];
  const auto most = static_cast<double>(std::max<std::size_t>(1, *std::max_element(finds.begin(), finds.end())));
  std::string svg = "<svg viewBox=\"0 0 1000 " + place(sheet.height()) + "\" role=\"img\" aria-label=\"map of the chunks\">\n";
  for (std::size_t i = 0; i < run.spans.size(); ++i) {
    const rag::SourceSpan& span = run.spans[i];
    char opacity[32];
    std::snprintf(opacity, sizeof opacity, "%.2f", 0.12 + 0.88 * static_cast<double>(finds[i]) / most);
    sheet.lay(span, [&](double x, double width, double y) {
      svg += "<rect class=\"chunk\" x=\"" + place(x) + "\" y=\"" + place(y + 2) + "\" width=\"" + place(width) +
             "\" height=\"14\" fill-opacity=\"" + opacity + "\"><title>" + rag::escape_html(span.source) + " " +
             std::to_string(span.begin) + " to " + std::to_string(span.end) + ", found by " + std::to_string(finds[i]) +
             "</title></rect>\n";
    });
  }
  for (const Question& question : run.data.questions)
    for (const rag::SourceSpan& reference : question.references)
      sheet.lay(reference, [&](double x, double width, double y) {
        const std::string height = place(y + 19);
        svg += "<line class=\"reference\" x1=\"" + place(x) + "\" x2=\"" + place(x + std::max(width, 1.0)) + "\" y1=\"" + height +
               "\" y2=\"" + height + "\"><title>" + rag::escape_html(question.text) + "</title></line>\n";
      });
  return svg + "</svg>\n";
}

}  // namespace plots

#endif
