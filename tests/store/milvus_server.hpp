// SPDX-License-Identifier: MIT
#ifndef RAG_TESTS_STORE_MILVUS_SERVER_HPP
#define RAG_TESTS_STORE_MILVUS_SERVER_HPP
#include <doctest/doctest.h>

#include <rag/detail/json.hpp>
#include <rag/net/http.hpp>
#include <rag/types.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "milvus_expression.hpp"

namespace milvus {

struct Collection {
  std::size_t dimension = 0;
  std::string metric, level, description;
  std::map<rag::Id, Json> rows = {};
  int polls_left = 0;
  bool loaded = true;
};

/// What the next call meets.
enum class Fault { none, limiter, timeout, timeout_applied, unavailable, reset, reset_applied };

/// A Milvus server in memory, without a network: strict where a server overlooks a mistake in silence. Copies are the same.
struct State {
  std::map<std::string, Collection> collections = {};
  bool code_200 = false, string_ids = false, topks = true, json_as_text = false;
  int slow_load = 0;                  // polls until a new collection is loaded
  std::vector<Fault> faults = {};     // of the next calls, then none
  std::size_t fault_every = 0;        // besides: every Nth call
  Fault fault = Fault::none;
  std::string token = {}, database = {};
  std::size_t calls = 0;
  std::vector<std::pair<std::string, Json>> log = {};
  std::vector<std::string> bodies = {};
};

class Server {
 public:
  std::shared_ptr<State> state = std::make_shared<State>();

