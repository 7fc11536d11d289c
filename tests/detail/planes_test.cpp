// SPDX-License-Identifier: MIT
#include <rag/detail/plane_batch.hpp>
#include <rag/detail/plane_turned.hpp>
#include <rag/detail/scan_plain.hpp>

#include "detail/amx_emulator.hpp"
#include "detail/scan_data.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

using namespace tests;
using namespace rag::detail;

namespace {

std::vector<PlaneKernel> kernels() {
  std::vector<PlaneKernel> all = {PlaneKernel::portable};
  for (const Isa isa : {Isa::avx2, Isa::avx512})
    if (isa <= best_isa()) all.push_back(isa == Isa::avx2 ? PlaneKernel::avx2 : PlaneKernel::avx512);
  if (has_vnni(best_isa())) all.push_back(PlaneKernel::vnni);
  return all;
}

/// The planes of some rows, and what the plain words of the header say about them.
struct Planes {
  Planes(std::size_t dimension, const std::vector<float>& floats)
      : layout(dimension, floats.size() / dimension), area(layout.size() / 64) {
    quantise_blocks(layout, floats.data(), 0, layout.capacity / block_rows, bytes());
  }
  std::byte* bytes() { return reinterpret_cast<std::byte*>(area.data()); }

  int four(std::size_t row, std::size_t i) {
    const auto byte =
        static_cast<unsigned>(bytes()[row / 16 * layout.four_bytes + i / 8 * 64 + 4 * (row % 16) + i % 4]);
    return static_cast<int>(i % 8 < 4 ? byte & 15 : byte >> 4) - 8;
  }
  float four_head(std::size_t row, std::size_t which) {
    float value;
    std::memcpy(&value, bytes() + layout.four_heads + row / 16 * 192 + which * 64 + 4 * (row % 16), 4);
    return value;
  }
  int eight(std::size_t row, std::size_t i) {
    return static_cast<std::int8_t>(bytes()[layout.eight + row * layout.eight_bytes + i]);
  }
  EightHead eight_head(std::size_t row) {
    EightHead head;
    std::memcpy(&head, bytes() + layout.eight_heads + row * sizeof head, sizeof head);
    return head;
  }

  PlaneLayout layout;
  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> area;
};

std::vector<float> rows_of(RowSource& source, std::size_t count) {
  std::vector<float> rows;
  for (std::size_t i = 0; i < count; ++i) {
    const auto row = source.row();
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

long double length_long(const std::vector<long double>& values) {
  long double sum = 0;
  for (const long double value : values) sum += value * value;
  return std::sqrt(sum);
}

// The head must bound what the numbers leave, and the rest must be orthogonal to them.
void check_head(const float* row, const std::vector<int>& numbers, float scale, float length, float rest) {
  const long double s = scale;
  std::vector<long double> coded, left;
  long double across = 0;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    coded.push_back(s * numbers[i]);
    left.push_back(static_cast<long double>(row[i]) - coded.back());
    across += coded.back() * left.back();
  }
  CHECK(static_cast<long double>(length) >= length_long(coded));
  CHECK(static_cast<long double>(rest) >= length_long(left));
  CHECK(static_cast<long double>(rest) <=
        length_long(left) * (1 + 1e-6L) + 1e-5L * length_long(coded) + 1e-44L);
  CHECK(std::fabs(across) <= 0x1.001p-24L * length_long(coded) * length_long(coded));
}

}  // namespace

TEST_CASE("the head of a row bounds what its numbers leave, in both planes") {
  for (const std::string kind : data_kinds)
    for (const std::size_t dimension : {1u, 3u, 8u, 63u, 64u, 65u, 384u}) {
      CAPTURE(kind);
      CAPTURE(dimension);
      RowSource source(kind, dimension, 3);
      const auto rows = rows_of(source, 32);
      Planes planes(dimension, rows);
      for (std::size_t r = 0; r < 32; ++r) {
        CAPTURE(r);
        const float* row = rows.data() + r * dimension;
        std::vector<int> four, eight;
        int sum = 0;
        for (std::size_t i = 0; i < dimension; ++i) {
          four.push_back(planes.four(r, i));
          eight.push_back(planes.eight(r, i));
          sum += eight.back();
        }
        check_head(row, four, planes.four_head(r, 0), planes.four_head(r, 1), planes.four_head(r, 2));
        const EightHead head = planes.eight_head(r);
        check_head(row, eight, head.scale, head.length, head.rest);
        CHECK(head.offset == -128 * sum);
        for (std::size_t i = dimension; i < planes.layout.eight_bytes; ++i) CHECK(planes.eight(r, i) == 0);
        for (std::size_t i = dimension; i % 8 != 0; ++i) CHECK(planes.four(r, i) == 0);
      }
    }
}

TEST_CASE(
    "the planes of 384 columns and fp32 take no more than 2150 bytes a row; their ranges lie side by side") {
  const PlaneLayout layout(384, 65536);

  CHECK(4 * 384 + layout.size() / 65536 <= 2150);
  const auto all = layout.ranges(0, 4096), some = layout.ranges(3, 5);
  CHECK(all[0].first == 0);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(all[i].second == (i < 3 ? all[i + 1].first : layout.size()));
    CHECK(all[i].first % 64 == 0);
    CHECK((some[i].second - some[i].first) * 2048 == all[i].second - all[i].first);
    CHECK(some[i].first == all[i].first + (all[i].second - all[i].first) / 4096 * 3);
  }
}

