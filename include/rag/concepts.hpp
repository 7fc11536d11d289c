// SPDX-License-Identifier: MIT
#ifndef RAG_CONCEPTS_HPP
#define RAG_CONCEPTS_HPP
#include <rag/types.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// The roles that move the nouns. The compiler checks the syntax; the sentences are laws, run by tests/laws.hpp
// against any model. What only some models have is a finer concept with a fallback in a free function.

RAG_BEGIN

/// Makes documents of a file. reads() says by the file's name whether it takes such files. load() is given the file as a
/// document, its bytes as the text, and gives documents of UTF-8 text: one with the file's id, or several whose ids are
/// the file's, '#' and what tells them apart. A file that is not what it claims to be is an Error. The same file gives
/// the same documents.
template <class L>
concept Loader = requires(const L& loader, std::string_view id, Document file) {
  { loader.reads(id) } -> std::convertible_to<bool>;
  { loader.load(std::move(file)) } -> std::same_as<std::vector<Document>>;
};

/// Cuts a document into chunks. Each chunk's text is the bytes [begin, end) of the document's text, its source
/// the document's id, its metadata holds the document's. Chunks come in order of begin; none is empty, none cuts
/// a UTF-8 character. An empty document gives none. The same document gives the same chunks.
template <class C>
concept Chunker = requires(const C& chunker, const Document& document) {
  { chunker.chunk(document) } -> std::same_as<std::vector<Chunk>>;
};

/// Turns texts into vectors. Row i of the result belongs to texts[i]; every row has dimension() columns, all
/// finite. The same text gives the same row, whatever stands beside it in the batch. An empty span gives a
/// Matrix of 0 rows. A dimension() that is static constexpr is checked against the store's at compile time.
template <class E>
concept Embedder = requires(E& embedder, std::span<const std::string_view> texts) {
  { embedder.embed(texts) } -> std::same_as<Matrix>;
  { embedder.dimension() } -> std::convertible_to<std::size_t>;
};

/// Embeds a question in another way than a passage, or faster.
template <class E>
concept QueryEmbedder = Embedder<E> && requires(E& embedder, std::string_view text) {
  { embedder.embed_query(text) } -> std::same_as<std::vector<float>>;
};

/// Reads at most max_tokens() tokens of a text and can count them; what is longer is cut by embed(), and counted
/// by Pipeline::add(). A retriever that embeds passes these on.
template <class E>
concept TokenCounter = requires(const E& embedder, std::string_view text) {
  { embedder.count_tokens(text) } -> std::convertible_to<std::size_t>;
  { embedder.max_tokens() } -> std::convertible_to<std::size_t>;
};

/// Says which model it is; two embedders with the same name give the same vectors.
template <class E>
concept NamedEmbedder = Embedder<E> && requires(const E& embedder) {
  { embedder.name() } -> std::convertible_to<std::string>;
};

/// Keeps chunks with their vectors, row i for chunks[i]. add() takes all or none and gives their ids: a chunk
/// without one gets the next free number, one with an id keeps it, an id in use is an Error. search() gives at
/// most k hits, best first, ties in order of insertion; larger scores are better; k = 0 gives none.
/// dimension() is 0 as long as it is not known.
template <class S>
concept Store = requires(S& store, const S& fixed, std::span<const Chunk> chunks, const Matrix& vectors,
                         std::span<const float> query, std::size_t k) {
  { store.add(chunks, vectors) } -> std::same_as<std::vector<Id>>;
  { fixed.search(query, k) } -> std::same_as<std::vector<Hit>>;
  { fixed.size() } -> std::convertible_to<std::size_t>;
  { fixed.dimension() } -> std::convertible_to<std::size_t>;
};

/// Puts new chunks in the place of all that came from one source, all or nothing; no chunks: erases the source.
template <class S>
concept ReplacingStore = Store<S> && requires(S& store, std::string_view source, std::span<const Chunk> chunks,
                                              const Matrix& vectors) {
  { store.replace(source, chunks, vectors) } -> std::same_as<std::vector<Id>>;
};

/// Lists the chunks that a filter keeps, a default one all.
template <class S, class F>
concept ListingStore = requires(const S& fixed, const F& filter) {
  { fixed.chunks(filter) } -> std::same_as<std::vector<Chunk>>;
};

/// Searches among the chunks that a filter keeps, as if there were no others. F is rag::Filter, or a type of the store's
/// own.
template <class S, class F>
concept FilteringStore = Store<S> && requires(const S& fixed, std::span<const float> query, std::size_t k,
                                              const F& filter) {
  { fixed.search(query, k, filter) } -> std::same_as<std::vector<Hit>>;
};

/// Finds the chunks that answer a question. add() takes all or none; search() gives at most k hits, best first,
/// ties in order of insertion. Nothing found is an empty vector.
template <class R>
concept Retriever = requires(R& retriever, std::span<const Chunk> chunks, std::string_view question, std::size_t k) {
  { retriever.add(chunks) } -> std::same_as<std::vector<Id>>;
  { retriever.search(question, k) } -> std::same_as<std::vector<Hit>>;
};

