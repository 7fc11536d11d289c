// SPDX-License-Identifier: MIT
#include <rag/net/openai_services.hpp>

#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <optional>
#include <string>

namespace {

/// The variables that matter, set to these values and no others, until the end of the scope.
class Environment {
 public:
  explicit Environment(const std::map<std::string, std::string>& values) {
    for (const char* name : {"OPENROUTER_API_KEY", "DEEPSEEK_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL",
                             "LLAMA_API_KEY", "RAG_MODEL"}) {
      const char* value = std::getenv(name);
      before_[name] = value ? std::optional<std::string>(value) : std::nullopt;
      ::unsetenv(name);
    }
    for (const auto& [name, value] : values) ::setenv(name.c_str(), value.c_str(), 1);
  }
  ~Environment() {
    for (const auto& [name, value] : before_)
      if (value) ::setenv(name.c_str(), value->c_str(), 1);
      else ::unsetenv(name.c_str());
  }

 private:
  std::map<std::string, std::optional<std::string>> before_;
};

}  // namespace

TEST_CASE("Each service knows its address, its model and the variable of its key") {
  const Environment environment({{"OPENROUTER_API_KEY", "or"}, {"DEEPSEEK_API_KEY", "ds"}, {"OPENAI_API_KEY", "oa"}, {"LLAMA_API_KEY", "ll"}});

  CHECK(rag::openrouter().base_url == "https://openrouter.ai/api/v1");
  CHECK(rag::openrouter().model == "deepseek/deepseek-chat-v3-0324");
  CHECK(rag::openrouter("other").model == "other");
  CHECK(rag::openrouter().api_key == "or");
  CHECK(rag::deepseek().base_url == "https://api.deepseek.com");
  CHECK(rag::deepseek().model == "deepseek-chat");
  CHECK(rag::deepseek().api_key == "ds");
  CHECK(rag::openai("gpt-4o").base_url == "https://api.openai.com/v1");
  CHECK(rag::openai("gpt-4o").api_key == "oa");
  CHECK(rag::ollama("m").base_url == "http://localhost:11434/v1");
  CHECK(rag::ollama("m").api_key == "ollama");
  CHECK(rag::llama_server().base_url == "http://localhost:8080/v1");
  CHECK(rag::llama_server().api_key == "ll");
  CHECK(rag::openai("gpt-4o").temperature == 0);
}

TEST_CASE("A service without its key in the environment has none") {
  const Environment environment({});

  CHECK(rag::openrouter().api_key.empty());
  CHECK_FALSE(rag::options_from_environment().has_value());
}

TEST_CASE("The environment picks OpenRouter, then DeepSeek, then OpenAI or an endpoint without a key") {
  using Values = std::map<std::string, std::string>;
  const auto picked = [](const Values& values) {
    const Environment environment(values);
    const auto options = rag::options_from_environment();
    return options ? options->base_url + ' ' + options->model + ' ' + options->api_key : std::string();
  };

  CHECK(picked({{"OPENROUTER_API_KEY", "a"}, {"DEEPSEEK_API_KEY", "b"}, {"OPENAI_API_KEY", "c"}}) ==
        "https://openrouter.ai/api/v1 deepseek/deepseek-chat-v3-0324 a");
  CHECK(picked({{"OPENROUTER_API_KEY", ""}, {"DEEPSEEK_API_KEY", "b"}, {"OPENAI_API_KEY", "c"}}) ==
        "https://api.deepseek.com deepseek-chat b");
  CHECK(picked({{"OPENAI_API_KEY", "c"}}) == "https://api.openai.com/v1 gpt-4o-mini c");
  CHECK(picked({{"OPENAI_API_KEY", "c"}, {"OPENAI_BASE_URL", "https://x/v1"}, {"OPENAI_MODEL", "m"}}) == "https://x/v1 m c");
  CHECK(picked({{"OPENAI_BASE_URL", "http://localhost:1/v1"}, {"RAG_MODEL", "r"}, {"OPENAI_MODEL", "m"}}) == "http://localhost:1/v1 r ");
  CHECK(picked({{"DEEPSEEK_API_KEY", "b"}, {"OPENAI_MODEL", "m"}}) == "https://api.deepseek.com deepseek-chat b");
  CHECK(picked({{"DEEPSEEK_API_KEY", "b"}, {"RAG_MODEL", "deepseek-reasoner"}}) == "https://api.deepseek.com deepseek-reasoner b");
  CHECK(picked({{"RAG_MODEL", "r"}, {"OPENAI_MODEL", "m"}}).empty());
}
