// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_LAWS_LOADER_HPP
#define RAG_TESTS_LAWS_LOADER_HPP
#include <doctest/doctest.h>
#include <rag/concepts.hpp>
#include <rag/detail/utf8.hpp>

#include <set>
#include <string>
#include <vector>

namespace laws {

/// The laws of rag::Loader on one file that it reads.
template <class L>
  requires rag::Loader<L>
void check_loader(const L& loader, const rag::Document& file) {
  CAPTURE(file.id);
  CHECK(static_cast<bool>(loader.reads(file.id)));

  const std::vector<rag::Document> documents = loader.load(file), again = loader.load(file);

  std::set<std::string> ids;
  REQUIRE(documents.size() == again.size());
  for (std::size_t i = 0; i < documents.size(); ++i) {
    CAPTURE(documents[i].id);
    const bool of_file = documents.size() == 1 && documents[i].id == file.id;
    CHECK((of_file || documents[i].id.starts_with(file.id + '#')));
    CHECK(ids.insert(documents[i].id).second);
    CHECK(rag::detail::invalid_utf8(documents[i].text) == std::string::npos);
    CHECK(documents[i].id == again[i].id);
    CHECK(documents[i].text == again[i].text);
    const bool same_metadata = documents[i].metadata == again[i].metadata;
    CHECK(same_metadata);
  }
}

}  // namespace laws

#endif
