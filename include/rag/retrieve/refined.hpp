// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_REFINED_HPP
#define RAG_RETRIEVE_REFINED_HPP
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>
#include <rag/detail/wrapping_retriever.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN

struct RefinedOptions {
  std::size_t depth = 50;  ///< hits asked of the retriever; k where that is more
};

/// Finds more chunks than are wanted with another retriever, sends them through steps in the order given, and gives the
/// first k of what is left. A step is a Reranker (CrossEncoder, ServiceReranker) or a Refiner: Diverse, MostPerSource,
/// AtLeast, IntoParents, MergeNeighbours, or a struct of your own. A score is that of the last step that gives scores,
/// else the retriever's. Where nothing is left, no further step is called. IntoParents and MergeNeighbours, which look at
/// k hits, come last.
///
/// A filter and all else speak of the chunks as they were added; chunks(source) gives those. Fulfils what the retriever
/// within fulfils of ReplacingRetriever, FilteringRetriever and TokenCounter.
///
///     rag::Refined retriever{rag::Hybrid{dense, rag::Bm25{}}, rag::CrossEncoder{folder}, rag::MostPerSource{3}};
///     rag::Refined deeper{rag::Bm25{}, {.depth = 200}, rag::CrossEncoder{folder}};
template <class R, class... Steps>
class Refined : public detail::WrappingRetriever<R> {
  static_assert(Retriever<R>, "rag::Refined: argument 1 is not a Retriever, see rag/concepts.hpp");
  static_assert(((Refiner<Steps> || Reranker<Steps>) && ...),
                "rag::Refined: a step is neither a Refiner nor a Reranker, see rag/concepts.hpp");
  using Base = detail::WrappingRetriever<R>;

 public:
  explicit Refined(R retriever, Steps... steps)
      : Base(std::move(retriever)), steps_(std::move(steps)...) {}
  Refined(R retriever, RefinedOptions options, Steps... steps)
      : Base(std::move(retriever)), steps_(std::move(steps)...), options_(options) {}

  template <class... F>
    requires(Base::template filters<F...>)
  std::vector<Hit> search(std::string_view question, std::size_t k, const F&... filter) {
    if (k == 0) return {};
    std::vector<Hit> hits = this->retriever().search(question, std::max(k, options_.depth), filter...);
    std::apply(
        [&](auto&... steps) {
          ((hits.empty() ? void() : void(hits = refine(steps, question, std::move(hits), k))), ...);
        },
        steps_);
    if (hits.size() > k) hits.resize(k);
    return hits;
  }

 private:
  template <class S>
  using Step = std::conditional_t<Refiner<S> || Reranker<S>, S, detail::RefinerArchetype>;

  std::tuple<Step<Steps>...> steps_;
  RefinedOptions options_ = {};
};

RAG_END
#endif