TEST_CASE("blocks may be filled one after the other") {
  RowSource source("uniform", 37, 4);
  const auto rows = rows_of(source, 64);
  Planes at_once(37, rows), by_and_by(37, std::vector<float>(64 * 37));
  for (std::size_t block = 0; block < 4; ++block)
    quantise_blocks(by_and_by.layout, rows.data() + block * 16 * 37, block, block + 1, by_and_by.bytes());

  CHECK(std::memcmp(at_once.bytes(), by_and_by.bytes(), at_once.layout.size()) == 0);
}

TEST_CASE("every kernel of the 4-bit plane finds the same rows, with bounds that hold") {
  for (const std::string kind : data_kinds)
    for (const std::size_t dimension : {1u, 8u, 17u, 64u, 100u, 384u})
      for (const ScanMetric metric : scan_metrics) {
        CAPTURE(kind);
        CAPTURE(dimension);
        CAPTURE(static_cast<int>(metric));
        RowSource source(kind, dimension, 5);
        const auto rows = rows_of(source, 48);
        Planes planes(dimension, rows);
        std::vector<float> lengths, scores(48);
        for (std::size_t r = 0; r < 48; ++r)
          lengths.push_back(length_of({rows.data() + r * dimension, dimension}));
        const auto query = query_for(metric, source.row());
        const ScanSegment segment = {rows.data(), 48, nullptr, 0, 0, lengths.data(), nullptr};
        score_rows(metric, segment, 0, 48, dimension, query.data(), best_isa(), scores.data());
        const QueryCode code(metric, dimension, query.data());
        for (const PlaneKernel kernel : kernels()) {
          CAPTURE(static_cast<int>(kernel));
          std::uint16_t masks[3];
          float uppers[48];
          const FourRun run = {planes.bytes(),
                               planes.bytes() + planes.layout.four_heads,
                               lengths.data(),
                               planes.layout.four_bytes,
                               3,
                               &code,
                               scores[20]};
          four_kernel(kernel)(run, masks, uppers);

          for (std::size_t r = 0; r < 48; ++r) {
            CAPTURE(r);
            CHECK(uppers[r] >= scores[r]);
            CHECK((masks[r / 16] >> (r % 16) & 1) == (uppers[r] >= scores[20]));
          }
        }
      }
}

