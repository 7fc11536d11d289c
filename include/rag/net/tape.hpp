// SPDX-License-Identifier: MIT
#ifndef RAG_NET_TAPE_HPP
#define RAG_NET_TAPE_HPP
#include <rag/detail/base64.hpp>
#include <rag/detail/file.hpp>
#include <rag/detail/json.hpp>
#include <rag/detail/utf8.hpp>
#include <rag/net/http.hpp>

#include <cstddef>
#include <fstream>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// A tape is a file of exchanges, a line of JSON each: what was asked, and what came, a streamed body piece by piece.

RAG_BEGIN
namespace detail {

/// Bytes in JSON: a text where they are one, else {"base64": …}.
RAG_LAZY Json tape_bytes(const std::string& bytes) {
  if (invalid_utf8(bytes) == std::string_view::npos) return bytes;
  return {{"base64", encode_base64(bytes)}};
}
RAG_LAZY std::optional<std::string> bytes_of_tape(const Json& json) {
  if (json.is_string()) return json.get<std::string>();
  if (json.is_object() && json.contains("base64") && json["base64"].is_string()) return decode_base64(json["base64"].get<std::string>());
  return {};
}

/// What a request is found by.
RAG_LAZY Json tape_question(const Request& request, const Secrets& secrets) {
  return {{"method", request.method}, {"url", tape_bytes(secrets.hide(request.url))}, {"body", tape_bytes(secrets.hide(request.body))}};
}

}  // namespace detail

/// A transport that writes each exchange to a tape, for Replay: readable by its owner alone, since it holds prompts and
/// answers. Keys are not on it: headers that carry one are left out, and where a service echoes it there stands "[key]".
/// An Error of the transport is recorded too. Copies write to one tape; may be called from several threads if the
/// transport may. Errors of its own: io.
///
///     rag::Record transport{rag::HttpsTransport{}, "tests/chat.tape"};
template <class T>
class Record {
 public:
  static_assert(Transport<T>, "rag::Record: argument 1 is not a Transport, see rag/concepts.hpp");

  /// Appends to the file.
  Record(T transport, const std::string& path) : transport_(std::move(transport)), tape_(std::make_shared<Tape>(path)) {}

  Response operator()(const Request& request) const {
    const detail::Secrets secrets(request);
    detail::Json line = detail::tape_question(request, secrets);
    std::vector<std::string> pieces;
    Request recorded = request;
    const auto receive = [&](std::string_view piece) {
      pieces.emplace_back(piece);
      return request.receive(piece);
    };
    if (request.receive) recorded.receive = receive;
    try {
      Response response = transport_(recorded);
      line["status"] = response.status;
      for (const auto& [name, value] : response.headers)
        if (detail::lower_ascii(name) != "set-cookie" && !detail::carries_key(detail::lower_ascii(name)))
          line["headers"].push_back({name, detail::tape_bytes(secrets.hide(value))});
      line["answer"] = detail::tape_bytes(secrets.hide(response.body));
      write(line, secrets, pieces);
      return response;
    } catch (const Error& error) {
      if (line.contains("status")) throw;  // it is the tape that cannot be written
      line["error"] = {static_cast<int>(error.code()), secrets.hide(error.what())};
      write(line, secrets, pieces);
      throw;
    }
  }

 private:
  struct Tape {
    explicit Tape(const std::string& path) : file("Record", path, O_WRONLY | O_CREAT | O_APPEND, 0600) {}
    detail::FileHandle file;
    std::mutex mutex;
  };

  /// A key may be cut between two pieces: where the whole has one, the pieces are written as one.
  void write(detail::Json& line, const detail::Secrets& secrets, std::vector<std::string>& pieces) const {
    std::string whole;
    for (const std::string& piece : pieces) whole += piece;
    if (const std::string clean = secrets.hide(whole); clean != whole) pieces = {clean};
    for (const std::string& piece : pieces) line["pieces"].push_back(detail::tape_bytes(piece));
    const std::string text = line.dump() + '\n';
    const std::lock_guard lock(tape_->mutex);
    tape_->file.write(text);
  }

  T transport_;
  std::shared_ptr<Tape> tape_;
};

