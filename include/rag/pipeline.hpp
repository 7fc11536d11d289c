// SPDX-License-Identifier: MIT
#ifndef RAG_PIPELINE_HPP
#define RAG_PIPELINE_HPP
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>
#include <rag/detail/citations.hpp>
#include <rag/detail/count_cut.hpp>
#include <rag/detail/no_progress.hpp>
#include <rag/prompt/qa.hpp>
#include <rag/retrieve/dense.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN

/// What Pipeline::add() did.
struct Added {
  std::size_t documents = 0;
  std::size_t chunks = 0;
  std::size_t cut = 0;  ///< chunks longer than the embedder reads: only their head can be found by meaning

  bool operator==(const Added&) const = default;
};

namespace detail {

// In the place of a DenseRetriever that Pipeline can't make: it keeps the parts, so that the message names the one.
template <class E, class S>
struct NoDenseRetriever {};

template <class E, class S>
using DenseOf = std::conditional_t<Embedder<E> && Store<S> && same_dimension<static_dimension<S>, static_dimension<E>>,
                                   DenseRetriever<E, S>, NoDenseRetriever<E, S>>;

template <class R>
struct RetrieverParts {
  static constexpr bool embedder = true, store = true, retriever = Retriever<R>;
};
template <class E, class S>
struct RetrieverParts<NoDenseRetriever<E, S>> {
  static_assert(same_dimension<static_dimension<S>, static_dimension<E>>,
                "rag::Pipeline: the store and the embedder have different dimensions");
  static constexpr bool embedder = Embedder<E>, store = Store<S>, retriever = true;
};

/// What a model wrote from these hits, with its marks resolved.
RAG_LAZY Answer answer_of(Completion completion, const std::vector<Hit>& hits) {
  Answer answer;
  answer.text = std::move(completion.text);
  answer.sources = hits;
  answer.finish_reason = std::move(completion.finish_reason);
  answer.usage = completion.usage;
  resolve_citations(answer);
  return answer;
}

}  // namespace detail

/// The whole walk: documents in, cited answers out. The parts are found by their types:
///
///     rag::Pipeline a{chunker, embedder, store, llm};       // dense retrieval
///     rag::Pipeline b{chunker, retriever, llm};             // Bm25, Hybrid, one of your own
///     rag::Pipeline c{chunker, retriever, llm, prompter};   // and a prompter of your own (also after a store)
///
/// The parts are moved in; chunker(), retriever(), prompter() and llm() give them back by reference. Errors of a
/// part pass through.
template <class C, class R, class L, class P = QaPrompter>
class Pipeline {
  using Parts = detail::RetrieverParts<R>;
  static_assert(Chunker<C>, "rag::Pipeline: argument 1 is not a Chunker, see rag/concepts.hpp");
  static_assert(Parts::embedder, "rag::Pipeline: argument 2 is not an Embedder, see rag/concepts.hpp");
  static_assert(Parts::store, "rag::Pipeline: argument 3 is not a Store, see rag/concepts.hpp");
  static_assert(Parts::retriever, "rag::Pipeline: argument 2 is not a Retriever (an Embedder wants a Store and an "
                                  "Llm after it), see rag/concepts.hpp");
  static_assert(Llm<L>, "rag::Pipeline: argument 3 (4 after an Embedder and a Store) is not an Llm, see "
                        "rag/concepts.hpp");
  static_assert(Prompter<P>, "rag::Pipeline: the last argument is not a Prompter, see rag/concepts.hpp");

  // After a failed assertion the rest compiles with a part that does nothing, so the assertion is the one error.
  template <bool fits, class T, class Archetype>
  using Part = std::conditional_t<fits, T, Archetype>;
  using ChunkerPart = Part<Chunker<C>, C, detail::ChunkerArchetype>;
  using RetrieverPart =
      Part<Parts::embedder && Parts::store && Parts::retriever, R, detail::RetrieverArchetype>;
  using LlmPart = Part<Llm<L>, L, detail::LlmArchetype>;
  using PrompterPart = Part<Prompter<P>, P, detail::PrompterArchetype>;