TEST_CASE("every kernel of the 8-bit plane gives the products of the numbers, and bounds that hold") {
  for (const std::string kind : data_kinds)
    for (const std::size_t dimension : {1u, 17u, 64u, 100u, 384u})
      for (const ScanMetric metric : scan_metrics) {
        CAPTURE(kind);
        CAPTURE(dimension);
        CAPTURE(static_cast<int>(metric));
        RowSource source(kind, dimension, 6);
        const auto rows = rows_of(source, 48);
        Planes planes(dimension, rows);
        std::vector<float> lengths, scores(48);
        std::vector<std::uint32_t> list;
        for (std::uint32_t r = 0; r < 48; ++r) {
          lengths.push_back(length_of({rows.data() + r * dimension, dimension}));
          list.push_back(r * 7 % 48);
        }
        const auto query = query_for(metric, source.row());
        const ScanSegment segment = {rows.data(), 48, nullptr, 0, 0, lengths.data(), nullptr};
        score_rows(metric, segment, 0, 48, dimension, query.data(), best_isa(), scores.data());
        const QueryCode code(metric, dimension, query.data());
        const auto* heads = reinterpret_cast<const EightHead*>(planes.bytes() + planes.layout.eight_heads);
        const EightPlane plane = {planes.bytes() + planes.layout.eight, heads, planes.layout.eight_bytes};
        for (const PlaneKernel kernel : kernels()) {
          CAPTURE(static_cast<int>(kernel));
          std::vector<std::int32_t> dots(48);
          eight_kernel(kernel)(plane, list.data(), 48, code, dots.data());

          for (std::size_t i = 0; i < 48; ++i) {
            const std::size_t r = list[i];
            std::int32_t wanted = 0;
            for (std::size_t j = 0; j < dimension; ++j) wanted += planes.eight(r, j) * code.numbers[j];
            CAPTURE(r);
            CHECK(dots[i] == wanted);
            const Bounds bounds = score_bounds(code.terms, heads[r], dots[i], lengths[r]);
            CHECK(bounds.lower <= scores[r]);
            CHECK(bounds.upper >= scores[r]);
          }
        }
      }
}

TEST_CASE("the largest numbers in 65,536 dimensions leave no kernel's range") {
  constexpr std::size_t dimension = 65536;
  std::vector<float> rows(16 * dimension, 1.0f), query(dimension, 1.0f);
  for (std::size_t i = 0; i < dimension; ++i) rows[dimension + i] = -1.0f;
  Planes planes(dimension, rows);
  const QueryCode code(ScanMetric::inner_product, dimension, query.data());
  const auto* heads = reinterpret_cast<const EightHead*>(planes.bytes() + planes.layout.eight_heads);
  const EightPlane plane = {planes.bytes() + planes.layout.eight, heads, planes.layout.eight_bytes};
  const std::uint32_t list[] = {0, 1};
  for (const PlaneKernel kernel : kernels()) {
    CAPTURE(static_cast<int>(kernel));
    std::int32_t dots[2];
    eight_kernel(kernel)(plane, list, 2, code, dots);
    CHECK(dots[0] == 127 * 127 * 65536);
    CHECK(dots[1] == -127 * 127 * 65536);

    std::uint16_t mask;
    float uppers[16];
    const FourRun run = {planes.bytes(),
                         planes.bytes() + planes.layout.four_heads,
                         nullptr,
                         planes.layout.four_bytes,
                         1,
                         &code,
                         0};
    four_kernel(kernel)(run, &mask, uppers);
    CHECK(uppers[0] == doctest::Approx(65536).epsilon(0.001));
    CHECK(uppers[1] == doctest::Approx(-65536).epsilon(0.001));
  }
}

