// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_ASKING_RETRIEVER_HPP
#define RAG_DETAIL_ASKING_RETRIEVER_HPP
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>
#include <rag/detail/prompt_text.hpp>
#include <rag/detail/wrapping_retriever.hpp>

#include <cstddef>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// What MultiQuery, Hyde and Decompose have in common: a retriever, and a model that is asked before it is searched.
template <class R, class L>
class AskingRetriever : public WrappingRetriever<R> {
 public:
  using LlmPart = std::conditional_t<Llm<L>, L, LlmArchetype>;

  AskingRetriever(R retriever, L& llm) : WrappingRetriever<R>(std::move(retriever)) {
    if constexpr (std::is_same_v<LlmPart, L>) llm_ = &llm;
  }

  LlmPart& llm() const { return *llm_; }

 protected:
  std::string write(const std::vector<Message>& messages) {
    Completion completion = llm_->complete(messages);
    return std::move(completion.text);
  }

  template <class... F>
  std::vector<std::vector<Hit>> search_each(const std::vector<std::string>& questions, std::size_t k,
                                            const F&... filter) {
    std::vector<std::vector<Hit>> rankings;
    for (const std::string& question : questions)
      rankings.push_back(this->retriever().search(question, k, filter...));
    return rankings;
  }

 private:
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
