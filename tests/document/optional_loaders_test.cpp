// SPDX-License-Identifier: MIT
// The loaders over libraries of their own. Their files are made here. A loader whose library is not there is left out.
#include <doctest/doctest.h>
#include <rag/concepts.hpp>

#include "laws/loader.hpp"
#include "paths.hpp"

#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#if defined(RAG_HAS_HTML)
#include <rag/document/html.hpp>
#endif
#if defined(RAG_HAS_PDF)
#include <rag/document/pdf.hpp>
#endif
#if defined(RAG_HAS_DOCX)
#include <rag/document/docx.hpp>
#endif

namespace {

/// The code and text of the Error that a call throws.
template <class Call>
[[maybe_unused]] std::string fault(Call&& call, rag::Errc code) {
  try {
    call();
  } catch (const rag::Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  return "none";
}

/// Gives `load` every file with some bytes changed or its end cut off: documents or an Error come out, nothing else.
template <class Load>
[[maybe_unused]] void survive(const std::string& file, int rounds, Load&& load) {
  std::mt19937 random(11);
  int good = 0;
  for (int round = 0; round < rounds; ++round) {
    CAPTURE(round);
    std::string bytes = file;
    for (auto n = 1 + random() % 8; n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    try {
      for (const rag::Document& document : load(bytes))
        CHECK(rag::detail::invalid_utf8(document.text) == std::string::npos);
      ++good;
    } catch (const rag::Error&) {
    }
  }
  CHECK(good > 0);
}

}  // namespace

#if defined(RAG_HAS_HTML)
namespace {

static_assert(rag::Loader<rag::HtmlLoader>);

std::string html(const std::string& page) { return rag::HtmlLoader{}.load({"a.html", page}).at(0).text; }

}  // namespace

TEST_CASE("HtmlLoader gives the text that a reader sees, with the marks of Markdown") {
  const auto documents = rag::HtmlLoader{}.load(
      {"a.html",
       "<!DOCTYPE html><html><head><title> The  house </title><style>p{}</style><script>var x = "
       "'<p>no</p>';</script></head>"
       "<body><!-- no --><nav><a href='/'>Home</a></nav><h1>The <em>roof</em></h1><p>It was\n  repaired&nbsp;&amp; "
       "<b>paint</b>ed.<br>"
       "In 2023.</p><ul><li>one<li><p>two</p></ul><table><tr><th>Year<th>Cost<tr><td>2023<td>100 &euro;</table>"
       "<pre>\n  a  b\nc</pre><h2></h2><img alt='A "
       "fence'><noscript>no</noscript><template>no</template>after</body></html>"});

  REQUIRE(documents.size() == 1);
  CHECK(documents[0].id == "a.html");
  CHECK(documents[0].text ==
        "Home\n\n# The roof\n\nIt was repaired\xC2\xA0& painted.\nIn 2023.\n\n- one\n\n- two\n\nYear | Cost\n2023 | "
        "100 €\n\n"
        "  a  b\nc\n\nA fenceafter");
  REQUIRE(documents[0].metadata.find("title") != nullptr);
  CHECK(documents[0].metadata.find("title")->string() == "The house");
  CHECK(rag::HtmlLoader{}.reads("x/INDEX.HTM"));
  CHECK(!rag::HtmlLoader{}.reads("x.md"));
}

TEST_CASE("HtmlLoader keeps to the laws of a Loader") {
  laws::check_loader(rag::HtmlLoader{}, {"a.html", "<p>x<title>t"});
}

TEST_CASE("HtmlLoader takes pieces of pages, and says of what is none") {
  CHECK(html("") == "");
  CHECK(html("just text") == "just text");
  CHECK(html("a<b>c") == "ac");
  CHECK(html("<td>x</td><p>y") == "x\n\ny");
  CHECK(fault([] { html("caf\xE9"); }, rag::Errc::invalid_format) == "not UTF-8 at byte 3");
  CHECK(fault([] { html(std::string("<\0p\0>\0", 6)); }, rag::Errc::invalid_format) == "binary: a zero byte at byte 1");
}

TEST_CASE("HtmlLoader survives pages that are made to take all memory, time or stack") {
  std::string wide, deep;
  for (int i = 0; i < 20'000; ++i) wide += "<b a=" + std::to_string(i) + "><p>";
  for (int i = 0; i < 10'000; ++i) deep += "<div>";

  CHECK(fault([&] { html(wide); }, rag::Errc::unsupported) == "HTML: its tree takes too much memory or time");
  CHECK(html(deep + "x") == "x");
  const rag::detail::HtmlLimits hurried{std::size_t{64} << 20, 0.01};
  CHECK(fault([&] { rag::detail::html_document(deep + deep, hurried); }, rag::Errc::unsupported) ==
        "HTML: its tree takes too much memory or time");
}

TEST_CASE("HtmlLoader survives damaged pages") {
  const std::string page =
      "<html><title>t</title><table><tr><td>a<p>b<svg><a></table><select><option>x<math><mi>&amp;&#x110000;";
  survive(page, 5000, [](const std::string& bytes) { return rag::HtmlLoader{}.load({"a.html", bytes}); });
}
#else
TEST_CASE("HtmlLoader") { std::printf("skipped: HtmlLoader: gumbo was not found\n"); }
#endif

#if defined(RAG_HAS_PDF)
namespace {

static_assert(rag::Loader<rag::PdfLoader>);

/// A PDF of one page for each text.
std::string pdf_of(const std::vector<std::string>& pages, const std::string& title = "Rules") {
  std::vector<std::string> objects = {"<</Type/Catalog/Pages 2 0 R>>", "",
                                      "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>", "<</Title(" + title + ")>>"};
  std::string kids;
  for (const std::string& text : pages) {
    const std::string content = "BT /F1 12 Tf 72 700 Td (" + text + ") Tj ET";
    kids += std::to_string(objects.size() + 1) + " 0 R ";
    objects.push_back("<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>/Contents " +
                      std::to_string(objects.size() + 2) + " 0 R>>");
    objects.push_back("<</Length " + std::to_string(content.size()) + ">>stream\n" + content + "\nendstream");
  }
  objects[1] = "<</Type/Pages/Count " + std::to_string(pages.size()) + "/Kids[" + kids + "]>>";
  std::string file = "%PDF-1.4\n", table = "0000000000 65535 f \n";
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const std::string offset = std::to_string(file.size());
    table += std::string(10 - offset.size(), '0') + offset + " 00000 n \n";
    file += std::to_string(i + 1) + " 0 obj\n" + objects[i] + "\nendobj\n";
  }
  const std::string size = std::to_string(objects.size() + 1), start = std::to_string(file.size());
  return file + "xref\n0 " + size + '\n' + table + "trailer<</Size " + size + "/Root 1 0 R/Info 4 0 R>>\nstartxref\n" +
         start + "\n%%EOF\n";
}

}  // namespace

TEST_CASE("PdfLoader makes a document of each page that has text") {
  const auto documents = rag::PdfLoader{}.load({"a.pdf", pdf_of({"Books are lent", "", "for four weeks"})});

  REQUIRE(documents.size() == 2);
  CHECK(documents[0].id == "a.pdf#page=1");
  CHECK(documents[0].text.starts_with("Books are lent"));
  CHECK(documents[1].id == "a.pdf#page=3");
  CHECK(documents[1].text.starts_with("for four weeks"));
  CHECK(documents[1].metadata.find("page")->number() == 3);
  CHECK(documents[1].metadata.find("title")->string() == "Rules");
  laws::check_loader(rag::PdfLoader{}, {"a.PDF", pdf_of({"one", "two"})});
}

TEST_CASE("PdfLoader says of what is no PDF") {
  CHECK(fault(
            [] {
              rag::PdfLoader{}.load({"a.pdf", "hello"});
            },
            rag::Errc::invalid_format) == "PDF: not a PDF, or damaged");
  CHECK(fault([] { rag::PdfLoader{}.load({"a.pdf", ""}); }, rag::Errc::invalid_format) == "PDF: not a PDF, or damaged");
}

TEST_CASE("PdfLoader survives damaged files") {
  poppler::set_debug_error_function([](const std::string&, void*) {}, nullptr);
  survive(pdf_of({"one", "two"}), 1000, [](const std::string& bytes) {
    return rag::PdfLoader{}.load({"a.pdf", bytes});
  });
}
#else
TEST_CASE("PdfLoader") { std::printf("skipped: PdfLoader: poppler was not found\n"); }
#endif

#if defined(RAG_HAS_DOCX)
namespace {

static_assert(rag::Loader<rag::DocxLoader>);

/// A zip file of these files, compressed.
std::string zip_of(const std::vector<std::pair<std::string, std::string>>& files) {
  const tests::TemporaryFolder folder;
  const std::string path = (folder / "a.zip").string();
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE, nullptr);
  REQUIRE(archive != nullptr);
  for (const auto& [name, bytes] : files)
    REQUIRE(zip_file_add(archive, name.c_str(), zip_source_buffer(archive, bytes.data(), bytes.size(), 0), 0) >= 0);
  REQUIRE(zip_close(archive) == 0);
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string word(const std::string& body) {
  return "<?xml version=\"1.0\"?><w:document "
         "xmlns:w=\"http://schemas.openxmlformats.org/wordprocessingml/2006/main\"><w:body>" +
         body + "</w:body></w:document>";
}
std::string docx_text(const std::string& body) {
  return rag::DocxLoader{}.load({"a.docx", zip_of({{"word/document.xml", word(body)}})}).at(0).text;
}

}  // namespace

TEST_CASE("DocxLoader gives the text of the body, with the marks of Markdown") {
  const std::string body =
      "<w:p><w:pPr><w:pStyle w:val=\"Heading2\"/></w:pPr><w:r><w:t>The roof</w:t></w:r></w:p>"
      "<w:p><w:r><w:t>It was</w:t></w:r><w:r><w:t xml:space=\"preserve\"> "
      "</w:t></w:r><w:r><w:t>re</w:t></w:r><w:r><w:t>paired"
      " &amp; "
      "painted.</w:t><w:br/><w:t>In</w:t><w:tab/><w:t>2023.</w:t></w:r><w:del><w:r><w:delText>no</w:delText></w:r></"
      "w:del></w:p>"
      "<w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>one</w:t></w:r></w:p><w:p/>"
      "<w:tbl><w:tr><w:tc><w:p><w:r><w:t>Year</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>Cost</w:t></w:r></w:p></"
      "w:tc></w:tr>"
      "<w:tr><w:tc><w:p><w:r><w:t>2023</w:t></w:r></w:p></w:tc><w:tc><w:p><w:r><w:t>1</w:t></w:r></"
      "w:p><w:p><w:r><w:t>€</w:t></w:r></w:p></w:tc></w:tr>"
      "</w:tbl><w:p><w:r><w:t>End</w:t></w:r></w:p>";
  const std::string core =
      "<cp:coreProperties xmlns:cp=\"c\" xmlns:dc=\"d\"><dc:title>Rules</dc:title></cp:coreProperties>";

  const auto documents =
      rag::DocxLoader{}.load({"a.docx", zip_of({{"word/document.xml", word(body)}, {"docProps/core.xml", core}})});

  REQUIRE(documents.size() == 1);
  CHECK(documents[0].id == "a.docx");
  CHECK(documents[0].text ==
        "## The roof\n\nIt was repaired & painted.\nIn 2023.\n\n- one\n\nYear | Cost\n2023 | 1 €\n\nEnd");
  CHECK(documents[0].metadata.find("title")->string() == "Rules");
  laws::check_loader(rag::DocxLoader{}, {"a.docx", zip_of({{"word/document.xml", word(body)}})});
}

TEST_CASE("DocxLoader says of what is no Word file") {
  const auto load = [](const std::string& bytes) { rag::DocxLoader{}.load({"a.docx", bytes}); };

  CHECK(fault([&] { load("hello"); }, rag::Errc::invalid_format).starts_with("DOCX: not a zip file: "));
  CHECK(fault([&] { load(""); }, rag::Errc::invalid_format) == "DOCX: no word/document.xml in it");  // an empty archive
  CHECK(fault(
            [&] {
              load(zip_of({{"a.txt", "x"}}));
            },
            rag::Errc::invalid_format) == "DOCX: no word/document.xml in it");
  CHECK(fault(
            [&] {
              load(zip_of({{"word/document.xml", "<a><b></a>"}}));
            },
            rag::Errc::invalid_format)
            .starts_with("DOCX: word/document.xml: "));
}

TEST_CASE("DocxLoader survives zip bombs, deep trees and damaged files") {
  const std::string bomb = zip_of({{"word/document.xml", std::string((std::size_t{33} << 20), ' ')}});
  CHECK(bomb.size() < 100'000);
  CHECK(fault(
            [&] {
              rag::DocxLoader{}.load({"a.docx", bomb});
            },
            rag::Errc::unsupported) == "DOCX: word/document.xml: at most 33554432 bytes wanted, more come out");
  std::string deep, end;
  for (int i = 0; i < 300'000; ++i) deep += "<w:p>", end += "</w:p>";
  CHECK(docx_text(deep + "<w:t>x</w:t>" + end) == "x");

  const std::string good = zip_of({{"word/document.xml", word("<w:p><w:r><w:t>text é</w:t></w:r></w:p>")}});
  survive(good, 3000, [](const std::string& bytes) { return rag::DocxLoader{}.load({"a.docx", bytes}); });
}
#else
TEST_CASE("DocxLoader") { std::printf("skipped: DocxLoader: libzip or pugixml was not found\n"); }
#endif
