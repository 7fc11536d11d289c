// SPDX-License-Identifier: MIT
// encoder MODEL_FOLDER PIECES: compares MiniLmEmbedder with the vectors in a file that encoder.py wrote. Says the least
// cosine and the largest difference; fails when a cosine is below 0.999999.
#include <rag/embed/minilm.hpp>

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

int compare(const std::string& model, const std::string& file) {
  const rag::MiniLmEmbedder embedder(model);
  const rag::detail::MappedFile bytes(file, "encoder");
  const std::vector<Piece> pieces = read_pieces(bytes.bytes(), embedder.dimension());
  std::vector<std::string_view> texts;
  for (const Piece& piece : pieces) texts.push_back(piece.text);
  const rag::Matrix vectors = embedder.embed(texts);
  double least = 1, largest = 0;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t j = 0; j < embedder.dimension(); ++j) {
      const double a = double(vectors.row(i)[j]), b = double(pieces[i].vector[j]);
      ab += a * b, aa += a * a, bb += b * b;
      largest = std::max(largest, std::abs(a - b));
    }
    least = std::min(least, ab / std::sqrt(aa * bb));
  }
  const bool good = !pieces.empty() && least >= 0.999999;
  std::printf("encoder: %zu pieces, least cosine %.9f, largest difference %.2g: %s\n", pieces.size(), least, largest,
              good ? "ok" : "NOT EQUAL");
  return good ? 0 : 1;
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
