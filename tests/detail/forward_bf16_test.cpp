// SPDX-License-Identifier: MIT
#include <rag/detail/transformer.hpp>

#include <doctest/doctest.h>

#include "detail/amx_emulator.hpp"
#include "detail/states.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#if RAG_X86 && defined(__linux__)
using namespace rag::detail;
using tests::states, tests::worst;

namespace {

tests::TinyBert fitting_bert() {
  tests::TinyBert bert;
  bert.hidden = 64, bert.heads = 2, bert.intermediate = 96;
  bert.draw();
  return bert;
}

Transformer load(const tests::TinyBert& bert, Isa isa, rag::Precision precision = rag::Precision::bf16) {
  return tests::transformer_of(bert, isa, precision);
}

}  // namespace

TEST_CASE("the states of bf16 are near those of fp32 on each instruction set, and neighbours change no bit") {
  if (machine_isa() < Isa::avx512_bf16) return static_cast<void>(std::puts("skipped: this processor has no AVX512-BF16"));
  const tests::TinyBert bert = fitting_bert();
  std::vector<std::int32_t> tokens;
  const std::vector<std::size_t> lengths{1, 17, 64, 33, 2};
  for (std::size_t i = 0; i < 117; ++i) tokens.push_back(static_cast<std::int32_t>(i * i % 40));
  const std::vector<float> wanted = states(load(bert, machine_isa(), rag::Precision::fp32), tokens, lengths);
  for (const Isa isa : {Isa::avx512_bf16, Isa::amx}) {
    CAPTURE(name_of(isa));
    const bool emulated = isa > machine_isa();
    const auto emulator = emulated ? std::make_unique<tests::AmxEmulator>() : nullptr;
    const Transformer model = load(bert, isa);
    CHECK(model.precision() == rag::Precision::bf16);

    const std::vector<float> found = states(model, tokens, lengths);

    CHECK(worst(found, wanted) < 0.1);   // states are of size 1 to 4 here
    CHECK(worst(found, wanted) > 1e-5);  // it is bf16
    double square = 0;
    for (std::size_t i = 0; i < wanted.size(); ++i) square += std::pow(double(found[i]) - double(wanted[i]), 2);
    CHECK(std::sqrt(square / double(wanted.size())) < 0.015);
    std::size_t begin = 0;
    for (const std::size_t length : lengths) {
      const std::vector<std::int32_t> one(tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                                          tokens.begin() + static_cast<std::ptrdiff_t>(begin + length));
      const std::vector<float> alone = states(model, one, {length});
      CHECK(std::equal(alone.begin(), alone.end(), found.begin() + static_cast<std::ptrdiff_t>(begin * 64)));
      begin += length;
    }
    if (emulated) CHECK(tests::AmxEmulator::executed() > 0);
    if (emulated) CHECK_FALSE(tests::AmxEmulator::configured());
  }
}

TEST_CASE("bf16 gives way to fp32 where the instruction set has none, and refuses sizes that don't fit") {
  const tests::TinyBert bert = fitting_bert();
  CHECK(load(bert, Isa::portable).precision() == rag::Precision::fp32);
  CHECK(states(load(bert, Isa::portable), {2, 5, 3}, {3}) == states(load(bert, Isa::portable, rag::Precision::fp32), {2, 5, 3}, {3}));
  tests::TinyBert narrow;
  narrow.draw();
  for (const Isa isa : {Isa::portable, Isa::amx}) try {
      load(narrow, isa);
      FAIL_CHECK("it was taken");
    } catch (const rag::Error& error) {
      CHECK(error.code() == rag::Errc::unsupported);
      CHECK(std::string(error.what()).find("multiples of 32 wanted") != std::string::npos);
    }
}
#endif
