// SPDX-License-Identifier: MIT
#include <rag/llm/openai.hpp>
#include <rag/llm/structured.hpp>

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

/// Gives its answers one after the other and keeps what it was asked.
struct ScriptedLlm {
  std::vector<rag::Completion> answers;
  std::vector<std::vector<rag::Message>> asked = {};
  rag::Completion complete(std::span<const rag::Message> messages) {
    asked.emplace_back(messages.begin(), messages.end());
    REQUIRE(asked.size() <= answers.size());
    return answers[asked.size() - 1];
  }
};
static_assert(rag::Llm<rag::StructuredLlm<ScriptedLlm>>);

const std::string year = R"({"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"], "additionalProperties": false})";
const rag::Message question[] = {{"user", "When?"}};

rag::Completion completion(std::string text, std::string reason = "stop") {
  rag::Completion result(std::move(text));
  result.finish_reason = std::move(reason);
  result.usage = {10, 3};
  return result;
}

std::string error_of(const auto& work) {
  try {
    work();
  } catch (const rag::Error& error) {
    return error.what();
  }
  return "";
}

std::string fault(std::string_view schema, std::string_view json) { return rag::JsonSchema(schema).fault(json); }

}  // namespace

TEST_CASE("JsonSchema holds for what it describes and says where something else is wrong") {
  const struct { const char *schema, *json, *fault; } rows[] = {
      {"true", "[1]", ""},
      {"{}", "null", ""},
      {"false", "1", "the whole: nothing wanted, 1 met"},
      {R"({"type": "string"})", R"("a")", ""},
      {R"({"type": "string"})", "5", "the whole: string wanted, 5 met"},
      {R"({"type": ["string", "null"]})", "null", ""},
      {R"({"type": ["string", "null"]})", "true", "the whole: string or null wanted, true met"},
      {R"({"type": "integer"})", "1.0", ""},
      {R"({"type": "integer"})", "1.5", "the whole: integer wanted, 1.5 met"},
      {R"({"type": "number"})", "1", ""},
      {R"({"type": "number"})", "\"1\"", "the whole: number wanted, \"1\" met"},
      {R"({"type": "boolean"})", "0", "the whole: boolean wanted, 0 met"},
      {R"({"type": "object"})", "[]", "the whole: object wanted, an array of 0 met"},
      {R"({"properties": {"a": {"type": "array", "items": {"type": "integer"}}}})", R"({"a": [1, 2, "x"]})", "/a/2: integer wanted, \"x\" met"},
      {R"({"properties": {"a": {"type": "integer"}}})", "7", ""},
      {R"({"properties": {"a": {"type": "integer"}}})", R"({"b": "x"})", ""},
      {R"({"required": ["a", "b"]})", R"({"a": 1})", "the whole: a property \"b\" wanted, an object met"},
      {R"({"required": ["a"]})", "[]", ""},
      {R"({"properties": {"a": true}, "additionalProperties": false})", R"({"a": 1, "b": 2})", "/b: nothing wanted, 2 met"},
      {R"({"additionalProperties": {"type": "string"}})", R"({"a": "x", "b": 2})", "/b: string wanted, 2 met"},
      {R"({"items": false})", "[]", ""},
      {R"({"enum": ["a", 1, null, [2]]})", "[2.0]", ""},
      {R"({"enum": ["a", 1]})", "\"b\"", "the whole: one of \"a\", 1 wanted, \"b\" met"},
      {R"({"enum": [-1]})", "18446744073709551615", "the whole: one of -1 wanted, 18446744073709551615 met"},
      {R"({"enum": [1]})", "true", "the whole: one of 1 wanted, true met"},
      {R"({"const": {"a": [1]}})", R"({"a": [1.0]})", ""},
      {R"({"const": null})", "0", "the whole: null wanted, 0 met"},
      {R"({"minimum": 1, "maximum": 2})", "2", ""},
      {R"({"minimum": 1})", "0.5", "the whole: at least 1 wanted, 0.5 met"},
      {R"({"maximum": 9223372036854775807})", "9223372036854775808", "the whole: at most 9223372036854775807 wanted, 9223372036854775808 met"},
      {R"({"minimum": 0})", "18446744073709551615", ""},
      {R"({"exclusiveMinimum": 1})", "1", "the whole: more than 1 wanted, 1 met"},
      {R"({"exclusiveMaximum": 1})", "1", "the whole: less than 1 wanted, 1 met"},
      {R"({"multipleOf": 5})", "15", ""},
      {R"({"multipleOf": 5})", "7", "the whole: a multiple of 5 wanted, 7 met"},
      {R"({"minimum": 5})", "\"a\"", ""},
      {R"({"minLength": 2, "maxLength": 2})", "\"日本\"", ""},
      {R"({"minLength": 3})", "\"日本\"", "the whole: 3 characters or more wanted, \"日本\" met"},
      {R"({"maxLength": 1})", "\"ab\"", "the whole: 1 characters or fewer wanted, \"ab\" met"},
      {R"({"maxLength": 1})", "\"\\ud83c\\udf89\"", ""},
      {R"({"minItems": 1})", "[]", "the whole: 1 items or more wanted, an array of 0 met"},
      {R"({"maxItems": 1})", "[1, 2]", "the whole: 1 items or fewer wanted, an array of 2 met"},
      {R"({"minProperties": 1})", "{}", "the whole: 1 properties or more wanted, an object met"},
      {R"({"maxProperties": 0})", R"({"a": 1})", "the whole: 0 properties or fewer wanted, an object met"},
      {R"({"anyOf": [{"type": "null"}, {"type": "object", "required": ["a"]}]})", "null", ""},
      {R"({"anyOf": [{"type": "null"}, {"properties": {"a": {"type": "string"}}, "type": "object"}]})", R"({"a": 1})", "/a: string wanted, 1 met, and no other form fits"},
      {R"({"oneOf": [{"type": "integer"}, {"minimum": 3}]})", "2", ""},
      {R"({"oneOf": [{"type": "integer"}, {"minimum": 3}]})", "3", "the whole: exactly one form of oneOf wanted, 3 met"},
      {R"({"allOf": [{"type": "integer"}, {"minimum": 3}]})", "2", "the whole: at least 3 wanted, 2 met"},
      {R"({"$defs": {"y": {"type": "integer"}}, "items": {"$ref": "#/$defs/y", "minimum": 3}})", "[3]", ""},
      {R"({"$defs": {"y": {"type": "integer"}}, "items": {"$ref": "#/$defs/y", "minimum": 3}})", "[2]", "/0: at least 3 wanted, 2 met"},
      {R"({"$defs": {"a/b": {"type": "integer"}}, "items": {"$ref": "#/$defs/a~1b"}})", "[true]", "/0: integer wanted, true met"},
      {R"({"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]})", R"({"next": {"next": null}})", ""},
      {R"({"type": "object", "properties": {"next": {"$ref": "#"}}, "additionalProperties": false})", R"({"next": {"next": {"x": 1}}})", "/next/next/x: nothing wanted, 1 met"},
      {R"({"title": "t", "description": "d", "default": 1, "examples": [], "$comment": "c", "$schema": "s", "deprecated": true})", "1", ""},
  };
  for (const auto& row : rows) {
    CAPTURE(row.schema);
    CAPTURE(row.json);
    CHECK(fault(row.schema, row.json) == row.fault);
  }
}

TEST_CASE("JsonSchema refuses a schema that it would not keep to") {
  const struct { const char *schema, *error; } rows[] = {
      {"{", "JsonSchema: schema: not JSON: "},
      {R"({"type": "string", "type": "null"})", "JsonSchema: schema: two properties are called \"type\""},
      {"7", "JsonSchema: schema at #: an object or a bool wanted, 7 given"},
      {R"({"properties": {"a": {"pattern": "^a+$"}}})", "JsonSchema: schema at #/properties/a/pattern: this keyword is not among those that are checked"},
      {R"({"format": "date"})", "JsonSchema: schema at #/format: this keyword is not"},
      {R"({"items": [{}]})", "JsonSchema: schema at #/items: an object or a bool wanted, an array of 1 given"},
      {R"({"type": "text"})", "JsonSchema: schema at #/type: object, array, string, number, integer, boolean or null wanted, \"text\" given"},
      {R"({"type": []})", "JsonSchema: schema at #/type: a type or an array of types wanted"},
      {R"({"properties": []})", "JsonSchema: schema at #/properties: an object of schemas wanted"},
      {R"({"required": "a"})", "JsonSchema: schema at #/required: an array of names wanted"},
      {R"({"required": [1]})", "JsonSchema: schema at #/required: an array of names wanted"},
      {R"({"enum": []})", "JsonSchema: schema at #/enum: an array of 1 value or more wanted"},
      {R"({"anyOf": []})", "JsonSchema: schema at #/anyOf: an array of 1 schema or more wanted"},
      {R"({"anyOf": [{}, 3]})", "JsonSchema: schema at #/anyOf/1: an object or a bool wanted, 3 given"},
      {R"({"minLength": -1})", "JsonSchema: schema at #/minLength: a whole number of 0 or more wanted, -1 given"},
      {R"({"minItems": 1.5})", "JsonSchema: schema at #/minItems: a whole number of 0 or more wanted, 1.5 given"},
      {R"({"minimum": "1"})", "JsonSchema: schema at #/minimum: a number wanted, \"1\" given"},
      {R"({"multipleOf": 0.1})", "JsonSchema: schema at #/multipleOf: a whole number of 1 or more wanted, 0.1 given"},
      {R"({"$ref": "other.json"})", "JsonSchema: schema at #/$ref: \"#\" or"},
      {R"({"items": {"$ref": "#/$defs/no"}})", "JsonSchema: schema at #/items/$ref: \"#\" or"},
      {R"({"enum": [{}], "items": {"$ref": "#/enum/0"}})", "JsonSchema: schema at #: no schema is at $ref \"#/enum/0\""},
      {R"({"$ref": "#"})", "JsonSchema: schema at #: a $ref leads back to itself"},
      {R"({"$defs": {"a": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/b"}]}, "b": {"allOf": [{"$ref": "#/$defs/a"}]}}})", "JsonSchema: schema at #: a $ref leads back to itself"},
  };
  for (const auto& row : rows) {
    CAPTURE(row.schema);
    CHECK(error_of([&] { rag::JsonSchema schema(row.schema); }).substr(0, std::string_view(row.error).size()) == row.error);
  }
}

