// SPDX-License-Identifier: MIT
// Compares searches with a plain scan until so many were compared; ends with 1 at the first that differs.
//   g++ -std=c++20 -O2 -Iinclude -Itests -I/usr/include/eigen3 tests/long/scan_exact.cpp -o scan_exact
//   -pthread
//   ./scan_exact 1000000 [FILE OF FLOATS, COLUMNS]: rows from the file take part, such as those of a model
#include "detail/scan_exact.hpp"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace {

using namespace tests;

constexpr std::size_t dimensions[] = {1, 2, 5, 8, 15, 16, 31, 64, 100, 128, 200, 384, 512, 768, 1000, 1536};

std::vector<float> read_floats(const char* path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<float> floats(bytes.size() / sizeof(float));
  std::memcpy(floats.data(), bytes.data(), floats.size() * sizeof(float));
  return floats;
}

/// One store, a few batches of queries.
void run(RowSource& source, std::size_t dimension, ExactCount& count) {
  std::vector<std::size_t> sizes;
  const std::size_t most = dimension > 200 ? 1500 : 6000;
  for (std::size_t i = 1 + source.below(3); i > 0; --i) sizes.push_back(source.below(most));
  const Rows rows(dimension, sizes, source, source.below(2) == 0);
  const std::vector<PlaneKernel> kernels = plane_kernels();
  for (const ScanMetric metric : scan_metrics) {
    const std::size_t ks[] = {1, 3, 10, 100, 5000};
    const auto keep = filter_of(source.below(6), rows.size(), source);
    const auto queries = queries_for(metric, 1 + source.below(26), rows, source);
    ExactCheck(rows, count).check(metric, queries, ks[source.below(5)], keep ? &*keep : nullptr, kernels);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t wanted = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 100000;
  const std::vector<float> real = argc > 3 ? read_floats(argv[2]) : std::vector<float>();
  const std::size_t columns = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 0;
  ExactCount count;
  for (unsigned seed = 1; count.searches < wanted && count.wrong == 0; ++seed) {
    const std::size_t kinds = std::size(data_kinds) + (real.empty() ? 0 : 2), kind = seed % kinds;
    if (kind < std::size(data_kinds)) {
      const std::size_t dimension = dimensions[seed * 7 % std::size(dimensions)];
      RowSource source(data_kinds[kind], dimension, seed);
      run(source, dimension, count);
    } else {
      RowSource source(real, columns, seed);
      run(source, columns, count);
    }
    if (seed % 50 == 0) std::printf("%zu searches\n", count.searches), std::fflush(stdout);
  }
  std::printf("%zu searches compared, %zu differ %s\n", count.searches, count.wrong,
              count.first_wrong.c_str());
  return count.wrong == 0 ? 0 : 1;
}
