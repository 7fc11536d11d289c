// SPDX-License-Identifier: MIT
#ifndef EVALUATE_DATA_HPP
#define EVALUATE_DATA_HPP
#include <rag/evaluate.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <unordered_map>
#include <vector>

struct Question {
  std::string text;
  std::vector<rag::SourceSpan> references = {};  // the passages that answer it, in code points
  std::vector<std::string> documents = {};       // those that answer it; empty: judged by the references
};

struct DataSet {
  std::string name;
  std::vector<rag::Document> documents = {};
  std::vector<Question> questions = {};
};

namespace data {

using Json = nlohmann::json;
using Path = std::filesystem::path;

[[noreturn]] inline void refuse(const Path& path, const std::string& what) {
  throw rag::Error(rag::Errc::invalid_format, path.string() + ": " + what);
}

inline std::string read(const Path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw rag::Error(rag::Errc::not_found, path.string() + ": can't be opened; for --data: does --format fit the folder?");
  return {std::istreambuf_iterator<char>(file), {}};
}

inline Json parse(const Path& path, const std::string& text, const std::string& where = {}) {
  try {
    return Json::parse(text);
  } catch (const Json::exception& error) {
    refuse(path, where + error.what());
  }
}

/// The objects of a file with one a line.
inline std::vector<Json> lines(const Path& path) {
  std::vector<Json> objects;
  const std::string text = read(path);
  std::size_t number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    ++number;
    if (text.find_first_not_of(" \t\r", begin) < end)
      objects.push_back(parse(path, text.substr(begin, end - begin), "line " + std::to_string(number) + ": "));
    begin = end + 1;
  }
  return objects;
}

inline std::vector<Path> files(const Path& folder, const std::string& extension) {
  std::vector<Path> found;
  if (!std::filesystem::is_directory(folder))
    throw rag::Error(rag::Errc::not_found, "--data: a folder wanted, '" + folder.string() + "' given");
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    if (entry.path().extension() == extension) found.push_back(entry.path());
  std::sort(found.begin(), found.end());
  if (found.empty()) refuse(folder, "no *" + extension + " in it; does --format fit the folder?");
  return found;
}

inline DataSet chunking(const Path& folder) {
  DataSet set{folder.filename().string()};
  std::unordered_map<std::string, std::size_t> lengths;
  for (const Path& path : files(folder, ".md")) {
    set.documents.push_back({path.stem().string(), read(path)});
    const std::string& text = set.documents.back().text;
    lengths[set.documents.back().id] = rag::CodePointOffsets(text).code_points(text.size());
  }
  for (const Json& line : lines(folder / "questions.jsonl")) {
    Question question{line.at("question")};
    const std::string source = line.at("corpus");
    if (lengths.count(source) == 0) refuse(folder, "a question is about '" + source + "', and no " + source + ".md is there");
    for (const Json& reference : line.at("references")) {
      question.references.push_back({source, reference.at("start_index"), reference.at("end_index")});
      const rag::SourceSpan& span = question.references.back();
      if (span.begin >= span.end || span.end > lengths[source])
        refuse(folder, "a reference of characters " + std::to_string(span.begin) + " to " + std::to_string(span.end) + " of " +
                           source + ", which has " + std::to_string(lengths[source]));
    }
    if (question.references.empty()) refuse(folder, "no references for the question '" + question.text + "'");
    set.questions.push_back(std::move(question));
  }
  return set;
}

inline DataSet xquad(const Path& path) {
  DataSet set{path.stem().string()};
  const Json whole = parse(path, read(path));
  for (const Json& article : whole.at("data"))
    for (const Json& paragraph : article.at("paragraphs")) {
      const std::string id = std::to_string(set.documents.size());
      set.documents.push_back({id, paragraph.at("context")});
      for (const Json& asked : paragraph.at("qas")) {
        const Json& answer = asked.at("answers").at(0);
        const std::string text = answer.at("text");
        const std::size_t begin = answer.at("answer_start");
        const std::size_t length = rag::CodePointOffsets(text).code_points(text.size());
        set.questions.push_back({asked.at("question"), {{id, begin, begin + length}}, {id}});
      }
    }
  return set;
}

inline DataSet code(const Path& folder) {
  DataSet set{folder.filename().string()};
  const Path path = folder / "codebase_chunks.json";
  const Json whole = parse(path, read(path));
  for (const Json& file : whole)
    for (const Json& chunk : file.at("chunks")) set.documents.push_back({chunk.at("chunk_id"), chunk.at("content")});
  for (const Json& line : lines(folder / "questions.jsonl"))
    set.questions.push_back({line.at("question"), {}, line.at("golden_chunk_ids")});
  return set;
}

}  // namespace data

/// The data sets of a folder, with all questions or a half of them, "even" or "odd". What is missing or of another shape is an Error that names the file.
inline std::vector<DataSet> load(std::filesystem::path folder, const std::string& format, const std::string& half = {}) {
  if (!folder.has_filename()) folder = folder.parent_path();
  std::vector<DataSet> sets;
  try {
    if (format == "chunking") sets.push_back(data::chunking(folder));
    else if (format == "code") sets.push_back(data::code(folder));
    else for (const auto& path : data::files(folder, ".json")) sets.push_back(data::xquad(path));
  } catch (const nlohmann::json::exception& error) {
    data::refuse(folder, std::string("not the shape of --format ") + format + ": " + error.what());
  }
  for (DataSet& set : sets) {
    std::size_t number = 0;
    if (!half.empty()) std::erase_if(set.questions, [&](const Question&) { return number++ % 2 != (half == "odd"); });
    if (set.documents.empty() || set.questions.empty()) data::refuse(folder, "no documents or no questions in " + set.name);
  }
  return sets;
}

#endif