TEST_CASE("JsonSchema::fault has a word for each hostile document") {
  const rag::JsonSchema any("{}");
  CHECK(any.fault("").starts_with("not JSON: "));
  CHECK(any.fault("{} {}").starts_with("not JSON: "));
  CHECK(any.fault("{'a': 1}").starts_with("not JSON: "));
  CHECK(any.fault("NaN").starts_with("not JSON: "));
  CHECK(any.fault("\"\xC3\"").starts_with("not JSON: "));
  CHECK(any.fault("\"\\ud800\"").starts_with("not JSON: "));
  CHECK(any.fault("1e999").starts_with("not JSON: "));
  CHECK(any.fault(R"({"a": 1, "b": {"a": 2}, "a": 3})") == "two properties are called \"a\"");
  CHECK(any.fault(R"([{"a": 1}, {"a": 2}])") == "");
  CHECK(any.fault(std::string(64, '[') + std::string(64, ']')) == "");
  CHECK(any.fault(std::string(65, '[') + std::string(65, ']')) == "JSON nested deeper than 64");
  CHECK(any.fault(std::string(1'000'000, '[')) == "JSON nested deeper than 64");

  // Each level is tried in two ways that both fail at the innermost.
  const rag::JsonSchema doubling(R"({"anyOf": [{"type": "array", "items": {"$ref": "#"}}, {"items": {"$ref": "#"}, "type": "array"}]})");
  CHECK(doubling.fault("[[[[1]]]]") == "/0/0/0/0: array wanted, 1 met, and no other form fits");
  CHECK(doubling.fault(std::string(60, '[') + "1" + std::string(60, ']')) == "more than 1000000 steps to check");
}

TEST_CASE("StructuredLlm gives the JSON alone, whatever a model puts around it") {
  for (const char* text : {R"({"year": 1999})", " {\"year\": 1999}\n", "\xEF\xBB\xBF{\"year\": 1999}", "```json\n{\"year\": 1999}\n```", "```\n{\"year\": 1999}\n```\n",
                           "<think>A {\"year\": 7}?\n```\n</think>\n\n{\"year\": 1999}", "<think></think>```json\n{\"year\": 1999}\n```",
                           "Here it is:\n\n```json\n{\"year\": 1999}\n```\nI hope it helps."}) {
    CAPTURE(text);
    rag::StructuredLlm llm{ScriptedLlm{{completion(text)}}, {.schema = year}};
    CHECK(llm.complete(question).text == R"({"year": 1999})");
  }
}

TEST_CASE("StructuredLlm asks again with the fault, and adds up what it cost") {
  rag::StructuredLlm llm{ScriptedLlm{{completion("Nineteen ninety-nine."), completion(R"({"year": "1999"})"), completion(R"({"year": 1999})")}}, {.schema = year, .tries = 3}};

  const rag::Completion answer = llm.complete(question);

  CHECK(answer.text == R"({"year": 1999})");
  CHECK(answer.usage == rag::Usage{30, 9});
  const auto& asked = llm.llm().asked;
  REQUIRE(asked.size() == 3);
  CHECK(asked[0] == std::vector<rag::Message>{{"user", "When?"}});
  REQUIRE(asked[2].size() == 5);
  CHECK(asked[2][1] == rag::Message{"assistant", "Nineteen ninety-nine."});
  CHECK(asked[2][2].content.find("not JSON: ") != std::string::npos);
  CHECK(asked[2][3] == rag::Message{"assistant", R"({"year": "1999"})"});
  CHECK(asked[2][4] == rag::Message{"user", "That is not the JSON that was asked for. /year: integer wanted, \"1999\" met. Answer with nothing but JSON that this schema holds for:\n" + year});
}

TEST_CASE("StructuredLlm gives up after its tries, and at once where another try would end the same way") {
  const auto ask = [](std::vector<rag::Completion> answers, std::size_t tries) {
    rag::StructuredLlm llm{ScriptedLlm{std::move(answers)}, {.schema = year, .tries = tries}};
    const std::string error = error_of([&] { llm.complete(question); });
    return std::to_string(llm.llm().asked.size()) + ": " + error;
  };
  CHECK(ask({completion("{}")}, 1) == "1: StructuredLlm: no JSON as wanted in 1 try: the whole: a property \"year\" wanted, an object met");
  CHECK(ask({completion(""), completion(R"({"year": 1, "month": 2})")}, 2) == "2: StructuredLlm: no JSON as wanted in 2 tries: /month: nothing wanted, 2 met");
  CHECK(ask({completion("{\"year\": 19", "length")}, 5).starts_with("1: StructuredLlm: the answer ended early (length): not JSON: "));
  CHECK(ask({completion("{\"year\": 19}", "length")}, 5) == "1: ");
  CHECK(ask({completion("```json\n{\"year\": 1}\n```\n```json\n{\"year\": 2}\n```")}, 1).starts_with("1: StructuredLlm: no JSON as wanted in 1 try: not JSON: "));
  CHECK(ask({completion("<think>{\"year\": 1}")}, 1).starts_with("1: StructuredLlm: no JSON"));
  CHECK(ask({completion("{\"year\": 1} as asked")}, 1).starts_with("1: StructuredLlm: no JSON"));
  CHECK(error_of([] { rag::StructuredLlm llm(ScriptedLlm{}, {.schema = year, .tries = 0}); }) == "StructuredLlm: 1 try or more wanted, 0 given");
  CHECK(error_of([] { rag::StructuredLlm llm(ScriptedLlm{}, {}); }).starts_with("JsonSchema: schema: not JSON: "));
}

TEST_CASE("StructuredLlm over an OpenAiLlm: the service is sent the same schema") {
  std::string sent;
  const auto tape = [&](const rag::Request& request) {
    sent = request.body;
    return rag::Response{200, {}, R"({"choices":[{"message":{"content":"{\"year\": 1999}"}}]})"};
  };
  rag::StructuredLlm llm{rag::OpenAiLlm{{.base_url = "http://localhost", .model = "m", .response_schema = year}, tape}, {.schema = year}};

  CHECK(llm.complete(question).text == R"({"year": 1999})");
  CHECK(sent.find(R"("additionalProperties":false)") != std::string::npos);
}

