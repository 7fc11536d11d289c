// SPDX-License-Identifier: MIT
// How well do a chunker and a retriever find, on a folder of questions with known answers? Prints a table, JSON, and a
// page with plots. Its figures are functions of <rag/evaluate.hpp>, which a program of your own may call on its data.
#include "page.hpp"
#include "report.hpp"
#include "run.hpp"

#include <exception>
#include <fstream>
#include <iostream>

int evaluate_all(const Options& options) {
  AnyEmbedder embedder = make_embedder(options);
  const Cut chunk = make_chunker(options.chunker, make_length(options, embedder), embedder);
  std::vector<Run> runs;
  for (DataSet& data : load(options.data, options.format, options.half))
    runs.push_back(evaluate(std::move(data), options, embedder, chunk));
  if (options.json) std::cout << json_of(runs, options).dump(2) << '\n';
  else print(std::cout, runs, options);
  if (options.html.empty()) return 0;
  std::ofstream page(options.html, std::ios::binary);
  page << page_of(runs, options);
  if (!page.flush()) throw rag::Error(rag::Errc::io, "--html: " + options.html + " can't be written");
  std::cerr << "written: " << options.html << '\n';
  return 0;
}

int main(int count, char** values) try {
  const Options options = parse({values + 1, values + count});
  if (!options.help) return evaluate_all(options);
  std::cout << help_text;
  return 0;
} catch (const std::exception& error) {
  std::cerr << "evaluate: " << error.what() << '\n';
  return 1;
}