  // At most one, which the retriever takes.
  template <class... F>
  static constexpr bool filters = sizeof...(F) <= 1 && (FilteringRetriever<RetrieverPart, F> && ...);

 public:
  Pipeline(C chunker, R retriever, L llm)
      : chunker_(std::move(chunker)), retriever_(std::move(retriever)), llm_(std::move(llm)) {}
  Pipeline(C chunker, R retriever, L llm, P prompter)
      : chunker_(std::move(chunker)),
        retriever_(std::move(retriever)),
        llm_(std::move(llm)),
        prompter_(std::move(prompter)) {}
  template <class E, class S>
    requires std::is_same_v<R, detail::DenseOf<E, S>>
  Pipeline(C chunker, E embedder, S store, L llm)
      : chunker_(std::move(chunker)), retriever_(join(embedder, store)), llm_(std::move(llm)) {}
  template <class E, class S>
    requires std::is_same_v<R, detail::DenseOf<E, S>>
  Pipeline(C chunker, E embedder, S store, L llm, P prompter)
      : chunker_(std::move(chunker)),
        retriever_(join(embedder, store)),
        llm_(std::move(llm)),
        prompter_(std::move(prompter)) {}

  /// Cuts a document and adds its chunks: all of it or, after an Error, nothing. A document whose id is there
  /// already is replaced, where the retriever can (ReplacingRetriever).
  Added add(const Document& document) { return add(std::span<const Document>(&document, 1)); }

  /// Adds documents in order. `progress(done, total)` hears of chunks after each document; a ProgressBar fits.
  /// Two documents of one id are an Error before anything is added. After an Error the documents before the one
  /// named in it are in, the rest is not; adding the same documents again is safe where sources are replaced.
  template <class Progress = detail::NoProgress>
  Added add(std::span<const Document> documents, Progress&& progress = {}) {
    require_unique_ids(documents);
    std::vector<std::vector<Chunk>> cut;
    cut.reserve(documents.size());
    std::size_t total = 0;
    for (const Document& document : documents) {
      cut.push_back(naming(document, [&] { return chunker_.chunk(document); }));
      total += cut.back().size();
    }

    Added added;
    if (total > 0) progress(std::size_t{0}, total);
    for (std::size_t i = 0; i < documents.size(); ++i) {
      naming(documents[i], [&] { return take(documents[i].id, cut[i]); });
      ++added.documents;
      added.chunks += cut[i].size();
      added.cut += detail::count_cut(retriever_, cut[i]);
      if (!cut[i].empty()) progress(added.chunks, total);
      cut[i] = {};
    }
    return added;
  }

  /// Takes out all that came from one document.
  void erase(std::string_view document_id)
    requires ReplacingRetriever<R>
  {
    retriever_.replace(document_id, std::span<const Chunk>{});
  }

  // The last argument of the functions that follow may be a rag::Filter, where the retriever takes one
  // (FilteringRetriever): then only the chunks that it keeps play a part.

  /// The k best chunks for a question, best first.
  template <class... F>
    requires filters<F...>
  std::vector<Hit> search(std::string_view question, std::size_t k = 3, const F&... filter) {
    return retriever_.search(question, k, filter...);
  }

  /// What the model would be sent for this question: every message, whole.
  template <class... F>
    requires filters<F...>
  std::vector<Message> prompt(std::string_view question, std::size_t k = 3, const F&... filter) {
    return prompter_.prompt(question, snippets(question, k, filter...));
  }

