// SPDX-License-Identifier: MIT
#include <rag/rag.hpp>

#include <doctest/doctest.h>

#include <string>

std::string prompt_of_first_unit(const std::string& question);

TEST_CASE("two units that include everything are one program and do the same") {
  rag::Pipeline faq{rag::SeparatorChunker{"# "}, rag::HashingEmbedder{}, rag::FlatStore{}, rag::EchoLlm{}};
  faq.add({"faq.md", "# How is data stored?\nAs an incremental log."});

  const std::string prompt = faq.prompt("how is data stored").back().content;

  CHECK(prompt.find("incremental log") != std::string::npos);
  CHECK(prompt == prompt_of_first_unit("how is data stored"));
}
