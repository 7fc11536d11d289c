// SPDX-License-Identifier: MIT
#ifndef RAG_CPU_HPP
#define RAG_CPU_HPP
#include <rag/detail/cpu.hpp>

#include <cstring>
#include <string>
#include <thread>

RAG_BEGIN

/// What the kernels run on here, for a person: the processor, the instruction sets chosen for products of fp32, of bf16 and
/// of int16, the threads that the machine runs at once. The environment variable RAG_ISA (portable, avx2, avx512,
/// avx512_bf16, amx) forces another set for the whole process; one that is not there is an Error.
///
///     processor AMD EPYC 9B45; fp32: avx512; bf16: avx512_bf16; int16: avx512_vnni; 2 threads
RAG_LAZY std::string cpu_report() {
  std::string name = "unknown";
#if RAG_X86
  unsigned words[12] = {};
  if (static_cast<unsigned>(__get_cpuid_max(0x80000000u, nullptr)) >= 0x80000004u)
    for (unsigned i = 0; i < 3; ++i)
      __get_cpuid(0x80000002u + i, words + 4 * i, words + 4 * i + 1, words + 4 * i + 2, words + 4 * i + 3);
  char text[49] = {};
  std::memcpy(text, words, 48);
  if (text[0] != '\0') name = text;
  name.erase(name.find_last_not_of(' ') + 1);
#elif defined(__aarch64__)
  name = "arm64";
#endif
  const detail::Isa usual = detail::fastest_isa(), isa = detail::best_isa();
  const bool bf16 = isa >= detail::Isa::avx512_bf16;
  return "processor " + name + "; fp32: " + name_of(isa < detail::Isa::avx512 ? isa : detail::Isa::avx512) +
         "; bf16: " + (bf16 ? name_of(isa) : "none") +
         "; int16: " + (detail::has_vnni(isa) ? "avx512_vnni" : "none") + (isa != usual ? " (RAG_ISA)" : "") + "; " +
         std::to_string(std::thread::hardware_concurrency()) + " threads";
}

RAG_END
#endif
