// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_HNSW_HPP
#define RAG_STORE_HNSW_HPP
#include <rag/concepts.hpp>
#include <rag/detail/dot.hpp>
#include <rag/detail/parallel.hpp>
#include <rag/store/filter.hpp>
#include <rag/store/metric.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#if !__has_include(<hnswlib/hnswlib.h>)
#error "rag/store/hnsw.hpp needs hnswlib; Debian: apt-get install libhnswlib-dev"
#endif
// The distances are ours, chosen at run time. Those of hnswlib depend on -m flags, and 0.6 brings with them functions
// that only one unit of a program may define.
#if !defined(NO_MANUAL_VECTORIZATION)
#define NO_MANUAL_VECTORIZATION
#include <hnswlib/hnswlib.h>
#undef NO_MANUAL_VECTORIZATION
#else
#include <hnswlib/hnswlib.h>
#endif

// Optional: core.hpp and rag.hpp leave it out.

RAG_BEGIN

struct HnswOptions {
  std::size_t search_width = 64;     ///< candidates that the graph must propose; more: better recall, slower
  std::size_t links = 16;            ///< of a row with others; twice as many on the lowest level
  std::size_t build_width = 200;     ///< candidates looked at when a row is linked
  std::size_t exact_below = 10'000;  ///< a store of fewer rows has no graph
  std::size_t threads = 1;           ///< of rebuild(); 0: all of the machine. With several, no two graphs are the same
};

namespace detail {

/// The metric of a store: what its metric() says, else the one in the name of its type.
template <class S>
struct MetricOf {
  using type = InnerProduct;
};
template <std::size_t dimension, class Metric, template <std::size_t, class> class S>
struct MetricOf<S<dimension, Metric>> {
  using type = Metric;
};
enum class GraphMetric : unsigned char { inner_product, cosine, l2 };
template <class S>
GraphMetric graph_metric(const S& store) {
  if constexpr (requires { store.metric().number(); })
    return GraphMetric{static_cast<unsigned char>(store.metric().number())};
  else if constexpr (std::is_same_v<typename MetricOf<S>::type, Cosine>) return GraphMetric::cosine;
  else if constexpr (std::is_same_v<typename MetricOf<S>::type, L2>) return GraphMetric::l2;
  else return GraphMetric::inner_product;
}

/// The distances of one dimension. Smaller is nearer.
RAG_LAZY class BasicHnswSpace : public hnswlib::SpaceInterface<float> {
 public:
  BasicHnswSpace(std::size_t dimension, bool is_l2) : dimension_(dimension), is_l2_(is_l2) {}
  std::size_t get_data_size() override { return dimension_ * sizeof(float); }
  hnswlib::DISTFUNC<float> get_dist_func() override { return is_l2_ ? squared_distance : minus_dot; }
  void* get_dist_func_param() override { return &dimension_; }

 private:
  template <RowOperation operation>
  static float distance(const void* a, const void* b, const void* dimension) {
    float value = 0;
    scan_rows<operation>(static_cast<const float*>(a), 1, *static_cast<const std::size_t*>(dimension),
                         static_cast<const float*>(b), &value);
    return value;
  }
  static float squared_distance(const void* a, const void* b, const void* dimension) {
    return distance<RowOperation::squared_distance>(a, b, dimension);
  }
  static float minus_dot(const void* a, const void* b, const void* dimension) {
    return -distance<RowOperation::dot>(a, b, dimension);
  }

  std::size_t dimension_;
  bool is_l2_;
};

/// Rows with the labels 0, 1, 2, … Nothing is ever taken out: hnswlib's deletion marks are where its trouble is.
RAG_LAZY class BasicHnswGraph {
 public:
  BasicHnswGraph(std::size_t dimension, GraphMetric metric, std::size_t capacity, const HnswOptions& options)
      : metric_(metric), space_(dimension, metric == GraphMetric::l2), capacity_(std::max<std::size_t>(capacity, 1)),
        graph_(&space_, capacity_, std::max<std::size_t>(options.links, 2), options.build_width) {}

  GraphMetric metric() const { return metric_; }
  void reserve(std::size_t count) {
    if (count <= capacity_) return;
    const std::size_t wanted = std::max(count, 2 * capacity_);
    graph_.resizeIndex(wanted);
    capacity_ = wanted;
  }
  /// Room for it is reserved. Any number of threads may call it once label 0 is there.
  void add(const float* row, std::size_t label) { graph_.addPoint(row, label); }
  /// The labels of about the `count` nearest rows, in no order.
  std::vector<std::size_t> nearest(const float* query, std::size_t count) const {
    std::vector<std::size_t> labels;
    for (auto found = graph_.searchKnn(query, count); !found.empty(); found.pop()) labels.push_back(found.top().second);
    return labels;
  }

 private:
  GraphMetric metric_;
  BasicHnswSpace<> space_;
  std::size_t capacity_;
  hnswlib::HierarchicalNSW<float> graph_;
};
using HnswGraph = BasicHnswGraph<>;

}  // namespace detail

