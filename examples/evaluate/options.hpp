// SPDX-License-Identifier: MIT
#ifndef EVALUATE_OPTIONS_HPP
#define EVALUATE_OPTIONS_HPP
#include <rag/error.hpp>

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

struct Options {
  std::string data = {};
  std::string format = {};
  std::string chunker = "recursive:1000:0";
  std::string unit = "characters";
  std::string retriever = {};  // empty: hybrid with an embedder, bm25 without
  std::string words = "english";
  std::string embedder = {};
  std::string cache = {};
  std::string html = {};
  std::string half = {};  // of the questions: "even" or "odd"; empty: all
  std::string rerank = {};
  std::optional<double> diverse = {};
  std::size_t per_source = 0;  // 0: as many as there are
  bool merge = false;
  std::size_t k = 5;
  bool json = false;
  bool help = false;
};

inline constexpr const char* help_text =
    R"(evaluate --data FOLDER --format chunking|xquad|code [options]     how well chunks are found

  --chunker KIND:SIZE:OVERLAP   recursive, fixed, markdown:SIZE, separator:TEXT, whole; recursive:1000:0
                                sentence:SIZE:SENTENCES that overlap; context:SIZE: markdown, found by its headings too;
                                semantic:SIZE:PIECE; window:SIZE:N: a sentence, given with N each side;
                                parent:SIZE:CHILD: small chunks are found, large ones given
                                published, langchain: recursive with the separators of the report and of LangChain
                                file:PATH: lines of {source, begin, end} in code points, from any other program
  --unit UNIT                   of the sizes: characters; tokens of the embedder; a file of BPE ranks (.tiktoken)
  --retriever KIND              dense, bm25, hybrid (shown beside its legs); hybrid with an embedder, bm25 without
  --words KIND                  of bm25: english (stems, stop words), plain; english
  --embedder MODEL              minilm, hashing, or a model folder
  --cache FILE                  keep the vectors there: the next run embeds only what is new
  --k N                         chunks a question, 1 to 50; 5
  --half even|odd               of the questions, by their numbers from 0: one to choose by, the other to report
  --rerank FOLDER, --diverse RELEVANCE, --per-source N, --merge
                                what is found goes through these steps, in this order: a cross-encoder, MMR (0 to 1),
                                at most N chunks a document, neighbours among the first k made one; "refined"
  --json                        for machines      --html FILE    a page with plots

chunking: *.md and questions.jsonl {corpus, question, references: [{start_index, end_index}]}, in code points
xquad:    *.json as SQuAD 1.1; a file is a data set     code: codebase_chunks.json, questions.jsonl
)";

[[noreturn]] inline void refuse(const std::string& what) { throw rag::Error(rag::Errc::invalid_argument, what); }

inline std::size_t whole_number(std::string_view name, std::string_view text) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size())
    refuse(std::string(name) + ": a whole number wanted, '" + std::string(text) + "' given");
  return number;
}

inline double share(const std::string& name, const std::string& text) {
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != 0 || !(number >= 0 && number <= 1)) refuse(name + ": 0 to 1 wanted, '" + text + "' given");
  return number;
}

inline void require_one_of(const std::string& name, const std::string& given, const std::vector<std::string>& known) {
  std::string list;
  for (const std::string& word : known) {
    if (word == given) return;
    list += (list.empty() ? "" : ", ") + word;
  }
  refuse(name + ": one of " + list + " wanted, '" + given + "' given");
}

inline void check(Options& options) {
  if (options.data.empty()) refuse("--data: a folder is wanted, see --help");
  require_one_of("--format", options.format, {"chunking", "xquad", "code"});
  if (options.retriever.empty()) options.retriever = options.embedder.empty() ? "bm25" : "hybrid";
  require_one_of("--retriever", options.retriever, {"dense", "bm25", "hybrid"});
  require_one_of("--words", options.words, {"english", "plain"});
  if (!options.half.empty()) require_one_of("--half", options.half, {"even", "odd"});
  if (options.embedder.empty() && options.retriever != "bm25")
    refuse("--retriever " + options.retriever + ": --embedder minilm, hashing or a model folder is wanted too");
  if (options.embedder.empty() && options.unit == "tokens") refuse("--unit tokens: they are those of an --embedder");
  if (options.embedder == "hashing" && options.unit == "tokens")
    refuse("--unit tokens: --embedder hashing counts none; characters are its unit");
  if (options.k == 0 || options.k > 50) refuse("--k: 1 to 50 wanted, " + std::to_string(options.k) + " given");
}

inline Options parse(const std::vector<std::string>& arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& name = arguments[i];
    const auto value = [&] {
      if (i + 1 == arguments.size()) refuse(name + ": a value is wanted after it");
      return arguments[++i];
    };
    if (name == "--help" || name == "-h") options.help = true;
    else if (name == "--json") options.json = true;
    else if (name == "--data") options.data = value();
    else if (name == "--format") options.format = value();
    else if (name == "--chunker") options.chunker = value();
    else if (name == "--unit") options.unit = value();
    else if (name == "--retriever") options.retriever = value();
    else if (name == "--words") options.words = value();
    else if (name == "--embedder") options.embedder = value();
    else if (name == "--cache") options.cache = value();
    else if (name == "--html") options.html = value();
    else if (name == "--half") options.half = value();
    else if (name == "--rerank") options.rerank = value();
    else if (name == "--diverse") options.diverse = share(name, value());
    else if (name == "--per-source") options.per_source = whole_number(name, value());
    else if (name == "--merge") options.merge = true;
    else if (name == "--k") options.k = whole_number(name, value());
    else refuse("'" + name + "' is no option, see --help");
  }
  if (!options.help) check(options);
  return options;
}

#endif
