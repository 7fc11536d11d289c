// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_CPU_HPP
#define RAG_DETAIL_CPU_HPP
#include <rag/version.hpp>

// Kernels for wide instruction sets carry __attribute__((target(...))) and are picked at run time, so a user
// compiles with plain -O2 and no -march.
#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define RAG_X86 1
#else
#define RAG_X86 0
#endif

RAG_BEGIN
namespace detail {

/// Instruction sets that kernels are written for, each containing the ones before it.
enum class Isa { portable, avx2, avx512 };

/// The widest one that this processor and its operating system run. avx2 means AVX2 and FMA; avx512 adds
/// AVX-512 F, BW, DQ and VL.
inline Isa best_isa() {
#if RAG_X86
  static const Isa isa = [] {
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return !avx2 ? Isa::portable : avx512 ? Isa::avx512 : Isa::avx2;
  }();
  return isa;
#else
  return Isa::portable;
#endif
}

}  // namespace detail
RAG_END
#endif
