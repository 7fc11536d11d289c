// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_TRIM_HPP
#define RAG_DETAIL_TRIM_HPP
#include <rag/version.hpp>

#include <algorithm>
#include <string_view>

RAG_BEGIN
namespace detail {

RAG_LAZY std::string_view trim(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r\n"), text.size()));
  return text.substr(0, text.find_last_not_of(" \t\r\n") + 1);
}

}  // namespace detail
RAG_END
#endif