/// Replaces a source as a ReplacingStore does. chunks(source) gives what is there now.
template <class R>
concept ReplacingRetriever = Retriever<R> && requires(R& retriever, std::string_view source,
                                                      std::span<const Chunk> chunks) {
  { retriever.replace(source, chunks) } -> std::same_as<std::vector<Id>>;
  { retriever.chunks(source) } -> std::same_as<std::vector<Chunk>>;
};

/// Searches among the chunks that a filter keeps, as if there were no others.
template <class R, class F>
concept FilteringRetriever = Retriever<R> && requires(R& retriever, std::string_view question, std::size_t k,
                                                      const F& filter) {
  { retriever.search(question, k, filter) } -> std::same_as<std::vector<Hit>>;
};

/// Puts hits in a better order: gives the same hits with new scores, best first, ties in the order given. The same
/// input gives the same output; no hits give none.
template <class R>
concept Reranker = requires(R& reranker, std::string_view question, std::span<const Hit> hits) {
  { reranker.rerank(question, hits) } -> std::same_as<std::vector<Hit>>;
};

/// A step between what was found and what is given, for Refined: another order, some left out, some joined. It is given
/// the hits of a search, best first, and gives hits, best first. `k` of them will be left in the end; it may give more.
/// The same input gives the same output. It may take the hits as a span. A Reranker is a step as it stands.
template <class S>
concept Refiner = requires(S& step, std::string_view question, std::vector<Hit> hits, std::size_t k) {
  { step.refine(question, std::move(hits), k) } -> std::same_as<std::vector<Hit>>;
};

/// Writes the messages for a model from the question and all hits given, hits[i] as snippet i + 1. Pure: the same
/// input gives the same bytes. No text of a hit can end its block or start another, and nothing of a hit stands in a
/// system message.
template <class P>
concept Prompter = requires(const P& prompter, std::string_view question, std::span<const Hit> hits) {
  { prompter.prompt(question, hits) } -> std::same_as<std::vector<Message>>;
};

/// Has a budget: fit() says how many of the hits, from the first on, its prompt has room for.
template <class P>
concept BudgetedPrompter = Prompter<P> && requires(const P& prompter, std::string_view question,
                                                   std::span<const Hit> hits) {
  { prompter.fit(question, hits) } -> std::convertible_to<std::size_t>;
};

/// Writes the question alone, without passages and without asking for them: the other side of a comparison.
template <class P>
concept PlainPrompter = Prompter<P> && requires(const P& prompter, std::string_view question) {
  { prompter.plain(question) } -> std::same_as<std::vector<Message>>;
};

/// Answers a chat. A model may return a std::string.
template <class L>
concept Llm = requires(L& llm, std::span<const Message> messages) {
  { llm.complete(messages) } -> std::convertible_to<Completion>;
};

/// Hands out its answer while it is being written. The pieces, joined, are the text of the result.
template <class L>
concept StreamingLlm = Llm<L> && requires(L& llm, std::span<const Message> messages, TextSink on_text) {
  { llm.stream(messages, on_text) } -> std::convertible_to<Completion>;
};

/// Sends a request and gives the response, whatever its status. Throws an Error (transport, timeout) where none
/// came. Retry, tracing and recording are transports that hold a transport.
template <class T>
concept Transport = requires(T& transport, const Request& request) {
  { transport(request) } -> std::same_as<Response>;
};

/// The columns that a part is known to have at compile time, 0 where only the running program knows.
template <class T>
inline constexpr std::size_t static_dimension = 0;
template <class T>
  requires requires { typename std::integral_constant<std::size_t, T::dimension()>; }
inline constexpr std::size_t static_dimension<T> = T::dimension();

/// The vector of a question: embed_query() where the embedder has one, else row 0 of embed().
template <Embedder E>
std::vector<float> embed_query(E& embedder, std::string_view text) {
  if constexpr (QueryEmbedder<E>) return embedder.embed_query(text);
  else {
    const Matrix vectors = embedder.embed(std::span<const std::string_view>(&text, 1));
    if (vectors.rows() != 1)
      throw Error(Errc::invalid_argument,
                  "embed_query: 1 row wanted from embed(), " + std::to_string(vectors.rows()) + " given");
    const auto row = vectors.row(0);
    return {row.begin(), row.end()};
  }
}

/// One step: refine() where it has that, else rerank().
template <class S>
  requires(Refiner<S> || Reranker<S>)
std::vector<Hit> refine(S& step, std::string_view question, std::vector<Hit> hits, std::size_t k) {
  if constexpr (Refiner<S>) return step.refine(question, std::move(hits), k);
  else return step.rerank(question, hits);
}

/// Streams where the model can; else the whole answer arrives as one piece.
template <Llm L>
Completion stream(L& llm, std::span<const Message> messages, TextSink on_text) {
  if constexpr (StreamingLlm<L>) return llm.stream(messages, on_text);
  else {
    Completion completion = llm.complete(messages);
    if (!on_text(completion.text)) completion.finish_reason = "cancelled";
    return completion;
  }
}

RAG_END
#endif
