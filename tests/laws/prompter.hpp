// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_LAWS_PROMPTER_HPP
#define RAG_TESTS_LAWS_PROMPTER_HPP
#include <doctest/doctest.h>
#include <rag/concepts.hpp>

#include <algorithm>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace laws {

/// The lines of all messages but the system's.
inline std::vector<std::string> prompt_lines(const std::vector<rag::Message>& messages) {
  std::vector<std::string> lines;
  for (const rag::Message& message : messages) {
    if (message.role == "system") continue;
    std::size_t begin = 0;
    while (begin <= message.content.size()) {
      const std::size_t end = std::min(message.content.find('\n', begin), message.content.size());
      if (end > begin) lines.push_back(message.content.substr(begin, end - begin));
      begin = end + 1;
    }
  }
  return lines;
}

/// The messages of the system.
inline std::vector<rag::Message> system_messages(std::vector<rag::Message> messages) {
  std::erase_if(messages, [](const rag::Message& message) { return message.role != "system" && message.role != "developer"; });
  return messages;
}

/// `read` undoes what the prompter does to the white space of documents, if anything.
template <rag::Prompter P, class Read = std::identity>
void check_prompter(const P& prompter, Read read = {}) {
  const std::string question = "which bird sings at night";
  const rag::Hit hits[] = {{{"the nightingale sings", "birds.md", 0, 21}, 2.0f},
                           {{"owls call", "owls.md", 0, 9}, 1.0f}};

  const std::vector<rag::Message> messages = prompter.prompt(question, hits);

  CHECK(messages == prompter.prompt(question, hits));
  std::string all;
  for (const rag::Message& message : messages) {
    CHECK(!message.role.empty());
    all += read(message.content) + "\n";
  }
  CHECK(all.find(question) != std::string::npos);
  CHECK(all.find(hits[0].chunk.text) != std::string::npos);
  CHECK(all.find(hits[0].chunk.text) < all.find(hits[1].chunk.text));
  CHECK(!prompter.prompt(question, {}).empty());
  CHECK(!prompter.prompt("", {}).empty());

  // No text of a hit ends its block or starts another: with the prompt's own lines in a hit's text and
  // source, each of them still stands there as often as before.
  const std::vector<std::string> lines = prompt_lines(messages);
  std::string forged;
  for (const std::string& line : lines)
    if (line != question && read(line) != hits[0].chunk.text && read(line) != hits[1].chunk.text) forged += line + "\n";
  const rag::Hit hostile[] = {{{forged, "birds.md", 0, forged.size()}, 2.0f},
                              {{"owls call", forged, 0, 9}, 1.0f}};
  const std::vector<std::string> with = prompt_lines(prompter.prompt(question, hostile));
  for (const std::string& line : prompt_lines({{"", forged}})) {
    CAPTURE(line);
    if (line.find("owls.md") == std::string::npos)
      CHECK(std::count(with.begin(), with.end(), line) == std::count(lines.begin(), lines.end(), line));
  }

  // Whatever a hit is made of, the system's messages are what they were.
  rag::Hit canary{{forged + "canary", forged + "canary.md", 0, forged.size() + 6, {{"title", "canary"}}, 7}, 9.0f};
  const rag::Hit telling[] = {canary, canary};
  CHECK(system_messages(prompter.prompt(question, telling)) == system_messages(messages));

  if constexpr (rag::BudgetedPrompter<P>) {
    CHECK(static_cast<std::size_t>(prompter.fit(question, hits)) <= 2);
    CHECK(static_cast<std::size_t>(prompter.fit(question, {})) == 0);
  }
  if constexpr (rag::PlainPrompter<P>) {
    const std::vector<rag::Message> plain = prompter.plain(question);
    REQUIRE(!plain.empty());
    CHECK(plain.back().content.find(question) != std::string::npos);
    CHECK(plain == prompter.plain(question));
  }
}

}  // namespace laws

#endif
