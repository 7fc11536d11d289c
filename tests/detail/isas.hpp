// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_DETAIL_ISAS_HPP
#define RAG_TESTS_DETAIL_ISAS_HPP
#include <rag/detail/cpu.hpp>

#include <vector>

namespace tests {

/// The instruction sets of this machine that kernels of fp32 are written for.
inline std::vector<rag::detail::Isa> isas() {
  using rag::detail::Isa;
  std::vector<Isa> all{Isa::portable};
  for (const Isa isa : {Isa::avx2, Isa::avx512})
    if (isa <= rag::detail::best_isa()) all.push_back(isa);
  return all;
}

}  // namespace tests
#endif
