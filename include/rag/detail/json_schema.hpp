// SPDX-License-Identifier: MIT
#ifndef RAG_DETAIL_JSON_SCHEMA_HPP
#define RAG_DETAIL_JSON_SCHEMA_HPP
#include <rag/detail/json.hpp>
#include <rag/detail/utf8.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

RAG_BEGIN
namespace detail {

/// Parses a JSON that nobody vouches for, "" or what is wrong with it. Two properties of one name are wrong, since readers
/// differ in which one they take.
RAG_LAZY std::string parse_strictly(std::string_view text, Json& value) {
  if (const std::string why = JsonBounds(64, json_memory(text.size())).refusal(text); !why.empty())
    return "JSON " + why;
  std::vector<std::set<std::string>> names;
  std::string twice;
  const auto look = [&](int, Json::parse_event_t event, Json& met) {
    if (event == Json::parse_event_t::object_start) names.emplace_back();
    if (event == Json::parse_event_t::object_end) names.pop_back();
    if (event == Json::parse_event_t::key && !names.back().insert(met.get<std::string>()).second && twice.empty())
      twice = met.dump();
    return true;
  };
  try {
    value = Json::parse(text.begin(), text.end(), look);
  } catch (const Json::exception& error) {
    return "not JSON: " + json_fault(error.what());
  }
  return twice.empty() ? "" : "two properties are called " + json_fault(twice);
}

/// What a keyword of a schema wants as its value.
enum class KeywordKind {
  unknown, note, schema, schemas, named_schemas, type, names, values, value, reference, count, number, divisor
};

/// The keywords of JSON Schema 2020-12 that are checked, and those that check nothing.
RAG_LAZY KeywordKind keyword_kind(std::string_view name) {
  using enum KeywordKind;
  constexpr std::pair<std::string_view, KeywordKind> known[] = {
      {"type", type},               {"enum", values},              {"const", value},
      {"properties", named_schemas}, {"required", names},          {"additionalProperties", schema},
      {"items", schema},            {"anyOf", schemas},            {"oneOf", schemas},
      {"allOf", schemas},           {"$ref", reference},           {"$defs", named_schemas},
      {"definitions", named_schemas}, {"minimum", number},         {"maximum", number},
      {"exclusiveMinimum", number}, {"exclusiveMaximum", number},  {"multipleOf", divisor},
      {"minLength", count},         {"maxLength", count},          {"minItems", count},
      {"maxItems", count},          {"minProperties", count},      {"maxProperties", count},
      {"title", note},              {"description", note},         {"default", note},
      {"examples", note},           {"$comment", note},            {"$schema", note},
      {"deprecated", note},         {"readOnly", note},            {"writeOnly", note}};
  for (const auto& [keyword, kind] : known)
    if (keyword == name) return kind;
  return unknown;
}

/// Numbers are compared as long double, which holds each 64-bit integer of the machines that this is tested on; a Json
/// takes 2^64 - 1 for -1.
RAG_LAZY long double number_of(const Json& value) {
  if (value.is_number_unsigned()) return static_cast<long double>(value.get<std::uint64_t>());
  if (value.is_number_integer()) return static_cast<long double>(value.get<std::int64_t>());
  return static_cast<long double>(value.get<double>());
}

RAG_LAZY bool same_json(const Json& a, const Json& b) {
  if (a.is_number() && b.is_number()) return number_of(a) == number_of(b);
  if (a.type() != b.type() || !a.is_structured()) return a == b;
  return a.size() == b.size() &&
         std::equal(a.items().begin(), a.items().end(), b.items().begin(),
                    [](const auto& x, const auto& y) { return x.key() == y.key() && same_json(x.value(), y.value()); });
}

/// A value as a message quotes it.
RAG_LAZY std::string quote_json(const Json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "an array of " + std::to_string(value.size());
  const std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() <= 60) return text;
  std::size_t end = 60;
  while (!is_boundary(text, end)) --end;
  return text.substr(0, end) + " …";
}

