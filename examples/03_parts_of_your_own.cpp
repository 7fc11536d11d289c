// SPDX-License-Identifier: MIT
// 3. Any part can be yours: no base class, no registration. The compiler checks that it fits.
#include <rag/core.hpp>

#include <cctype>
#include <iostream>

// An embedder is two functions. This one counts letters.
struct LetterEmbedder {
  static constexpr std::size_t dimension() { return 26; }

  rag::Matrix embed(std::span<const std::string_view> texts) const {
    rag::Matrix vectors(texts.size(), dimension());
    for (std::size_t i = 0; i < texts.size(); ++i)
      for (const char c : texts[i])
        if (std::isalpha(static_cast<unsigned char>(c)))
          vectors.row(i)[static_cast<std::size_t>(std::tolower(c) - 'a')] += 1;
    return vectors;
  }
};
static_assert(rag::Embedder<LetterEmbedder>);

// A language model is one function.
struct ShoutingLlm {
  std::string complete(std::span<const rag::Message> messages) const {
    std::string text = "I READ " + std::to_string(messages.size()) + " MESSAGES, AND [1] LOOKS GOOD.";
    return text;
  }
};
static_assert(rag::Llm<ShoutingLlm>);

int main() {
  // Both know their dimension at compile time, so FlatStore<25> here would not compile.
  rag::Pipeline pets{rag::SeparatorChunker{"\n"}, LetterEmbedder{}, rag::FlatStore<26, rag::Cosine>{}, ShoutingLlm{}};
  pets.add({"pets.txt", "a cat\na dog\na tortoise"});

  std::cout << pets.search("god", 1).at(0).chunk.text << '\n';
  std::cout << pets.ask("Which pet?").text << '\n';
}