  rag::Response operator()(const rag::Request& request) const {
    State& s = *state;
    const std::string prefix = "/v2/vectordb/";
    const std::size_t at = request.url.find(prefix);
    if (at == std::string::npos || request.method != "POST") return {404, {}, "404 page not found"};
    const std::string action = request.url.substr(at + prefix.size());
    check_headers(request);
    Fault fault = Fault::none;
    if (!s.faults.empty()) fault = s.faults.front(), s.faults.erase(s.faults.begin());
    else if (++s.calls; s.fault_every != 0 && s.calls % s.fault_every == 0) fault = s.fault;
    if (fault == Fault::limiter) return {200, {}, R"({"code":1807,"message":"request is rejected by limiter, please retry later"})"};
    if (fault == Fault::unavailable) return {503, {}, "<html>503 Service Temporarily Unavailable</html>"};
    if (fault == Fault::reset) throw rag::Error(rag::Errc::transport, "Tape: the connection was closed");
    if (fault == Fault::timeout) return {408, {}, R"({"code":10001,"message":"request timeout"})"};
    const Json body = Json::parse(request.body);
    s.log.emplace_back(action, body);
    s.bodies.push_back(request.body);
    Json answer;
    try {
      if (!s.token.empty() && header(request, "Authorization") != "Bearer " + s.token)
        return {401, {}, R"({"code":1800,"message":"user hasn't authenticated"})"};
      answer = call(action, body);
    } catch (const std::runtime_error& error) {
      answer = {{"code", 1100}, {"message", error.what()}};
    }
    if (fault == Fault::timeout_applied) return {408, {}, R"({"code":10001,"message":"request timeout"})"};
    if (fault == Fault::reset_applied) throw rag::Error(rag::Errc::transport, "Tape: half an answer");
    if (s.code_200 && answer["code"] == 0) answer["code"] = 200;
    return {200, {}, answer.dump()};
  }

 private:
  static std::string header(const rag::Request& request, const std::string& name) {
    for (const auto& [key, value] : request.headers)
      if (key == name) return value;
    return "";
  }
  void check_headers(const rag::Request& request) const {
    CHECK(header(request, "Accept-Type-Allow-Int64") == "true");
    CHECK(header(request, "Content-Type") == "application/json");
    CHECK(std::atoi(header(request, "Request-Timeout").c_str()) > 0);
    if (state->token.empty()) CHECK(header(request, "Authorization").empty());
  }
  static void check_keys(const Json& object, const std::set<std::string>& known) {
    for (const auto& item : object.items()) {
      CAPTURE(item.key());
      CHECK(known.contains(item.key()));
    }
  }
  static Json done(Json data) { return {{"code", 0}, {"data", std::move(data)}}; }
  Json id_json(rag::Id id) const { return state->string_ids ? Json(std::to_string(id)) : Json(id); }

  Json call(const std::string& action, const Json& body) const {
    static const std::map<std::string, std::set<std::string>> keys = {
        {"collections/has", {}}, {"collections/drop", {}}, {"collections/describe", {}}, {"collections/load", {}},
        {"collections/get_load_state", {}}, {"collections/create", {"dimension", "metricType", "params", "description"}}, {"collections/list", {}},
        {"entities/upsert", {"data"}}, {"entities/delete", {"filter"}},
        {"entities/query", {"filter", "outputFields", "limit", "consistencyLevel"}},
        {"entities/hybrid_search", {"search", "rerank", "limit", "outputFields", "consistencyLevel"}},
        {"entities/search", {"data", "annsField", "limit", "outputFields", "filter", "consistencyLevel"}}};
    CAPTURE(action);
    REQUIRE(keys.contains(action));
    std::set<std::string> known = keys.at(action);
    auto& collections = state->collections;
    if (action == "collections/list") {
      check_keys(body, {"dbName"});
      Json names = Json::array();
      for (const auto& one : collections) names.push_back(one.first);
      return done(names);
    }
    known.insert("collectionName");
    if (!state->database.empty()) {
      known.insert("dbName");
      CHECK(body.at("dbName") == state->database);
    }
    check_keys(body, known);
    const std::string name = body.at("collectionName");
    if (action == "collections/has") return done({{"has", collections.contains(name)}});
    if (action == "collections/drop") return collections.erase(name), done(Json::object());
    if (action == "collections/create") return create(name, body);
    if (!collections.contains(name)) return {{"code", 100}, {"message", "can't find collection[collection=" + name + "]"}};
    Collection& collection = collections.at(name);
    if (action == "collections/describe") return describe(collection);
    if (action == "collections/load") return collection.loaded = true, collection.polls_left = state->slow_load, done(Json::object());
    if (action == "collections/get_load_state") {
      if (!collection.loaded) return done({{"loadState", "LoadStateNotLoad"}});
      const bool ready = collection.polls_left-- <= 0;
      return done({{"loadState", ready ? "LoadStateLoaded" : "LoadStateLoading"}, {"loadProgress", ready ? 100 : 50}});
    }
    if (collection.polls_left > 0) return {{"code", 103}, {"message", "collection not fully loaded"}};
    if (action == "entities/upsert") return upsert(collection, body);
    if (action == "entities/delete") return remove(collection, body);
    CHECK(body.at("consistencyLevel") == collection.level);
    if (action == "entities/hybrid_search") return hybrid(collection, body);
    return action == "entities/query" ? query(collection, body) : search(collection, body);
  }

  Json create(const std::string& name, const Json& body) const {
    check_keys(body.at("params"), {"consistencyLevel"});
    Collection made{body.at("dimension"), body.at("metricType"), body.at("params").at("consistencyLevel"), body.value("description", "")};
    made.polls_left = state->slow_load;
    state->collections.emplace(name, made);
    return done(Json::object());
  }
  static Json describe(const Collection& collection) {
    Json key = {{"name", "id"}, {"primaryKey", true}, {"type", "Int64"}};
    Json vector = {{"name", "vector"}, {"primaryKey", false}, {"type", "FloatVector"}};
    vector["params"] = Json::array({{{"key", "dim"}, {"value", std::to_string(collection.dimension)}}});
    Json answer = done({{"autoId", false}, {"consistencyLevel", collection.level}, {"description", collection.description}, {"enableDynamicField", true}});
    answer["data"]["fields"] = Json::array({key, vector});
    answer["data"]["indexes"] = Json::array({{{"fieldName", "vector"}, {"metricType", collection.metric}}});
    answer["message"] = "";
    return answer;
  }
  Json upsert(Collection& collection, const Json& body) const {
    CHECK(body.dump().size() < 64'000'000);
    Json ids = Json::array();
    for (Json row : body.at("data")) {
      REQUIRE(row.at("id").is_number_integer());
      CHECK(row.at("vector").size() == collection.dimension);
      check_keys(row, {"id", "vector", "text", "source", "begin", "end", "metadata", "names"});
      const rag::Id id = row.at("id");
      ids.push_back(id_json(id));
      if (state->json_as_text)
        for (const char* name : {"metadata", "names"})
          if (row.contains(name)) row[name] = row[name].dump();
      collection.rows[id] = row;
    }
    return done({{"upsertCount", ids.size()}, {"upsertIds", ids}});
  }
  Json remove(Collection& collection, const Json& body) const {
    const std::string filter = body.at("filter");
    CHECK(!filter.empty());
    std::erase_if(collection.rows, [&](const auto& row) { return Expression(filter, row.second).keeps(); });
    return done(Json::object());  // no count: servers before 2.5 give none
  }
  Json shown(const Json& row, const Json& fields) const {
    Json out = {{"id", id_json(row.at("id"))}};
    for (const std::string name : fields)
      if (name != "id" && row.contains(name)) out[name] = row.at(name);
    return out;
  }
  Json query(const Collection& collection, const Json& body) const {
    const std::string filter = body.at("filter");
    Json rows = Json::array();
    std::size_t count = 0;
    const bool counts = body.at("outputFields") == Json::array({"count(*)"});
    const std::size_t limit = counts ? 0 : body.at("limit").get<std::size_t>();
    if (!counts) CHECK((limit >= 1 && limit <= 16'384));
    // The largest ids first: a server promises no order.
    for (auto row = collection.rows.rbegin(); row != collection.rows.rend(); ++row) {
      if (!Expression(filter, row->second).keeps()) continue;
      ++count;
      if (rows.size() < limit) rows.push_back(shown(row->second, body.at("outputFields")));
    }
    if (!counts) return done(rows);
    return done(Json::array({{{"count(*)", state->string_ids ? Json(std::to_string(count)) : Json(count)}}}));
  }
  Json search(const Collection& collection, const Json& body) const {
    CHECK(body.at("annsField") == "vector");
    const std::size_t limit = body.at("limit");
    CHECK((limit >= 1 && limit <= 16'384));
    const std::string filter = body.value("filter", "");
    Json all = Json::array(), topks = Json::array();
    for (const Json& query : body.at("data")) {
      CHECK(query.size() == collection.dimension);
      std::vector<std::pair<double, const Json*>> found;
      for (const auto& [id, row] : collection.rows) {
        if (!Expression(filter, row).keeps()) continue;
        double product = 0, apart = 0;
        for (std::size_t i = 0; i < query.size(); ++i) {
          const double a = query[i], b = row.at("vector")[i];
          product += a * b, apart += (a - b) * (a - b);
        }
        found.emplace_back(collection.metric == "L2" ? apart : product, &row);
      }
      const bool rising = collection.metric == "L2";
      // Ties stand the other way round than the store promises them.
      std::stable_sort(found.begin(), found.end(), [&](const auto& a, const auto& b) {
        return a.first != b.first ? (a.first < b.first) == rising : a.second->at("id") > b.second->at("id");
      });
      if (found.size() > limit) found.resize(limit);
      topks.push_back(found.size());
      for (const auto& [distance, row] : found) {
        all.push_back(shown(*row, body.at("outputFields")));
        all.back()["distance"] = distance;
      }
    }
    Json answer = done(all);
    if (state->topks && !all.empty()) answer["topks"] = topks;
    return answer;
  }
  Json hybrid(const Collection& collection, const Json& body) const {
    CHECK(body.at("rerank").at("strategy") == "rrf");
    const double constant = body.at("rerank").at("params").at("k").get<double>();
    const std::size_t limit = body.at("limit");
    CHECK((limit >= 1 && limit <= 16'384));
    std::map<rag::Id, double> scores;
    for (Json one : body.at("search")) {
      check_keys(one, {"data", "annsField", "limit", "filter"});
      CHECK(one.at("data").size() == 1);
      one["outputFields"] = Json::array();
      double rank = 0;
      const Json found = search(collection, one);
      for (const Json& row : found.at("data")) {
        const auto id = state->string_ids ? rag::Id(std::stoll(row.at("id").get<std::string>())) : row.at("id").get<rag::Id>();
        scores[id] += 1 / (constant + ++rank);
      }
    }
    std::vector<std::pair<double, rag::Id>> order;  // the best first, ties the other way round again
    for (const auto& [id, score] : scores) order.emplace_back(-score, -id);
    std::sort(order.begin(), order.end());
    if (order.size() > limit) order.resize(limit);
    Json all = Json::array();
    for (const auto& [score, id] : order) {
      all.push_back(shown(collection.rows.at(-id), body.at("outputFields")));
      all.back()["distance"] = -score;
    }
    Json answer = done(all);
    if (state->topks && !all.empty()) answer["topks"] = Json::array({all.size()});
    return answer;
  }
};

}  // namespace milvus

#endif
