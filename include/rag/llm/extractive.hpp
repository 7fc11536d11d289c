// SPDX-License-Identifier: MIT
#ifndef RAG_LLM_EXTRACTIVE_HPP
#define RAG_LLM_EXTRACTIVE_HPP
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>
#include <rag/detail/citations.hpp>
#include <rag/detail/cosine.hpp>
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
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// In the place of an embedder where there is none.
struct NoEmbedder {};

}  // namespace detail

/// Answers offline, with the sentences of the prompt's snippets that share most with the question, up to
/// three, each with its mark [n]. Writes nothing of its own, so it can't invent; it can't conclude either.
/// Where no snippet shares a word with the question it says so. Reads the prompts of QaPrompter; without one
/// it has nothing to quote.
///
/// With an embedder the sentences are chosen by their meaning too, a call for the question and one for all sentences;
/// then it says so where no snippet shares a word and none has a cosine of 0.4 with the question.
///
///     rag::ExtractiveLlm words;
///     rag::BasicExtractiveLlm both{rag::MiniLmEmbedder{folder}};
template <class E = detail::NoEmbedder>
class BasicExtractiveLlm {
  static constexpr bool by_words = std::is_same_v<E, detail::NoEmbedder>;
  static_assert(by_words || Embedder<E>, "rag::BasicExtractiveLlm: argument 1 is not an Embedder, see rag/concepts.hpp");
  // After a failed assertion the rest compiles with a part that does nothing, so the assertion is the one error.
  using Part = std::conditional_t<by_words || Embedder<E>, E, detail::EmbedderArchetype>;

 public:
  BasicExtractiveLlm() = default;
  explicit BasicExtractiveLlm(E embedder) : embedder_(std::move(embedder)) {}

  Completion complete(std::span<const Message> messages) { return write(embedder_, messages, {}); }
  Completion complete(std::span<const Message> messages) const { return write(embedder_, messages, {}); }

  /// A sentence a piece.
  Completion stream(std::span<const Message> messages, TextSink on_text) { return write(embedder_, messages, on_text); }
  Completion stream(std::span<const Message> messages, TextSink on_text) const {
    return write(embedder_, messages, on_text);
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
  static constexpr double least_share = by_words ? 0.4 : 0.6;  // of the best one's score

  template <class P>
  static Completion write(P& embedder, std::span<const Message> messages, TextSink on_text) {
    Completion completion;
    for (const std::string& piece : answer(embedder, messages)) {
      completion.text += piece;
      if (!on_text(piece)) {
        completion.finish_reason = "cancelled";
        break;
      }
    }
    return completion;
  }

  template <class P>
  static std::vector<std::string> answer(P& embedder, std::span<const Message> messages) {
    std::size_t end = messages.size();  // of the messages up to the user's last
    while (end > 0 && messages[end - 1].role != "user") --end;
    const std::optional<detail::ParsedPrompt> prompt =
        end == 0 ? std::nullopt : detail::parse_prompt(messages[end - 1].content);
    if (!prompt) return {"There are no passages to answer from."};
    std::vector<Candidate> candidates = read(prompt->snippets);
    score(candidates, words(prompt->question));
    if constexpr (!by_words) weigh_meaning(embedder, candidates, prompt->question);
    const std::vector<Candidate> picked = pick(std::move(candidates));
    if (picked.empty()) return {"None of the passages answers this question."};
    std::vector<std::string> pieces;
    for (const Candidate& candidate : picked)
      pieces.push_back((pieces.empty() ? "" : " ") + candidate.text + " [" +
                       std::to_string(candidate.snippet) + "]");
    return pieces;
  }

  /// The words that say something; all of them if none does.
  static std::set<std::string> words(std::string_view text) {
    std::set<std::string> telling, all;
    detail::for_each_word(text, [&](std::string_view word, bool stop) {
      all.emplace(word);
      if (!stop) telling.emplace(word);
    });
    return telling.empty() ? all : telling;
  }

  static std::vector<Candidate> read(const std::vector<detail::Snippet>& snippets) {
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
  static std::string quotable(std::string text) {
    if (std::count(text.begin(), text.end(), '`') % 2 != 0 || text.find("``") != std::string::npos)
      std::erase(text, '`');
    for (std::vector<detail::CitationMark> marks; !(marks = detail::find_citations(text)).empty();)
      for (std::size_t i = marks.size(); i-- > 0;) text.erase(marks[i].begin, marks[i].end - marks[i].begin);
    return text;
  }

  // BM25's weights over the sentences, a word counted once. A word of the heading counts half: it tells what
  // the sentence is about. A snippet's place counts a little, since the retriever saw more than shared words.
  static void score(std::vector<Candidate>& candidates, const std::set<std::string>& question) {
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

  // A sentence's share of the best by words and its share of the best by meaning, added. On the even questions of XQuAD
  // (docs/prompts.md) as good as any weights, and it asks nothing of the embedder's scale. The floor is MiniLM's: of 298
  // questions about something else, none came above 0.39 with any sentence; nine in ten of the others came above 0.5.
  template <class P>
  static void weigh_meaning(P& embedder, std::vector<Candidate>& candidates, std::string_view question) {
    if (candidates.empty()) return;
    const std::vector<double> meaning = cosines(embedder, candidates, question);
    const double nearest = *std::max_element(meaning.begin(), meaning.end());
    double best = 0;
    for (const Candidate& candidate : candidates) best = std::max(best, candidate.score);
    if (best <= 0 && nearest < 0.4) return;
    for (std::size_t i = 0; i < candidates.size(); ++i)
      candidates[i].score = (best > 0 ? candidates[i].score / best : 0) +
                            (nearest > 0 ? std::max(meaning[i], 0.0) / nearest : 0);
  }

  template <class P>
  static std::vector<double> cosines(P& embedder, const std::vector<Candidate>& candidates, std::string_view question) {
    std::vector<std::string_view> texts;
    for (const Candidate& candidate : candidates) texts.push_back(candidate.text);
    const Matrix vectors = embedder.embed(texts);
    const std::vector<float> asked = embed_query(embedder, question);
    if (vectors.rows() != texts.size() || vectors.columns() != asked.size())
      throw Error(Errc::invalid_argument, "ExtractiveLlm: " + std::to_string(texts.size()) + " rows of " +
                                              std::to_string(asked.size()) + " columns wanted from the embedder, " +
                                              std::to_string(vectors.rows()) + " of " +
                                              std::to_string(vectors.columns()) + " given");
    std::vector<double> result;
    for (std::size_t i = 0; i < texts.size(); ++i) result.push_back(detail::cosine(vectors.row(i), asked));
    return result;
  }

  /// The best ones that do not repeat each other, in the order of the prompt.
  static std::vector<Candidate> pick(std::vector<Candidate> candidates) {
    std::vector<std::size_t> order(candidates.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return candidates[a].score > candidates[b].score; });
    std::vector<std::size_t> picked;
    for (const std::size_t i : order) {
      if (picked.size() == most_sentences || candidates[i].score <= candidates[order[0]].score * least_share) break;
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
  static bool repeats(const std::set<std::string>& a, const std::set<std::string>& b) {
    const auto shared =
        std::count_if(a.begin(), a.end(), [&](const std::string& word) { return b.count(word) != 0; });
    return static_cast<double>(shared) >= 0.8 * static_cast<double>(std::min(a.size(), b.size()));
  }

  [[no_unique_address]] Part embedder_;
};
template <class E>
BasicExtractiveLlm(E) -> BasicExtractiveLlm<E>;
using ExtractiveLlm = BasicExtractiveLlm<>;

RAG_END
#endif