/// A store whose search asks a graph of hnswlib: approximate, and faster than the exact one where rows are very many.
/// The graph only proposes; what it proposes is filtered and rescored in fp32 from the rows of the store, so every score
/// is the store's own, and only a hit may be missing. measure_recall() tells how often that happens.
///
///     rag::HnswStore store{rag::FlatStore<384>{}, {.search_width = 100}};
///     store.add(chunks, vectors);
///     double recall = store.measure_recall(queries, 10);   // against the exact answer
///
/// The graph lies in memory beside the store (4 bytes a column and about 4 * 2 * links a row) and is never saved: it is
/// built from the rows of a store that is given to the constructor, anew when more than half of its rows are gone or
/// replaced, and whenever it was lost for want of memory; without one, search is exact. A search that the graph cannot
/// answer well, as one with a filter that few chunks pass, is exact too. Changes must come through this object; after
/// others have changed the store, call rebuild(). Any number of threads may search while none changes it.
template <class S>
class HnswStore {
  static_assert(Store<S>, "rag::HnswStore: argument 1 is not a Store, see rag/concepts.hpp");
  static_assert(requires(const S& store, Id id) { store.ids(), store.vector(id), *store.find(id); },
                "rag::HnswStore: argument 1 has no ids(), vector(id) or find(id)");

 public:
  explicit HnswStore(S store = {}, HnswOptions options = {}) : store_(std::move(store)), options_(options) {
    if (store_.size() > 0 && store_.size() >= options_.exact_below) rebuild();
  }

  std::vector<Id> add(std::span<const Chunk> chunks, const Matrix& vectors) {
    std::vector<Id> ids = store_.add(chunks, vectors);
    link(ids);
    return ids;
  }
  std::vector<Id> upsert(std::span<const Chunk> chunks, const Matrix& vectors)
    requires requires(S& store) { store.upsert(chunks, vectors); }
  {
    std::vector<Id> ids = store_.upsert(chunks, vectors);
    link(ids);
    return ids;
  }
  std::vector<Id> replace(std::string_view source, std::span<const Chunk> chunks, const Matrix& vectors)
    requires ReplacingStore<S>
  {
    const std::vector<Chunk> old = store_.chunks(source);
    std::vector<Id> ids = store_.replace(source, chunks, vectors);
    for (const Chunk& chunk : old) places_.erase(chunk.id);  // one that stays has a new place in the order
    link(ids);
    return ids;
  }
  std::size_t erase(std::span<const Id> ids)
    requires requires(S& store) { store.erase(ids); }
  {
    const std::vector<Id> gone(ids.begin(), ids.end());
    const std::size_t erased = store_.erase(gone);
    for (const Id id : gone) places_.erase(id);
    if (mostly_dead()) link({});
    return erased;
  }

  /// About the k nearest chunks, best first.
  std::vector<Hit> search(std::span<const float> query, std::size_t k) const {
    const auto exact = [&] { return store_.search(query, k); };
    return propose(query, k, [](Id) { return true; }, exact);
  }
  /// The same among those that the filter keeps.
  std::vector<Hit> search(std::span<const float> query, std::size_t k, const Filter& filter) const
    requires requires(const S& store) { store.search(query, k, filter); }
  {
    const auto exact = [&] { return store_.search(query, k, filter); };
    const auto keep = [&](Id id) {
      const auto chunk = store_.find(id);
      return chunk && matches(filter, *chunk);
    };
    return propose(query, k, keep, exact);
  }

  /// The share of the exact k best that search() finds, over all queries, 0 to 1. Of chunks with equal scores, one is
  /// as good as another.
  double measure_recall(const Matrix& queries, std::size_t k) const {
    std::size_t wanted = 0, found = 0;
    for (std::size_t i = 0; i < queries.rows(); ++i) {
      const std::vector<Hit> exact = store_.search(queries.row(i), k);
      if (exact.empty()) continue;
      wanted += exact.size();
      for (const Hit& hit : search(queries.row(i), k)) found += hit.score >= exact.back().score;
    }
    return wanted == 0 ? 1.0 : static_cast<double>(found) / static_cast<double>(wanted);
  }

  /// Builds the graph anew from the rows of the store.
  void rebuild() {
    forget();
    try {
      const std::vector<Id> ids = store_.ids();
      graph_ = std::make_unique<detail::HnswGraph>(dimension(), detail::graph_metric(store_), ids.size(), options_);
      for (const Id id : ids) place(id);
      const auto make_work = [&] {
        return [&](std::size_t i) { put(i + 1); };
      };
      if (!ids.empty()) put(0);
      if (ids.size() > 1) detail::parallel_for(options_.threads, ids.size() - 1, make_work);
    } catch (...) {
      forget();
      throw;
    }
  }
  bool has_graph() const { return graph_ != nullptr; }

  const S& store() const { return store_; }
  std::size_t size() const { return store_.size(); }
  std::size_t dimension() const { return store_.dimension(); }
  decltype(auto) find(Id id) const { return store_.find(id); }
  decltype(auto) vector(Id id) const { return store_.vector(id); }
  std::vector<Chunk> chunks(std::string_view source) const
    requires requires(const S& store) { store.chunks(source); }
  {
    return store_.chunks(source);
  }

