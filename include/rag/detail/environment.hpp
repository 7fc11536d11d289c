// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_ENVIRONMENT_HPP
#define RAG_DETAIL_ENVIRONMENT_HPP
#include <rag/version.hpp>

#include <cstdlib>
#include <optional>
#include <string>

RAG_BEGIN
namespace detail {

/// A variable of the environment; empty counts as not set.
RAG_LAZY std::optional<std::string> environment(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

}  // namespace detail
RAG_END
#endif