#if RAG_X86
TEST_CASE("the tiles of AMX give the products of rows and many queries, for any number of rows") {
  if (best_isa() < Isa::avx512) return;
  std::optional<AmxEmulator> emulator;
  if (!has_amx_int8(best_isa())) emulator.emplace();
  for (const std::size_t dimension : {1u, 64u, 100u, 384u})
    for (const std::size_t count : {16u, 32u, 48u, 96u}) {
      CAPTURE(dimension);
      CAPTURE(count);
      RowSource source("uniform", dimension, 7);
      const auto rows = rows_of(source, count);
      Planes planes(dimension, rows);
      const auto* heads = reinterpret_cast<const EightHead*>(planes.bytes() + planes.layout.eight_heads);
      QueryGroup group(planes.layout.eight_bytes);
      std::vector<QueryCode> codes;
      for (std::size_t j = 0; j < group_queries; ++j) {
        codes.emplace_back(ScanMetric::inner_product, dimension, source.row().data());
        group.set(j, codes[j]);
      }
      const RowRun run = {
          planes.bytes() + planes.layout.eight, planes.layout.eight_bytes, count, heads, nullptr, nullptr};
      std::vector<std::int32_t> dots(count * group_queries);
      {
        const TileUse tiles(true);
        batch_amx(run, reinterpret_cast<const std::byte*>(group.numbers.data()), dots.data());
      }
      for (std::size_t r = 0; r < count; ++r)
        for (std::size_t j = 0; j < group_queries; ++j) {
          std::int32_t wanted = 0;
          for (std::size_t i = 0; i < dimension; ++i) wanted += planes.eight(r, i) * codes[j].numbers[i];
          REQUIRE(dots[r * group_queries + j] + heads[r].offset == wanted);
        }
    }
  if (emulator) CHECK(AmxEmulator::executed() > 0);
}

namespace {

template <std::size_t Queries>
void check_turned_dots(std::size_t dimension) {
  CAPTURE(dimension);
  CAPTURE(Queries);
  RowSource source("outliers", dimension, 8);
  const auto floats = rows_of(source, 48);
  Planes planes(dimension, floats);
  const std::size_t row_bytes = planes.layout.eight_bytes;
  const auto* all_heads = planes.bytes() + planes.layout.eight_heads;
  std::vector<std::uint8_t> numbers(Queries * row_bytes);
  std::vector<QueryCode> codes;
  for (std::size_t j = 0; j < Queries; ++j) {
    codes.emplace_back(ScanMetric::inner_product, dimension, source.row().data());
    for (std::size_t i = 0; i < row_bytes; ++i)
      numbers[i / 4 * 4 * Queries + 4 * j + i % 4] = codes[j].shifted[i];
  }
  std::vector<std::byte> lines(turned_rows * row_bytes);
  TurnedBlock blocks[2];
  std::size_t list[turned_rows];
  for (std::size_t i = 0; i < turned_rows; ++i) list[i] = i * 7 % 48;  // rows from anywhere
  for (std::size_t block = 0; block < 2; ++block) {
    const std::byte *rows[16], *heads[16];
    for (std::size_t r = 0; r < 16; ++r) {
      rows[r] = planes.bytes() + planes.layout.eight + list[16 * block + r] * row_bytes;
      heads[r] = all_heads + list[16 * block + r] * sizeof(EightHead);
    }
    turn_block(rows, row_bytes, lines.data() + block * 16 * row_bytes);
    turn_block(heads, sizeof(EightHead), reinterpret_cast<std::byte*>(&blocks[block]));
  }

  std::int32_t dots[Queries * turned_rows];
  turned_dots<Queries>(blocks, lines.data(), row_bytes, reinterpret_cast<const std::byte*>(numbers.data()), dots);

  for (std::size_t i = 0; i < turned_rows; ++i) {
    EightHead head;
    std::memcpy(&head, all_heads + list[i] * sizeof head, sizeof head);
    const TurnedBlock& block = blocks[i / 16];
    REQUIRE(block.scale[i % 16] == head.scale);
    REQUIRE(block.length[i % 16] == head.length);
    REQUIRE(block.rest[i % 16] == head.rest);
    REQUIRE(block.offset[i % 16] == head.offset);
    for (std::size_t j = 0; j < Queries; ++j) {
      std::int32_t wanted = 0;
      for (std::size_t d = 0; d < dimension; ++d) wanted += planes.eight(list[i], d) * codes[j].numbers[d];
      REQUIRE(dots[j * turned_rows + i] == wanted);
    }
  }
}

}  // namespace

TEST_CASE("turned rows give the products of rows and queries, and their heads as columns") {
  if (!has_vnni(best_isa())) return;
  for (const std::size_t dimension : {1u, 64u, 100u, 384u}) {
    check_turned_dots<4>(dimension);
    check_turned_dots<8>(dimension);
    check_turned_dots<12>(dimension);
  }
}
#endif