  /// Answers from the k best chunks, as many of them as the prompt has room for. With nothing found the model is asked
  /// all the same, with an empty context: it says so in the question's language, and Answer::supported() is false
  /// whatever it says.
  template <class... F>
    requires filters<F...>
  Answer ask(std::string_view question, std::size_t k = 3, const F&... filter) {
    const std::vector<Hit> hits = snippets(question, k, filter...);
    const std::vector<Message> messages = prompter_.prompt(question, hits);
    return detail::answer_of(llm_.complete(messages), hits);
  }

  /// The same, with the text handed out as it is written. A sink that returns false stops the model.
  template <class... F>
    requires filters<F...>
  Answer ask(std::string_view question, TextSink on_text, std::size_t k = 3, const F&... filter) {
    const std::vector<Hit> hits = snippets(question, k, filter...);
    const std::vector<Message> messages = prompter_.prompt(question, hits);
    return detail::answer_of(stream(llm_, messages, on_text), hits);
  }

  /// Asks the model twice, with the k best chunks and with the bare question.
  Comparison compare(std::string_view question, std::size_t k = 3) {
    Comparison both;
    both.with_retrieval = ask(question, k);
    std::vector<Message> bare;
    if constexpr (PlainPrompter<PrompterPart>) bare = prompter_.plain(question);
    else bare = {{"user", std::string(question)}};
    both.without_retrieval = detail::answer_of(llm_.complete(bare), {});
    return both;
  }

  ChunkerPart& chunker() { return chunker_; }
  RetrieverPart& retriever() { return retriever_; }
  LlmPart& llm() { return llm_; }
  PrompterPart& prompter() { return prompter_; }

 private:
  template <class E, class S>
  static RetrieverPart join(E& embedder, S& store) {
    if constexpr (std::is_same_v<RetrieverPart, R>) return R(std::move(embedder), std::move(store));
    else return RetrieverPart(0);
  }

  static void require_unique_ids(std::span<const Document> documents) {
    std::vector<std::string_view> ids;
    for (const Document& document : documents) ids.push_back(document.id);
    std::sort(ids.begin(), ids.end());
    const auto twice = std::adjacent_find(ids.begin(), ids.end());
    if (twice != ids.end())
      throw Error(Errc::invalid_argument, "Pipeline::add: two documents have the id '" + std::string(*twice) + "'");
  }

  // An Error on the way says which document it was.
  template <class Work>
  static auto naming(const Document& document, Work&& work) -> decltype(work()) {
    try {
      return work();
    } catch (const Error& error) {
      error.rethrow("Pipeline::add: document '" + document.id + "': " + error.what());
      throw;  // not reached; g++ does not see that a virtual function never returns
    }
  }

  std::vector<Id> take(const std::string& source, const std::vector<Chunk>& chunks) {
    if constexpr (ReplacingRetriever<RetrieverPart>) return retriever_.replace(source, chunks);
    else return retriever_.add(chunks);
  }

  template <class... F>
  std::vector<Hit> snippets(std::string_view question, std::size_t k, const F&... filter) {
    std::vector<Hit> hits = retriever_.search(question, k, filter...);
    if constexpr (BudgetedPrompter<PrompterPart>)
      hits.resize(std::min<std::size_t>(hits.size(), prompter_.fit(question, hits)));
    return hits;
  }

  ChunkerPart chunker_;
  RetrieverPart retriever_;
  LlmPart llm_;
  PrompterPart prompter_{};
};

template <class C, class R, class L>
Pipeline(C, R, L) -> Pipeline<C, R, L, QaPrompter>;
template <class C, class R, class L, class P>
  requires Retriever<R>
Pipeline(C, R, L, P) -> Pipeline<C, R, L, P>;
template <class C, class E, class S, class L>
  requires(!Retriever<E>)
Pipeline(C, E, S, L) -> Pipeline<C, detail::DenseOf<E, S>, L, QaPrompter>;
template <class C, class E, class S, class L, class P>
Pipeline(C, E, S, L, P) -> Pipeline<C, detail::DenseOf<E, S>, L, P>;

RAG_END
#endif
