// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_DETAIL_AMX_EMULATOR_HPP
#define RAG_TESTS_DETAIL_AMX_EMULATOR_HPP

// Carries out the AMX instructions that this processor lacks: each ends in SIGILL, whose handler decodes it, does its work
// on tiles in memory and goes on behind it. So the very code that an AMX machine runs is tested here (Intel's
// instruction set reference: LDTILECFG, TILELOADD, TILESTORED, TILEZERO, TDPBF16PS, TDPBSUD, TILERELEASE; VEX encodings).

#include <rag/detail/cpu.hpp>

#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#if RAG_X86 && defined(__linux__)
#include <ucontext.h>

namespace tests {

class AmxEmulator {
 public:
  AmxEmulator() {
    struct sigaction action = {};
    action.sa_sigaction = [](int, siginfo_t*, void* context) { step(static_cast<ucontext_t*>(context)); };
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGILL, &action, &before_);
    executed() = 0;
  }
  ~AmxEmulator() { sigaction(SIGILL, &before_, nullptr); }
  AmxEmulator(const AmxEmulator&) = delete;
  AmxEmulator& operator=(const AmxEmulator&) = delete;

  /// Instructions carried out since the emulator was made.
  static std::size_t& executed() {
    static std::size_t count = 0;
    return count;
  }
  /// Are the tiles of this thread configured?
  static bool configured() { return tiles().configured; }

 private:
  struct Tiles {
    bool configured = false;
    std::uint8_t rows[8] = {}, bytes[8][16][64] = {};
  };
  static Tiles& tiles() {
    static thread_local Tiles all;
    return all;
  }

