// SPDX-License-Identifier: MIT
#ifndef RAG_NET_OPENAI_SERVICES_HPP
#define RAG_NET_OPENAI_SERVICES_HPP
#include <rag/detail/environment.hpp>
#include <rag/version.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

RAG_BEGIN

/// Where a chat model lives and how it is asked.
struct OpenAiOptions {
  std::string base_url = "https://openrouter.ai/api/v1";
  std::string model = {};
  std::string api_key = {};        ///< empty: none is sent
  double temperature = 0;          ///< 0: as repeatable as the service can; negative: not sent, for models that take none
  std::size_t max_tokens = 2048;   ///< always sent, so that no answer's cost is without bound; a model's thoughts count too
  // What is empty is not sent, so that a service which does not know it is not asked for it.
  std::vector<std::string> stop = {};      ///< the answer ends before the first of these texts
  std::optional<std::int64_t> seed = {};   ///< the same seed gives the same answer, as far as the service can
  std::string response_schema = {};  ///< a JSON schema: the answer is JSON that keeps it ("strict"); "{}": any JSON object
  std::string tools = {};            ///< a JSON array of {"type": "function", "function": {"name": …, "parameters": …}}
  std::string tool_choice = {};      ///< "auto", "none", "required", or the name of the function to be called
};

// Services by name. Each takes its key from the variable that its users have set already.

/// OpenRouter, with the key of OPENROUTER_API_KEY.
RAG_LAZY OpenAiOptions openrouter(std::string model = "deepseek/deepseek-chat-v3-0324") {
  return {"https://openrouter.ai/api/v1", std::move(model), detail::environment("OPENROUTER_API_KEY").value_or("")};
}

/// DeepSeek's own service, with the key of DEEPSEEK_API_KEY.
RAG_LAZY OpenAiOptions deepseek(std::string model = "deepseek-chat") {
  return {"https://api.deepseek.com", std::move(model), detail::environment("DEEPSEEK_API_KEY").value_or("")};
}

/// OpenAI, or what stands at OPENAI_BASE_URL, with the key of OPENAI_API_KEY.
RAG_LAZY OpenAiOptions openai(std::string model = "gpt-4o-mini") {
  return {detail::environment("OPENAI_BASE_URL").value_or("https://api.openai.com/v1"), std::move(model),
          detail::environment("OPENAI_API_KEY").value_or("")};
}

/// Ollama on this machine. It wants a key and looks at none.
RAG_LAZY OpenAiOptions ollama(std::string model = "llama3.2") {
  return {"http://localhost:11434/v1", std::move(model), "ollama"};
}

/// llama.cpp's llama-server on this machine, with the key of LLAMA_API_KEY. It answers with the model that it has
/// loaded, whatever the name.
RAG_LAZY OpenAiOptions llama_server(std::string model = "default") {
  return {"http://localhost:8080/v1", std::move(model), detail::environment("LLAMA_API_KEY").value_or("")};
}

/// The first service that the environment names: OPENROUTER_API_KEY, DEEPSEEK_API_KEY, then OPENAI_API_KEY or
/// OPENAI_BASE_URL, which alone means an endpoint without a key. RAG_MODEL names another model than the preset's;
/// for the last, OPENAI_MODEL does too. Empty where none is set.
RAG_LAZY std::optional<OpenAiOptions> options_from_environment() {
  using detail::environment;
  std::optional<OpenAiOptions> options;
  if (environment("OPENROUTER_API_KEY")) options = openrouter();
  else if (environment("DEEPSEEK_API_KEY")) options = deepseek();
  else if (environment("OPENAI_API_KEY") || environment("OPENAI_BASE_URL")) {
    options = openai();
    if (const auto model = environment("OPENAI_MODEL")) options->model = *model;
  }
  if (const auto model = environment("RAG_MODEL"); model && options) options->model = *model;
  return options;
}

RAG_END
#endif
