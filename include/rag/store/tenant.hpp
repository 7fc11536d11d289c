// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_TENANT_HPP
#define RAG_STORE_TENANT_HPP
#include <rag/concepts.hpp>
#include <rag/store/filter.hpp>

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// What stands before the sources of one tenant in the common store. The length makes it a prefix of no other tenant's.
RAG_LAZY std::string tenant_prefix(std::string_view tenant) {
  if (tenant.empty()) throw Error(Errc::invalid_argument, "TenantStore::of: the name of a tenant wanted, '' given");
  return std::to_string(tenant.size()) + ':' + std::string(tenant) + '/';
}

/// The filter among the chunks of one tenant, for the common store.
RAG_LAZY Filter within_tenant(const Filter& filter, const std::string& prefix) {
  switch (filter.operation()) {
    case FilterOperation::everything: return filter;
    case FilterOperation::all_of:
    case FilterOperation::any_of: {
      const bool all = filter.operation() == FilterOperation::all_of;
      Filter joined = all ? Filter() : !Filter();
      for (const Filter& part : filter.parts())
        joined = all ? std::move(joined) && within_tenant(part, prefix) : std::move(joined) || within_tenant(part, prefix);
      return joined;
    }
    case FilterOperation::none_of: return !within_tenant(filter.parts()[0], prefix);
    default: break;
  }
  if (!filter.of_source()) return filter;
  std::vector<MetaValue> values;  // all with one prefix, so their order stays
  for (const MetaValue& value : filter.values())
    values.push_back(value.is_string() ? MetaValue(prefix + value.string()) : value);
  return Filter(filter.operation(), true, {}, std::move(values));
}

template <class S, std::size_t Dimension>
struct TenantDimension {
  static constexpr std::size_t dimension() { return Dimension; }
  std::shared_ptr<S> store_;
  std::string prefix_;
};
template <class S>
struct TenantDimension<S, 0> {
  std::size_t dimension() const { return store_->dimension(); }
  std::shared_ptr<S> store_;
  std::string prefix_;
};

}  // namespace detail

/// What one tenant sees of a TenantStore: a store that holds his chunks alone, under the names that he gave them. It has
/// each function that the common store has. What belongs to another is not found, not replaced and not erased; an id of
/// his is in use, for all.
template <class S>
class TenantView : private detail::TenantDimension<S, static_dimension<S>> {
  using Base = detail::TenantDimension<S, static_dimension<S>>;
  using Base::prefix_;
  using Base::store_;

 public:
  TenantView(std::shared_ptr<S> store, std::string_view tenant) : Base{std::move(store), detail::tenant_prefix(tenant)} {}

  using Base::dimension;
  /// Time: that of a filter.
  std::size_t size() const { return count({}); }
  std::size_t count(const Filter& filter) const {
    if constexpr (requires { fixed().count(filter); }) return fixed().count(mine(filter));
    else return fixed().ids(mine(filter)).size();
  }

  std::vector<Id> add(std::span<const Chunk> chunks, const Matrix& vectors) { return store_->add(outside(chunks), vectors); }
  std::vector<Id> upsert(std::span<const Chunk> chunks, const Matrix& vectors)
    requires requires(S& store) { store.upsert(chunks, vectors); }
  {
    for (const Chunk& chunk : chunks)
      if (chunk.id != no_id && fixed().find(chunk.id) && !find(chunk.id))
        throw Error(Errc::invalid_argument, "TenantStore::upsert: the id " + std::to_string(chunk.id) + " is another's");
    return store_->upsert(outside(chunks), vectors);
  }
  std::vector<Id> replace(std::string_view source, std::span<const Chunk> chunks, const Matrix& vectors)
    requires ReplacingStore<S>
  {
    return store_->replace(prefix_ + std::string(source), outside(chunks), vectors);
  }
  std::size_t erase(std::span<const Id> ids)
    requires requires(S& store) { store.erase(ids); }
  {
    std::vector<Id> own;
    for (const Id id : ids)
      if (find(id)) own.push_back(id);
    return store_->erase(own);
  }
  /// A default filter: all that the tenant has.
  std::size_t erase(const Filter& filter)
    requires requires(S& store) { store.erase(filter); }
  {
    return store_->erase(mine(filter));
  }

