// SPDX-License-Identifier: MIT
#ifndef RAG_DOCUMENT_DOCX_HPP
#define RAG_DOCUMENT_DOCX_HPP
#include <rag/detail/page_text.hpp>
#include <rag/document/load.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#if !__has_include(<zip.h>) || !__has_include(<pugixml.hpp>)
#error "rag/document/docx.hpp needs libzip-dev and libpugixml-dev (Debian); link with -lzip -lpugixml"
#endif
#include <pugixml.hpp>
#include <zip.h>

// Optional: core.hpp and rag.hpp leave it out.

RAG_BEGIN
namespace detail {

/// The files in a zip file that is in memory.
class ZipReader {
 public:
  explicit ZipReader(std::string_view bytes) {
    zip_error_t error;
    zip_error_init(&error);
    zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
    if (source != nullptr) archive_.reset(zip_open_from_source(source, ZIP_RDONLY, &error));
    const std::string why = zip_error_strerror(&error);
    zip_error_fini(&error);
    if (archive_) return;
    if (source != nullptr) zip_source_free(source);
    throw Error(Errc::invalid_format, "DOCX: not a zip file: " + why);
  }

  /// The bytes of a file, at most `largest` of them, whatever the archive says of its size; false: it is not there.
  bool read(const char* name, std::size_t largest, std::string& bytes) {
    const zip_int64_t index = zip_name_locate(archive_.get(), name, 0);
    if (index < 0) return false;
    const std::unique_ptr<zip_file_t, int (*)(zip_file_t*)> file(
        zip_fopen_index(archive_.get(), static_cast<zip_uint64_t>(index), 0), zip_fclose);
    if (!file) throw Error(Errc::invalid_format, std::string("DOCX: ") + name + ": " + zip_strerror(archive_.get()));
    char block[1 << 14];
    for (;;) {
      const zip_int64_t count = zip_fread(file.get(), block, sizeof block);
      if (count < 0) throw Error(Errc::invalid_format, std::string("DOCX: ") + name + ": " + zip_file_strerror(file.get()));
      if (count == 0) return true;
      bytes.append(block, static_cast<std::size_t>(count));
      if (bytes.size() > largest)
        throw Error(Errc::unsupported, std::string("DOCX: ") + name + ": at most " + std::to_string(largest) +
                                           " bytes wanted, more come out");
    }
  }

 private:
  struct Discard {
    void operator()(zip_t* archive) const { zip_discard(archive); }
  };
  std::unique_ptr<zip_t, Discard> archive_;
};

/// The text of word/document.xml. Names are compared without their prefix. No depth is too much for the walk.
class DocxText {
 public:
  std::string text(const pugi::xml_node& root) {
    for (pugi::xml_node node = root.first_child(); node;) {
      if (enter(node) && node.first_child()) {
        node = node.first_child();
        continue;
      }
      leave(node);
      while (node != root && !node.next_sibling()) leave(node = node.parent());
      node = node == root ? pugi::xml_node() : node.next_sibling();
    }
    return std::move(page_).take();
  }

  static std::string_view name_of(const pugi::xml_node& node) {
    const std::string_view name = node.name();
    return name.substr(name.find(':') == std::string_view::npos ? 0 : name.find(':') + 1);
  }

 private:
  static const char* value_of(const pugi::xml_node& node) {
    for (const pugi::xml_attribute& attribute : node.attributes())
      if (const std::string_view name = attribute.name(); name == "val" || name.ends_with(":val")) return attribute.value();
    return "";
  }

  // False: nothing below it is text.
  bool enter(const pugi::xml_node& node) {
    const std::string_view name = name_of(node);
    if (name == "Fallback" || name == "instrText" || name == "delText") return false;  // said elsewhere, or not at all
    if (name == "t") page_.words(node.text().get());
    else if (name == "tab") page_.words(" ");
    else if (name == "br" || name == "cr") page_.breaks(1);
    else if (name == "p" && cells_ == 0) page_.breaks(2);
    else if (name == "pStyle") heading(value_of(node));
    else if (name == "numPr") page_.mark("- ");
    else if (name == "tbl") page_.breaks(2);
    else if (name == "tr") page_.breaks(1), first_cell_ = true;
    else if (name == "tc") ++cells_, page_.mark(std::exchange(first_cell_, false) ? "" : " | ");
    return name != "t";
  }

  void leave(const pugi::xml_node& node) {
    const std::string_view name = name_of(node);
    if (name == "p" && cells_ == 0) page_.mark(""), page_.breaks(2);
    else if (name == "p") page_.words(" ");
    else if (name == "tc") --cells_;
    else if (name == "tbl" && cells_ == 0) page_.breaks(2);
  }

  // "Title", "Heading1" to "Heading6"
  void heading(std::string_view style) {
    if (style == "Title") page_.mark("# ");
    if (style.size() == 8 && style.starts_with("Heading") && style[7] >= '1' && style[7] <= '6')
      page_.mark(std::string(static_cast<std::size_t>(style[7] - '0'), '#') + ' ');
  }

  PageText page_;
  std::size_t cells_ = 0;
  bool first_cell_ = true;
};

inline void parse_xml(pugi::xml_document& document, std::string& bytes, const char* name) {
  const auto options = pugi::parse_default | pugi::parse_ws_pcdata_single;
  const auto result = document.load_buffer_inplace(bytes.data(), bytes.size(), options);
  if (!result) throw Error(Errc::invalid_format, std::string("DOCX: ") + name + ": " + result.description());
}

}  // namespace detail

/// A Word file (.docx) is a document: the text of its body. Paragraphs are blocks apart by an empty line; those of the
/// styles Title and Heading1 to Heading6 begin with "# " to "###### ", points of lists with "- "; cells of a table stand
/// between " | ", a line a row. Deleted text, headers, footers and notes are left out. Metadata: title. Spans are those
/// of that text.
///
/// Errors: invalid_format (not a zip file, no word/document.xml in it, not XML), unsupported (more than 32 MiB come out of
/// it: a small zip file can hold any number of zeros). Needs libzip and pugixml (Debian: libzip-dev, libpugixml-dev); link
/// with -lzip -lpugixml.
RAG_LAZY class BasicDocxLoader {
 public:
  static constexpr std::size_t largest_part = std::size_t{32} << 20;  ///< bytes of XML; parsed up to 16 times that

  bool reads(std::string_view id) const { return detail::has_extension(id, ".docx"); }

  std::vector<Document> load(const Document& file) const {
    detail::ZipReader zip(file.text);
    std::string body, core;
    if (!zip.read("word/document.xml", largest_part, body))
      throw Error(Errc::invalid_format, "DOCX: no word/document.xml in it");
    std::vector<Document> documents;
    Document& document = documents.emplace_back(Document{file.id, {}, file.metadata});
    {
      pugi::xml_document xml;
      detail::parse_xml(xml, body, "word/document.xml");
      document.text = detail::DocxText().text(xml);
    }
    if (zip.read("docProps/core.xml", largest_part, core)) {
      pugi::xml_document xml;
      detail::parse_xml(xml, core, "docProps/core.xml");
      for (const pugi::xml_node& node : xml.document_element().children())
        if (detail::DocxText::name_of(node) == "title" && *node.text().get() != '\0')
          document.metadata.set("title", node.text().get());
    }
    detail::require_text(document.text);
    return documents;
  }
};
using DocxLoader = BasicDocxLoader<>;

RAG_END
#endif
