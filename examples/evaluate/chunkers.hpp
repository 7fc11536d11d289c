// SPDX-License-Identifier: MIT
#ifndef EVALUATE_CHUNKERS_HPP
#define EVALUATE_CHUNKERS_HPP
#include "data.hpp"
#include "embedders.hpp"
#include "options.hpp"

#include <rag/chunk/context.hpp>
#include <rag/chunk/fixed.hpp>
#include <rag/chunk/markdown.hpp>
#include <rag/chunk/parent.hpp>
#include <rag/chunk/recursive.hpp>
#include <rag/chunk/semantic.hpp>
#include <rag/chunk/sentence.hpp>
#include <rag/chunk/separator.hpp>
#include <rag/evaluate.hpp>

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Cuts one document as --chunker says.
using Cut = std::function<std::vector<rag::Chunk>(const rag::Document&)>;

/// What another program cut: the chunks of a file, a line each.
inline Cut read_chunks(const std::string& path) {
  std::map<std::string, std::vector<std::pair<std::size_t, std::size_t>>, std::less<>> spans;
  try {
    for (const data::Json& line : data::lines(path))
      spans[line.at("source").get<std::string>()].emplace_back(line.at("begin"), line.at("end"));
  } catch (const nlohmann::json::exception& error) {
    data::refuse(path, std::string("lines of {source, begin, end} wanted: ") + error.what());
  }
  return [spans = std::move(spans), path](const rag::Document& document) {
    std::vector<rag::Chunk> chunks;
    const rag::CodePointOffsets offsets(document.text);
    if (const auto found = spans.find(document.id); found != spans.end())
      for (const auto& [begin, end] : found->second) {
        if (begin >= end) data::refuse(path, "a chunk of " + document.id + " ends where it begins, or before");
        const std::size_t first = offsets.bytes(begin), last = offsets.bytes(end);
        chunks.push_back({document.text.substr(first, last - first), document.id, first, last, document.metadata});
      }
    return chunks;
  };
}

template <class Chunker>
Cut cut_by(Chunker chunker) {
  return [chunker = std::move(chunker)](const rag::Document& document) { return chunker.chunk(document); };
}

/// The chunkers of a size and a second number, what it is says their KIND.
inline Cut make_sized_chunker(const std::string& kind, std::size_t size, std::size_t second, const Length& length,
                              AnyEmbedder& embedder) {
  if (kind == "fixed") return cut_by(rag::FixedChunker<Length>{{size, second}, length});
  if (kind == "markdown") return cut_by(rag::MarkdownChunker<Length>{{size}, length});
  if (kind == "sentence") return cut_by(rag::SentenceChunker<Length>{{size, second}, length});
  if (kind == "window")
    return cut_by(rag::WindowChunker{rag::SentenceChunker<Length>{{.size = size, .sentences = 1}, length}, second});
  if (kind == "parent")
    return cut_by(rag::ParentChunker{rag::RecursiveChunker<Length>{{.size = size}, length},
                                     rag::RecursiveChunker<Length>{{.size = second}, length}});
  if (kind == "context") return cut_by(rag::ContextChunker{rag::MarkdownChunker<Length>{{size}, length}});
  if (kind == "semantic")
    return cut_by(rag::SemanticChunker<AnyEmbedder, Length>{embedder, {.size = size, .piece = second}, length});
  rag::RecursiveOptions recursive{.size = size, .overlap = second, .stops_close = kind == "recursive"};
  if (kind == "published") recursive.separators = {"\n\n", "\n", ".", "?", "!", " ", ""};
  if (kind == "langchain") recursive.separators = {"\n\n", "\n", " ", ""};
  return cut_by(rag::RecursiveChunker<Length>{recursive, length});
}

/// `embedder` must live as long as what is made.
inline Cut make_chunker(const std::string& spelled, const Length& length, AnyEmbedder& embedder) {
  const std::size_t colon = spelled.find(':');
  const std::string kind = spelled.substr(0, colon);
  const std::string rest = colon == std::string::npos ? "" : spelled.substr(colon + 1);
  require_one_of("--chunker", kind, {"recursive", "fixed", "markdown", "sentence", "semantic", "window", "parent", "context",
                                     "separator", "whole", "published", "langchain", "file"});
  if (kind == "file") return read_chunks(rest);
  if (kind == "separator") return cut_by(rag::SeparatorChunker{rest});
  if (kind == "whole")
    return [](const rag::Document& d) { return std::vector<rag::Chunk>{{d.text, d.id, 0, d.text.size(), d.metadata}}; };
  if (kind == "semantic" && embedder.columns == 0) refuse("--chunker semantic: an --embedder is wanted");
  const std::size_t second = rest.find(':');
  const bool two = kind == "semantic" || kind == "window" || kind == "parent";
  if (two && second == std::string::npos) refuse("--chunker " + kind + ": a second number is wanted, see --help");
  const std::size_t size = whole_number("--chunker " + kind + ":SIZE", rest.substr(0, second));
  const std::size_t other =
      second == std::string::npos ? 0 : whole_number("--chunker " + kind + ":SIZE:NUMBER", rest.substr(second + 1));
  return make_sized_chunker(kind, size, other, length, embedder);
}

#endif
