// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_ASKING_RETRIEVER_HPP
#define RAG_DETAIL_ASKING_RETRIEVER_HPP
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>
#include <rag/detail/prompt_text.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// What MultiQuery, Hyde and Decompose have in common: a retriever, a model that is asked before it is searched, and
/// all else passed on to the retriever.
template <class R, class L>
class AskingRetriever {
 public:
  // An argument that is not of its role is replaced, so that nothing else fails after the assertion.
  using Inner = std::conditional_t<Retriever<R>, R, RetrieverArchetype>;
  using LlmPart = std::conditional_t<Llm<L>, L, LlmArchetype>;

  AskingRetriever(R retriever, L& llm) : retriever_(std::move(retriever)) {
    if constexpr (std::is_same_v<LlmPart, L>) llm_ = &llm;
  }

  std::vector<Id> add(std::span<const Chunk> chunks) { return retriever_.add(chunks); }

  std::vector<Id> replace(std::string_view source, std::span<const Chunk> chunks)
    requires ReplacingRetriever<Inner>
  {
    return retriever_.replace(source, chunks);
  }
  std::vector<Chunk> chunks(std::string_view source)
    requires ReplacingRetriever<Inner>
  {
    return retriever_.chunks(source);
  }

  std::size_t count_tokens(std::string_view text) const
    requires TokenCounter<Inner>
  {
    return static_cast<std::size_t>(retriever_.count_tokens(text));
  }
  std::size_t max_tokens() const
    requires TokenCounter<Inner>
  {
    return static_cast<std::size_t>(retriever_.max_tokens());
  }

  Inner& retriever() { return retriever_; }
  const Inner& retriever() const { return retriever_; }
  LlmPart& llm() const { return *llm_; }

 protected:
  // At most one, which the retriever takes.
  template <class... F>
  static constexpr bool filters = sizeof...(F) <= 1 && (FilteringRetriever<Inner, F> && ...);

  std::string write(const std::vector<Message>& messages) {
    Completion completion = llm_->complete(messages);
    return std::move(completion.text);
  }

  template <class... F>
  std::vector<std::vector<Hit>> search_each(const std::vector<std::string>& questions, std::size_t k,
                                            const F&... filter) {
    std::vector<std::vector<Hit>> rankings;
    for (const std::string& question : questions) rankings.push_back(retriever_.search(question, k, filter...));
    return rankings;
  }

 private:
  Inner retriever_;
  LlmPart* llm_ = nullptr;
};

/// A system message, left out where it is empty, and a user message: how many lines are wanted, where that is said, and
/// the question in a block that it can't close.
RAG_LAZY std::vector<Message> ask_about(const std::string& system, std::string_view question, std::size_t count = 0) {
  std::vector<Message> messages;
  if (!system.empty()) messages.push_back({"system", system});
  std::string user = count == 0 ? "" : "<count>" + std::to_string(count) + "</count>\n";
  append_question(user, question);
  messages.push_back({"user", std::move(user)});
  return messages;
}

}  // namespace detail
RAG_END
#endif
