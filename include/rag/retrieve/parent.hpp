// SPDX-License-Identifier: MIT
#ifndef RAG_RETRIEVE_PARENT_HPP
#define RAG_RETRIEVE_PARENT_HPP
#include <rag/concepts.hpp>
#include <rag/detail/join_hits.hpp>
#include <rag/detail/wrapping_retriever.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

RAG_LAZY Metadata without_parent(const Metadata& metadata) {
  Metadata rest;
  for (const auto& [name, value] : metadata)
    if (name != "parent" && name != "parent_begin") rest.set(name, value);
  return rest;
}

/// Puts the parent's text and span in the place of the chunk's. False: it has none, or one that it does not lie in.
RAG_LAZY bool widen(Chunk& chunk) {
  const MetaValue* parent = chunk.metadata.find("parent");
  const MetaValue* number = chunk.metadata.find("parent_begin");
  if (parent == nullptr || number == nullptr || number->number() < 0 ||
      number->number() > static_cast<double>(chunk.begin))
    return false;
  const auto begin = static_cast<std::size_t>(number->number());
  const std::string_view text = parent->string();
  const std::size_t at = chunk.begin - begin;
  if (at > text.size() || text.substr(at, chunk.text.size()) != chunk.text) return false;
  chunk.begin = begin;
  chunk.end = begin + text.size();
  chunk.text = text;
  chunk.metadata = without_parent(chunk.metadata);
  return true;
}

}  // namespace detail

/// The parents of the chunks found (ParentChunker, WindowChunker), the best first, at most k: parents that are the same
/// or overlap become one hit with the score, the id and the metadata of its best child. Hits without a parent stay as
/// they are. The text of each is the bytes [begin, end) of its document.
RAG_LAZY std::vector<Hit> into_parents(std::span<const Hit> hits, std::size_t k) {
  struct Region {
    Hit hit;
    bool is_parent;
  };
  std::vector<Region> regions;
  const auto takes = [](Region& a, const Region& b) {
    return a.is_parent && b.is_parent && detail::overlap(a.hit.chunk, b.hit.chunk) &&
           detail::unite(a.hit.chunk, b.hit.chunk);
  };
  for (const Hit& hit : hits) {
    Region next{hit, false};
    next.is_parent = detail::widen(next.hit.chunk);
    if (!detail::join(regions, std::move(next), k, takes)) break;
  }
  std::vector<Hit> parents;
  for (Region& region : regions) parents.push_back(std::move(region.hit));
  return parents;
}

/// into_parents() as a step of Refined.
struct IntoParents {
  RAG_LAZY std::vector<Hit> refine(std::string_view, std::span<const Hit> hits, std::size_t k) const {
    return into_parents(hits, k);
  }
};

/// Finds chunks with another retriever and gives their parents (into_parents), of up to 4 k chunks for k hits. A
/// filter and all else speak of the chunks as they were added; chunks(source) gives those. Fulfils what the retriever
/// within fulfils of ReplacingRetriever, FilteringRetriever and TokenCounter.
///
///     rag::ParentRetriever retriever{rag::DenseRetriever{embedder, rag::FlatStore{}}};
template <class R>
class ParentRetriever : public detail::WrappingRetriever<R> {
  static_assert(Retriever<R>, "rag::ParentRetriever: argument 1 is not a Retriever, see rag/concepts.hpp");
  using Base = detail::WrappingRetriever<R>;

 public:
  explicit ParentRetriever(R retriever) : Base(std::move(retriever)) {}

  template <class... F>
    requires(Base::template filters<F...>)
  std::vector<Hit> search(std::string_view question, std::size_t k, const F&... filter) {
    if (k == 0) return {};
    constexpr std::size_t children = 4;  // of a parent, often; more would only make the search slower
    const std::size_t depth = k > static_cast<std::size_t>(-1) / children ? k : k * children;
    return into_parents(this->retriever().search(question, depth, filter...), k);
  }
};

RAG_END
#endif