/// A JSON Schema of which every keyword is understood. What it has of 2020-12 is what the services' strict modes have,
/// and a little more.
RAG_LAZY class BasicSchema {
 public:
  /// An Error that begins with `who` and says where: invalid_format for what is not JSON or no schema, unsupported for a
  /// keyword that would not be checked.
  BasicSchema(std::string_view text, std::string who) : who_(std::move(who)) {
    if (const std::string why = parse_strictly(text, root_); !why.empty())
      throw Error(Errc::invalid_format, who_ + ": schema: " + why);
    Schemas schemas, open, ended;
    read(root_, "#", schemas);
    for (const Json* schema : schemas) require_end(*schema, schemas, open, ended);
  }

  /// "" where the value is as the schema wants it; else where, what was wanted and what was met.
  std::string fault(const Json& value) const {
    Check check;
    const bool fits = check_value(root_, value, {}, check);
    if (check.steps >= most_steps) return "more than " + std::to_string(most_steps) + " steps to check";
    return fits ? "" : check.text;
  }

 private:
  using Kind = KeywordKind;
  using Schemas = std::set<const Json*>;
  static constexpr std::size_t most_steps = 1'000'000;  // of one check: choices within choices can double them a level

  /// The way to a value, from it outwards.
  struct Place {
    const Place* outer = nullptr;
    std::string name = {};
    std::string pointer() const { return outer == nullptr ? "" : outer->pointer() + "/" + name; }
    std::size_t depth() const { return outer == nullptr ? 0 : outer->depth() + 1; }
  };
  struct Check {
    std::string text = {};  // of the fault that lies deepest
    std::size_t depth = 0, steps = 0;
  };

  [[noreturn]] void refuse(Errc code, const std::string& where, const std::string& what) const {
    throw Error(code, who_ + ": schema at " + where + ": " + what);
  }

  void read(const Json& schema, const std::string& where, Schemas& schemas) const {
    schemas.insert(&schema);
    if (schema.is_boolean()) return;
    if (!schema.is_object())
      refuse(Errc::invalid_format, where, "an object or a bool wanted, " + quote_json(schema) + " given");
    for (const auto& [name, value] : schema.items()) read_keyword(name, value, where + "/" + name, schemas);
  }

  void read_keyword(const std::string& name, const Json& value, const std::string& where, Schemas& schemas) const {
    const auto want = [&](bool holds, const char* what) {
      if (!holds) refuse(Errc::invalid_format, where, std::string(what) + " wanted, " + quote_json(value) + " given");
    };
    const auto all_strings = [&] {
      return std::all_of(value.begin(), value.end(), [](const Json& item) { return item.is_string(); });
    };
    switch (keyword_kind(name)) {
      case Kind::unknown: refuse(Errc::unsupported, where, "this keyword is not among those that are checked");
      case Kind::note: case Kind::value: break;
      case Kind::schema: read(value, where, schemas); break;
      case Kind::schemas:
        want(value.is_array() && !value.empty(), "an array of 1 schema or more");
        for (std::size_t i = 0; i < value.size(); ++i) read(value[i], where + "/" + std::to_string(i), schemas);
        break;
      case Kind::named_schemas:
        want(value.is_object(), "an object of schemas");
        for (const auto& [key, item] : value.items()) read(item, where + "/" + key, schemas);
        break;
      case Kind::type:
        want(value.is_string() || (value.is_array() && !value.empty() && all_strings()), "a type or an array of types");
        for (const Json& type : value.is_array() ? value : Json::array({value}))
          want(is_type(type.get_ref<const std::string&>()), "object, array, string, number, integer, boolean or null");
        break;
      case Kind::names: want(value.is_array() && all_strings(), "an array of names"); break;
      case Kind::values: want(value.is_array() && !value.empty(), "an array of 1 value or more"); break;
      case Kind::reference:
        want(value.is_string(), "a text");
        want(target(value) != nullptr, "\"#\" or \"#/\" and the way to a value of this schema");
        break;
      case Kind::count: want(is_whole(value) && number_of(value) >= 0, "a whole number of 0 or more"); break;
      case Kind::number: want(value.is_number(), "a number"); break;
      case Kind::divisor: want(is_whole(value) && number_of(value) > 0, "a whole number of 1 or more"); break;
    }
  }

  static bool is_type(std::string_view name) {
    for (const std::string_view type : {"object", "array", "string", "number", "integer", "boolean", "null"})
      if (type == name) return true;
    return false;
  }
  static bool is_whole(const Json& value) {
    return value.is_number() && std::isfinite(number_of(value)) && std::floor(number_of(value)) == number_of(value);
  }

  /// What "#/$defs/book" names; null if nothing.
  const Json* target(const Json& reference) const {
    const std::string& text = reference.get_ref<const std::string&>();
    if (text.empty() || text[0] != '#' || text.find('%') != text.npos) return nullptr;
    try {
      const Json::json_pointer way(text.substr(1));
      return root_.contains(way) ? &root_.at(way) : nullptr;
    } catch (const Json::exception&) {
      return nullptr;
    }
  }

  /// Refuses a schema that refers to itself for the same value, without an end, and a reference to what is no schema.
  void require_end(const Json& schema, const Schemas& schemas, Schemas& open, Schemas& ended) const {
    if (!schema.is_object() || ended.count(&schema)) return;
    if (!open.insert(&schema).second) refuse(Errc::invalid_format, "#", "a $ref leads back to itself");
    if (const Json& reference = member_of(schema, "$ref"); !reference.is_null()) {
      const Json* next = target(reference);
      if (!schemas.count(next)) refuse(Errc::invalid_format, "#", "no schema is at $ref " + quote_json(reference));
      require_end(*next, schemas, open, ended);
    }
    for (const char* name : {"anyOf", "oneOf", "allOf"})
      for (const Json& choice : member_of(schema, name)) require_end(choice, schemas, open, ended);
    open.erase(&schema);
    ended.insert(&schema);
  }

  static const Json& member_of(const Json& schema, const char* name) {
    static const Json null;
    const auto found = schema.find(name);
    return found == schema.end() ? null : *found;
  }

  /// Keeps the text of the deepest fault.
  static bool fail(Check& check, const Place& place, const std::string& wanted, const Json& met) {
    if (!check.text.empty() && place.depth() <= check.depth) return false;
    const std::string pointer = place.pointer();
    check.depth = place.depth();
    check.text = (pointer.empty() ? "the whole" : pointer) + ": " + wanted + " wanted, " + quote_json(met) + " met";
    return false;
  }

  bool check_value(const Json& schema, const Json& value, const Place& place, Check& check) const {
    if (check.steps >= most_steps) return false;
    ++check.steps;
    if (schema.is_boolean()) return schema.get<bool>() || fail(check, place, "nothing", value);
    if (const Json& reference = member_of(schema, "$ref");
        !reference.is_null() && !check_value(*target(reference), value, place, check))
      return false;
    return check_type(schema, value, place, check) && check_values(schema, value, place, check) &&
           check_size(schema, value, place, check) && check_parts(schema, value, place, check) &&
           check_choices(schema, value, place, check);
  }

  static bool has_type(const Json& value, std::string_view type) {
    if (type == "integer") return is_whole(value);
    if (type == "number") return value.is_number();
    return type == value.type_name();
  }

  bool check_type(const Json& schema, const Json& value, const Place& place, Check& check) const {
    const Json& type = member_of(schema, "type");
    if (type.is_null()) return true;
    std::string wanted;
    for (const Json& choice : type) {
      const std::string& name = choice.get_ref<const std::string&>();
      if (has_type(value, name)) return true;
      wanted += (wanted.empty() ? "" : " or ") + name;
    }
    return fail(check, place, wanted, value);
  }

  bool check_values(const Json& schema, const Json& value, const Place& place, Check& check) const {
    if (const auto constant = schema.find("const"); constant != schema.end() && !same_json(*constant, value))
      return fail(check, place, quote_json(*constant), value);
    const Json& choices = member_of(schema, "enum");
    std::string wanted;
    for (const Json& choice : choices) {
      if (same_json(choice, value)) return true;
      if (wanted.size() < 200) wanted += (wanted.empty() ? "one of " : ", ") + quote_json(choice);
    }
    return choices.is_null() || fail(check, place, wanted, value);
  }

  /// Numbers, and the lengths of texts, arrays and objects.
  bool check_size(const Json& schema, const Json& value, const Place& place, Check& check) const {
    const auto within = [&](const char* least, const char* most, std::size_t size, const char* what) {
      const Json &low = member_of(schema, least), &high = member_of(schema, most);
      const auto met = static_cast<long double>(size);
      if (!low.is_null() && met < number_of(low)) return fail(check, place, low.dump() + what + " or more", value);
      return high.is_null() || met <= number_of(high) || fail(check, place, high.dump() + what + " or fewer", value);
    };
    if (value.is_string())
      return within("minLength", "maxLength", count_code_points(value.get_ref<const std::string&>()), " characters");
    if (value.is_array()) return within("minItems", "maxItems", value.size(), " items");
    if (value.is_object()) return within("minProperties", "maxProperties", value.size(), " properties");
    if (!value.is_number()) return true;
    const long double met = number_of(value);
    const auto keep = [&](const char* name, const char* wanted, auto holds) {
      const Json& limit = member_of(schema, name);
      return limit.is_null() || holds(met, number_of(limit)) || fail(check, place, wanted + limit.dump(), value);
    };
    return keep("minimum", "at least ", [](auto a, auto b) { return a >= b; }) &&
           keep("maximum", "at most ", [](auto a, auto b) { return a <= b; }) &&
           keep("exclusiveMinimum", "more than ", [](auto a, auto b) { return a > b; }) &&
           keep("exclusiveMaximum", "less than ", [](auto a, auto b) { return a < b; }) &&
           keep("multipleOf", "a multiple of ", [](auto a, auto b) { return std::fmod(a, b) == 0; });
  }

  bool check_parts(const Json& schema, const Json& value, const Place& place, Check& check) const {
    if (value.is_array()) {
      const Json& items = member_of(schema, "items");
      for (std::size_t i = 0; !items.is_null() && i < value.size(); ++i)
        if (!check_value(items, value[i], {&place, std::to_string(i)}, check)) return false;
    }
    if (!value.is_object()) return true;
    for (const Json& name : member_of(schema, "required"))
      if (!value.contains(name.get_ref<const std::string&>()))
        return fail(check, place, "a property " + name.dump(), value);
    const Json &properties = member_of(schema, "properties"), &others = member_of(schema, "additionalProperties");
    for (const auto& [name, item] : value.items()) {
      const Place inside{&place, name};
      const auto property = properties.find(name);
      if (property != properties.end() ? !check_value(*property, item, inside, check)
                                       : !others.is_null() && !check_value(others, item, inside, check))
        return false;
    }
    return true;
  }

  bool check_choices(const Json& schema, const Json& value, const Place& place, Check& check) const {
    for (const Json& all : member_of(schema, "allOf"))
      if (!check_value(all, value, place, check)) return false;
    for (const bool exactly_one : {false, true}) {
      const Json& choices = member_of(schema, exactly_one ? "oneOf" : "anyOf");
      Check inside{{}, 0, check.steps};
      std::size_t fitting = 0;
      for (const Json& choice : choices)
        fitting += check_value(choice, value, place, inside) && (exactly_one || fitting == 0);
      check.steps = inside.steps;
      if (choices.is_null() || fitting == 1) continue;
      if (fitting > 1) return fail(check, place, "exactly one form of oneOf", value);
      if (!check.text.empty() && inside.depth <= check.depth) return false;
      const std::string_view others = ", and no other form fits";
      check.text = inside.text;
      if (choices.size() > 1 && !check.text.ends_with(others)) check.text += others;
      check.depth = inside.depth;
      return false;
    }
    return true;
  }

  std::string who_;
  Json root_;
};
using Schema = BasicSchema<>;

}  // namespace detail
RAG_END
#endif
