// SPDX-License-Identifier: MIT
#ifndef RAG_LLM_STRUCTURED_HPP
#define RAG_LLM_STRUCTURED_HPP
#include <rag/concepts.hpp>
#include <rag/detail/archetypes.hpp>
#include <rag/detail/citations.hpp>
#include <rag/detail/json_schema.hpp>
#include <rag/detail/trim.hpp>

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// The JSON of an answer: what is left without a byte order mark, thoughts in <think> … </think> before it, and a code
/// fence around it. Where words stand about it, the inside of the one fence there is; else all of it.
RAG_LAZY std::string_view json_of_answer(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  text = trim(text);
  text.remove_prefix(end_of_thoughts(text));
  text = trim(text);
  if (text.starts_with('{') || text.starts_with('[') || text.starts_with('"')) return text;
  const std::size_t open = text.starts_with("```") ? 0 : text.find("\n```") + 1;  // 0: none
  if (open == 0 && !text.starts_with("```")) return text;
  const std::size_t begin = text.find('\n', open);
  const std::size_t end = begin == std::string_view::npos ? begin : text.find("\n```", begin);
  if (end == std::string_view::npos || text.find("\n```", end + 4) != std::string_view::npos) return text;
  return trim(text.substr(begin, end - begin));
}

}  // namespace detail

/// A JSON Schema (2020-12), to check a text that a model wrote: an answer, or ToolCall::arguments.
///
/// Keywords: type, enum, const, properties, required, additionalProperties, items, anyOf, oneOf, allOf, $ref within the
/// schema with $defs or definitions (it may be recursive), minimum, maximum, exclusiveMinimum, exclusiveMaximum,
/// multipleOf (whole), minLength and maxLength (code points), minItems, maxItems, minProperties, maxProperties; title,
/// description, default, examples, $comment, $schema, deprecated, readOnly, writeOnly check nothing. Any other keyword
/// is an Error (unsupported), since a rule that is not checked would be taken for kept: pattern and format among them.
///
///     const rag::JsonSchema schema{R"({"type": "object", "properties": {"year": {"type": "integer"}}})"};
///     schema.fault(R"({"year": "2024"})");   // "/year: integer wanted, \"2024\" met"
RAG_LAZY class BasicJsonSchema {
 public:
  /// A schema that is malformed or refers to itself without an end is an Error (invalid_format) that says where.
  explicit BasicJsonSchema(std::string_view text) : schema_(text, "JsonSchema") {}

  /// "" for a JSON that is as the schema wants it; else what is wrong first. Text that is not JSON, has two properties of
  /// one name or is nested deeper than 64 levels is wrong too, and so is one that takes a million steps to check.
  std::string fault(std::string_view json) const {
    detail::Json value;
    const std::string why = detail::parse_strictly(json, value);
    return why.empty() ? schema_.fault(value) : why;
  }

 private:
  detail::Schema schema_;
};
using JsonSchema = BasicJsonSchema<>;

struct StructuredOptions {
  std::string schema = {};  ///< JSON Schema, see JsonSchema
  std::size_t tries = 2;    ///< questions to the model in all, 1 or more
};

/// An Llm whose answers are JSON that a schema holds for, so that a program may rely on them. An answer that is not gets
/// the fault as the next message and may be given again. Give the schema to the service too, where it can keep to one:
///
///     const std::string schema = R"({"type": "object", "properties": {"answer": {"type": "string"}}, …})";
///     rag::StructuredLlm llm{rag::OpenAiLlm{{.model = "m", .response_schema = schema}, transport}, {.schema = schema}};
///     const rag::Completion completion = llm.complete(messages);   // completion.text is the JSON, nothing around it
///
/// A model that writes a fence, its thoughts or some words around the JSON is understood; of several fences none is
/// taken. After `tries`, and for an answer that was cut off (finish_reason "length", "content_filter", "cancelled"), an
/// Error (invalid_format) has the fault. usage is the sum of all tries. There is no stream: what was not checked isn't
/// handed out.
template <class L>
class StructuredLlm {
  using Part = std::conditional_t<Llm<L>, L, detail::LlmArchetype>;

 public:
  StructuredLlm(L llm, const StructuredOptions& options)
      : llm_(std::move(llm)), schema_text_(options.schema), schema_(options.schema), tries_(options.tries) {
    static_assert(Llm<L>, "rag::StructuredLlm: argument 1 is not an Llm, see rag/concepts.hpp");
    if (tries_ == 0) throw Error(Errc::invalid_argument, "StructuredLlm: 1 try or more wanted, 0 given");
  }

  Completion complete(std::span<const Message> messages) {
    std::vector<Message> turns(messages.begin(), messages.end());
    Usage usage;
    for (std::size_t tried = 1;; ++tried) {
      Completion completion = llm_.complete(turns);
      usage.prompt_tokens += completion.usage.prompt_tokens;
      usage.completion_tokens += completion.usage.completion_tokens;
      const std::string_view json = detail::json_of_answer(completion.text);
      const std::string fault = schema_.fault(json);
      if (fault.empty()) {
        completion.text = std::string(json);
        completion.usage = usage;
        return completion;
      }
      const std::string& reason = completion.finish_reason;
      if (reason == "length" || reason == "content_filter" || reason == "cancelled")
        throw Error(Errc::invalid_format, "StructuredLlm: the answer ended early (" + reason + "): " + fault);
      if (tried == tries_)
        throw Error(Errc::invalid_format, "StructuredLlm: no JSON as wanted in " + std::to_string(tries_) +
                                              (tries_ == 1 ? " try: " : " tries: ") + fault);
      if (!completion.text.empty()) turns.push_back({"assistant", std::move(completion.text)});
      turns.push_back({"user", "That is not the JSON that was asked for. " + fault +
                                   ". Answer with nothing but JSON that this schema holds for:\n" + schema_text_});
    }
  }

  Part& llm() { return llm_; }

 private:
  Part llm_;
  std::string schema_text_;
  JsonSchema schema_;
  std::size_t tries_;
};

RAG_END
#endif
