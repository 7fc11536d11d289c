// SPDX-License-Identifier: MIT
#ifndef RAG_LLM_EXTRACTIVE_HPP
#define RAG_LLM_EXTRACTIVE_HPP
#include <rag/concepts.hpp>
#include <rag/detail/citations.hpp>
#include <rag/detail/prompt_text.hpp>
#include <rag/detail/sentences.hpp>
#include <rag/detail/words.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN

/// Answers offline, with the sentences of the prompt's snippets that share most with the question, up to
/// three, each with its mark [n]. Writes nothing of its own, so it can't invent; it can't conclude either.
/// Where no snippet shares a word with the question it says so. Reads the prompts of QaPrompter; without one
/// it has nothing to quote.
RAG_LAZY class BasicExtractiveLlm {
 public:
  Completion complete(std::span<const Message> messages) const { return stream(messages, {}); }

  /// A sentence a piece.
  Completion stream(std::span<const Message> messages, TextSink on_text) const {
    Completion completion;
    for (const std::string& piece : answer(messages)) {
      completion.text += piece;
      if (!on_text(piece)) {
        completion.finish_reason = "cancelled";
        break;
      }
    }
    return completion;
  }

 private:
  struct Candidate {
    std::size_t snippet = 0;
    std::string text;
    std::set<std::string> words = {};
    std::set<std::string> heading = {};
    double score = 0;
  };

  static constexpr std::size_t most_sentences = 3;

  std::vector<std::string> answer(std::span<const Message> messages) const {
    std::size_t end = messages.size();  // of the messages up to the user's last
    while (end > 0 && messages[end - 1].role != "user") --end;
    const std::optional<detail::ParsedPrompt> prompt =
        end == 0 ? std::nullopt : detail::parse_prompt(messages[end - 1].content);
    if (!prompt) return {"There are no passages to answer from."};
    std::vector<Candidate> candidates = read(prompt->snippets);
    score(candidates, words(prompt->question));
    const std::vector<Candidate> picked = pick(std::move(candidates));
    if (picked.empty()) return {"None of the passages answers this question."};
    std::vector<std::string> pieces;
    for (const Candidate& candidate : picked)
      pieces.push_back((pieces.empty() ? "" : " ") + candidate.text + " [" +
                       std::to_string(candidate.snippet) + "]");
    return pieces;
  }

  /// The words that say something; all of them if none does.
  std::set<std::string> words(std::string_view text) const {
    std::set<std::string> telling, all;
    detail::for_each_word(text, [&](std::string_view word, bool stop) {
      all.emplace(word);
      if (!stop) telling.emplace(word);
    });
    return telling.empty() ? all : telling;
  }

  std::vector<Candidate> read(const std::vector<detail::Snippet>& snippets) const {
    std::vector<Candidate> candidates;
    for (const detail::Snippet& snippet : snippets)
      for (const detail::Sentence& sentence : detail::split_sentences(snippet.text)) {
        Candidate candidate{snippet.number, quotable(sentence.text)};
        candidate.words = words(candidate.text);
        candidate.heading = words(sentence.heading);
        if (!candidate.words.empty()) candidates.push_back(std::move(candidate));
      }
    return candidates;
  }

  /// A sentence without what would be read as ours: marks [n] that the document itself uses, and a backtick
  /// that has no partner and would make code of the marks that follow.
  std::string quotable(std::string text) const {
    if (std::count(text.begin(), text.end(), '`') % 2 != 0 || text.find("``") != std::string::npos)
      std::erase(text, '`');
    for (std::vector<detail::CitationMark> marks; !(marks = detail::find_citations(text)).empty();)
      for (std::size_t i = marks.size(); i-- > 0;) text.erase(marks[i].begin, marks[i].end - marks[i].begin);
    return text;
  }

  // BM25's weights over the sentences, a word counted once. A word of the heading counts half: it tells what
  // the sentence is about. A snippet's place counts a little, since the retriever saw more than shared words.
  void score(std::vector<Candidate>& candidates, const std::set<std::string>& question) const {
    double length = 0;
    for (const Candidate& candidate : candidates) length += static_cast<double>(candidate.words.size());
    const auto all = static_cast<double>(candidates.size());
    for (const std::string& word : question) {
      double with = 0;
      for (const Candidate& candidate : candidates) with += candidate.words.count(word) != 0;
      const double weight = std::log(1 + (all - with + 0.5) / (with + 0.5));
      for (Candidate& candidate : candidates) {
        const double relative = static_cast<double>(candidate.words.size()) * all / length;
        if (candidate.words.count(word))
          candidate.score += weight * 2.2 / (1 + 1.2 * (0.25 + 0.75 * relative));
        else if (candidate.heading.count(word))
          candidate.score += weight / 2;
      }
    }
    for (Candidate& candidate : candidates)
      candidate.score /= 1 + 0.2 * static_cast<double>(candidate.snippet - 1);
  }

  /// The best ones that do not repeat each other, in the order of the prompt.
  std::vector<Candidate> pick(std::vector<Candidate> candidates) const {
    std::vector<std::size_t> order(candidates.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return candidates[a].score > candidates[b].score; });
    std::vector<std::size_t> picked;
    for (const std::size_t i : order) {
      if (picked.size() == most_sentences || candidates[i].score <= candidates[order[0]].score * 0.4) break;
      if (std::none_of(picked.begin(), picked.end(), [&](std::size_t other) {
            return repeats(candidates[i].words, candidates[other].words);
          }))
        picked.push_back(i);
    }
    std::sort(picked.begin(), picked.end());
    std::vector<Candidate> result;
    for (const std::size_t i : picked) result.push_back(std::move(candidates[i]));
    return result;
  }

  /// Does one hold most of the other's words?
  bool repeats(const std::set<std::string>& a, const std::set<std::string>& b) const {
    const auto shared =
        std::count_if(a.begin(), a.end(), [&](const std::string& word) { return b.count(word) != 0; });
    return static_cast<double>(shared) >= 0.8 * static_cast<double>(std::min(a.size(), b.size()));
  }
};
using ExtractiveLlm = BasicExtractiveLlm<>;

RAG_END
#endif
