// SPDX-License-Identifier: MIT
#ifndef RAG_NET_BATCHES_HPP
#define RAG_NET_BATCHES_HPP
#include <rag/net/service_error.hpp>
#include <rag/net/url.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

RAG_BEGIN
namespace detail {

/// Does the service say that a request was too large, as the services that take many texts do in their own ways?
RAG_LAZY bool is_too_large(const ServiceError& error) {
  if (error.status() == 413) return true;
  if (error.status() != 400 && error.status() != 422 && error.status() != 500) return false;
  const std::string message = lower_ascii(error.message());
  for (const char* words : {"too large", "too long", "too many", "too big", "maximum", "context length", "context size", "context_length", "exceed"})
    if (message.find(words) != message.npos) return true;
  return false;
}

/// Calls ask(begin, end) for batches of all texts, in order: each of `limit` texts or fewer, and of more than one only up
/// to max_batch_bytes. Where the service finds one too large, the batches have half its texts from then on; where that one
/// is a single text, its ServiceError leaves and names it.
inline constexpr std::size_t max_batch_bytes = 300'000;  // OpenAI takes 300,000 tokens a request; a token is a byte or more
template <class Ask>
void ask_in_batches(std::span<const std::string_view> texts, std::size_t limit, const Ask& ask) {
  for (std::size_t begin = 0; begin < texts.size();) {
    std::size_t end = begin + 1;
    for (std::size_t bytes = texts[begin].size(); end < texts.size() && end - begin < limit; ++end)
      if ((bytes += texts[end].size()) > max_batch_bytes) break;
    try {
      ask(begin, end);
      begin = end;
    } catch (const ServiceError& error) {
      if (!is_too_large(error)) throw;
      if (end - begin == 1)
        error.rethrow(error.what() + (" (text " + std::to_string(begin)) + " of " + std::to_string(texts[begin].size()) + " bytes)");
      limit = (end - begin) / 2;
    }
  }
}

}  // namespace detail
RAG_END
#endif
