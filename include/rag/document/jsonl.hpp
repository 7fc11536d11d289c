// SPDX-License-Identifier: MIT
#ifndef RAG_DOCUMENT_JSONL_HPP
#define RAG_DOCUMENT_JSONL_HPP
#include <rag/detail/json.hpp>
#include <rag/document/csv.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

struct JsonlOptions {
  std::vector<std::string> text = {};  ///< the members that make the text; none: all
};

/// Each line (.jsonl, .ndjson) is a JSON object and a document: "rows.jsonl#1" is the first line. Its text is a line
/// "name: value" for each member, or the value alone where one member makes the text; strings stand as they are, null and
/// "" are left out, what is nested is written as JSON. Its metadata are the members that are strings, numbers and bools.
/// Members come in the order of their names. Spans are those of that text.
///
/// Errors (invalid_format, with the line): what is not JSON, not an object, or nested deeper than 64.
RAG_LAZY class BasicJsonlLoader {
 public:
  explicit BasicJsonlLoader(JsonlOptions options = {}) : options_(std::move(options)) {}

  bool reads(std::string_view id) const {
    return detail::has_extension(id, ".jsonl") || detail::has_extension(id, ".ndjson");
  }

  std::vector<Document> load(Document file) const {
    detail::require_text(file.text);
    std::vector<Document> documents;
    detail::DocumentRoom room;
    std::size_t number = 0;
    std::string_view rest = file.text;
    if (rest.starts_with("\xEF\xBB\xBF")) rest.remove_prefix(3);
    while (!rest.empty()) {
      const std::string_view line = rest.substr(0, rest.find('\n'));
      rest.remove_prefix(std::min(rest.size(), line.size() + 1));
      ++number;
      if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      documents.push_back(document(file, number, line));
      room.take(documents.back());
    }
    return documents;
  }

 private:
  Document document(const Document& file, std::size_t number, std::string_view line) const {
    const std::string who = "JSONL: line " + std::to_string(number);
    const detail::Json object = detail::parse_json(line, who);
    const auto fail = [&](const std::string& what) { throw Error(Errc::invalid_format, who + ": " + what); };
    if (!object.is_object()) fail(std::string("an object wanted, ") + object.type_name() + " given");
    if (object.size() > 1000) fail("at most 1000 members wanted, " + std::to_string(object.size()) + " given");
    Document document{file.id + '#' + std::to_string(number), {}, file.metadata};
    for (const auto& member : object.items()) {
      const std::string& name = member.key();
      const detail::Json& value = member.value();
      if (value.is_null()) continue;
      if (value.is_string()) document.metadata.set(name, value.get_ref<const std::string&>());
      else if (value.is_boolean()) document.metadata.set(name, value.get<bool>());
      else if (value.is_number()) document.metadata.set(name, value.get<double>());
      const std::string text = value.is_string() ? value.get<std::string>() : detail::dump_json(value, who);
      if (!text.empty() && detail::is_text_column(options_.text, name))
        detail::append_column(document.text, options_.text, name, text);
    }
    return document;
  }

  JsonlOptions options_;
};
using JsonlLoader = BasicJsonlLoader<>;

RAG_END
#endif
