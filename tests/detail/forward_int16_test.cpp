// SPDX-License-Identifier: MIT
#include <rag/detail/transformer.hpp>

#include <doctest/doctest.h>

#include "detail/states.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

using namespace rag::detail;
using tests::states, tests::worst;

namespace {

tests::TinyBert fitting_bert() {
  tests::TinyBert bert;
  bert.hidden = 64, bert.heads = 4, bert.intermediate = 96;
  bert.draw();
  return bert;
}

Transformer load(const tests::TinyBert& bert, Isa isa, rag::Precision precision = rag::Precision::int16) {
  return tests::transformer_of(bert, isa, precision);
}

}  // namespace

TEST_CASE("the states of int16 are near those of fp32, and neighbours change no bit") {
  if (!has_vnni(machine_isa())) return static_cast<void>(std::puts("skipped: this processor has no AVX512-VNNI"));
  const tests::TinyBert bert = fitting_bert();
  std::vector<std::int32_t> tokens;
  const std::vector<std::size_t> lengths{1, 17, 64, 33, 2};
  for (std::size_t i = 0; i < 117; ++i) tokens.push_back(static_cast<std::int32_t>(i * i % 40));
  const std::vector<float> wanted = states(load(bert, machine_isa(), rag::Precision::fp32), tokens, lengths);
  const Transformer model = load(bert, machine_isa());
  CHECK(model.precision() == rag::Precision::int16);

  const std::vector<float> found = states(model, tokens, lengths);

  CHECK(worst(found, wanted) < 0.003);  // states are of size 1 to 4 here
  CHECK(worst(found, wanted) > 1e-6);   // it is int16
  std::size_t begin = 0;
  for (const std::size_t length : lengths) {
    const std::vector<std::int32_t> one(tokens.begin() + static_cast<std::ptrdiff_t>(begin),
                                        tokens.begin() + static_cast<std::ptrdiff_t>(begin + length));
    const std::vector<float> alone = states(model, one, {length});
    CHECK(std::equal(alone.begin(), alone.end(), found.begin() + static_cast<std::ptrdiff_t>(begin * 64)));
    begin += length;
  }
}

TEST_CASE("int16 gives way to fp32 where the processor has none, and refuses sizes that don't fit") {
  const tests::TinyBert bert = fitting_bert();
  CHECK(load(bert, Isa::avx2).precision() == rag::Precision::fp32);
  CHECK(states(load(bert, Isa::portable), {2, 5, 3}, {3}) == states(load(bert, Isa::portable, rag::Precision::fp32), {2, 5, 3}, {3}));
  tests::TinyBert narrow;
  narrow.draw();
  for (const Isa isa : {Isa::portable, Isa::amx}) try {
      load(narrow, isa);
      FAIL_CHECK("it was taken");
    } catch (const rag::Error& error) {
      CHECK(error.code() == rag::Errc::unsupported);
      CHECK(std::string(error.what()).find("for int16, multiples of 32 wanted") != std::string::npos);
    }
}
