// SPDX-License-Identifier: MIT
#ifndef RAG_STORE_METRIC_HPP
#define RAG_STORE_METRIC_HPP
#include <rag/version.hpp>

RAG_BEGIN

// How a store compares a query with a row. A score is always "larger is better". `number` stands for it in files.

/// The inner product. For vectors of length 1, as sentence models give them, it is the cosine.
struct InnerProduct {
  static constexpr const char* name = "inner product";
  static constexpr unsigned number = 0;
};
/// The inner product of the directions, -1 to 1; 0 where a vector is zero.
struct Cosine {
  static constexpr const char* name = "cosine";
  static constexpr unsigned number = 1;
};
/// Minus the squared Euclidean distance, so 0 is the best.
struct L2 {
  static constexpr const char* name = "L2";
  static constexpr unsigned number = 2;
};

/// One of them, chosen while the program runs: rag::Cosine{}.
class AnyMetric {
 public:
  constexpr AnyMetric(InnerProduct = {}) {}
  constexpr AnyMetric(Cosine) : number_(Cosine::number) {}
  constexpr AnyMetric(L2) : number_(L2::number) {}
  /// By the number that it has in files.
  static constexpr AnyMetric of(unsigned number) {
    AnyMetric metric;
    metric.number_ = number;
    return metric;
  }

  constexpr unsigned number() const { return number_; }
  constexpr const char* name() const {
    return number_ == Cosine::number ? Cosine::name : number_ == L2::number ? L2::name : InnerProduct::name;
  }
  bool operator==(const AnyMetric&) const = default;

 private:
  unsigned number_ = InnerProduct::number;
};

RAG_END
#endif
