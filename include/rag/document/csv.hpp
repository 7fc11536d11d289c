// SPDX-License-Identifier: MIT
#ifndef RAG_DOCUMENT_CSV_HPP
#define RAG_DOCUMENT_CSV_HPP
#include <rag/document/load.hpp>

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// Reads a table of RFC 4180 row by row: fields between separators, in quotes where they hold a separator, a line break
/// or, doubled, a quote. A line ends in "\n" or "\r\n"; the last one may lack its end.
RAG_LAZY class BasicCsvReader {
 public:
  BasicCsvReader(std::string_view text, char separator) : text_(text), separator_(separator) {
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
  }

  /// Fills `row` with the next one; false at the end. Empty lines are passed over.
  bool next(std::vector<std::string>& row) {
    for (row.clear(); at_ < text_.size() && row.empty();) {
      line_ = next_line_;
      if (const std::size_t length = line_end(); length > 0) {
        at_ += length;
        ++next_line_;
        continue;
      }
      do row.push_back(field());
      while (take_separator());
    }
    return !row.empty();
  }
  /// The line that the last row began on, from 1.
  std::size_t line() const { return line_; }

  [[noreturn]] void fail(const std::string& what) const {
    throw Error(Errc::invalid_format, "CSV: line " + std::to_string(line_) + ": " + what);
  }

 private:
  // The bytes of the line end that stands here, 0 if none does.
  std::size_t line_end() const {
    const std::string_view rest = text_.substr(at_, 2);
    return rest.starts_with('\n') ? 1 : rest == "\r\n" ? 2 : 0;
  }

  bool take_separator() {
    if (at_ == text_.size()) return false;
    if (text_[at_] == separator_) return ++at_, true;
    at_ += line_end();
    ++next_line_;
    return false;
  }

  std::string field() {
    if (at_ < text_.size() && text_[at_] == '"') return quoted();
    const std::size_t begin = at_;
    while (at_ < text_.size() && text_[at_] != separator_ && line_end() == 0)
      if (text_[at_++] == '"') fail("a quote in a field that has none around it");
    return std::string(text_.substr(begin, at_ - begin));
  }

  std::string quoted() {
    std::string field;
    for (++at_;;) {
      const std::size_t quote = text_.find('"', at_);
      if (quote == std::string_view::npos) fail("a field without its closing quote");
      const std::string_view piece = text_.substr(at_, quote - at_);
      next_line_ += static_cast<std::size_t>(std::count(piece.begin(), piece.end(), '\n'));
      field += piece;
      at_ = quote + 1;
      if (at_ == text_.size() || text_[at_] != '"') break;
      field += '"';
      ++at_;
    }
    if (at_ < text_.size() && text_[at_] != separator_ && line_end() == 0) fail("text behind a closing quote");
    return field;
  }

  std::string_view text_;
  char separator_;
  std::size_t at_ = 0, line_ = 1, next_line_ = 1;
};
using CsvReader = BasicCsvReader<>;

/// Is it a column that makes the text? None named: all are.
RAG_LAZY bool is_text_column(const std::vector<std::string>& wanted, std::string_view name) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end();
}

/// "name: value", a line each; of a text that is one column alone, the value.
RAG_LAZY void append_column(std::string& text, const std::vector<std::string>& wanted, std::string_view name,
                            std::string_view value) {
  if (!text.empty()) text += '\n';
  if (wanted.size() != 1) text.append(name).append(": ");
  text += value;
}

}  // namespace detail

struct CsvOptions {
  std::vector<std::string> text = {};  ///< the columns that make the text; none: all
  char separator = 0;                  ///< 0: ',' in .csv, a tab in .tsv
};

/// Each row of a table (.csv, .tsv) is a document: "table.csv#1" is the first row below the line of names. Its text is a
/// line "name: value" for each column that is not empty, or the value alone where one column makes the text; its metadata
/// are all columns, by name, as strings. Spans are those of that text.
///
/// Errors (invalid_format, with the line): what is not RFC 4180, a row of another number of columns than the names, two
/// columns of one name, a column that CsvOptions::text names and the table lacks.
///
///     rag::CsvLoader loader{{.text = {"question", "answer"}}};
RAG_LAZY class BasicCsvLoader {
 public:
  explicit BasicCsvLoader(CsvOptions options = {}) : options_(std::move(options)) {}

  bool reads(std::string_view id) const {
    return detail::has_extension(id, ".csv") || detail::has_extension(id, ".tsv");
  }

  std::vector<Document> load(Document file) const {
    detail::require_text(file.text);
    const char by_name = detail::has_extension(file.id, ".tsv") ? '\t' : ',';
    detail::CsvReader reader(file.text, options_.separator != 0 ? options_.separator : by_name);
    std::vector<std::string> names, row;
    std::vector<Document> documents;
    detail::DocumentRoom room;
    if (!reader.next(names)) return documents;
    check(names, reader);
    for (std::size_t number = 1; reader.next(row); ++number) {
      if (row.size() != names.size())
        reader.fail(std::to_string(names.size()) + " columns wanted, " + std::to_string(row.size()) + " given");
      Document document{file.id + '#' + std::to_string(number), {}, file.metadata};
      for (std::size_t i = 0; i < row.size(); ++i) {
        if (row[i].empty()) continue;
        if (detail::is_text_column(options_.text, names[i]))
          detail::append_column(document.text, options_.text, names[i], row[i]);
        document.metadata.set(names[i], row[i]);
      }
      room.take(document);
      documents.push_back(std::move(document));
    }
    return documents;
  }

 private:
  // A row's names are looked up one by one, so there must not be too many.
  void check(const std::vector<std::string>& names, const detail::CsvReader& reader) const {
    std::vector<std::string> sorted = names;
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    if (twice != sorted.end()) reader.fail("two columns are named '" + *twice + "'");
    if (names.size() > 1000) reader.fail("at most 1000 columns wanted, " + std::to_string(names.size()) + " given");
    for (const std::string& wanted : options_.text)
      if (!std::binary_search(sorted.begin(), sorted.end(), wanted)) reader.fail("no column is named '" + wanted + "'");
  }

  CsvOptions options_;
};
using CsvLoader = BasicCsvLoader<>;

RAG_END
#endif
