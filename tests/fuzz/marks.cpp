// SPDX-License-Identifier: MIT
// A schema, a JSON and an answer, as a model may write them: each mark of the answer has bytes of its own and numbers that
// are told apart, and what a schema holds for it holds for however it is written.
#include <rag/detail/citations.hpp>
#include <rag/llm/structured.hpp>
#include <rag/render.hpp>
#include <rag/statements.hpp>

#include "fuzz.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void check_marks(const std::string& text) {
  rag::Answer answer;
  answer.text = text;
  answer.sources = {{{"apples", "a"}}, {{"pears", "b"}}, {{"数据", "c"}}};
  rag::detail::resolve_citations(answer);
  std::size_t before = 0;
  for (const rag::Citation& mark : answer.citations) {
    require(mark.begin >= before && mark.begin < mark.end && mark.end <= text.size());
    require(text[mark.begin] == '[' || text[mark.begin] == '\xE3' || text[mark.begin] == '\xEF');
    for (const std::size_t number : mark.numbers)
      require(number >= 1 && number <= 3 && std::count(answer.cited.begin(), answer.cited.end(), number) == 1);
    for (const std::size_t number : mark.unknown)
      require((number == 0 || number > 3) && std::count(answer.unknown.begin(), answer.unknown.end(), number) == 1);
    before = mark.end;
  }
  for (const rag::Statement& statement : rag::statements(answer))
    require(statement.begin <= statement.end && statement.end <= text.size() && statement.shared >= 0 && statement.shared <= 1);
  require(!rag::references(answer).empty());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Parts parts(data, size);
  const std::string schema(parts.next()), json(parts.next()), text(parts.rest());
  check_marks(text);
  return fuzz::read_or_refuse([&] {
    const rag::JsonSchema checker(schema);
    checker.fault(rag::detail::json_of_answer(text));
    if (!checker.fault(json).empty()) return;
    require(checker.fault(rag::detail::Json::parse(json).dump(2, ' ', true)).empty());
  });
}
