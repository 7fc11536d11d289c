// SPDX-License-Identifier: MIT
#include <rag/chunk/markdown.hpp>
#include <rag/pipeline.hpp>
#include <rag/retrieve/bm25.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Numbers = std::vector<std::size_t>;

/// An answer and what its writer knows of it.
struct Written {
  std::string text;
  std::vector<rag::Citation> marks;
};

/// Writes answers with marks of all kinds. What each mark means is noted down while it is written, so nothing is read.
class Writer {
 public:
  Writer(std::uint64_t seed, std::size_t sources) : random_(seed), sources_(sources) {}

  Written write() {
    const std::size_t pieces = pick(12);
    for (std::size_t i = 0; i < pieces; ++i) {
      if (pick(5) != 0) prose();
      piece();
    }
    if (pick(2) == 0) prose();
    if (pick(3) == 0) ending();
    return std::move(written_);
  }

 private:
  std::size_t pick(std::size_t choices) { return random_() % choices; }
  template <std::size_t n>
  std::string one_of(const char* const (&choices)[n]) { return choices[pick(n)]; }

  void prose() {
    static const char* const texts[] = {"It is so", " and thus, ", "数据存储在etcd。", "Ответ: да. ", " الجواب نعم ", "日本語「はい」、", "\n\n- item ",
                                        " 𝒳 🎉 ", "são 3,5 % ", "x = 7; ", "(1) ", "[sic] ", "[3 apples] ", "[0.5, 1] ", "a[i] ", " ] ", "\t"};
    written_.text += one_of(texts);
  }

  /// A mark: its bytes, the known numbers, the unknown ones; none of either: unreadable.
  void mark(const std::string& text, const Numbers& numbers = {}) {
    rag::Citation mark{written_.text.size(), written_.text.size() + text.size()};
    for (const std::size_t number : numbers) {
      Numbers& place = number >= 1 && number <= sources_ ? mark.numbers : mark.unknown;
      if (std::find(place.begin(), place.end(), number) == place.end()) place.push_back(number);
    }
    written_.text += text;
    written_.marks.push_back(mark);
  }

  std::size_t right() { return 1 + pick(sources_); }
  std::size_t wrong() {
    const std::size_t choices[] = {0, sources_ + 1, sources_ + 1 + pick(100), 2024, 999'999'999};
    return choices[pick(5)];
  }
  std::string digits(std::size_t number) {
    std::string text = std::to_string(number);
    if (pick(6) != 0) return text;
    std::string wide;
    for (const char c : text) wide += std::string("\xEF\xBC") + static_cast<char>(0x90 + (c - '0'));
    return wide;
  }
  std::string in_brackets(const std::string& inside) {
    static const char* const pairs[][2] = {{"[", "]"}, {"[", "]"}, {"[ ", " ]"}, {"【", "】"}, {"［", "］"}, {"[^", "]"}, {"[Snippet ", "]"}, {"[source: ", "]"}, {"[#", "]"}, {"[", "†a.md]"}};
    const auto& pair = pairs[pick(std::size(pairs))];
    return pair[0] + inside + pair[1];
  }

  void one(std::size_t number) { mark(in_brackets(digits(number)), {number}); }

  void list() {
    std::string inside;
    Numbers numbers;
    const std::size_t length = 2 + pick(4);
    for (std::size_t i = 0; i < length; ++i) {
      numbers.push_back(pick(4) == 0 ? wrong() : right());
      if (i > 0) inside += one_of({", ", ",", ";", "，", "、", " , "});
      inside += digits(numbers.back());
    }
    mark(in_brackets(inside), numbers);
  }

  void range() {
    const std::size_t first = pick(5) == 0 ? 0 : right(), last = pick(4) == 0 ? first + sources_ + pick(1'000'000) : first + pick(sources_);
    Numbers numbers{first};
    for (std::size_t number = first + 1; number < last && number <= sources_; ++number) numbers.push_back(number);
    if (last != first) numbers.push_back(last);
    mark(in_brackets(digits(first) + one_of({"-", "–", "—", "‑", " - ", "～"}) + digits(last)), numbers);
  }

  void malformed() {
    const std::string n = digits(right()), m = digits(right());
    const std::string texts[] = {"[" + n + ",]", "[" + n + " " + m + "]", "[9-3]", "[" + n + "-]", "[12345678901234567890]"};
    mark(texts[pick(5)]);
  }

  void cut_within() {
    mark(one_of({"[", "【"}) + digits(right()) + one_of({"", ",", "-", ", 2"}));
    written_.text += one_of({"\n", "\nIt goes on", "[see below]", " and after this there is nothing that closes it within a line, however long it is, or nearly\n"});
  }