  std::vector<Hit> search(std::span<const float> query, std::size_t k, const Filter& filter = {}) const {
    return inside(fixed().search(query, k, mine(filter)));
  }
  std::vector<std::vector<Hit>> search(const Matrix& queries, std::size_t k, const Filter& filter = {}) const
    requires requires(const S& store) { store.search(queries, k, filter); }
  {
    std::vector<std::vector<Hit>> all = fixed().search(queries, k, mine(filter));
    for (std::vector<Hit>& hits : all) hits = inside(std::move(hits));
    return all;
  }
  std::vector<Hit> search_above(std::span<const float> query, float score, const Filter& filter = {}) const
    requires requires(const S& store) { store.search_above(query, score, filter); }
  {
    return inside(fixed().search_above(query, score, mine(filter)));
  }

  /// The chunk of an id, if it is the tenant's.
  std::optional<Chunk> find(Id id) const
    requires requires(const S& store) { store.find(id); }
  {
    const auto& found = fixed().find(id);
    if (!found || !found->source.starts_with(prefix_)) return std::nullopt;
    return inside(Chunk(*found));
  }
  /// The vector of an id; empty if it is not the tenant's.
  auto vector(Id id) const
    requires requires(const S& store) { store.vector(id); }
  {
    using Vector = std::remove_cvref_t<decltype(fixed().vector(id))>;
    return find(id) ? Vector(fixed().vector(id)) : Vector();
  }
  std::vector<Chunk> chunks(std::string_view source) const
    requires requires(const S& store) { store.chunks(source); }
  {
    return inside(fixed().chunks(std::string_view(prefix_ + std::string(source))));
  }
  std::vector<Chunk> chunks(const Filter& filter) const
    requires requires(const S& store) { store.chunks(filter); }
  {
    return inside(fixed().chunks(mine(filter)));
  }
  std::vector<Id> ids(const Filter& filter = {}) const
    requires requires(const S& store) { store.ids(filter); }
  {
    return fixed().ids(mine(filter));
  }

 private:
  const S& fixed() const { return *store_; }
  Filter mine(const Filter& filter) const { return source().starts_with(prefix_) && detail::within_tenant(filter, prefix_); }

  std::vector<Chunk> outside(std::span<const Chunk> chunks) const {
    std::vector<Chunk> named(chunks.begin(), chunks.end());
    for (Chunk& chunk : named) chunk.source.insert(0, prefix_);
    return named;
  }
  Chunk inside(Chunk chunk) const {
    chunk.source.erase(0, prefix_.size());
    return chunk;
  }
  std::vector<Chunk> inside(std::vector<Chunk> chunks) const {
    for (Chunk& chunk : chunks) chunk.source.erase(0, prefix_.size());
    return chunks;
  }
  std::vector<Hit> inside(std::vector<Hit> hits) const {
    for (Hit& hit : hits) hit.chunk.source.erase(0, prefix_.size());
    return hits;
  }
};

/// One store for many tenants, each of whom sees his own chunks alone. It has no search of its own, and nothing else that
/// could forget to say whose: the one way in is of(tenant).
///
///     rag::TenantStore tenants{rag::FlatStore{}};
///     rag::Pipeline alice{chunker, embedder, tenants.of("alice"), llm};   // finds what Alice added, nothing else
///
/// Two tenants may both have a source "a.md". The name of a tenant must come from who is logged in, not from what he
/// asks. A view may outlive the TenantStore. Views of one TenantStore are one store: any number of threads may search
/// while none changes it.
template <class S>
class TenantStore {
  static_assert(Store<S> && FilteringStore<S, Filter>,
                "rag::TenantStore: argument 1 is not a Store that searches with a rag::Filter, see rag/concepts.hpp");

 public:
  TenantStore() : TenantStore(S()) {}
  /// What a TenantStore saved may be given here; chunks that were added without a tenant are nobody's.
  explicit TenantStore(S store) : store_(std::make_shared<S>(std::move(store))) {}
  TenantStore(const TenantStore&) = delete;  // its views would be of one of the two
  TenantStore& operator=(const TenantStore&) = delete;
  TenantStore(TenantStore&&) noexcept = default;
  TenantStore& operator=(TenantStore&&) noexcept = default;

  /// The chunks of one tenant; the name is any text but the empty one, which is an Error.
  TenantView<S> of(std::string_view tenant) const { return {store_, tenant}; }

  /// Keeps all tenants' chunks in a file, where the common store can.
  void save(const std::string& path) const
    requires requires(const S& store) { store.save(path); }
  {
    std::as_const(*store_).save(path);
  }

 private:
  std::shared_ptr<S> store_;
};

RAG_END
#endif