/// A transport that answers from a tape of Record, without a network: a request gets what one of the same method, URL and
/// body got, each exchange once, in order. Keys may differ. Copies share the tape; may be called from several threads.
///
/// Errors: not_found (no such file; no such request is left on the tape), invalid_format (not a tape), and those on the tape.
///
///     rag::OpenAiLlm llm{rag::openrouter(), rag::Replay{"tests/chat.tape"}};
RAG_LAZY class BasicReplay {
 public:
  explicit BasicReplay(const std::string& path) : tape_(std::make_shared<Tape>()) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Error(Errc::not_found, "Replay: " + path + ": no such file");
    std::size_t number = 0;
    for (std::string text; std::getline(file, text);) tape_->lines.push_back(read_line(text, "Replay: " + path + ": line " + std::to_string(++number)));
  }

  Response operator()(const Request& request) const {
    const detail::Json question = detail::tape_question(request, detail::Secrets(request));
    Line line = take(question, request);
    const auto stop = [] { throw Error(Errc::cancelled, "Replay: the receiver stopped the answer"); };
    if (!line.error && !request.head(line.response)) stop();
    for (const std::string& piece : line.pieces) {
      if (!request.receive) line.response.body += piece;
      else if (!request.receive(piece)) stop();
    }
    if (line.error) throw Error(line.error->first, line.error->second);
    return std::move(line.response);
  }

 private:
  struct Line {
    detail::Json question;
    Response response;
    std::vector<std::string> pieces;
    std::optional<std::pair<Errc, std::string>> error;
    bool used = false;
  };
  struct Tape {
    std::mutex mutex;
    std::vector<Line> lines;
  };

  static Line read_line(const std::string& text, const std::string& who) {
    const detail::Json json = detail::parse_json(text, who);
    const auto refuse = [&](const char* what) { throw Error(Errc::invalid_format, who + ": " + what + " wanted"); };
    const auto bytes = [&](const detail::Json& value, const char* what) {
      std::optional<std::string> found = detail::bytes_of_tape(value);
      if (!found) refuse(what);
      return std::move(*found);
    };
    if (!json.is_object() || !json.contains("method") || !json.contains("url") || !json.contains("body")) refuse("an exchange with method, url and body");
    Line line;
    line.question = {{"method", json["method"]}, {"url", json["url"]}, {"body", json["body"]}};
    if (json.contains("pieces")) {
      if (!json["pieces"].is_array()) refuse("a list of pieces");
      for (const detail::Json& piece : json["pieces"]) line.pieces.push_back(bytes(piece, "a piece of text"));
    }
    if (json.contains("error")) {
      const detail::Json& error = json["error"];
      if (!error.is_array() || error.size() != 2 || !error[0].is_number_unsigned() || error[0] > static_cast<int>(Errc::cancelled) || !error[1].is_string())
        refuse("an error's code and text");
      line.error.emplace(static_cast<Errc>(error[0].get<int>()), error[1].get<std::string>());
      return line;
    }
    if (!json.contains("status") || !json["status"].is_number_unsigned() || json["status"] > 999 || !json.contains("answer")) refuse("status and answer");
    line.response.status = json["status"].get<int>();
    line.response.body = bytes(json["answer"], "an answer of text");
    if (json.contains("headers"))
      for (const detail::Json& header : json["headers"]) {
        if (!header.is_array() || header.size() != 2 || !header[0].is_string()) refuse("headers of name and value");
        line.response.headers.emplace_back(header[0].get<std::string>(), bytes(header[1], "a header's value of text"));
      }
    return line;
  }

  Line take(const detail::Json& question, const Request& request) const {
    const std::lock_guard lock(tape_->mutex);
    std::size_t alike = 0;
    for (Line& line : tape_->lines) {
      if (line.question == question) {
        if (!line.used) {
          line.used = true;
          return line;
        }
        ++alike;
      }
    }
    const std::string what = request.method + " " + parse_url(request.url, "Replay").origin();
    throw Error(Errc::not_found, "Replay: " + what + ": " + (alike == 0 ? "the tape has no such request" : "the tape has this request " + std::to_string(alike) + " times, one more asked for"));
  }

  std::shared_ptr<Tape> tape_;
};
using Replay = BasicReplay<>;

RAG_END
#endif
