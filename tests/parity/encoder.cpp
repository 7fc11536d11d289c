// SPDX-License-Identifier: MIT
// encoder MODEL_FOLDER PIECES: compares the encoder with the vectors in a file that encoder.py wrote, on each instruction
// set of the machine. Fails when a cosine is below 0.999999 in fp32, 0.99999 in int16, or 0.9999 in bf16.
#include <rag/embed/sentence.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace {

struct Piece {
  std::string_view text;
  std::vector<float> vector;
};

std::vector<Piece> read_pieces(std::string_view bytes, std::size_t dimension) {
  std::vector<Piece> pieces;
  while (!bytes.empty()) {
    std::uint32_t length = 0;
    if (bytes.size() >= 4) std::memcpy(&length, bytes.data(), 4);
    if (bytes.size() < 4 + length + 4 * dimension) throw rag::Error(rag::Errc::corrupt, "encoder: the file of pieces ends early");
    Piece piece{bytes.substr(4, length), std::vector<float>(dimension)};
    std::memcpy(piece.vector.data(), bytes.data() + 4 + length, 4 * dimension);
    bytes.remove_prefix(4 + length + 4 * dimension);
    pieces.push_back(piece);
  }
  return pieces;
}

/// The least cosine of a row to the wanted one, and the largest difference of an element.
struct Distance {
  double cosine = 1, difference = 0;
};

Distance compare(const rag::Matrix& vectors, const std::vector<Piece>& pieces) {
  Distance found;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t j = 0; j < vectors.columns(); ++j) {
      const double a = double(vectors.row(i)[j]), b = double(pieces[i].vector[j]);
      ab += a * b, aa += a * a, bb += b * b;
      found.difference = std::max(found.difference, std::abs(a - b));
    }
    found.cosine = std::min(found.cosine, ab / std::sqrt(aa * bb));
  }
  return found;
}

int compare(const std::string& model, const std::string& file) {
  using rag::detail::Isa;
  const rag::detail::MappedFile bytes(file, "encoder");
  const std::vector<Piece> pieces = read_pieces(bytes.bytes(), rag::SentenceEmbedder(model).dimension());
  std::vector<std::string_view> texts;
  for (const Piece& piece : pieces) texts.push_back(piece.text);
  int faults = pieces.empty();
  const auto check = [&](Isa isa, rag::Precision precision, double wanted) {
    constexpr const char* names[] = {"fp32", "bf16", "int16"};
    const Distance found = compare(rag::detail::SentenceEncoder(model, {.precision = precision}, isa).embed(texts), pieces);
    const bool good = found.cosine >= wanted;
    std::printf("encoder: %zu pieces, %s on %s: least cosine %.9f, largest difference %.2g: %s\n", pieces.size(),
                names[static_cast<int>(precision)], rag::detail::name_of(isa), found.cosine, found.difference, good ? "ok" : "NOT EQUAL");
    faults += !good;
  };
  const Isa most = rag::detail::machine_isa();
  for (const Isa isa : {Isa::portable, Isa::avx2, Isa::avx512})
    if (isa <= most) check(isa, rag::Precision::fp32, 0.999999);
  for (const Isa isa : {Isa::avx512_bf16, Isa::amx})
    if (isa <= most) check(isa, rag::Precision::bf16, 0.9999);
  if (rag::detail::has_vnni(most)) check(most, rag::Precision::int16, 0.99999);
  return faults != 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) return std::fprintf(stderr, "usage: encoder MODEL_FOLDER PIECES\n"), 2;
  try {
    return compare(argv[1], argv[2]);
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "%s\n", error.what()), 2;
  }
}