  void no_mark() {
    static const char* const code[][2] = {{" `x", "`"}, {" ``a ` b", "``"}, {"\n```cpp\ny", "\n```\n"}};
    const auto& [open, close] = code[pick(3)];
    written_.text += open + ("[" + std::to_string(right()) + "]") + close;
  }

  void piece() {
    switch (pick(12)) {
      case 0: return one(wrong());
      case 1: return list();
      case 2: return range();
      case 3: return malformed();
      case 4: return cut_within();
      case 5: return no_mark();
      case 6: {  // twice
        const std::size_t number = right();
        one(number);
        return one(number);
      }
      case 7: {  // within brackets
        const std::string open = one_of({"[", "(see ", "[see "});
        written_.text += open;
        one(right());
        written_.text += open[0] == '(' ? ")" : "]";
        return;
      }
      default: return one(right());
    }
  }

  void ending() {
    if (pick(4) == 0) {
      written_.text += "\n```\nz[" + std::to_string(right()) + "]";
      return;
    }
    mark(one_of({"[", "[1", "【2", "[1,", "[1-", "[1, 2", "[Sni", "[source:", "[^", "[Snippet 1", "［１"}));
  }

  std::mt19937_64 random_;
  std::size_t sources_;
  Written written_;
};

struct ScriptedLlm {
  std::string text;
  std::string complete(std::span<const rag::Message>) const { return text; }
};

struct Section {
  std::string heading, text;
};

/// Numbers of all marks in order, each once.
Numbers once(const std::vector<rag::Citation>& marks, Numbers rag::Citation::*member) {
  Numbers numbers;
  std::set<std::size_t> seen;
  for (const rag::Citation& mark : marks)
    for (const std::size_t number : mark.*member)
      if (seen.insert(number).second) numbers.push_back(number);
  return numbers;
}

}  // namespace

TEST_CASE("Of 10,000 answers each mark is mapped to the bytes and the heading of a source, or reported") {
  const std::vector<Section> sections = {{"Storage", "Data about apples is stored in a log."}, {"存储 [1]", "apples 数据存储在 etcd。"},
                                         {"Größe", "Äpfel, apples: up to 32768."},             {"Ответ", "Яблоки apples хранятся здесь."},
                                         {"答え", "りんご apples はここです。"}};
  rag::Pipeline pipeline{rag::MarkdownChunker{}, rag::Bm25{}, ScriptedLlm{}};
  std::map<std::string, rag::Document> documents;
  for (std::size_t i = 0; i < 2; ++i) {
    rag::Document document{"d" + std::to_string(i) + ".md", "\xEF\xBB\xBF# Guide\n"};
    for (const Section& section : sections) document.text += "\n## " + section.heading + "\n\n" + section.text + " " + document.id + "\n";
    pipeline.add(documents[document.id] = document);
  }

  std::size_t mapped = 0, reported = 0, wrong = 0;
  for (std::uint64_t seed = 0; seed < 10'000; ++seed) {
    const std::size_t k = 1 + seed % 7;
    const Written written = Writer(seed, k).write();
    pipeline.llm().text = written.text;

    const rag::Answer answer = pipeline.ask("apples", k);

    const bool same = answer.sources.size() == k && answer.citations == written.marks && answer.cited == once(written.marks, &rag::Citation::numbers) &&
                      answer.unknown == once(written.marks, &rag::Citation::unknown) && answer.supported() != answer.cited.empty();
    if (!same) {
      CAPTURE(seed);
      CAPTURE(written.text);
      CHECK(answer.citations == written.marks);
      CHECK(same);
    }
    for (const rag::Citation& mark : answer.citations) {
      for (const std::size_t number : mark.numbers) {
        const rag::Chunk& chunk = answer.sources.at(number - 1).chunk;
        const std::string_view source = documents.at(chunk.source).text;
        const bool exact = source.substr(chunk.begin, chunk.end - chunk.begin) == chunk.text;
        const auto section = std::find_if(sections.begin(), sections.end(), [&](const Section& s) { return chunk.text.find(s.text) != chunk.text.npos; });
        wrong += !exact || section == sections.end() || rag::heading_path(chunk) != "Guide > " + section->heading;
      }
      mapped += !mark.numbers.empty();
      reported += mark.numbers.empty() || !mark.unknown.empty();
    }
  }
  CHECK(wrong == 0);
  CHECK(mapped > 20'000);
  CHECK(reported > 10'000);
}
