// SPDX-License-Identifier: MIT
#ifndef RAG_EMBED_CACHED_HPP
#define RAG_EMBED_CACHED_HPP
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>
#include <rag/detail/vector_cache.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

struct NamedEmbedderArchetype : EmbedderArchetype {
  using EmbedderArchetype::EmbedderArchetype;
  std::string name() const { return {}; }
};

}  // namespace detail

/// Remembers in a file what an embedder gave, so that a text is embedded once: by this program, by the next one, and
/// within a batch. Entries belong to the embedder's name() and the text; several models may share a file. A vector
/// from the file has the bits of the one that was put there. New texts of a batch are embedded together.
///
/// The file is locked while this lives: a second user gets an Error (io). A kill at any moment costs at most the
/// batch under way; after a power failure, what had not reached the disk is embedded again. Damage that is not an
/// unfinished end is an Error (corrupt). When the file can't be written, embed() throws (io) and the file stays as it
/// was. Memory: about 80 bytes an entry, the vectors stay in the file.
///
///     rag::CachedEmbedder embedder{rag::MiniLmEmbedder{folder}, "vectors.cache"};
template <class E>
class CachedEmbedder {
  // After a failed assertion the rest compiles with a part that does nothing, so the assertion is the one error.
  using Part = std::conditional_t<NamedEmbedder<E>, E, detail::NamedEmbedderArchetype>;

 public:
  CachedEmbedder(E embedder, const std::string& path) : embedder_(std::move(embedder)), cache_(path) {
    static_assert(NamedEmbedder<E>,
                  "rag::CachedEmbedder: argument 1 is not a NamedEmbedder (a cache is keyed by model and text), see "
                  "rag/concepts.hpp");
  }

  static constexpr std::size_t dimension()
    requires(static_dimension<Part> != 0)
  {
    return static_dimension<Part>;
  }
  std::size_t dimension()
    requires(static_dimension<Part> == 0)
  {
    return static_cast<std::size_t>(embedder_.dimension());
  }

  std::string name() const { return embedder_.name(); }

  Matrix embed(std::span<const std::string_view> texts) {
    return recall(texts, "passage", [&](std::span<const std::string_view> fresh) { return embedder_.embed(fresh); });
  }

  std::vector<float> embed_query(std::string_view text)
    requires QueryEmbedder<Part>
  {
    const Matrix vectors = recall(std::span(&text, 1), "query", [&](std::span<const std::string_view>) {
      const std::vector<float> query = embedder_.embed_query(text);
      Matrix row(1, query.size());
      std::copy(query.begin(), query.end(), row.data());
      return row;
    });
    return {vectors.row(0).begin(), vectors.row(0).end()};
  }

  std::size_t count_tokens(std::string_view text) const
    requires TokenCounter<Part>
  {
    return static_cast<std::size_t>(embedder_.count_tokens(text));
  }
  std::size_t max_tokens() const
    requires TokenCounter<Part>
  {
    return static_cast<std::size_t>(embedder_.max_tokens());
  }

  Part& embedder() { return embedder_; }
  const Part& embedder() const { return embedder_; }

 private:
  using Cache = detail::BasicVectorCache<E>;
  using Key = typename Cache::Key;

  // Texts that are not in the file yet go through `embed`, each once, and into the file.
  template <class Embed>
  Matrix recall(std::span<const std::string_view> texts, const char* kind, Embed embed) {
    const std::string model = name();
    const auto known = static_cast<std::size_t>(dimension());
    std::vector<Key> keys, fresh_keys;
    std::vector<std::string_view> fresh_texts;
    std::unordered_map<Key, std::size_t, typename Key::Hash> fresh;  // to the row of what is embedded now
    keys.reserve(texts.size());
    for (const std::string_view text : texts) {
      const Key& key = keys.emplace_back(model, kind, text);
      const auto* place = cache_.find(key);
      const bool usable = place != nullptr && (known == 0 || place->columns == known);
      if (usable || !fresh.try_emplace(key, fresh_texts.size()).second) continue;
      fresh_texts.push_back(text);
      fresh_keys.push_back(key);
    }
    const Matrix made = fresh_texts.empty() ? Matrix() : embed(std::span<const std::string_view>(fresh_texts));
    require("rows from the embedder", fresh_texts.size(), made.rows());
    std::size_t columns = fresh_texts.empty() ? known : made.columns();
    if (columns == 0 && !keys.empty()) columns = cache_.find(keys[0])->columns;

    Matrix vectors(texts.size(), columns);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      const auto row = vectors.row(i);
      if (const auto at = fresh.find(keys[i]); at != fresh.end()) {
        std::copy_n(made.row(at->second).begin(), columns, row.begin());
      } else {
        const auto* place = cache_.find(keys[i]);
        require("columns, as this model gave before,", place->columns, columns);
        cache_.read(keys[i], *place, row);
      }
    }
    if (!fresh_keys.empty()) cache_.append(fresh_keys, made);
    return vectors;
  }

  void require(const char* of_what, std::size_t wanted, std::size_t given) const {
    if (wanted != given)
      throw Error(Errc::dimension_mismatch, cache_.what() + ": " + std::to_string(wanted) + " " + of_what +
                                                " wanted, " + std::to_string(given) + " given");
  }

  Part embedder_;
  Cache cache_;
};

RAG_END
#endif
