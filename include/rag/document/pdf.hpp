// SPDX-License-Identifier: MIT
#ifndef RAG_DOCUMENT_PDF_HPP
#define RAG_DOCUMENT_PDF_HPP
#include <rag/document/load.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if !__has_include(<poppler/cpp/poppler-document.h>)
#error "rag/document/pdf.hpp needs poppler; Debian: apt-get install libpoppler-cpp-dev, and link with -lpoppler-cpp"
#endif
#include <poppler/cpp/poppler-document.h>
#include <poppler/cpp/poppler-page.h>

// Optional: core.hpp and rag.hpp leave it out.

RAG_BEGIN

/// Each page of a PDF that has text is a document: "book.pdf#page=3", which a browser opens at that page, with the
/// metadata page (from 1) and title. The text is in reading order as poppler sees it; a scanned page has none. Spans are
/// those of that text.
///
/// Errors: invalid_format (not a PDF, or a page of it is damaged), unauthorized (it wants a password), unsupported (more
/// than 10,000 pages, or more than 1 GiB of text). Poppler reads the file in this process, and writes what it dislikes of
/// it to stderr; for files of strangers run the ingest in a process of its own. Needs poppler-cpp (Debian:
/// libpoppler-cpp-dev); link with -lpoppler-cpp.
RAG_LAZY class BasicPdfLoader {
 public:
  bool reads(std::string_view id) const { return detail::has_extension(id, ".pdf"); }

  std::vector<Document> load(const Document& file) const {
    if (file.text.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
      throw Error(Errc::unsupported, "PDF: less than 2 GiB wanted");
    const std::unique_ptr<poppler::document> pdf(
        poppler::document::load_from_raw_data(file.text.data(), static_cast<int>(file.text.size())));
    if (!pdf) throw Error(Errc::invalid_format, "PDF: not a PDF, or damaged");
    if (pdf->is_locked()) throw Error(Errc::unauthorized, "PDF: it wants a password");
    if (pdf->pages() > 10'000)
      throw Error(Errc::unsupported, "PDF: at most 10000 pages wanted, " + std::to_string(pdf->pages()) + " given");
    const std::string title = utf8(pdf->get_title());
    std::vector<Document> documents;
    detail::DocumentRoom room;
    for (int number = 1; number <= pdf->pages(); ++number) {
      const std::unique_ptr<poppler::page> page(pdf->create_page(number - 1));
      if (!page) throw Error(Errc::invalid_format, "PDF: page " + std::to_string(number) + " is damaged");
      Document document{file.id + "#page=" + std::to_string(number),
                        utf8(page->text(poppler::rectf(), poppler::page::non_raw_non_physical_layout)), file.metadata};
      if (document.text.find_first_not_of(" \n\f") == std::string::npos) continue;
      document.metadata.set("page", number);
      if (!title.empty()) document.metadata.set("title", title);
      room.take(document);
      documents.push_back(std::move(document));
    }
    return documents;
  }

 private:
  static std::string utf8(const poppler::ustring& text) {
    const poppler::byte_array bytes = text.to_utf8();
    std::string result(bytes.begin(), bytes.end());
    std::replace(result.begin(), result.end(), '\0', ' ');
    if (detail::invalid_utf8(result) != std::string::npos)
      throw Error(Errc::invalid_format, "PDF: its text is not Unicode");
    return result;
  }
};
using PdfLoader = BasicPdfLoader<>;

RAG_END
#endif