  /// A register by its number in an instruction.
  static std::uint64_t value(const ucontext_t* context, unsigned number) {
    constexpr int order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                             REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};
    return static_cast<std::uint64_t>(context->uc_mcontext.gregs[order[number]]);
  }

  [[noreturn]] static void unknown() {
    std::signal(SIGILL, SIG_DFL);
    std::abort();
  }

  struct Operand {
    std::uint64_t address = 0, stride = 0;
    const std::uint8_t* end = nullptr;
  };

  /// The memory operand that begins at its ModRM byte.
  static Operand operand(ucontext_t* context, const std::uint8_t* at, bool high_index, bool high_base) {
    const unsigned mode = *at >> 6, low = *at & 7;
    ++at;
    Operand found;
    bool relative = false;
    if (low == 4) {
      const unsigned scale = *at >> 6, index = (*at >> 3 & 7) + 8 * high_index, base = *at & 7;
      ++at;
      if (index != 4) found.stride = value(context, index) << scale;
      if (base == 5 && mode == 0) {
        std::int32_t displacement;
        std::memcpy(&displacement, at, 4), at += 4;
        found.address = static_cast<std::uint64_t>(displacement);
      } else {
        found.address = value(context, base + 8 * high_base);
      }
    } else if (low == 5 && mode == 0) {
      std::int32_t displacement;
      std::memcpy(&displacement, at, 4), at += 4;
      found.address = static_cast<std::uint64_t>(displacement), relative = true;
    } else {
      found.address = value(context, low + 8 * high_base);
    }
    if (mode == 1) found.address += static_cast<std::uint64_t>(static_cast<std::int8_t>(*at)), ++at;
    if (mode == 2) {
      std::int32_t displacement;
      std::memcpy(&displacement, at, 4), at += 4;
      found.address += static_cast<std::uint64_t>(displacement);
    }
    if (relative) found.address += reinterpret_cast<std::uint64_t>(at);
    found.end = at;
    return found;
  }

  static void multiply(Tiles& t, unsigned sums, unsigned left, unsigned right) {
    for (std::size_t m = 0; m < 16; ++m)
      for (std::size_t n = 0; n < 16; ++n) {
        float sum;
        std::memcpy(&sum, &t.bytes[sums][m][4 * n], 4);
        for (std::size_t k = 0; k < 32; ++k) {
          std::uint32_t a = 0, b = 0;
          std::memcpy(reinterpret_cast<char*>(&a) + 2, &t.bytes[left][m][2 * k], 2);
          std::memcpy(reinterpret_cast<char*>(&b) + 2, &t.bytes[right][k / 2][4 * n + 2 * (k % 2)], 2);
          float x, y;
          std::memcpy(&x, &a, 4), std::memcpy(&y, &b, 4);
          sum = __builtin_fmaf(x, y, sum);
        }
        std::memcpy(&t.bytes[sums][m][4 * n], &sum, 4);
      }
  }

  // Signed bytes on the left, unsigned ones on the right.
  static void multiply_bytes(Tiles& t, unsigned sums, unsigned left, unsigned right) {
    for (std::size_t m = 0; m < 16; ++m)
      for (std::size_t n = 0; n < 16; ++n) {
        std::uint32_t sum;
        std::memcpy(&sum, &t.bytes[sums][m][4 * n], 4);
        for (std::size_t k = 0; k < 64; ++k)
          sum += static_cast<std::uint32_t>(static_cast<std::int8_t>(t.bytes[left][m][k]) *
                                            t.bytes[right][k / 4][4 * n + k % 4]);
        std::memcpy(&t.bytes[sums][m][4 * n], &sum, 4);
      }
  }

  // No sanitizer here: the addresses are those of the program's own instruction, and a tile may be read or written beyond
  // the rows that mean something, within its buffer.
  static void step(ucontext_t* context) {
    const auto* at = reinterpret_cast<const std::uint8_t*>(context->uc_mcontext.gregs[REG_RIP]);
    if (at[0] != 0xC4 || (at[1] & 0x1F) != 2) unknown();
    const bool high_index = (at[1] & 0x40) == 0, high_base = (at[1] & 0x20) == 0;
    const unsigned prefix = at[2] & 3, third = ~(at[2] >> 3) & 0xF, opcode = at[3], modrm = at[4];
    const unsigned tile = modrm >> 3 & 7;
    Tiles& t = tiles();
    const bool memory = modrm >> 6 != 3;
    if (opcode == 0x49 && prefix == 0 && !memory) {  // TILERELEASE
      t.configured = false;
      at += 5;
    } else if (opcode == 0x49 && prefix == 0) {  // LDTILECFG
      const Operand from = operand(context, at + 4, high_index, high_base);
      std::uint8_t config[64];
      std::memcpy(config, reinterpret_cast<const void*>(from.address), 64);
      if (config[0] != 1 || config[1] != 0) unknown();
      for (std::size_t i = 0; i < 8; ++i)
        if (config[16 + 2 * i] != 64 || config[17 + 2 * i] != 0 || config[48 + i] != 16) unknown();
      t = Tiles();
      t.configured = true;
      at = from.end;
    } else if (!t.configured) {
      unknown();
    } else if (opcode == 0x4B && memory) {  // TILELOADD, TILESTORED
      const Operand where = operand(context, at + 4, high_index, high_base);
      for (std::size_t row = 0; row < 16; ++row) {
        void* line = reinterpret_cast<void*>(where.address + row * where.stride);
        if (prefix == 3) std::memcpy(t.bytes[tile][row], line, 64);
        else if (prefix == 2) std::memcpy(line, t.bytes[tile][row], 64);
        else unknown();
      }
      at = where.end;
    } else if (opcode == 0x49 && prefix == 3 && !memory) {  // TILEZERO
      std::memset(t.bytes[tile], 0, sizeof t.bytes[tile]);
      at += 5;
    } else if (opcode == 0x5C && prefix == 2 && !memory) {  // TDPBF16PS
      multiply(t, tile, modrm & 7, third);
      at += 5;
    } else if (opcode == 0x5E && prefix == 2 && !memory) {  // TDPBSUD
      multiply_bytes(t, tile, modrm & 7, third);
      at += 5;
    } else {
      unknown();
    }
    ++executed();
    context->uc_mcontext.gregs[REG_RIP] = reinterpret_cast<greg_t>(at);
  }

  struct sigaction before_ = {};
};

}  // namespace tests
#endif

#endif
