// SPDX-License-Identifier: MIT
// How often the answer of an ExtractiveLlm holds the words that answer the question: the table of docs/prompts.md.
//   extractive MODEL_FOLDER XQUAD_JSON
// The snippets of a question are its paragraph and the two beside it, in a random order with a fixed seed. Prints, for the
// questions with even and with odd numbers, the share that is answered and the sentences of an answer.
#include <rag/detail/json.hpp>
#include <rag/embed/minilm.hpp>
#include <rag/llm/extractive.hpp>
#include <rag/prompt/qa.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace {

struct Question {
  std::string text;
  std::vector<std::string> answers;
  std::size_t paragraph = 0;
};

struct Data {
  std::vector<std::string> paragraphs;
  std::vector<Question> questions;
};

Data read(const char* path) {
  std::ifstream file(path);
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto json = rag::detail::Json::parse(text);
  Data data;
  for (const auto& article : json.at("data"))
    for (const auto& paragraph : article.at("paragraphs")) {
      data.paragraphs.push_back(paragraph.at("context"));
      for (const auto& asked : paragraph.at("qas")) {
        data.questions.push_back({asked.at("question"), {}, data.paragraphs.size() - 1});
        for (const auto& answer : asked.at("answers")) data.questions.back().answers.push_back(answer.at("text"));
      }
    }
  return data;
}

/// Embeds a text once: the paragraphs come again and again.
class Remembering {
 public:
  explicit Remembering(const char* folder) : embedder_(folder) {}
  std::size_t dimension() const { return embedder_.dimension(); }
  rag::Matrix embed(std::span<const std::string_view> texts) {
    rag::Matrix vectors(texts.size(), dimension());
    for (std::size_t i = 0; i < texts.size(); ++i) {
      std::vector<float>& known = known_[std::string(texts[i])];
      if (known.empty()) known = rag::embed_query(embedder_, texts[i]);
      std::copy(known.begin(), known.end(), vectors.row(i).begin());
    }
    return vectors;
  }

 private:
  rag::MiniLmEmbedder embedder_;
  std::unordered_map<std::string, std::vector<float>> known_;
};

template <class L>
void measure(const char* name, L llm, const Data& data) {
  std::mt19937 random(7);
  std::size_t asked[2] = {}, answered[2] = {}, sentences[2] = {};
  const std::size_t count = data.paragraphs.size();
  for (std::size_t i = 0; i < data.questions.size(); ++i) {
    const Question& question = data.questions[i];
    std::size_t order[] = {question.paragraph, (question.paragraph + 1) % count, (question.paragraph + count - 1) % count};
    for (std::size_t last = 2; last > 0; --last) std::swap(order[last], order[random() % (last + 1)]);
    std::vector<rag::Hit> hits;
    for (const std::size_t n : order) hits.push_back({{data.paragraphs[n], "xquad", 0, data.paragraphs[n].size()}, 1.0f});

    const std::string text = llm.complete(rag::QaPrompter{}.prompt(question.text, hits)).text;

    ++asked[i % 2];
    sentences[i % 2] += rag::detail::find_citations(text).size();
    answered[i % 2] += std::any_of(question.answers.begin(), question.answers.end(),
                                   [&](const std::string& answer) { return text.find(answer) != std::string::npos; });
  }
  for (const int half : {0, 1})
    std::printf("%s, %s questions: %.1f %% of %zu answered, %.2f sentences each\n", name, half == 0 ? "even" : "odd",
                100.0 * static_cast<double>(answered[half]) / static_cast<double>(asked[half]), asked[half],
                static_cast<double>(sentences[half]) / static_cast<double>(asked[half]));
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 3) return std::fprintf(stderr, "usage: extractive MODEL_FOLDER XQUAD_JSON\n"), 2;
  const Data data = read(arguments[2]);
  measure("words", rag::ExtractiveLlm{}, data);
  measure("words and meaning", rag::BasicExtractiveLlm{Remembering{arguments[1]}}, data);
}