TEST_CASE("JsonSchema never fails on mutated documents and schemas but by its own Error") {
  const std::string schema = R"({"$defs":{"n":{"anyOf":[{"type":"null"},{"$ref":"#"}]}},"type":"object","properties":{"a":{"$ref":"#/$defs/n"},"b":{"type":"array","items":{"enum":[1,"x"]},"maxItems":3}},"required":["a"]})";
  const std::string json = R"({"a":{"a":null,"b":[1,"x"]},"b":[]})";
  REQUIRE(fault(schema, json) == "");
  std::mt19937 random(1);
  const auto mutate = [&](std::string text) {
    for (std::size_t i = 0; i < 1 + random() % 3; ++i) {
      const std::size_t at = random() % text.size();
      if (random() % 2 == 0) text[at] = "{}[]\",:0nt#/\\$ \xC3"[random() % 16];
      else text.erase(at, 1 + random() % 4);
      if (text.empty()) text = "1";
    }
    return text;
  };
  std::size_t refused = 0, faults = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string some_schema = i % 2 == 0 ? schema : mutate(schema), some_json = i % 2 == 0 ? mutate(json) : json;
    try {
      faults += !fault(some_schema, some_json).empty();
    } catch (const rag::Error&) {
      ++refused;
    }
  }
  CHECK(faults > 1000);
  CHECK(refused > 1000);
}
