// SPDX-License-Identifier: MIT
// Together with second_test.cpp: everything, included in two units of one program.
#include <rag/rag.hpp>

#include <string>

std::string prompt_of_first_unit(const std::string& question);
std::string prompt_of_first_unit(const std::string& question) {
  rag::Pipeline faq{rag::SeparatorChunker{"# "}, rag::HashingEmbedder{}, rag::FlatStore{}, rag::EchoLlm{}};
  faq.add({"faq.md", "# How is data stored?\nAs an incremental log."});
  return faq.prompt(question).back().content;
}
