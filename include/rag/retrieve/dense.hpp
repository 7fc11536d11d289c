// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_DENSE_HPP
#define RAG_RETRIEVE_DENSE_HPP
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>

#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// Can a store and an embedder of these static dimensions meet? A false one is printed with both numbers.
template <std::size_t store_columns, std::size_t embedder_columns>
inline constexpr bool same_dimension =
    store_columns == embedder_columns || store_columns == 0 || embedder_columns == 0;

}  // namespace detail

/// Finds chunks by the vectors of their indexed_text(): an embedder and a store. The score is the store's. Fulfils
/// ReplacingRetriever where the store has replace() and chunks(source).
///
///     rag::DenseRetriever dense{rag::HashingEmbedder{}, rag::FlatStore{}};
template <class E, class S>
class DenseRetriever {
  static_assert(Embedder<E>, "rag::DenseRetriever: argument 1 is not an Embedder, see rag/concepts.hpp");
  static_assert(Store<S>, "rag::DenseRetriever: argument 2 is not a Store, see rag/concepts.hpp");
  static_assert(detail::same_dimension<static_dimension<S>, static_dimension<E>>,
                "rag::DenseRetriever: the store and the embedder have different dimensions");

 public:
  // An argument that is not of its role is replaced, so that nothing else fails after the assertion.
  using EmbedderType = std::conditional_t<Embedder<E>, E, detail::EmbedderArchetype>;
  using StoreType = std::conditional_t<Store<S>, S, detail::StoreArchetype>;

  /// Throws dimension_mismatch where both dimensions are known and differ.
  DenseRetriever(E embedder, S store) : embedder_(std::move(embedder)), store_(std::move(store)) {
    check_dimension(static_cast<std::size_t>(embedder_.dimension()));
  }

  /// Embeds the texts and stores them: all or none.
  std::vector<Id> add(std::span<const Chunk> chunks) {
    if (chunks.empty()) return {};
    return store_.add(chunks, embed(chunks, "DenseRetriever::add"));
  }

  /// The k chunks nearest to the question. An empty store gives none, and no question is embedded for it.
  std::vector<Hit> search(std::string_view question, std::size_t k) {
    if (k == 0 || std::as_const(store_).size() == 0) return {};
    const std::vector<float> query = embed_query(embedder_, question);
    check_dimension(query.size());
    return std::as_const(store_).search(query, k);
  }
  /// The same among the chunks that the filter keeps.
  template <class F>
    requires FilteringStore<StoreType, F>
  std::vector<Hit> search(std::string_view question, std::size_t k, const F& filter) {
    if (k == 0 || std::as_const(store_).size() == 0) return {};
    const std::vector<float> query = embed_query(embedder_, question);
    check_dimension(query.size());
    return std::as_const(store_).search(query, k, filter);
  }

  /// Puts the chunks in the place of all that came from the source: all or nothing.
  std::vector<Id> replace(std::string_view source,
                          std::span<const Chunk> chunks) requires ReplacingStore<StoreType> {
    const Matrix vectors = chunks.empty() ? Matrix(0, 0) : embed(chunks, "DenseRetriever::replace");
    return store_.replace(source, chunks, vectors);
  }

  /// The chunks of a source that the store holds.
  std::vector<Chunk> chunks(std::string_view source) requires requires(StoreType& store) {
    { store.chunks(source) } -> std::same_as<std::vector<Chunk>>;
  }
  { return store_.chunks(source); }

  /// How much of a text the embedder reads.
  std::size_t count_tokens(std::string_view text) const requires TokenCounter<EmbedderType> {
    return static_cast<std::size_t>(embedder_.count_tokens(text));
  }
  std::size_t max_tokens() const requires TokenCounter<EmbedderType> {
    return static_cast<std::size_t>(embedder_.max_tokens());
  }

  EmbedderType& embedder() { return embedder_; }
  const EmbedderType& embedder() const { return embedder_; }
  StoreType& store() { return store_; }
  const StoreType& store() const { return store_; }

 private:
  Matrix embed(std::span<const Chunk> chunks, const char* who) {
    std::vector<std::string> read;
    read.reserve(chunks.size());
    for (const Chunk& chunk : chunks) read.push_back(indexed_text(chunk));
    const std::vector<std::string_view> texts(read.begin(), read.end());
    Matrix vectors = embedder_.embed(texts);
    if (vectors.rows() != chunks.size())
      throw Error(Errc::invalid_argument, std::string(who) + ": " + std::to_string(chunks.size()) +
                                              " rows wanted from the embedder, " +
                                              std::to_string(vectors.rows()) + " given");
    check_dimension(vectors.columns());
    return vectors;
  }

  void check_dimension(std::size_t given) const {
    const std::size_t wanted = store_.dimension();
    if (wanted != 0 && given != 0 && wanted != given)
      throw Error(Errc::dimension_mismatch, "DenseRetriever: the store has " + std::to_string(wanted) +
                                                " columns, the embedder gives " + std::to_string(given));
  }

  EmbedderType embedder_;
  StoreType store_;
};

RAG_END
#endif