 private:
  using GraphMetric = detail::GraphMetric;

  static constexpr double longest_vector = 9e18;  // what the stores take

  struct Node {
    Id id;
    std::uint64_t order;  // of insertion
  };
  struct Candidate {
    float score;
    std::uint64_t order;
    Id id;
  };

  static double length(std::span<const float> values) {
    double sum = 0;
    for (const float value : values) sum += static_cast<double>(value) * static_cast<double>(value);
    return std::sqrt(sum);
  }
  static std::vector<float> unit(std::span<const float> values, double length) {
    std::vector<float> scaled(values.begin(), values.end());
    if (length > 0)
      for (float& value : scaled) value = static_cast<float>(value / length);
    return scaled;
  }

  /// The graph takes in the new rows of the store. The change itself is done, so a failure costs the graph alone.
  void link(std::span<const Id> ids) {
    try {
      if (graph_ == nullptr || mostly_dead()) {
        if (store_.size() > 0 && store_.size() >= options_.exact_below) rebuild();
        return;
      }
      graph_->reserve(nodes_.size() + ids.size());
      for (const Id id : ids) {
        place(id);
        put(nodes_.size() - 1);
      }
    } catch (...) {
      forget();
    }
  }
  /// The id gets the next label; one that is there keeps its place in the order.
  void place(Id id) {
    const auto [entry, is_new] = places_.try_emplace(id, nodes_.size());
    const std::uint64_t order = is_new ? next_order_++ : nodes_[entry->second].order;
    entry->second = nodes_.size();
    nodes_.push_back({id, order});
  }
  void put(std::size_t label) {
    const auto row = store_.vector(nodes_[label].id);
    if (graph_->metric() == GraphMetric::cosine) graph_->add(unit(row, length(row)).data(), label);
    else graph_->add(row.data(), label);
  }
  bool mostly_dead() const { return nodes_.size() > 2 * places_.size(); }
  void forget() {
    graph_.reset();
    nodes_.clear();
    places_.clear();
    next_order_ = 0;
  }

  /// Asks the graph for more and more until enough of its rows are there and pass.
  template <class Keep, class Exact>
  std::vector<Hit> propose(std::span<const float> query, std::size_t k, const Keep& keep, const Exact& exact) const {
    if (graph_ == nullptr || k == 0 || query.size() != dimension()) return exact();
    const double norm = length(query);
    if (!(norm <= longest_vector)) return exact();  // the store has the words for it
    std::vector<float> scaled;
    if (graph_->metric() == GraphMetric::cosine) query = scaled = unit(query, norm);
    const std::size_t wanted = std::max(k, options_.search_width);
    for (std::size_t width = wanted; width <= nodes_.size() / 4;) {
      std::vector<Candidate> passed;
      for (const std::size_t label : graph_->nearest(query.data(), width)) {
        const Node& node = nodes_[label];
        const auto place = places_.find(node.id);
        if (place == places_.end() || place->second != label || !keep(node.id)) continue;  // gone, replaced or unwanted
        const auto row = store_.vector(node.id);
        if (row.size() == query.size()) passed.push_back({score(query, row), node.order, node.id});
      }
      if (passed.size() >= wanted) return best(std::move(passed), k);
      width = std::max(2 * width, width * wanted / std::max<std::size_t>(passed.size(), 1));
    }
    return exact();
  }

  float score(std::span<const float> query, std::span<const float> row) const {
    float value = 0;
    if (graph_->metric() == GraphMetric::l2) {
      detail::scan_rows<detail::RowOperation::squared_distance>(row.data(), 1, row.size(), query.data(), &value);
      return 0.0f - value;
    }
    detail::scan_rows<detail::RowOperation::dot>(row.data(), 1, row.size(), query.data(), &value);
    if (graph_->metric() == GraphMetric::inner_product) return value;
    const auto size = static_cast<float>(length(row));
    return size > 0 ? value / size : 0.0f;
  }

  std::vector<Hit> best(std::vector<Candidate> found, std::size_t k) const {
    const auto before = [](const Candidate& a, const Candidate& b) {
      return a.score != b.score ? a.score > b.score : a.order < b.order;
    };
    const auto end = found.begin() + static_cast<std::ptrdiff_t>(std::min(k, found.size()));
    std::partial_sort(found.begin(), end, found.end(), before);
    std::vector<Hit> hits;
    for (auto one = found.begin(); one != end; ++one)
      if (const auto chunk = store_.find(one->id)) hits.push_back({*chunk, one->score});
    return hits;
  }

  S store_;
  HnswOptions options_;
  std::unique_ptr<detail::HnswGraph> graph_;
  std::vector<Node> nodes_;                      // by label
  std::unordered_map<Id, std::size_t> places_;  // the label of each id that is there
  std::uint64_t next_order_ = 0;
};

RAG_END
#endif
