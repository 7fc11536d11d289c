// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_CPU_HPP
#define RAG_DETAIL_CPU_HPP
#include <rag/error.hpp>

#include <cstddef>
#include <cstdlib>
#include <string>
#include <string_view>

// Kernels for wide instruction sets carry __attribute__((target(...))) and are picked at run time, so a user
// compiles with plain -O2 and no -march.
#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#define RAG_X86 1
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#else
#define RAG_X86 0
#endif

// Inner loops over a fixed number of rows must be unrolled, or the sums live in memory.
#if defined(__clang__)
#define RAG_UNROLL _Pragma("clang loop unroll(full)")
#else
#define RAG_UNROLL _Pragma("GCC unroll 16")
#endif

RAG_BEGIN
namespace detail {

/// Instruction sets that kernels are written for. avx2 means AVX2 and FMA; avx512 adds AVX-512 F, BW, DQ and VL; the
/// last two have products of bf16, and those of fp32 as avx512 has them.
enum class Isa { portable, avx2, avx512, avx512_bf16, amx };

inline constexpr const char* isa_names[] = {"portable", "avx2", "avx512", "avx512_bf16", "amx"};
constexpr const char* name_of(Isa isa) { return isa_names[static_cast<std::size_t>(isa)]; }

#if RAG_X86
// _mm_prefetch has no effect that g++ 12 knows of: it drops the calls of a function that does nothing else.

/// Asks memory for the 64 bytes around an address, which need not be one that can be read.
inline void prefetch(const void* address) {
  __asm__ volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(address)));
}
/// The same, into the second cache alone: for what is read once, long after.
inline void prefetch_far(const void* address) {
  __asm__ volatile("prefetcht1 %0" : : "m"(*static_cast<const char*>(address)));
}

/// Has the processor tiles with products of bf16, and does the system let this process use them? Linux grants their
/// state on request, once a process (arch_prctl, ARCH_REQ_XCOMP_PERM of XFEATURE_XTILEDATA).
RAG_LAZY bool amx_permitted() {
#if defined(__linux__)
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c >> 27 & 1) == 0) return false;  // XGETBV is there
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  const bool bf16 = (d >> 22 & 1) != 0, tiles = (d >> 24 & 1) != 0;
  if (!bf16 || !tiles) return false;
  unsigned low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low >> 17 & 3) != 3) return false;  // the system keeps the tiles of a thread
  return ::syscall(SYS_arch_prctl, 0x1023, 18) == 0;
#else
  return false;
#endif
}
#endif

/// The widest one that this processor and its operating system run.
RAG_LAZY Isa machine_isa() {
#if RAG_X86
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return Isa::portable;
  if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl"))
    return Isa::avx2;
  if (!__builtin_cpu_supports("avx512bf16")) return Isa::avx512;
  return amx_permitted() ? Isa::amx : Isa::avx512_bf16;
#else
  return Isa::portable;
#endif
}

/// machine_isa(), or the narrower one that is faster: on an Intel Xeon without AMX an encoder in bf16
/// by VDPBF16PS ran at 0.6 to 0.8 times the speed of fp32 (bench/run.sh embed).
RAG_LAZY Isa fastest_isa() {
  const Isa most = machine_isa();
#if RAG_X86
  if (most == Isa::avx512_bf16 && __builtin_cpu_is("intel")) return Isa::avx512;
#endif
  return most;
}

/// The one in use: fastest_isa(), or the one that the environment variable RAG_ISA names. A name that is none, or one
/// that the machine has not, is an Error.
RAG_LAZY Isa chosen_isa() {
  const Isa most = machine_isa();
  const char* name = std::getenv("RAG_ISA");
  if (name == nullptr || *name == '\0') return fastest_isa();
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx})
    if (std::string_view(name) == name_of(isa) && isa <= most) return isa;
  std::string names;
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512, Isa::avx512_bf16, Isa::amx})
    if (isa <= most) names += (names.empty() ? "" : ", ") + std::string(name_of(isa));
  throw Error(Errc::invalid_argument, "RAG_ISA: one of " + names + " wanted on this machine, '" + name + "' given");
}

/// What kernels run on, found once.
inline Isa best_isa() {
  static const Isa isa = chosen_isa();
  return isa;
}

/// Has the processor the products of bytes of AVX512-VNNI, which no Isa but the last two promises?
inline bool has_vnni(Isa isa) {
#if RAG_X86
  return isa >= Isa::avx512 && __builtin_cpu_supports("avx512vnni");
#else
  return static_cast<void>(isa), false;
#endif
}

/// Has it tiles with products of bytes?
inline bool has_amx_int8(Isa isa) {
#if RAG_X86
  unsigned a = 0, b = 0, c = 0, d = 0;
  return isa == Isa::amx && __get_cpuid_count(7, 0, &a, &b, &c, &d) != 0 && (d >> 25 & 1) != 0;
#else
  return static_cast<void>(isa), false;
#endif
}

}  // namespace detail
RAG_END
#endif
