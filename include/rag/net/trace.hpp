// SPDX-License-Identifier: MIT
#ifndef RAG_NET_TRACE_HPP
#define RAG_NET_TRACE_HPP
#include <rag/net/http.hpp>

#include <chrono>
#include <cstddef>
#include <exception>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

RAG_BEGIN

/// One exchange, without its secrets: no header, no body, no query.
struct TraceEvent {
  std::string method = {};
  std::string url = {};                     ///< origin and path
  int status = 0;                           ///< 0: no answer came
  std::size_t sent = 0, received = 0;       ///< bytes of the bodies
  std::chrono::nanoseconds first_byte{0};   ///< of a streamed body, from the call on; 0: none
  std::chrono::nanoseconds time{0};         ///< of the whole exchange
  std::string error = {};                   ///< what was thrown; empty: nothing
};

/// A transport that calls on_event(event) after each exchange, whether it gave an answer or an Error. May be called from
/// several threads if both its parts may.
///
///     rag::Trace transport{rag::HttpsTransport{}, [](const rag::TraceEvent& e) { std::clog << e.url << ' ' << e.status << '\n'; }};
template <class T, class F>
class Trace {
 public:
  static_assert(Transport<T>, "rag::Trace: argument 1 is not a Transport, see rag/concepts.hpp");
  static_assert(std::is_invocable_v<const F&, const TraceEvent&>, "rag::Trace: argument 2 is not callable with a TraceEvent");

  Trace(T transport, F on_event) : transport_(std::move(transport)), on_event_(std::move(on_event)) {}

  Response operator()(const Request& request) const {
    const Url url = parse_url(request.url, "Trace");
    TraceEvent event{.method = request.method, .url = url.origin() + url.target.substr(0, url.target.find('?')), .sent = request.body.size()};
    const auto begin = std::chrono::steady_clock::now();
    Request traced = request;
    const auto receive = [&](std::string_view piece) {
      if (event.received == 0) event.first_byte = std::chrono::steady_clock::now() - begin;
      event.received += piece.size();
      return request.receive(piece);
    };
    if (request.receive) traced.receive = receive;
    Response response;
    std::exception_ptr failure;
    try {
      response = transport_(traced);
      event.status = response.status;
      event.received += response.body.size();
    } catch (const std::exception& error) {
      event.error = error.what();
      failure = std::current_exception();
    }
    event.time = std::chrono::steady_clock::now() - begin;
    on_event_(std::as_const(event));
    if (failure) std::rethrow_exception(failure);
    return response;
  }

 private:
  T transport_;
  F on_event_;
};

RAG_END
#endif
